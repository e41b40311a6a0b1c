//! Task groups, on a host whose network is not ours.

use proto::link::{Acknowledge, RunTaskGroup, ShutdownExecutor, from_agent};
use proto::task::is_terminal;
use proto::v1::TaskState::{self, TaskFailed, TaskFinished, TaskKilled, TaskRunning, TaskStarting};
use proto::v1::executor_info::Type;
use proto::v1::task_status::Reason;
use proto::v1::{ContainerInfo, ExecutorId, ExecutorInfo, NetworkInfo, TaskGroupInfo, TaskInfo};

use std::collections::BTreeMap;
use std::time::Duration;

use super::handover::again;
use super::networks::{apart, got};
use super::*;

/// On the bridge, where port 31000 of the host leads to port 80.
fn executor() -> ExecutorInfo {
    let mapping = v1::network_info::PortMapping {
        host_port: 31000,
        container_port: 80,
        protocol: None,
    };
    ExecutorInfo {
        r#type: Some(Type::Default as i32),
        executor_id: ExecutorId { value: "G".into() },
        framework_id: framework().id,
        resources: Resources::parse("cpus:0.1;mem:32;ports:[31000-31000]", "*")
            .unwrap()
            .to_protos(),
        container: Some(ContainerInfo {
            r#type: v1::container_info::Type::Mesos as i32,
            network_infos: vec![NetworkInfo {
                name: Some("mesos-bridge".to_owned()),
                port_mappings: vec![mapping],
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// With the host's network.
fn plain() -> ExecutorInfo {
    ExecutorInfo {
        container: None,
        ..executor()
    }
}

fn group(executor: ExecutorInfo, tasks: &[TaskInfo]) -> to_agent::Message {
    let tasks = tasks.iter().map(|task| TaskInfo {
        executor: Some(executor.clone()),
        ..task.clone()
    });
    to_agent::Message::RunTaskGroup(RunTaskGroup {
        framework: framework(),
        task_group: TaskGroupInfo {
            tasks: tasks.collect(),
        },
        executor,
    })
}

/// What is told of tasks that run beside each other, and of executors.
#[derive(Default)]
struct Told {
    stories: BTreeMap<String, Vec<TaskStatus>>,
    /// Whose, and how.
    exits: Vec<(String, i32)>,
}

impl Told {
    fn last(&self, task: &str) -> Option<&TaskStatus> {
        self.stories.get(task)?.last()
    }

    fn end(&self, task: &str) -> (TaskState, String) {
        let last = self.last(task).unwrap();
        (last.state(), last.message().to_owned())
    }
}

/// Hears and acknowledges until all of these tasks have come to what `is_meant` says, and so many executors
/// have ended.
async fn heard(
    link: &mut FakeLink,
    tasks: &[&str],
    is_meant: impl Fn(TaskState) -> bool,
    exits: usize,
) -> Told {
    let mut told = Told::default();
    let has_come = |told: &Told, task: &str| {
        let last = told.last(task);
        last.is_some_and(|last| is_meant(last.state()))
    };
    while told.exits.len() < exits || !tasks.iter().all(|task| has_come(&told, task)) {
        match link.hear().await {
            from_agent::Message::Update(update) => {
                let status = update.status;
                let acknowledge = Acknowledge {
                    framework_id: update.framework_id,
                    task_id: status.task_id.clone(),
                    uuid: status.uuid().to_vec(),
                };
                link.say(to_agent::Message::Acknowledge(acknowledge)).await;
                let task = status.task_id.value.clone();
                told.stories.entry(task).or_default().push(status);
            }
            from_agent::Message::ExitedExecutor(exited) => {
                let executor = exited.executor_id.value;
                told.exits.push((executor, exited.status));
            }
            _ => {}
        }
    }
    told
}

async fn run_all(link: &mut FakeLink, tasks: &[&str]) -> Told {
    heard(link, tasks, |state| state == TaskRunning, 0).await
}

async fn end_all(link: &mut FakeLink, tasks: &[&str]) -> Told {
    heard(link, tasks, is_terminal, 0).await
}

/// With their executor, the only one that ends meanwhile.
async fn end_with_executor(link: &mut FakeLink, tasks: &[&str]) -> Told {
    let told = heard(link, tasks, is_terminal, 1).await;
    assert_eq!(told.exits, [("G".to_owned(), 0)]);
    told
}

/// What a task has written to its standard output.
async fn said(handle: &Handle, status: &TaskStatus) -> String {
    let container = status
        .container_status
        .clone()
        .unwrap()
        .container_id
        .unwrap();
    let run = &container.parent.unwrap().value;
    let sandbox = format!(
        "/frameworks/F/executors/G/runs/{run}/containers/{}",
        container.value
    );
    let read = get(
        handle,
        &format!("/files/read?path={sandbox}/stdout&offset=0"),
    )
    .await;
    read["data"].as_str().unwrap().to_owned()
}

const SERVES: &str = "echo served > index.html; exec busybox httpd -f -p 80";

/// Asks at its own loopback until somebody answers.
const ASKS: &str =
    "until busybox wget -q -O - http://127.0.0.1/; do sleep 0.05; done; cat /etc/hostname";

#[test]
fn root_tasks_of_a_group_share_one_network() {
    apart(|| async {
        let mut node = node().await;
        let (handle, mut link) = node.start().await;
        let tasks = [task("web", SERVES), task("asks", ASKS)];
        link.say(group(executor(), &tasks)).await;
        let told = end_all(&mut link, &["asks"]).await;
        let story = &told.stories["asks"];
        assert_eq!(
            states(story),
            [TaskStarting, TaskRunning, TaskFinished],
            "{story:?}"
        );
        let last = story.last().unwrap();
        let status = last.container_status.clone().unwrap();
        assert_eq!(
            status.network_infos[0].ip_addresses[0].ip_address(),
            "10.211.0.2"
        );
        assert_eq!(last.executor_id.as_ref().unwrap().value, "G");
        let parent = status.container_id.unwrap().parent.unwrap().value;
        assert_eq!(said(&handle, last).await, format!("served\n{parent}\n"));
        // Who ends well ends alone.
        assert_eq!(got("127.0.0.1:31000"), "served");
        node.is_as_recorded().await;
        link.say(kill("web")).await;
        let told = end_all(&mut link, &["web"]).await;
        assert_eq!(told.end("web").0, TaskKilled);
        node.end(handle).await;
    });
}

#[tokio::test]
async fn root_who_fails_takes_his_group_along_and_the_executor_goes_last() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let tasks = [
        task("fails", "sleep 0.2; exit 3"),
        task("stays", "exec sleep 1000"),
    ];
    link.say(group(plain(), &tasks)).await;
    let told = end_with_executor(&mut link, &["fails", "stays"]).await;
    assert_eq!(told.end("fails").0, TaskFailed);
    let (state, message) = told.end("stays");
    assert_eq!(state, TaskKilled, "{message}");
    let why = "another task of its group has failed, or was killed";
    assert!(message.contains(why), "{message}");
    while !get(&handle, "/state").await["frameworks"]
        .as_array()
        .unwrap()
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let state = get(&handle, "/state").await;
    let executor = &state["completed_frameworks"][0]["completed_executors"][0];
    assert_eq!(
        executor["completed_tasks"].as_array().unwrap().len(),
        2,
        "{executor}"
    );
    node.end(handle).await;
}

#[tokio::test]
async fn root_the_next_agent_has_the_group_and_ends_it_as_one() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let tasks = [
        task("one", "exec sleep 1000"),
        task("two", "exec sleep 1000"),
    ];
    link.say(group(plain(), &tasks)).await;
    run_all(&mut link, &["one", "two"]).await;
    stop(handle, link).await;
    node.is_as_recorded().await;

    let (handle, mut link) = node.start().await;
    let executors: Vec<_> = (link.register.executors.iter())
        .map(|it| it.executor_id.value.as_str())
        .collect();
    assert_eq!(executors, ["G"]);
    node.is_as_recorded().await;
    // What it has is for another group, too.
    link.say(group(plain(), &[task("three", "exec sleep 1000")]))
        .await;
    run_all(&mut link, &["three"]).await;
    let containers = get(&handle, "/containers?show_nested=true").await;
    assert_eq!(containers.as_array().unwrap().len(), 4, "{containers}");
    link.say(kill("two")).await;
    let told = end_all(&mut link, &["one", "two"]).await;
    assert_eq!(told.end("one").0, TaskKilled);
    assert_eq!(told.end("two").0, TaskKilled);
    let shutdown = to_agent::Message::ShutdownExecutor(ShutdownExecutor {
        framework_id: v1::FrameworkId { value: "F".into() },
        executor_id: ExecutorId { value: "G".into() },
    });
    link.say(shutdown).await;
    let told = end_with_executor(&mut link, &["three"]).await;
    assert_eq!(told.end("three").0, TaskKilled);
    node.end(handle).await;
}

#[tokio::test]
async fn root_a_group_is_refused_as_a_whole_with_the_remedy() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut odd = task("odd", "true");
    odd.container = Some(ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        hostname: Some("odd".to_owned()),
        ..Default::default()
    });
    link.say(group(plain(), &[task("good", "true"), odd])).await;
    let told = end_all(&mut link, &["good", "odd"]).await;
    for story in told.stories.values() {
        let [only] = story.as_slice() else {
            panic!("{story:?}");
        };
        assert_eq!(only.state(), TaskState::TaskError);
        assert_eq!(only.reason(), Reason::TaskGroupInvalid);
        assert!(
            only.message().contains("name it in the executor's"),
            "{only:?}"
        );
    }
    node.end(handle).await;
}

#[tokio::test]
async fn root_a_member_that_cannot_be_launched_takes_the_others_along() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let mut lost = task("lost", "");
    lost.command = Some(v1::CommandInfo {
        shell: Some(false),
        value: Some("/no/such/program".into()),
        ..Default::default()
    });
    link.say(group(plain(), &[lost, task("other", "exec sleep 1000")]))
        .await;
    let told = end_all(&mut link, &["lost", "other"]).await;
    let lost = told.last("lost").unwrap();
    assert_eq!(
        (lost.state(), lost.reason()),
        (TaskFailed, Reason::ContainerLaunchFailed)
    );
    assert_eq!(told.end("other").0, TaskKilled);
    node.end(handle).await;
}

#[tokio::test]
async fn root_a_group_whose_executor_is_gone_ends_with_it() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let tasks = ["one", "two"].map(|id| task(id, "exec sleep 1000"));
    link.say(group(plain(), &tasks)).await;
    run_all(&mut link, &["one", "two"]).await;
    let containers = get(&handle, "/containers").await;
    let holder = containers[0]["status"]["executor_pid"].as_i64().unwrap();
    let holder = nix::unistd::Pid::from_raw(holder.try_into().unwrap());
    nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).unwrap();
    let told = heard(&mut link, &["one", "two"], is_terminal, 1).await;
    // As one that was told to end, where the ends of its tasks are heard first.
    assert_eq!(told.exits[0].0, "G");
    for task in ["one", "two"] {
        let (state, message) = told.end(task);
        assert!(matches!(state, TaskKilled | TaskFailed), "{message}");
    }
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_group_that_is_not_checkpointed_outlasts_an_agent_that_lets_go() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let tasks = ["one", "two"].map(|id| task(id, "exec sleep 1000"));
    let mut order = group(plain(), &tasks);
    if let to_agent::Message::RunTaskGroup(run) = &mut order {
        run.framework.checkpoint = Some(false);
    }
    link.say(order).await;
    run_all(&mut link, &["one", "two"]).await;
    handle.settle().await.await.unwrap();
    let (relieved, let_go) = handle.relieve().await;
    assert_eq!(let_go, Ok(()));
    let (handle, mut link) = again(&mut node, relieved, link).await;
    node.is_as_recorded().await;
    link.say(kill("one")).await;
    let told = end_with_executor(&mut link, &["one", "two"]).await;
    assert_eq!(told.end("one").0, TaskKilled);
    assert_eq!(told.end("two").0, TaskKilled);
    node.end(handle).await;
}
