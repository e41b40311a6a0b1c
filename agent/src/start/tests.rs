//! A whole agent with real containers, under a master that does as the test says.

mod checks;
mod disks;
mod drains;
mod executors;
mod failing;
mod full;
mod groups;
mod handover;
mod isolation;
mod logs;
mod networks;
mod ports;
mod restarts;
mod secrets;
mod shown_images;
mod starts;
mod tasks;

use std::path::Path;

use proto::link::{KillTask, RunTask, to_agent};
use proto::resources::Resources;
use proto::v1::TaskStatus;
use serde_json::Value;

use super::*;
use crate::flags::tests::parse;
use crate::link::fake_master::{FakeLink, FakeMaster};

struct Node {
    dir: tempfile::TempDir,
    master: FakeMaster,
    flags: Flags,
}

/// A node of its own: directories, cgroup subtree and master are nobody else's.
async fn node() -> Node {
    let dir = tempfile::Builder::new().prefix("agent").tempdir().unwrap();
    // Tasks run as other users, who must get to their sandboxes.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let master = FakeMaster::start().await;
    let mut flags = parse(&["--port=0", "--registration_backoff_factor=0ns"]);
    flags.master = master.address.into();
    flags.work_dir = dir.path().join("work");
    flags.runtime_dir = dir.path().join("run");
    flags.cgroups_root = format!("agent-test-{}", uuid::Uuid::new_v4());
    Node { dir, master, flags }
}

/// Whether there can be sandboxes for user namespaces.
fn can_idmap(node: &Node) -> bool {
    testbed::can_idmap(node.dir.path())
}

impl Node {
    async fn start(&mut self) -> (Handle, FakeLink) {
        let handle = start(self.flags.clone()).await.unwrap_or_else(|e| {
            panic!("{}", proto::error::chain(&e));
        });
        let link = self.master.accept("M-S0").await;
        assert_eq!(handle.registered().await.as_deref(), Some("M-S0"));
        (handle, link)
    }

    /// Whoever looks, and whether the agent runs or not.
    async fn is_as_recorded(&self) {
        let audit = crate::audit::audit(&self.flags, false).await.unwrap();
        // Ports of this host are those of other tests, too.
        let differences = audit.findings.iter().filter(|it| it.kind != "port");
        let differences: Vec<_> = differences.collect();
        assert_eq!(differences, [] as [&crate::audit::Finding; 0]);
    }

    /// Ends the agent and shows that nothing is left of it.
    async fn end(self, handle: Handle) {
        self.is_as_recorded().await;
        handle.destroy().await;
        self.is_as_recorded().await;
        let containers = self.dir.path().join("run/containers");
        assert_eq!(std::fs::read_dir(containers).unwrap().count(), 0);
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(root).unwrap().flatten().map(|e| e.path());
        for hierarchy in hierarchies.chain([root.to_owned()]) {
            let ours = hierarchy.join(&self.flags.cgroups_root);
            assert!(!ours.exists(), "{} is left", ours.display());
        }
    }
}

/// The agent goes before the link: one that loses its link registers again at once, and who asks the
/// master for the next agent's link would get that.
async fn stop(handle: Handle, link: FakeLink) {
    handle.stop().await;
    drop(link);
}

fn framework() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".into(),
        name: "test".into(),
        id: Some(v1::FrameworkId { value: "F".into() }),
        checkpoint: Some(true),
        ..Default::default()
    }
}

fn task(id: &str, command: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.into(),
        task_id: v1::TaskId { value: id.into() },
        agent_id: v1::AgentId {
            value: "M-S0".into(),
        },
        resources: Resources::parse("cpus:0.1;mem:32", "*")
            .unwrap()
            .to_protos(),
        command: Some(v1::CommandInfo {
            value: Some(command.into()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn run(task: v1::TaskInfo) -> to_agent::Message {
    to_agent::Message::RunTask(RunTask {
        framework: framework(),
        task,
    })
}

fn kill(id: &str) -> to_agent::Message {
    to_agent::Message::KillTask(KillTask {
        framework_id: v1::FrameworkId { value: "F".into() },
        task_id: v1::TaskId { value: id.into() },
        kill_policy: None,
    })
}

/// Every update up to the terminal one.
async fn story(link: &mut FakeLink) -> Vec<TaskStatus> {
    let mut updates = Vec::new();
    loop {
        updates.push(link.update().await);
        if updates
            .last()
            .is_some_and(|last| proto::task::is_terminal(last.state()))
        {
            return updates;
        }
    }
}

fn states(updates: &[TaskStatus]) -> Vec<v1::TaskState> {
    updates.iter().map(TaskStatus::state).collect()
}

async fn get(handle: &Handle, path: &str) -> Value {
    let url = format!("http://{}{path}", handle.address());
    let body = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
}

/// What a task has written to its standard output.
async fn output(handle: &Handle, task: &str) -> String {
    let stdout = format!("/frameworks/F/executors/{task}/runs/latest/stdout");
    let read = get(handle, &format!("/files/read?path={stdout}&offset=0")).await;
    read["data"].as_str().unwrap().to_owned()
}
