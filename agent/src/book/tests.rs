use super::*;
use crate::task::command_executor::executor_info;

pub fn key(task: &str) -> Key {
    Key {
        framework: "F".into(),
        task: task.into(),
    }
}

pub fn framework() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".into(),
        name: "marathon".into(),
        id: Some(v1::FrameworkId { value: "F".into() }),
        ..Default::default()
    }
}

pub fn status(task: &str, state: TaskState) -> TaskStatus {
    TaskStatus {
        task_id: v1::TaskId { value: task.into() },
        state: state as i32,
        timestamp: Some(1.5),
        ..Default::default()
    }
}

/// A book with one running task "t" of one cpu and 64 MB.
pub fn book(sandbox: PathBuf) -> Book {
    let info = v1::AgentInfo {
        hostname: "n5".into(),
        id: Some(v1::AgentId { value: "S0".into() }),
        resources: Resources::parse("cpus:8;mem:1024;ports:[31000-32000]", "*")
            .unwrap()
            .to_protos(),
        ..Default::default()
    };
    let mut book = Book::new(info, 2);
    add(&mut book, "t", sandbox);
    book
}

pub fn add(book: &mut Book, id: &str, sandbox: PathBuf) {
    let task = v1::TaskInfo {
        name: id.into(),
        task_id: v1::TaskId { value: id.into() },
        agent_id: v1::AgentId { value: "S0".into() },
        resources: Resources::parse("cpus:1;mem:64", "*").unwrap().to_protos(),
        command: Some(v1::CommandInfo {
            value: Some("sleep 9".into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let id = v1::FrameworkId { value: "F".into() };
    let record = proto::task::new(&task, &id, TaskState::TaskStaging);
    let executor = Executor {
        kind: Kind::Command,
        completed_tasks: VecDeque::new(),
        members: Default::default(),
        info: executor_info(&framework(), &task),
        run: Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: task.name.clone(),
            container: "C".into(),
        },
        sandbox,
        state: ExecutorState::Registering,
        tasks: BTreeMap::from([(task.name.clone(), Box::new(record))]),
        container: None,
    };
    book.add_executor(&framework(), executor);
    book.progress(
        &key(&task.name),
        &status(&task.name, TaskState::TaskRunning),
        None,
    );
}

#[test]
fn a_running_task_holds_its_resources_and_the_overhead() {
    let mut book = book("/s".into());
    assert_eq!(total(&book.used()).mem(), 96.0);
    book.progress(&key("t"), &status("t", TaskState::TaskFailed), None);
    assert!(book.used().is_empty());
    assert_eq!(book.counters.ended["TASK_FAILED"], 1);
    assert_eq!(book.tasks().count(), 1, "it waits for its acknowledgement");
}

#[test]
fn an_acknowledged_end_moves_executor_and_framework_to_the_completed() {
    let mut book = book("/s".into());
    book.progress(&key("t"), &status("t", TaskState::TaskFinished), None);
    book.close(&key("t"));
    assert!(book.frameworks.is_empty());
    assert_eq!(book.completed[0].completed[0].run.executor, "t");
    add(&mut book, "u", "/u".into());
    assert!(book.completed.is_empty(), "the framework is back");
    assert_eq!(book.all_executors().count(), 2);
}

#[test]
fn the_newest_completed_tasks_are_told() {
    let mut book = book("/s".into());
    for (id, ended) in [("t1", 3.0), ("t2", 5.0), ("t3", 4.0)] {
        add(&mut book, id, "/s".into());
        let mut last = status(id, TaskState::TaskFinished);
        last.timestamp = Some(ended);
        book.progress(&key(id), &last, None);
        book.close(&key(id));
    }
    let told = book.completed_tasks(1);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].name, "t2");
}

#[test]
fn only_so_many_completed_executors_are_remembered() {
    let mut book = book("/s".into());
    for id in ["t1", "t2", "t3"] {
        add(&mut book, id, "/s".into());
        book.close(&key(id));
    }
    let kept: Vec<_> = book.frameworks["F"]
        .completed
        .iter()
        .map(|e| e.run.executor.as_str())
        .collect();
    assert_eq!(kept, ["t2", "t3"]);
}

#[test]
fn of_equal_states_in_a_row_the_newest_status_is_kept() {
    let mut book = book("/s".into());
    let mut healthy = status("t", TaskState::TaskRunning);
    healthy.healthy = Some(true);
    book.progress(&key("t"), &healthy, None);
    assert_eq!(book.tasks().next().unwrap().statuses, [healthy]);
}
