//! An agent whose disk fills up at the worst of times, and has room again later.

use proto::media::Encoding;
use proto::v1::TaskState::{self, TaskFailed, TaskFinished, TaskKilled, TaskRunning, TaskStarting};
use proto::v1::executor::call;
use proto::v1::executor::event::Type;
use proto::v1::task_status::Reason;
use reqwest::StatusCode;

use super::executors::hosted;
use super::executors::voice::{Voice, status};
use super::logs::until;
use super::restarts::until_one_ended;
use super::*;
use crate::small_disk::SmallDisk;

/// The next update of that task; those of others are acknowledged, too.
pub async fn update_of(link: &mut FakeLink, task: &str) -> TaskStatus {
    loop {
        let update = link.update().await;
        if update.task_id.value == task {
            return update;
        }
    }
}

pub async fn end_of(link: &mut FakeLink, task: &str) -> TaskStatus {
    loop {
        let update = update_of(link, task).await;
        if proto::task::is_terminal(update.state()) {
            return update;
        }
    }
}

pub async fn runs(link: &mut FakeLink, task: &str) {
    assert_eq!(update_of(link, task).await.state(), TaskStarting);
    assert_eq!(update_of(link, task).await.state(), TaskRunning);
}

pub fn failed_for_want_of_room(last: &TaskStatus) {
    assert_eq!(last.state(), TaskFailed);
    assert_eq!(last.reason(), Reason::ContainerLaunchFailed);
    let message = last.message();
    assert!(message.contains("No space left on device"), "{message}");
}

/// A port that no other test is given by chance: an agent that comes back to a full disk cannot write down that
/// it has another.
pub fn own_port() -> u16 {
    let first = 15_000 + (std::process::id() % 10_000) as u16;
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..).find(is_free).unwrap()
}

/// The next agent on the same port, which is the last one's until its last descriptor has gone.
pub async fn start_again(node: &mut Node) -> (Handle, FakeLink) {
    let handle = loop {
        match start(node.flags.clone()).await {
            Ok(handle) => break handle,
            Err(StartError::Listen(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{}", proto::error::chain(&error)),
        }
    };
    (handle, node.master.accept("M-S0").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_on_a_full_disk_no_task_begins_and_what_ends_is_told_and_written_down_later() {
    let mut node = node().await;
    let small = SmallDisk::mount(&node.flags.work_dir);
    node.flags.port = own_port();
    let (handle, mut link) = node.start().await;
    let go = node.dir.path().join("go").display().to_string();
    let waits = format!("until [ -e {go} ]; do sleep 0.01; done; exit 5");
    for (id, command) in [
        ("stays", "sleep 1000"),
        ("killed", "sleep 1000"),
        ("ends", &waits),
    ] {
        // So long that the end of the task, which is written down with a copy of it, fits into no block that is
        // there already.
        let command = format!("{command} # {}", "x".repeat(6000));
        link.say(run(task(id, &command))).await;
        runs(&mut link, id).await;
    }
    small.fill();
    link.say(run(task("new", "true"))).await;
    failed_for_want_of_room(&end_of(&mut link, "new").await);
    let mut other = framework();
    other.id = Some(v1::FrameworkId { value: "G".into() });
    link.say(to_agent::Message::RunTask(RunTask {
        framework: other,
        task: task("others", "true"),
    }))
    .await;
    failed_for_want_of_room(&end_of(&mut link, "others").await);
    link.say(kill("killed")).await;
    assert_eq!(end_of(&mut link, "killed").await.state(), TaskKilled);
    stop(handle, link).await;
    std::fs::write(go, "").unwrap();
    until_one_ended(&node.dir.path().join("run/containers")).await;

    // Of what it could not write down it knows nothing but the truth.
    let (handle, mut link) = start_again(&mut node).await;
    let (mut seen, mut awaited) = (Vec::new(), 2);
    while awaited > 0 {
        let update = link.update().await;
        let state = update.state();
        if proto::task::is_terminal(state) {
            awaited -= 1;
            seen.push((update.task_id.value, state));
        }
    }
    seen.sort();
    let wanted: [(&str, TaskState); 2] = [("ends", TaskFailed), ("killed", TaskKilled)];
    assert_eq!(seen, wanted.map(|(id, state)| (id.to_owned(), state)));
    let containers = node.dir.path().join("run/containers");
    assert_eq!(std::fs::read_dir(&containers).unwrap().count(), 3);
    small.make_room();
    until("the ends are written down", || {
        std::fs::read_dir(&containers).unwrap().count() == 1
    })
    .await;
    link.say(run(task("later", "true"))).await;
    assert_eq!(end_of(&mut link, "later").await.state(), TaskFinished);
    while get(&handle, "/state").await["frameworks"][0]["executors"][1].is_object() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop(handle, link).await;

    let (handle, mut link) = start_again(&mut node).await;
    let mut left = link.register.tasks.iter();
    assert_eq!(left.next().map(|task| task.name.as_str()), Some("stays"));
    assert!(left.next().is_none());
    link.say(kill("stays")).await;
    assert_eq!(end_of(&mut link, "stays").await.state(), TaskKilled);
    node.end(handle).await;
    drop(small);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_an_executor_says_is_acknowledged_once_there_is_room_to_write_it_down() {
    let mut node = node().await;
    let small = SmallDisk::mount(&node.flags.work_dir);
    let (handle, mut link) = node.start().await;
    link.say(run(hosted("t1", "exec sleep 1000"))).await;
    let voice = Voice::of(&handle, Encoding::Json);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    small.fill();
    // Fits into no block that is there already.
    let long = TaskStatus {
        data: Some(vec![7; 6000]),
        ..status("t1", TaskRunning, 1)
    };
    let long = voice.call(|call| {
        call.r#type = Some(call::Type::Update as i32);
        call.update = Some(call::Update { status: long });
    });
    assert_eq!(voice.post(&long).await.0, StatusCode::ACCEPTED);
    assert_eq!(link.update().await.state(), TaskRunning);
    // One that comes while there is no room is not taken.
    link.say(run(hosted("t2", "exec sleep 1000"))).await;
    failed_for_want_of_room(&end_of(&mut link, "t2").await);
    let held = tokio::time::timeout(Duration::from_millis(300), ears.next()).await;
    assert!(held.is_err(), "{held:?}");
    small.make_room();
    let stored = ears.hear(Type::Acknowledged).await.acknowledged.unwrap();
    assert_eq!(stored.uuid, vec![1; 16]);
    voice.update("t1", TaskFinished, 2).await;
    let stored = ears.hear(Type::Acknowledged).await.acknowledged.unwrap();
    assert_eq!(stored.uuid, vec![2; 16]);
    node.end(handle).await;
    drop(small);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_full_runtime_directory_fails_launches_and_hides_no_end() {
    let mut node = node().await;
    let small = SmallDisk::mount(&node.flags.runtime_dir);
    let (handle, mut link) = node.start().await;
    let go = node.dir.path().join("go").display().to_string();
    let waits = format!("until [ -e {go} ]; do sleep 0.01; done; exit 5");
    link.say(run(task("ends", &waits))).await;
    runs(&mut link, "ends").await;
    small.fill();
    link.say(run(task("new", "true"))).await;
    failed_for_want_of_room(&end_of(&mut link, "new").await);
    stop(handle, link).await;
    std::fs::write(go, "").unwrap();
    until_one_ended(&node.flags.runtime_dir.join("containers")).await;

    let (handle, mut link) = node.start().await;
    let ended = end_of(&mut link, "ends").await;
    assert_eq!(ended.message(), "Command exited with status 5");
    small.make_room();
    link.say(run(task("later", "true"))).await;
    assert_eq!(end_of(&mut link, "later").await.state(), TaskFinished);
    node.end(handle).await;
    drop(small);
}
