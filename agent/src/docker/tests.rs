//! The containerizer with an engine that hangs, breaks off, and is late.

mod fake;

use containerizer::{ExitStatus, Termination};
use engine::Create;

use super::*;
use crate::container::Begun;
use crate::logs::Limits;
use fake::Fake;

const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    engine: Fake,
    directory: tempfile::TempDir,
}

impl Node {
    fn new() -> Node {
        let directory = tempfile::tempdir().unwrap();
        for log in ["stdout", "stderr"] {
            std::fs::write(directory.path().join(log), "").unwrap();
        }
        Node {
            engine: Fake::start(),
            directory,
        }
    }

    /// What a process of the agent has.
    fn docker(&self) -> Docker {
        let records = Records::new(&self.directory.path().join("run"), Some("boot".to_owned()));
        let settings = shared::Settings {
            socket: self.engine.socket.clone(),
            remove_delay: Duration::ZERO,
            kills_orphans: true,
            owner: "/work".to_owned(),
        };
        let shared = Shared::new(settings, records, None);
        remover::start(&shared);
        Docker {
            shared,
            containerizers: "docker,mesos".parse().unwrap(),
            caps_cpus: false,
            stop_timeout: None,
            dns: Arc::default(),
        }
    }

    async fn launch(&self, docker: &Docker, id: &str) -> Result<Container, DockerError> {
        docker.launch(plan(id), self.directory.path()).await
    }

    fn stdout(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("stdout")).unwrap()
    }
}

fn plan(id: &str) -> plan::Plan {
    let owner = OWNER.to_owned();
    let labels = [
        (owner, "/work".to_owned()),
        (CONTAINER.to_owned(), id.to_owned()),
    ];
    plan::Plan {
        id: ContainerId::try_from(id.to_owned()).unwrap(),
        create: Create {
            image: "busybox".to_owned(),
            labels: labels.into(),
            ..Create::default()
        },
        image: plan::Image {
            name: "busybox".to_owned(),
            pulls: false,
        },
        fetch: fetcher::Request {
            uris: vec![],
            sandbox: PathBuf::new(),
            user: None,
            frameworks_home: None,
            links: false,
            store: None,
        },
        disk_limit: None,
        directories: vec![],
        secrets: vec![],
        owner: None,
        logs: Limits::default(),
        notes: vec![],
    }
}

async fn ended(container: &Container) -> Termination {
    tokio::time::timeout(PATIENCE, container.wait())
        .await
        .unwrap()
}

fn set(engine: &Fake, name: &str, status: &'static str, exit_code: i64) {
    engine.change(|state| {
        let it = state.containers.get_mut(name).unwrap();
        (it.status, it.exit_code) = (status, exit_code);
    });
}

#[tokio::test]
async fn a_container_is_watched_ended_and_removed() {
    let node = Node::new();
    let docker = node.docker();
    let container = node.launch(&docker, "a").await.unwrap();
    assert_eq!(container.inspected().unwrap().name, "mesos-a");
    container.terminate();
    let end = ended(&container).await;
    assert_eq!(end.status, Some(ExitStatus::Exited(128 + 15)));
    assert_eq!(node.engine.state().containers["mesos-a"].signals, [15]);
    tokio::task::spawn_blocking(move || container.forget())
        .await
        .unwrap();
    node.engine.until(|state| state.containers.is_empty()).await;
    assert!(docker.shared.records.list().is_empty());
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_told_once_the_engine_answers_again() {
    let node = Node::new();
    let docker = node.docker();
    node.launch(&docker, "a").await.unwrap();
    docker.leave().await;
    set(&node.engine, "mesos-a", "exited", 7);
    node.engine.hang(Some("containers"));
    let next = node.docker();
    let container = next.recover().pop().unwrap();
    assert_eq!(container.id().as_str(), "a");
    let waits = tokio::time::timeout(Duration::from_millis(300), container.wait()).await;
    assert!(waits.is_err(), "{waits:?}");
    node.engine.hang(None);
    assert_eq!(ended(&container).await.status, Some(ExitStatus::Exited(7)));
}

#[tokio::test]
async fn a_launch_that_was_cut_goes_on_where_it_was() {
    let node = Node::new();
    let docker = node.docker();
    node.engine.hang(Some("start"));
    let launching = {
        let (docker, plan) = (docker.clone(), plan("a"));
        let sandbox = node.directory.path().to_owned();
        tokio::spawn(async move { docker.launch(plan, &sandbox).await.is_ok() })
    };
    node.engine
        .until(|state| state.containers.contains_key("mesos-a"))
        .await;
    // Its process dies here: another one has the records.
    let next = node.docker();
    let container = next.recover().pop().unwrap();
    node.engine.hang(None);
    assert!(matches!(container.begun().await, Begun::Runs));
    drop(launching);

    let none = node.docker();
    none.shared
        .records
        .write(&plan("never").id, node.directory.path())
        .unwrap();
    let found = none.recover().into_iter();
    let never = found.into_iter().find(|it| it.id().as_str() == "never");
    assert!(matches!(never.unwrap().begun().await, Begun::Cut));
}

#[tokio::test]
async fn what_is_created_after_nobody_wants_it_any_more_is_removed() {
    let node = Node::new();
    let docker = node.docker();
    node.engine.hang(Some("create"));
    let launch = node.launch(&docker, "a");
    let given_up = tokio::time::timeout(Duration::from_millis(300), launch).await;
    assert!(given_up.is_err());
    docker.put_away("a").await;
    node.engine.hang(None);
    let is_removed = |state: &fake::State| {
        let asked = |what: &str| state.asked.iter().any(|it| it == what);
        asked("POST containers/create")
            && asked("DELETE containers/mesos-a")
            && state.containers.is_empty()
    };
    node.engine.until(is_removed).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_gone_on_with_at_the_next_line() {
    let node = Node::new();
    let docker = node.docker();
    let lines = [
        (20, 1, "one\n"),
        (20, 1, "two\n"),
        (21, 2, "oh\n"),
        (22, 1, "three\n"),
        (30, 1, "four\n"),
    ];
    node.engine.change(|state| {
        let known = state.containers.entry("mesos-a".to_owned()).or_default();
        known.lines = lines.to_vec();
        state.breaks_after = Some(2);
    });
    let container = node.launch(&docker, "a").await.unwrap();
    container.kill();
    ended(&container).await;
    assert_eq!(node.stdout(), "one\ntwo\nthree\nfour\n");
    let stderr = std::fs::read_to_string(node.directory.path().join("stderr")).unwrap();
    assert_eq!(stderr, "oh\n");
}

#[tokio::test]
async fn what_belongs_to_nobody_is_removed_and_what_is_anothers_is_not_looked_at() {
    let node = Node::new();
    node.engine.change(|state| {
        let known = state.containers.entry("mesos-lost".to_owned()).or_default();
        known.status = "running";
        known.labels = serde_json::json!({OWNER: "/work", CONTAINER: "lost"});
        let foreign = state.containers.entry("web".to_owned()).or_default();
        foreign.status = "running";
        foreign.labels = serde_json::json!({});
    });
    let _docker = node.docker();
    node.engine
        .until(|state| !state.containers.contains_key("mesos-lost"))
        .await;
    assert!(node.engine.state().containers.contains_key("web"));
}

#[tokio::test]
async fn a_hung_engine_is_no_engine_for_who_asks_who_runs_a_task() {
    let node = Node::new();
    let docker = node.docker();
    assert_eq!(
        docker.choose(Kind::Docker).await,
        Some(choice::Containerizer::Docker)
    );
    node.engine.hang(Some("_ping"));
    assert_eq!(
        docker.choose(Kind::Docker).await,
        Some(choice::Containerizer::Mesos)
    );
    assert_eq!(
        docker.choose(Kind::Other).await,
        Some(choice::Containerizer::Mesos)
    );
}
