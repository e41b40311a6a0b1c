//! Which containerizer runs a task: the first of `--containerizers` that can. Pure.

use std::fmt;
use std::str::FromStr;

use proto::v1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containerizer {
    /// This agent itself: without an engine it runs images of Docker's, too.
    Mesos,
    Docker,
}

const NAMES: &[(&str, Containerizer)] = &[
    ("mesos", Containerizer::Mesos),
    ("docker", Containerizer::Docker),
];

/// In the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containerizers(Vec<Containerizer>);

impl Containerizers {
    pub fn has(&self, containerizer: Containerizer) -> bool {
        self.0.contains(&containerizer)
    }

    /// `None`: there is none that can. `has_engine` is asked only where it matters.
    pub fn choose(&self, task: Kind, has_engine: bool) -> Option<Containerizer> {
        let can = |containerizer: &&Containerizer| match containerizer {
            Containerizer::Mesos => true,
            Containerizer::Docker => task == Kind::Docker && has_engine,
        };
        self.0.iter().find(can).copied()
    }

    /// Whether an engine could make a difference.
    pub fn may_need_engine(&self, task: Kind) -> bool {
        task == Kind::Docker && self.0.first() == Some(&Containerizer::Docker)
    }
}

impl FromStr for Containerizers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut listed = Vec::new();
        for name in text.split(',').map(str::trim) {
            let known = NAMES.iter().find(|(known, _)| *known == name);
            let (_, containerizer) = known.ok_or_else(|| {
                format!("{name:?} is no containerizer: list mesos, docker, or both")
            })?;
            if listed.contains(containerizer) {
                return Err(format!("{name} is listed twice"));
            }
            listed.push(*containerizer);
        }
        Ok(Self(listed))
    }
}

impl fmt::Display for Containerizers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |it: &Containerizer| {
            let named = NAMES.iter().find(|(_, known)| known == it);
            named.map_or("", |(name, _)| *name)
        };
        f.write_str(&self.0.iter().map(name).collect::<Vec<_>>().join(","))
    }
}

/// What a task says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is of the type DOCKER, and names an image.
    Docker,
    Other,
}

impl Kind {
    pub fn of(task: &v1::TaskInfo) -> Kind {
        let container = task.container.as_ref();
        let is_dockers = container.is_some_and(|container| {
            let docker = container.docker.as_ref();
            container.r#type() == v1::container_info::Type::Docker
                && docker.is_some_and(|docker| !docker.image.is_empty())
        });
        match is_dockers {
            true => Kind::Docker,
            false => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_run_it_takes_a_task() {
        use Containerizer::{Docker, Mesos};
        let table = [
            // list, kind, engine, taken
            ("mesos", Kind::Docker, true, Some(Mesos)),
            ("docker,mesos", Kind::Docker, true, Some(Docker)),
            ("docker,mesos", Kind::Docker, false, Some(Mesos)),
            ("docker,mesos", Kind::Other, true, Some(Mesos)),
            ("mesos,docker", Kind::Docker, true, Some(Mesos)),
            ("docker", Kind::Docker, true, Some(Docker)),
            ("docker", Kind::Docker, false, None),
            ("docker", Kind::Other, true, None),
        ];
        for (list, kind, has_engine, taken) in table {
            let list: Containerizers = list.parse().unwrap();
            assert_eq!(list.choose(kind, has_engine), taken, "{list} {kind:?}");
        }
    }

    #[test]
    fn a_list_names_each_once() {
        let both: Containerizers = "docker, mesos".parse().unwrap();
        assert_eq!(both.to_string(), "docker,mesos");
        for bad in ["", "docker,", "docker,docker", "composing"] {
            assert!(bad.parse::<Containerizers>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_task_of_dockers_type_with_an_image_is_one_of_its() {
        let task = |kind: v1::container_info::Type, image: &str| v1::TaskInfo {
            container: Some(v1::ContainerInfo {
                r#type: kind as i32,
                docker: Some(v1::container_info::DockerInfo {
                    image: image.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        use v1::container_info::Type::{Docker, Mesos};
        assert_eq!(Kind::of(&task(Docker, "a")), Kind::Docker);
        assert_eq!(Kind::of(&task(Docker, "")), Kind::Other);
        assert_eq!(Kind::of(&task(Mesos, "a")), Kind::Other);
        assert_eq!(Kind::of(&v1::TaskInfo::default()), Kind::Other);
    }
}
