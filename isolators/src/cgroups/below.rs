//! Where below its container's cgroups a further process is to be.

use std::path::{Component, Path, PathBuf};

use super::error::CgroupError;
use super::hierarchy::ControllerMount;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// v1: in the hierarchies of these. Empty: in all.
    pub controllers: Vec<String>,
    /// `/` is the container's own cgroup.
    pub path: PathBuf,
}

impl Below {
    fn path(&self) -> Result<&Path, CgroupError> {
        let path = self.path.strip_prefix("/").unwrap_or(&self.path);
        let stays = |component| matches!(component, Component::Normal(_) | Component::CurDir);
        if path.components().all(stays) {
            return Ok(path);
        }
        Err(CgroupError::NotBelow {
            path: self.path.clone(),
        })
    }

    fn is_of(&self, mount: &ControllerMount) -> bool {
        let mut controllers = self.controllers.iter();
        self.controllers.is_empty() || controllers.any(|controller| mount.has(controller))
    }
}

/// A path for each mount, or none: the last that is about it.
pub(super) fn of_v1<'a>(
    places: &'a [Below],
    mounts: &[ControllerMount],
) -> Result<Vec<Option<&'a Path>>, CgroupError> {
    let named = places.iter().flat_map(|place| &place.controllers);
    for controller in named {
        if !mounts.iter().any(|mount| mount.has(controller)) {
            let controller = controller.clone();
            return Err(CgroupError::UnknownController { controller });
        }
    }
    let of = |mount: &ControllerMount| {
        let mut places = places.iter().rev();
        places
            .find(|place| place.is_of(mount))
            .map(Below::path)
            .transpose()
    };
    mounts.iter().map(of).collect()
}

/// v2 has one tree, and no controller a place of its own.
pub(super) fn of_v2(places: &[Below]) -> Result<Option<&Path>, CgroupError> {
    let named = places.iter().flat_map(|place| &place.controllers).next();
    match named {
        Some(controller) => Err(CgroupError::UnknownController {
            controller: controller.clone(),
        }),
        None => places.last().map(Below::path).transpose(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(controllers: &[&str], path: &str) -> Below {
        Below {
            controllers: controllers.iter().map(|c| (*c).to_owned()).collect(),
            path: path.into(),
        }
    }

    #[test]
    fn each_hierarchy_has_the_last_place_that_is_about_it() {
        let mounts = [&["cpu", "cpuacct"][..], &["memory"], &["pids"]];
        let mounts = mounts.map(|controllers| ControllerMount {
            controllers: controllers.iter().map(|c| (*c).to_owned()).collect(),
            path: controllers.join(",").into(),
        });
        let places = [
            below(&[], "/all"),
            below(&["memory"], "sub/mem"),
            below(&["cpuacct"], "/"),
        ];
        let found = of_v1(&places, &mounts).expect("places");
        let wanted = ["", "sub/mem", "all"].map(|path| Some(Path::new(path)));
        assert_eq!(found, wanted);
        assert_eq!(of_v1(&[], &mounts).expect("none"), [None; 3]);
        let unknown = of_v1(&[below(&["whaaat"], "/")], &mounts).expect_err("refused");
        assert!(
            unknown.to_string().starts_with("unknown controller whaaat"),
            "{unknown}"
        );
    }

    #[test]
    fn nothing_leads_out() {
        for path in ["..", "/..", "a/../..", "a/.."] {
            let error = of_v2(&[below(&[], path)]).expect_err("refused").to_string();
            assert!(
                error.starts_with(&format!("bad sub cgroup path: {path} ")),
                "{error}"
            );
        }
        assert_eq!(
            of_v2(&[below(&[], "/a/b")]).expect("a place"),
            Some(Path::new("a/b"))
        );
        assert!(of_v2(&[below(&["cpu"], "/a")]).is_err());
    }
}
