//! An engine without containers: it says what a test has it say, when that wants it to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::watch;

#[derive(Debug, Clone, Default)]
pub struct Contained {
    pub status: &'static str,
    pub exit_code: i64,
    pub labels: Value,
    pub signals: Vec<i32>,
    /// Seconds since 1970, stream, and line.
    pub lines: Vec<(u64, u8, &'static str)>,
}

#[derive(Debug, Default)]
pub struct State {
    pub containers: BTreeMap<String, Contained>,
    /// Lines after which a stream of output breaks off.
    pub breaks_after: Option<usize>,
    /// What is asked for, as a method and a path.
    pub asked: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    /// What answers wait for: the part of a path.
    hangs: watch::Sender<Option<&'static str>>,
    pub socket: PathBuf,
    _directory: Arc<tempfile::TempDir>,
}

impl Fake {
    pub fn start() -> Fake {
        let directory = tempfile::tempdir().unwrap();
        let fake = Fake {
            state: Arc::default(),
            changed: watch::channel(0).0,
            hangs: watch::channel(None).0,
            socket: directory.path().join("docker.sock"),
            _directory: Arc::new(directory),
        };
        fake.listen();
        fake
    }

    fn listen(&self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.send_modify(|number| *number += 1);
        changed
    }

    pub fn hang(&self, at: Option<&'static str>) {
        self.hangs.send_replace(at);
    }

    pub async fn until(&self, is_so: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        let state = Arc::clone(&self.state);
        let waited = changed.wait_for(move |_| is_so(&state.lock().unwrap()));
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), waited).await;
        waited.unwrap().unwrap();
    }
}

async fn answer(Extracted(fake): Extracted<Fake>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().to_string();
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let mut hangs = fake.hangs.subscribe();
    let is_free = |at: &Option<&'static str>| !at.is_some_and(|at| path.contains(at));
    // What was asked for is done all the same, also when nobody waits for it any more.
    let (fake_again, path_again) = (fake.clone(), path.clone());
    if !is_free(&hangs.borrow_and_update().clone()) {
        hangs.wait_for(is_free).await.unwrap();
    }
    let path = path_again
        .split_once("/v1.41/")
        .map_or(&*path_again, |(_, path)| path);
    let words: Vec<_> = path.trim_start_matches('/').split('/').collect();
    fake_again.change(|state| state.asked.push(format!("{method} {path}")));
    match (method.as_str(), &words[..]) {
        ("GET", ["version"]) => said(json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12"})),
        ("GET", ["_ping"]) => Response::new(Body::from("OK")),
        ("GET", ["images", ..]) => said(json!({"Id": "sha256:0"})),
        ("GET", ["containers", "json"]) => said(listed(&fake.state())),
        ("POST", ["containers", "create"]) => create(&fake, &query, &body),
        (method, ["containers", name, rest @ ..]) => {
            let Some(known) = fake.state().containers.get(*name).cloned() else {
                return refused(StatusCode::NOT_FOUND, "no such container");
            };
            of_container(&fake, method, name, rest, &query, known).await
        }
        _ => refused(StatusCode::BAD_REQUEST, "what?"),
    }
}

fn listed(state: &State) -> Value {
    let one = |(name, it): (&String, &Contained)| json!({"Id": name, "Names": [format!("/{name}")], "State": it.status, "Labels": it.labels});
    state.containers.iter().map(one).collect()
}

fn create(fake: &Fake, query: &str, body: &[u8]) -> Response {
    let name = query.strip_prefix("name=").unwrap().to_owned();
    let body: Value = serde_json::from_slice(body).unwrap();
    fake.change(|state| {
        let known = state.containers.entry(name.clone()).or_default();
        known.status = "created";
        known.labels = body["Labels"].clone();
    });
    said(json!({"Id": name}))
}

async fn of_container(
    fake: &Fake,
    method: &str,
    name: &str,
    rest: &[&str],
    query: &str,
    known: Contained,
) -> Response {
    let set = |status: &'static str, exit_code: i64| {
        fake.change(|state| {
            let it = state.containers.get_mut(name).unwrap();
            (it.status, it.exit_code) = (status, exit_code);
        });
    };
    match (method, rest) {
        ("GET", ["json"]) => said(json!({
            "Id": name, "Name": format!("/{name}"),
            "State": {"Status": known.status, "Pid": 0, "ExitCode": known.exit_code},
        })),
        ("POST", ["start"]) => {
            set("running", 0);
            StatusCode::NO_CONTENT.into_response()
        }
        ("POST", ["kill"]) if known.status != "running" => {
            refused(StatusCode::CONFLICT, "it is not running")
        }
        ("POST", ["kill"]) => {
            let signal = query.strip_prefix("signal=").unwrap().parse().unwrap();
            fake.change(|state| {
                let it = state.containers.get_mut(name).unwrap();
                it.signals.push(signal);
            });
            set("exited", 128 + i64::from(signal));
            StatusCode::NO_CONTENT.into_response()
        }
        ("DELETE", []) => {
            fake.change(|state| state.containers.remove(name));
            StatusCode::NO_CONTENT.into_response()
        }
        ("POST", ["wait"]) => {
            let (fake, name) = (fake.clone(), name.to_owned());
            let end = async move {
                let ended = |state: &State| {
                    (state.containers.get(&name)).is_none_or(|it| it.status == "exited")
                };
                fake.until(ended).await;
                Ok::<_, Infallible>(Bytes::from(json!({"StatusCode": 0}).to_string()))
            };
            Response::new(Body::from_stream(stream::once(end)))
        }
        ("GET", ["logs"]) => logs(fake, query, &known),
        _ => refused(StatusCode::BAD_REQUEST, "what?"),
    }
}

fn logs(fake: &Fake, query: &str, known: &Contained) -> Response {
    let since = query.split('&').find_map(|it| it.strip_prefix("since="));
    let since: f64 = since.map_or(0.0, |since| since.parse().unwrap());
    let told = known
        .lines
        .iter()
        .filter(|(time, ..)| *time as f64 >= since);
    let frame = |(time, stream, line): &(u64, u8, &str)| {
        let (minutes, seconds) = (time / 60, time % 60);
        let text = format!("1970-01-01T00:{minutes:02}:{seconds:02}.000000000Z {line}");
        let head = [&[*stream, 0, 0, 0][..], &(text.len() as u32).to_be_bytes()].concat();
        [head, text.into_bytes()].concat()
    };
    let frames: Vec<_> = told.map(frame).collect();
    let broken = fake.change(|state| state.breaks_after.take());
    let most = broken.unwrap_or(usize::MAX);
    let mut sent: Vec<Result<Bytes, std::io::Error>> = frames
        .into_iter()
        .take(most)
        .map(|frame| Ok(Bytes::from(frame)))
        .collect();
    if broken.is_some() {
        sent.push(Err(std::io::Error::other("it breaks off")));
    }
    Response::new(Body::from_stream(stream::iter(sent)))
}

fn said(body: Value) -> Response {
    Response::new(Body::from(body.to_string()))
}

fn refused(status: StatusCode, message: &str) -> Response {
    let mut response = said(json!({ "message": message }));
    *response.status_mut() = status;
    response
}
