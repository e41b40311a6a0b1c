//! Custom executors: what runs in the container waits, and the test says what an executor would.

mod disks;
mod restarts;
mod tokens;
pub mod voice;

use proto::link::{ExitedExecutor, FrameworkMessage, ShutdownExecutor, from_agent};
use proto::media::Encoding;
use proto::v1::TaskState::{TaskFinished, TaskKilled, TaskRunning, TaskStaging};
use proto::v1::executor::event::Type;
use proto::v1::executor::{Call, call};
use proto::v1::task_status::{Reason, Source};
use proto::v1::{CommandInfo, DurationInfo, ExecutorId, ExecutorInfo, TaskInfo, TaskState};
use reqwest::StatusCode;

use super::*;
use voice::Voice;

const MB: u64 = 1 << 20;

/// Waits for the test, which says what there is to say.
const WAITS: &str = "env; echo waiting; exec sleep 1000";

fn executor(command: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: ExecutorId { value: "E".into() },
        framework_id: framework().id,
        name: Some("ours".into()),
        resources: Resources::parse("cpus:0.1;mem:64", "*")
            .unwrap()
            .to_protos(),
        command: Some(CommandInfo {
            value: Some(command.into()),
            ..Default::default()
        }),
        shutdown_grace_period: Some(DurationInfo {
            nanoseconds: 200_000_000,
        }),
        ..Default::default()
    }
}

pub fn hosted(id: &str, command: &str) -> TaskInfo {
    TaskInfo {
        command: None,
        executor: Some(executor(command)),
        ..task(id, "")
    }
}

/// Until the agent has heard of so many tasks for the executor: what a master says may come after what was
/// asked later elsewhere.
async fn known(handle: &Handle, tasks: usize) {
    let shown = |state: &Value| {
        let tasks = state["frameworks"][0]["executors"][0]["tasks"].as_array();
        tasks.map_or(0, Vec::len)
    };
    while shown(&get(handle, "/state").await) < tasks {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the executor's command shows of its environment, once it has.
async fn environment(handle: &Handle) -> String {
    loop {
        let said = output(handle, "E").await;
        if said.ends_with("waiting\n") {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The end of an executor; updates that come before it are not acknowledged.
pub async fn exited(link: &mut FakeLink) -> ExitedExecutor {
    loop {
        if let from_agent::Message::ExitedExecutor(exited) = link.hear().await {
            return exited;
        }
    }
}

pub fn shutdown() -> to_agent::Message {
    to_agent::Message::ShutdownExecutor(ShutdownExecutor {
        framework_id: v1::FrameworkId { value: "F".into() },
        executor_id: ExecutorId { value: "E".into() },
    })
}

async fn runs_the_tasks_of_its_framework(encoding: Encoding) {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(hosted("t1", WAITS))).await;
    let voice = Voice::of(&handle, encoding);
    known(&handle, 1).await;
    let running = voice.update("t1", TaskRunning, 1).await;
    assert_eq!(running, StatusCode::FORBIDDEN);
    let mut ears = voice.subscribe(&[], &[]).await;
    let subscribed = ears.hear(Type::Subscribed).await.subscribed.unwrap();
    // JSON says what has a default, too.
    assert_eq!(subscribed.executor_info.name(), "ours");
    assert_eq!(subscribed.framework_info.name, "test");
    assert!(subscribed.container_id.is_some());
    assert_eq!(subscribed.agent_info.id.unwrap().value, "M-S0");
    let launch = ears.hear(Type::Launch).await.launch.unwrap();
    assert_eq!(launch.task.task_id.value, "t1");
    assert!(launch.task.executor.is_some());

    assert_eq!(
        voice.update("t1", TaskRunning, 1).await,
        StatusCode::ACCEPTED
    );
    let stored = ears.hear(Type::Acknowledged).await.acknowledged.unwrap();
    assert_eq!(
        (stored.task_id.value.as_str(), stored.uuid),
        ("t1", vec![1; 16])
    );
    let update = link.update().await;
    assert_eq!(
        (update.state(), update.source(), update.uuid()),
        (TaskRunning, Source::Executor, &[1; 16][..])
    );
    assert_eq!(update.executor_id.unwrap().value, "E");
    let container = update.container_status.unwrap();
    assert!(Path::new(&format!("/proc/{}", container.executor_pid())).exists());
    assert_eq!(container.network_infos.len(), 1);

    // It has room for both as soon as it knows of the second.
    let limit = || async {
        let statistics = get(&handle, "/monitor/statistics").await;
        statistics[0]["statistics"]["mem_limit_bytes"].as_u64()
    };
    assert_eq!(limit().await, Some((64 + 32) * MB));
    link.say(run(hosted("t2", WAITS))).await;
    assert_eq!(
        ears.hear(Type::Launch).await.launch.unwrap().task.name,
        "t2"
    );
    assert_eq!(limit().await, Some((64 + 32 + 32) * MB));
    let state = get(&handle, "/state").await;
    let shown = &state["frameworks"][0]["executors"][0];
    assert_eq!(shown["id"], "E");
    assert_eq!(shown["name"], "ours");
    assert_eq!(shown["resources"]["mem"], 128.0);
    assert_eq!(shown["tasks"].as_array().unwrap().len(), 2);

    link.say(to_agent::Message::FrameworkMessage(FrameworkMessage {
        framework_id: v1::FrameworkId { value: "F".into() },
        executor_id: ExecutorId { value: "E".into() },
        data: b"hello\0".to_vec(),
    }))
    .await;
    let said = ears.hear(Type::Message).await.message.unwrap();
    assert_eq!(said.data, b"hello\0");
    assert_eq!(voice.message(b"hi").await, StatusCode::ACCEPTED);
    let heard = loop {
        if let from_agent::Message::ExecutorMessage(message) = link.hear().await {
            break message;
        }
    };
    assert_eq!(
        (heard.executor_id.value.as_str(), heard.data),
        ("E", b"hi".to_vec())
    );

    link.say(kill("t2")).await;
    let killed = ears.hear(Type::Kill).await.kill.unwrap();
    assert_eq!(killed.task_id.value, "t2");
    for (id, state, uuid) in [("t2", TaskKilled, 2), ("t1", TaskFinished, 3)] {
        voice.update(id, state, uuid).await;
        ears.hear(Type::Acknowledged).await;
        let update = link.update().await;
        assert_eq!((update.task_id.value.as_str(), update.state()), (id, state));
    }
    let env = environment(&handle).await;
    let address = handle.address();
    for line in [
        "MESOS_FRAMEWORK_ID=F".to_owned(),
        "MESOS_EXECUTOR_ID=E".to_owned(),
        "MESOS_SLAVE_ID=M-S0".to_owned(),
        format!("MESOS_AGENT_ENDPOINT={address}"),
        "MESOS_CHECKPOINT=1".to_owned(),
        "MESOS_RECOVERY_TIMEOUT=15mins".to_owned(),
        "MESOS_SUBSCRIPTION_BACKOFF_MAX=2secs".to_owned(),
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD=200ms".to_owned(),
    ] {
        assert!(env.lines().any(|it| it == line), "no {line} in {env}");
    }

    link.say(shutdown()).await;
    ears.hear(Type::Shutdown).await;
    let exited = exited(&mut link).await;
    assert_eq!((exited.executor_id.value.as_str(), exited.status), ("E", 9));
    assert_eq!(ears.next().await, None);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_that_speaks_protobuf_runs_the_tasks_of_its_framework() {
    runs_the_tasks_of_its_framework(Encoding::Protobuf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_that_speaks_json_runs_the_tasks_of_its_framework() {
    runs_the_tasks_of_its_framework(Encoding::Json).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_custom_executor_that_never_subscribes_is_ended() {
    let mut node = node().await;
    node.flags.executor_registration_timeout = Duration::from_secs(5);
    let (handle, mut link) = node.start().await;
    link.say(run(hosted("t1", WAITS))).await;
    let failed = link.update().await;
    assert_eq!(failed.state(), TaskState::TaskFailed);
    assert_eq!(failed.reason(), Reason::ExecutorRegistrationTimeout);
    assert!(
        failed
            .message()
            .starts_with("Executor did not register within 5secs"),
        "{}",
        failed.message()
    );
    assert_eq!(exited(&mut link).await.status, 9);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_the_tasks_of_a_custom_executor_that_dies_end_with_it_and_tell_how() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    let go = node.dir.path().join("go");
    let waits = format!("until [ -e {} ]; do sleep 0.01; done; exit 3", go.display());
    for id in ["t1", "t2", "t3"] {
        link.say(run(hosted(id, &waits))).await;
    }
    let voice = Voice::of(&handle, Encoding::Protobuf);
    let mut ears = voice.subscribe(&[], &[]).await;
    for _ in ["t1", "t2", "t3"] {
        ears.hear(Type::Launch).await;
    }
    voice.update("t1", TaskRunning, 1).await;
    assert_eq!(link.update().await.state(), TaskRunning);
    voice.update("t2", TaskFinished, 2).await;
    assert_eq!(link.update().await.state(), TaskFinished);
    std::fs::write(&go, "").unwrap();
    let mut ended = Vec::new();
    for _ in ["t1", "t3"] {
        let update = link.update().await;
        assert_eq!(update.state(), TaskState::TaskFailed);
        assert_eq!(update.reason(), Reason::ExecutorTerminated);
        assert_eq!(update.source(), Source::Agent);
        assert_eq!(
            update.message(),
            "Executor terminated; Command exited with status 3"
        );
        ended.push(update.task_id.value);
    }
    ended.sort_unstable();
    assert_eq!(ended, ["t1", "t3"]);
    assert_eq!(exited(&mut link).await.status, 3 << 8);
    assert_eq!(ears.until_closed().await, []);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_nonsense_is_refused_and_leaves_the_executor_as_it_was() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(hosted("t1", WAITS))).await;
    let voice = Voice::of(&handle, Encoding::Json);
    let mut first = voice.subscribe(&[], &[]).await;
    first.hear(Type::Launch).await;
    let status = |change: fn(&mut TaskStatus)| {
        let mut status = voice::status("t1", TaskRunning, 1);
        change(&mut status);
        voice.call(|call| {
            call.r#type = Some(call::Type::Update as i32);
            call.update = Some(call::Update { status });
        })
    };
    let of = |change: fn(&mut Call)| voice.call(change);
    let bad: Vec<(Call, StatusCode, &str)> = vec![
        (
            status(|s| s.set_state(TaskStaging)),
            StatusCode::BAD_REQUEST,
            "TASK_STAGING",
        ),
        (
            status(|s| s.source = Some(Source::Agent as i32)),
            StatusCode::BAD_REQUEST,
            "SOURCE_EXECUTOR",
        ),
        (status(|s| s.uuid = None), StatusCode::BAD_REQUEST, "UUID"),
        (
            status(|s| s.executor_id = Some(ExecutorId { value: "D".into() })),
            StatusCode::BAD_REQUEST,
            "executor_id",
        ),
        (
            of(|call| call.r#type = Some(call::Type::Update as i32)),
            StatusCode::BAD_REQUEST,
            "\"update\"",
        ),
        (
            of(|call| {
                call.r#type = Some(call::Type::Heartbeat as i32);
                call.executor_id.value = "D".into();
            }),
            StatusCode::BAD_REQUEST,
            "no executor F/D",
        ),
        (
            of(|call| call.r#type = Some(call::Type::Unknown as i32)),
            StatusCode::NOT_IMPLEMENTED,
            "no type",
        ),
    ];
    for (call, wanted, word) in bad {
        let (status, text) = voice.post(&call).await;
        assert_eq!(status, wanted, "{text}");
        assert!(text.contains(word), "{text}");
    }
    let url = format!("http://{}/api/v1/executor", handle.address());
    let client = reqwest::Client::new();
    let raw = |body: &'static str| client.post(&url).body(body);
    let json = raw("{").header("Content-Type", "application/json");
    assert_eq!(json.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let untyped = raw("{}").send().await.unwrap();
    assert_eq!(untyped.status(), StatusCode::BAD_REQUEST);
    let yaml = raw("{}").header("Content-Type", "text/yaml");
    assert_eq!(
        yaml.send().await.unwrap().status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let got = reqwest::get(&url).await.unwrap();
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(got.headers()["allow"], "POST");

    // A second subscription takes the place of the first, which knows of its task.
    let mut second = voice.subscribe(&["t1"], &[]).await;
    assert_eq!(first.until_closed().await, []);
    second.hear(Type::Subscribed).await;
    // Of a task that there is not, an update is only acknowledged.
    voice.update("t9", TaskRunning, 9).await;
    second.hear(Type::Acknowledged).await;
    let heartbeat = voice.call(|call| call.r#type = Some(call::Type::Heartbeat as i32));
    assert_eq!(voice.post(&heartbeat).await.0, StatusCode::ACCEPTED);
    voice.update("t1", TaskFinished, 1).await;
    assert_eq!(link.update().await.task_id.value, "t1");
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_executor_that_is_described_differently_or_cannot_run_is_refused() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    link.say(run(hosted("t1", WAITS))).await;
    let mut other = hosted("t2", WAITS);
    other.executor.as_mut().unwrap().name = Some("other".into());
    let mut nothing = hosted("t3", "");
    nothing.executor.as_mut().unwrap().executor_id.value = "D".into();
    for (task, word) in [(other, "differently"), (nothing, "no command")] {
        link.say(run(task)).await;
        let refused = link.update().await;
        assert_eq!(refused.state(), TaskState::TaskError);
        assert_eq!(refused.reason(), Reason::TaskInvalid);
        assert!(refused.message().contains(word), "{}", refused.message());
    }
    // A kill before the executor has subscribed: it never had anything to do.
    link.say(kill("t1")).await;
    let killed = link.update().await;
    assert_eq!(killed.reason(), Reason::TaskKilledDuringLaunch);
    exited(&mut link).await;
    node.end(handle).await;
}
