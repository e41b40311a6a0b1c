//! Against an engine that says what the test wants.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use crate::{Engine, EngineError, Event, Source};

const PATIENCE: Duration = Duration::from_secs(60);

/// Serves until it is dropped.
struct Fake {
    directory: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Fake {
    /// `answer`: of a method and a path with its query, below the version.
    fn start(answer: impl Fn(&str, &str) -> Response + Clone + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let handler = move |request: Request| {
            let path = request.uri().path_and_query().unwrap().to_string();
            let answered = match path.as_str() {
                "/version" => said(json!({"ApiVersion": "1.47", "MinAPIVersion": "1.24"})),
                other => match other.strip_prefix("/v1.41/") {
                    Some(below) => answer(request.method().as_str(), below),
                    None => refused(StatusCode::BAD_REQUEST, "no such version"),
                },
            };
            std::future::ready(answered)
        };
        let router = axum::Router::new().fallback(handler);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { directory, serving }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    async fn engine(&self) -> Engine {
        Engine::connect(&self.socket()).await.unwrap()
    }
}

fn said(body: Value) -> Response {
    Response::new(Body::from(body.to_string()))
}

fn refused(status: StatusCode, message: &str) -> Response {
    let mut response = said(json!({ "message": message }));
    *response.status_mut() = status;
    response
}

/// Its answers never come.
async fn silent() -> Fake {
    let directory = tempfile::tempdir().expect("a directory");
    let listener = UnixListener::bind(directory.path().join("socket")).expect("binds");
    let serving = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    Fake { directory, serving }
}

#[tokio::test]
async fn what_the_engine_says_is_told_with_what_was_asked() {
    let fake = Fake::start(|method, path| match (method, path) {
        ("POST", "containers/a%3Fb/start") => {
            refused(StatusCode::NOT_FOUND, "No such container: a?b")
        }
        ("POST", "containers/c/start") => refused(StatusCode::NOT_MODIFIED, ""),
        _ => panic!("{method} {path}"),
    });
    let engine = fake.engine().await;
    let error = engine.start("a?b").await.expect_err("refused");
    assert!(error.is_not_found() && !error.is_passing(), "{error:?}");
    let wanted = "the Docker Engine would not start container a?b: No such container: a?b";
    assert_eq!(error.to_string(), wanted);
    engine.start("c").await.expect("runs already");
}

#[tokio::test]
async fn an_engine_that_is_not_there_or_says_nothing_is_an_error_of_the_call() {
    let none = PathBuf::from("/nonexistent/docker.sock");
    let error = Engine::connect(&none).await.expect_err("none");
    assert!(error.is_passing(), "{error:?}");
    let told = error.to_string();
    assert!(
        told.contains("/nonexistent/docker.sock") && told.contains("--docker_socket"),
        "{told}"
    );

    let fake = silent().await;
    let patience = Duration::from_millis(50);
    let error = Engine::connect_within(&fake.socket(), patience).await;
    assert!(matches!(error, Err(EngineError::Slow { .. })), "{error:?}");
}

#[tokio::test]
async fn an_engine_that_is_too_old_or_no_engine_is_refused() {
    for (about, wanted) in [
        (json!({"ApiVersion": "1.40"}), "speaks version 1.40"),
        (json!({"ApiVersion": "new"}), "it is no version"),
        (json!("docker"), "cannot be understood"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("binds");
        let router = axum::Router::new().fallback(move || std::future::ready(about.to_string()));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let error = Engine::connect(&socket)
            .await
            .expect_err("refused")
            .to_string();
        assert!(error.contains(wanted), "{error}");
        serving.abort();
    }
}

#[tokio::test]
async fn the_end_of_a_container_is_waited_for() {
    let fake = Fake::start(|_method, path| match path {
        "containers/ends/wait?condition=not-running" => said(json!({"StatusCode": 137})),
        "containers/odd/wait?condition=not-running" => {
            said(json!({"StatusCode": -1, "Error": {"Message": "it has no end"}}))
        }
        "containers/cut/wait?condition=not-running" => Response::new(Body::empty()),
        _ => panic!("{path}"),
    });
    let engine = fake.engine().await;
    assert_eq!(engine.wait("ends").await.expect("an end"), 137);
    let told = engine.wait("odd").await.expect_err("no end").to_string();
    assert!(told.ends_with("it has no end"), "{told}");
    let told = engine.wait("cut").await.expect_err("no word").to_string();
    assert!(told.contains("without a word"), "{told}");
}

#[tokio::test]
async fn output_comes_by_its_streams() {
    let fake = Fake::start(|_method, path| {
        assert!(path.starts_with("containers/c/logs?"), "{path}");
        assert!(path.contains("since=17.5"), "{path}");
        let frames = [
            &[1, 0, 0, 0, 0, 0, 0, 3][..],
            b"out",
            &[2, 0, 0, 0, 0, 0, 0, 3],
            b"err",
        ];
        Response::new(Body::from(frames.concat()))
    });
    let engine = fake.engine().await;
    let mut logs = engine.logs("c", Some("17.5"), false).await.expect("logs");
    let mut read = Vec::new();
    while let Some(frame) = logs.next().await.expect("a frame") {
        read.push((frame.source, frame.bytes));
    }
    let wanted = [
        (Source::Stdout, "out".into()),
        (Source::Stderr, "err".into()),
    ];
    assert_eq!(read, wanted);
}

#[tokio::test]
async fn a_pull_fails_where_its_stream_says_so() {
    let fake = Fake::start(|_method, path| {
        assert!(path.starts_with("images/create?"), "{path}");
        let lines = [
            json!({"status": "Pulling from a/b", "id": "1"}),
            json!({"status": "Downloading", "id": "0c", "progressDetail": {"current": 5, "total": 9}}),
            json!({"errorDetail": {"message": "no space"}, "error": "no space"}),
        ];
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        Response::new(Body::from(text))
    });
    let engine = fake.engine().await;
    let mut pull = engine.pull("a/b", "1", None).await.expect("begins");
    assert_eq!(pull.next().await.expect("goes on").expect("a word").id, "1");
    let progress = pull.next().await.expect("goes on").expect("a word");
    assert_eq!((progress.current, progress.total), (5, 9));
    let error = pull.next().await.expect_err("fails").to_string();
    assert_eq!(
        error,
        "the Docker Engine would not pull image a/b (1): no space"
    );
}

#[tokio::test]
async fn what_happens_is_told_also_after_what_nobody_understands() {
    let fake = Fake::start(|_method, _path| {
        let event = json!({"Type": "container", "Action": "die", "Actor": {"ID": "c", "Attributes": {"exitCode": "1"}}});
        Response::new(Body::from(format!("[1]\n{event}\n")))
    });
    let engine = fake.engine().await;
    let mut events = engine.events(&[("mesos", None)]).await.expect("events");
    assert!(events.next::<Event>().await.is_err());
    let event = events
        .next::<Event>()
        .await
        .expect("an event")
        .expect("one");
    assert_eq!(
        (event.action.as_str(), event.actor.id.as_str()),
        ("die", "c")
    );
    assert!(events.next::<Event>().await.expect("an end").is_none());
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    let fake = Fake::start(|_method, _path| {
        let mut response = Response::new(Body::from(vec![b' '; 17 << 20]));
        *response.status_mut() = StatusCode::OK;
        response
    });
    let engine = fake.engine().await;
    let read = tokio::time::timeout(PATIENCE, engine.inspect("c")).await;
    let error = read.expect("in time").expect_err("too long");
    assert!(matches!(error, EngineError::TooLong { .. }), "{error:?}");
}
