//! The container of an executor of task groups. Pure.

use std::path::Path;

use proto::v1::{CommandInfo, ContainerInfo, ExecutorInfo, FrameworkInfo, TaskInfo};

use crate::book::Kind;
use crate::executor::resources;
use crate::paths::Run;
use crate::task::launch::Job;

/// Waits for as long as sleep(1) can: the container is there for what it has, not for what it does.
const COMMAND: [&str; 2] = ["sleep", "2147483647"];

/// It has what the executor and all of its live tasks ask for.
pub fn job<'a>(
    run: &Run,
    sandbox: &Path,
    framework: &FrameworkInfo,
    executor: &ExecutorInfo,
    tasks: impl Iterator<Item = &'a TaskInfo>,
) -> Job {
    let mut job = resources::job(run, sandbox, framework, executor, None, tasks);
    job.kind = Kind::Group;
    job.task.command = Some(CommandInfo {
        shell: Some(false),
        value: Some(COMMAND[0].to_owned()),
        arguments: COMMAND.map(str::to_owned).to_vec(),
        ..CommandInfo::default()
    });
    // Its network is what the tasks share; whatever else is asked for is refused.
    job.task.container = executor.container.as_ref().map(|it| ContainerInfo {
        r#type: it.r#type,
        hostname: it.hostname.clone(),
        network_infos: it.network_infos.clone(),
        ..ContainerInfo::default()
    });
    job
}
