//! Where things lie on disk. This module alone knows the layout; operators, scripts and log
//! shippers rely on its names. Source: spec/mesos-agent.md section 4.
//!
//! ```text
//! <work_dir>
//! ├── slaves/<agent>/frameworks/<framework>/executors/<executor>/runs
//! │   ├── <container>/                   sandbox (0750, of the task's user)
//! │   │   ├── stdout, stderr
//! │   │   ├── stdout.1, stdout.2 …           rotated, newest first; the same of stderr
//! │   │   ├── stdout.logrotate.state         see `logs::record`
//! │   │   ├── containers/<nested>/           of a task group, the same of each task; this one is root's
//! │   │   └── whatever was fetched and written
//! │   └── latest -> <container>
//! ├── fetch                                the fetcher's cache: see `fetcher::Cache`
//! ├── images                               hidden from containers: see `images::Store`
//! ├── provisioner                          hidden from containers: see `images::Provisioner`
//! └── meta                                 hidden from containers
//!     ├── agent.lock                       held by the agent that runs here, with its pid
//!     ├── boot_id                       r  text: the boot that all of it was last recovered in
//!     └── slaves
//!         ├── latest -> <agent>         r  the id in use; without it the next start is a new agent
//!         └── <agent>
//!             ├── slave.info            r  AgentInfo
//!             ├── drain.config          r  DrainConfig and a deadline, while it drains
//!             └── frameworks/<framework>
//!                 ├── framework.info    t  FrameworkInfo
//!                 └── executors/<executor>
//!                     ├── executor.info t  ExecutorInfo
//!                     └── runs/<container>
//!                         ├── executor.sentinel    empty: the run is over and acknowledged
//!                         ├── http.marker          empty: a custom executor, which speaks /api/v1/executor
//!                         ├── executor.killing  t  of one of those: that it is to end, and when
//!                         ├── task.groups       t  of one of task groups: which of its tasks came together
//!                         └── tasks/<task>
//!                             ├── task.info     t  TaskInfo
//!                             └── task.updates  t  journal of updates and acknowledgements, rewritten as it grows
//! ```
//!
//! `r` is on the disk before anyone acts on it. So are terminal updates in a journal, with copies of the other
//! files marked `t`; whatever else is marked so may be lost in a reboot, which ends the task, and the master
//! learns of that anyhow. What is not text, link or empty is
//! in the form of `checkpoint`, written to `<name>.tmp` and renamed. `<name>.damaged-<n>` has been set aside
//! by a start with `--strict=false`.
//!
//! Disks of `--resources` that name a root relative to `work_dir` are made there, where they say.
//! What lies in `runtime_dir`: `containerizer::runtime_dir`, and of containers with a network of their own:
//!
//! ```text
//! <runtime_dir>/docker/<container>    of a Docker Engine's: see `docker::record`
//! <runtime_dir>/secrets/<container>    that it is shown as files: see `secrets::SecretFiles`
//! <runtime_dir>/network/<container>    its addresses, ports and files: see `network::Lease`
//! <runtime_dir>/isolators/network/cni/<container>    of named networks: see `cni`; or in <work_dir>
//! ```

use std::path::{Component, Path, PathBuf};

const FRAMEWORK_INFO: &str = "framework.info";
const EXECUTOR_INFO: &str = "executor.info";
const TASK_INFO: &str = "task.info";

/// Dies with the kernel.
pub fn network(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("network")
}

/// Dies with the kernel, and is in memory.
pub fn secrets(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("secrets")
}

/// Source: spec/mesos-agent.md section 26.
pub fn named_networks(root: &Path) -> PathBuf {
    root.join("isolators/network/cni")
}

/// The tree below one `--work_dir`.
#[derive(Debug, Clone)]
pub struct Paths {
    work_dir: PathBuf,
}

/// Names one run of an executor. Every part is safe as one component of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Run {
    pub agent: String,
    pub framework: String,
    pub executor: String,
    pub container: String,
}

impl Run {
    /// The sandbox's name in the files API that needs no knowledge of the host.
    pub fn virtual_latest(&self) -> PathBuf {
        executor_below(Path::new("/"), &self.framework, &self.executor).join("runs/latest")
    }
}

impl Paths {
    pub fn new(work_dir: &Path) -> Paths {
        Paths {
            work_dir: work_dir.to_owned(),
        }
    }

    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    pub fn agents(&self) -> PathBuf {
        self.work_dir.join("slaves")
    }

    /// Of sandboxes.
    pub fn frameworks(&self, agent: &str) -> PathBuf {
        self.agents().join(agent).join("frameworks")
    }

    /// Of sandboxes.
    pub fn executors(&self, agent: &str, framework: &str) -> PathBuf {
        self.frameworks(agent).join(framework).join("executors")
    }

    pub fn meta(&self) -> PathBuf {
        self.work_dir.join("meta")
    }

    /// Hidden from containers, as `meta` is.
    pub fn of_images(&self) -> [PathBuf; 2] {
        ["images", "provisioner"].map(|name| self.work_dir.join(name))
    }

    pub fn lock(&self) -> PathBuf {
        self.meta().join("agent.lock")
    }

    pub fn boot_id(&self) -> PathBuf {
        self.meta().join("boot_id")
    }

    pub fn meta_agents(&self) -> PathBuf {
        self.meta().join("slaves")
    }

    /// Link to the directory of the agent id in use.
    pub fn latest_agent(&self) -> PathBuf {
        self.meta_agents().join("latest")
    }

    pub fn meta_agent(&self, agent: &str) -> PathBuf {
        self.meta_agents().join(agent)
    }

    pub fn agent_info(&self, agent: &str) -> PathBuf {
        self.meta_agent(agent).join("slave.info")
    }

    pub fn drain_config(&self, agent: &str) -> PathBuf {
        self.meta_agent(agent).join("drain.config")
    }

    pub fn meta_frameworks(&self, agent: &str) -> PathBuf {
        self.meta_agent(agent).join("frameworks")
    }

    pub fn framework_info(&self, agent: &str, framework: &str) -> PathBuf {
        self.meta_frameworks(agent)
            .join(framework)
            .join(FRAMEWORK_INFO)
    }

    pub fn meta_executors(&self, agent: &str, framework: &str) -> PathBuf {
        self.meta_frameworks(agent)
            .join(framework)
            .join("executors")
    }

    pub fn runs(&self, run: &Run) -> PathBuf {
        executor_below(
            &self.agents().join(&run.agent),
            &run.framework,
            &run.executor,
        )
        .join("runs")
    }

    pub fn sandbox(&self, run: &Run) -> PathBuf {
        self.runs(run).join(&run.container)
    }

    /// The sandbox that a path of the files API lies in, by its names alone, and the way on from
    /// there. `agent` is the one that paths without an agent mean. Source: spec/mesos-agent.md
    /// section 4.3.
    pub fn sandbox_above<'a>(&self, path: &'a Path, agent: &str) -> Option<(PathBuf, &'a Path)> {
        let (agent, below) = match path.strip_prefix(self.agents()) {
            Ok(below) => {
                let mut names = below.components();
                (name(names.next()?)?, names.as_path())
            }
            Err(_not_a_real_path) => (agent, path.strip_prefix("/").ok()?),
        };
        let mut names = below.components();
        let mut run = Run {
            agent: agent.to_owned(),
            ..Run::default()
        };
        for (above, place) in [
            ("frameworks", &mut run.framework),
            ("executors", &mut run.executor),
            ("runs", &mut run.container),
        ] {
            if name(names.next()?)? != above {
                return None;
            }
            name(names.next()?)?.clone_into(place);
        }
        Some((self.sandbox(&run), names.as_path()))
    }

    /// Of a container that is nested in the run's. Source: spec/mesos-agent.md section 4.1.
    pub fn nested_sandbox(&self, run: &Run, container: &str) -> PathBuf {
        self.sandbox(run).join("containers").join(container)
    }

    pub fn latest_sandbox(&self, run: &Run) -> PathBuf {
        self.runs(run).join("latest")
    }

    pub fn executor_info(&self, run: &Run) -> PathBuf {
        self.meta_executor(run).join(EXECUTOR_INFO)
    }

    pub fn meta_runs(&self, run: &Run) -> PathBuf {
        self.meta_executor(run).join("runs")
    }

    pub fn meta_run(&self, run: &Run) -> PathBuf {
        self.meta_runs(run).join(&run.container)
    }

    pub fn sentinel(&self, run: &Run) -> PathBuf {
        self.meta_run(run).join("executor.sentinel")
    }

    pub fn http_marker(&self, run: &Run) -> PathBuf {
        self.meta_run(run).join("http.marker")
    }

    pub fn executor_killing(&self, run: &Run) -> PathBuf {
        self.meta_run(run).join("executor.killing")
    }

    pub fn executor_groups(&self, run: &Run) -> PathBuf {
        self.meta_run(run).join("task.groups")
    }

    pub fn meta_tasks(&self, run: &Run) -> PathBuf {
        self.meta_run(run).join("tasks")
    }

    pub fn meta_task(&self, run: &Run, task: &str) -> PathBuf {
        self.meta_tasks(run).join(task)
    }

    pub fn task_info(&self, run: &Run, task: &str) -> PathBuf {
        self.meta_task(run, task).join(TASK_INFO)
    }

    pub fn task_updates(&self, run: &Run, task: &str) -> PathBuf {
        self.meta_task(run, task).join("task.updates")
    }

    fn meta_executor(&self, run: &Run) -> PathBuf {
        executor_below(&self.meta_agent(&run.agent), &run.framework, &run.executor)
    }
}

/// The files without which nobody would know whose updates are in such a file: of the framework, the executor
/// and the task. A thousand tasks need not keep them in mind.
pub fn described_by(task_updates: &Path) -> Vec<PathBuf> {
    let above = |levels, name| Some(task_updates.ancestors().nth(levels)?.join(name));
    let files = [(7, FRAMEWORK_INFO), (5, EXECUTOR_INFO), (1, TASK_INFO)];
    let files = files.into_iter();
    files
        .filter_map(|(levels, name)| above(levels, name))
        .collect()
}

fn name(component: Component<'_>) -> Option<&str> {
    match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    }
}

fn executor_below(root: &Path, framework: &str, executor: &str) -> PathBuf {
    root.join("frameworks")
        .join(framework)
        .join("executors")
        .join(executor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_known_by_the_names_above_a_path() {
        let paths = Paths::new(Path::new("/w"));
        let above = |path: &'static str| paths.sandbox_above(Path::new(path), "S1");
        let real = "/w/slaves/S0/frameworks/F/executors/E/runs/C";
        let table = [
            (
                "/w/slaves/S0/frameworks/F/executors/E/runs/C/a/b",
                real,
                "a/b",
            ),
            ("/w/slaves/S0/frameworks/F/executors/E/runs/C", real, ""),
            (
                "/frameworks/F/executors/E/runs/latest/../../x",
                "/w/slaves/S1/frameworks/F/executors/E/runs/latest",
                "../../x",
            ),
        ];
        for (path, sandbox, below) in table {
            let found = Some((PathBuf::from(sandbox), Path::new(below)));
            assert_eq!(above(path), found, "{path}");
        }
        for elsewhere in [
            "/w/slaves/S0/frameworks/F/executors/E/runs",
            "/w/slaves/S0/frameworks/F/executors/../runs/C",
            "/w/slaves/../meta/frameworks/F/executors/E/runs/C",
            "/w/meta/slaves/S0/frameworks/F/executors/E/runs/C",
            "/frameworks/F/executors/E/tasks/C",
            "frameworks/F/executors/E/runs/C",
        ] {
            assert_eq!(above(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn the_layout_is_the_one_operators_know() {
        let paths = Paths::new(Path::new("/w"));
        let run = Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "E".into(),
            container: "C".into(),
        };
        assert_eq!(
            paths.sandbox(&run),
            Path::new("/w/slaves/S0/frameworks/F/executors/E/runs/C")
        );
        assert_eq!(
            run.virtual_latest(),
            Path::new("/frameworks/F/executors/E/runs/latest")
        );
        assert_eq!(
            paths.task_updates(&run, "T"),
            Path::new("/w/meta/slaves/S0/frameworks/F/executors/E/runs/C/tasks/T/task.updates")
        );
        assert_eq!(
            described_by(&paths.task_updates(&run, "T")),
            [
                paths.framework_info("S0", "F"),
                paths.executor_info(&run),
                paths.task_info(&run, "T"),
            ]
        );
    }
}
