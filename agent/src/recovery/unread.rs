//! What recovery could not read keeps its containers: only those that surely belong to nobody are
//! destroyed.

use std::collections::BTreeSet;

use super::entries;
use crate::paths::{Paths, Run};

/// Containers that are not known to belong to nobody, for what would tell could not be read.
#[derive(Debug, Default)]
pub struct Unread {
    containers: BTreeSet<String>,
    /// Not even which they are is known: any may be one.
    is_boundless: bool,
}

impl Unread {
    pub fn contains(&self, container: &str) -> bool {
        self.is_boundless || self.containers.contains(container)
    }

    pub(super) fn add_framework(&mut self, paths: &Paths, agent: &str, framework: &str) {
        match entries(&paths.meta_executors(agent, framework)) {
            Ok(executors) => executors.into_iter().for_each(|executor| {
                let (agent, framework) = (agent.to_owned(), framework.to_owned());
                let container = String::new();
                self.add_executor(
                    paths,
                    &Run {
                        agent,
                        framework,
                        executor,
                        container,
                    },
                );
            }),
            Err(_) => self.is_boundless = true,
        }
    }

    /// Every run of an executor; `run` names no container.
    pub(super) fn add_executor(&mut self, paths: &Paths, run: &Run) {
        match entries(&paths.meta_runs(run)) {
            Ok(containers) => self.containers.extend(containers),
            Err(_) => self.is_boundless = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proto::v1;

    use crate::checkpoint;
    use crate::paths::{Paths, Run};
    use crate::recovery::read;
    use crate::task::journal::TaskJournal;

    #[test]
    fn the_containers_of_what_cannot_be_read_are_known_by_their_directories() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        fs::create_dir_all(paths.meta_agents()).unwrap();
        checkpoint::relink(&paths.latest_agent(), Path::new("S0")).unwrap();
        let durable = checkpoint::Durability::Process;
        for (framework, executor, container) in [
            ("F", "E", "damaged"),
            ("G", "E", "in-damaged"),
            ("F", "T", "fine"),
        ] {
            let run = Run {
                agent: "S0".into(),
                framework: framework.into(),
                executor: executor.into(),
                container: container.into(),
            };
            crate::sandbox::create(&paths, &run, None).unwrap();
            let (task, executor) = (v1::TaskInfo::default(), v1::ExecutorInfo::default());
            TaskJournal::create(&paths, &run, &executor, &task).unwrap();
            if container == "damaged" {
                fs::write(paths.executor_info(&run), "x").unwrap();
            }
        }
        let info = v1::FrameworkInfo::default();
        checkpoint::write(&paths.framework_info("S0", "F"), &info, durable).unwrap();
        fs::write(paths.framework_info("S0", "G"), "x").unwrap();
        let unread = read(&paths, None).unwrap().unread;
        let asked = ["damaged", "in-damaged", "fine", "launch-cut-short"];
        let unread = asked.map(|container| unread.contains(container));
        assert_eq!(unread, [true, true, false, false]);
    }

    #[test]
    fn where_not_even_the_runs_can_be_listed_any_container_may_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        fs::create_dir_all(paths.meta_agents()).unwrap();
        checkpoint::relink(&paths.latest_agent(), Path::new("S0")).unwrap();
        fs::create_dir_all(paths.meta_frameworks("S0").join("F")).unwrap();
        fs::write(paths.meta_executors("S0", "F"), "x").unwrap();
        fs::write(paths.framework_info("S0", "F"), "x").unwrap();
        assert!(read(&paths, None).unwrap().unread.contains("any"));
    }
}
