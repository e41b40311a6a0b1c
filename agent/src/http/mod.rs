//! The agent's HTTP API, v0, and the executor API of v1: who asks for what, and how answers look.
//!
//! Every path works with and without `/slave(1)`, `.json`, and a trailing slash: one table of routes
//! is looked up after those are taken away. Source: spec/mesos-agent.md sections 6 and 7.

mod containers;
mod drain;
mod executor;
mod files;
mod forward;
mod inspect;
mod metrics;
mod pressure;
mod reply;
mod route;
mod secrets;
mod snmp;
mod state;
mod timings;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::response::Response;
use endpoint::Query;
use endpoint::jsonp::{self, Callback};
use fetcher::Fetcher;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::audit::Tally;
use crate::book::Book;
use crate::executor::authentication::Authentication;
use crate::flags::Flags;
use crate::gc::Collected;
use crate::host;
use crate::logs::Counters;
use crate::paths::Paths;
use crate::quota::Quotas;
use crate::supervisor::Event;
use files::{Attached, Gate, Listing, Tree, Wanted};
use forward::Successor;
use reply::Failure;
use route::Route;

/// What every request may look at.
#[derive(Debug)]
pub struct Site {
    flags: Vec<(&'static str, String)>,
    paths: Paths,
    address: SocketAddr,
    started: SystemTime,
    since: Instant,
    /// Unset while the agent recovers.
    events: RwLock<Option<mpsc::Sender<Event>>>,
    /// Of executors; nobody is let in before that is known.
    authentication: RwLock<Arc<Authentication>>,
    /// How long that took.
    recovery: OnceLock<Duration>,
    /// Set once another process is the agent.
    successor: OnceLock<Successor>,
    /// Changes with that, and when it is this process again.
    hands: watch::Sender<()>,
    garbage: Mutex<Garbage>,
    pub logs: Arc<Counters>,
    /// Unset while the agent recovers.
    quotas: RwLock<Option<Arc<Quotas>>>,
    fetcher: RwLock<Option<Arc<Fetcher>>>,
    /// What the last round found, and what all mended.
    audited: Mutex<Tally>,
    reading: Gate,
    listing: Gate,
}

/// Requests that read files at one time.
const READERS: usize = 8;

/// Requests that list directories at one time: each may take a few megabytes.
const LISTERS: usize = 2;

/// Says that an answer is not all there is, and what else there is.
const TRUNCATED: HeaderName = HeaderName::from_static("x-truncated");

/// All rounds of garbage collection so far.
#[derive(Debug, Clone, Copy, Default)]
struct Garbage {
    removed: u64,
    failed: u64,
    /// Sandboxes of ended runs that were not old enough the last time.
    pending: u64,
    /// How old that was.
    max_age: Duration,
}

impl Site {
    pub fn new(flags: &Flags, address: SocketAddr) -> Site {
        Site {
            flags: flags.texts(),
            paths: Paths::new(&flags.work_dir),
            address,
            started: SystemTime::now(),
            since: Instant::now(),
            events: RwLock::new(None),
            authentication: RwLock::default(),
            recovery: OnceLock::new(),
            successor: OnceLock::new(),
            hands: watch::Sender::new(()),
            garbage: Mutex::new(Garbage {
                max_age: flags.gc_delay,
                ..Garbage::default()
            }),
            logs: Arc::default(),
            quotas: RwLock::new(None),
            fetcher: RwLock::new(None),
            audited: Mutex::default(),
            reading: Gate::new(READERS),
            listing: Gate::new(LISTERS),
        }
    }

    /// The agent has recovered: from now on there is something to show. Again when it has recovered from
    /// an upgrade that failed.
    pub fn open(&self, events: mpsc::Sender<Event>, authentication: Arc<Authentication>) {
        let known = self.authentication.write();
        *known.unwrap_or_else(PoisonError::into_inner) = authentication;
        *self.events.write().unwrap_or_else(PoisonError::into_inner) = Some(events);
        self.hands.send_replace(());
        // That of its start is what is told.
        let _ = self.recovery.set(self.since.elapsed());
    }

    pub fn measure_with(&self, quotas: &Arc<Quotas>, fetcher: &Arc<Fetcher>) {
        // Those that the agent has now: it may have recovered from an upgrade that failed.
        *self.quotas.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(quotas));
        *self.fetcher.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(fetcher));
    }

    fn fetcher(&self) -> Option<Arc<Fetcher>> {
        let fetcher = self.fetcher.read();
        fetcher.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn quotas(&self) -> Option<Arc<Quotas>> {
        let quotas = self.quotas.read();
        quotas.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn events(&self) -> Option<mpsc::Sender<Event>> {
        let events = self.events.read();
        events.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells when it has been decided which process is the agent, if that is open.
    fn hands(&self) -> watch::Receiver<()> {
        self.hands.subscribe()
    }

    fn authentication(&self) -> Arc<Authentication> {
        let known = self.authentication.read();
        Arc::clone(&known.unwrap_or_else(PoisonError::into_inner))
    }

    pub fn collected(&self, collected: &Collected) {
        let mut garbage = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
        garbage.removed += collected.removed;
        garbage.failed += collected.failed;
        garbage.pending = collected.pending;
        garbage.max_age = collected.max_age;
    }

    fn garbage(&self) -> Garbage {
        *self.garbage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn audited(&self, tally: Tally) {
        let mut audited = self.audited.lock().unwrap_or_else(PoisonError::into_inner);
        audited.differences = tally.differences;
        audited.repaired += tally.repaired;
        audited.failed += tally.failed;
    }

    fn audit(&self) -> Tally {
        *self.audited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn book(&self) -> Result<Book, Failure> {
        let events = self.events().ok_or(Failure::Recovering)?;
        let (ask, answer) = oneshot::channel();
        events
            .send(Event::Snapshot(ask))
            .await
            .map_err(|_closed| Failure::Leaving)?;
        answer.await.map_err(|_dropped| Failure::Leaving)
    }

    async fn tree(&self) -> Result<Tree, Failure> {
        let book = self.book().await?;
        let agent = book.info.id.clone().unwrap_or_default().value;
        let attached = book.all_executors().flat_map(attached).collect();
        Ok(Tree::new(attached, self.paths.clone(), agent))
    }
}

/// The virtual paths of one sandbox. Source: spec/mesos-agent.md section 4.3.
fn attached(executor: &crate::book::Executor) -> Vec<Attached> {
    let real = &executor.sandbox;
    let latest = real.with_file_name("latest");
    let at = |virtual_path: PathBuf| Attached {
        virtual_path,
        real: real.clone(),
    };
    vec![
        at(real.clone()),
        at(latest),
        at(executor.run.virtual_latest()),
    ]
}

/// Answers requests until `handed_over`, and then those of the connections that there are.
pub async fn serve(listener: TcpListener, site: Arc<Site>, handed_over: impl Future<Output = ()>) {
    let router = Router::new().fallback(on_request).with_state(site);
    endpoint::serve_until_handed_over(listener, router, handed_over).await;
}

async fn on_request(State(site): State<Arc<Site>>, request: Request) -> Response {
    if let Some(successor) = site.successor.get() {
        return successor.answer(request).await;
    }
    if drain::changes(&request) {
        return drain::change(&site, request).await;
    }
    match Route::of(request.uri().path()) {
        Some(Route::Executor) => executor::serve(&site, request).await,
        _ => respond(&site, request.method(), request.uri()).await,
    }
}

async fn respond(site: &Site, method: &Method, uri: &Uri) -> Response {
    match answer(site, method, uri).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn answer(site: &Site, method: &Method, uri: &Uri) -> Result<Response, Failure> {
    let route = Route::of(uri.path()).ok_or_else(|| Failure::NoSuchRoute(uri.path().to_owned()))?;
    if method != Method::GET && method != Method::HEAD {
        return Err(Failure::Method {
            method: method.clone(),
            path: uri.path().to_owned(),
        });
    }
    let query = Query::of(uri);
    let callback = Callback::asked_for(&query)?;
    let value = match route {
        // It takes no GET, and is answered before all this.
        Route::Executor => return Err(Failure::NoSuchRoute(uri.path().to_owned())),
        Route::Health => return Ok(reply::empty()),
        Route::FilesDownload => {
            let (tree, path) = (site.tree().await?, reply::required(&query, "path")?);
            return files::download(site.reading.clone(), tree, path).await;
        }
        Route::Version => Value::Object(proto::version::info()),
        Route::Flags => json!({ "flags": state::flags(site) }),
        Route::State => {
            let book = site.book().await?;
            return Ok(jsonp::answer(&state::state(site, &book), callback.as_ref()));
        }
        Route::Statistics => {
            let (book, quotas) = (site.book().await?, site.quotas());
            blocking(move || Ok(containers::statistics(&book, quotas.as_deref()))).await?
        }
        Route::Containers => {
            let (book, query) = (site.book().await?, query.clone());
            let quotas = site.quotas();
            blocking(move || containers::containers(&book, &query, quotas.as_deref())).await?
        }
        Route::Inspect => {
            let (book, query) = (site.book().await?, query.clone());
            let quotas = site.quotas();
            blocking(move || inspect::inspect(&book, &query, quotas.as_deref())).await?
        }
        Route::ContainerizerDebug => containers::debug(&site.book().await?),
        Route::Drain => drain::told(&site.book().await?),
        Route::Metrics => metrics::snapshot(site, &site.book().await?),
        Route::SystemStats => Value::Object(host::system().stats()),
        Route::FilesBrowse => {
            let (tree, path) = (site.tree().await?, reply::required(&query, "path")?);
            let listed = site.listing.run(move || files::browse(&tree, &path));
            let Listing { entries, cut } = listed.await?;
            let mut response = jsonp::answer(&entries, callback.as_ref());
            if let Some(Ok(cut)) = cut.map(HeaderValue::try_from) {
                response.headers_mut().insert(TRUNCATED, cut);
            }
            return Ok(response);
        }
        Route::FilesRead => {
            let (tree, path) = (site.tree().await?, reply::required(&query, "path")?);
            let wanted = Wanted {
                offset: reply::number(&query, "offset")?,
                length: reply::number(&query, "length")?,
                kept: query.value("kept") == Some("true"),
            };
            let read = move || files::read(&tree, &path, &wanted);
            site.reading.run(read).await?
        }
        Route::FilesDebug => site.tree().await?.debug(),
    };
    Ok(jsonp::answer(&value, callback.as_ref()))
}

/// Runs what waits for files where waiting is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await?
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::book::tests::book;
    use crate::flags::tests::parse;

    /// A site with the book of one running task, whose sandbox is at `sandbox`.
    fn site(sandbox: PathBuf) -> Site {
        site_in("/work", sandbox)
    }

    fn site_in(work_dir: &str, sandbox: PathBuf) -> Site {
        let flags = parse(&[&format!("--work_dir={work_dir}")]);
        let site = Site::new(&flags, "10.0.0.5:5051".parse().unwrap());
        let (events, mut inbox) = mpsc::channel(1);
        site.open(events, Arc::default());
        tokio::spawn(async move {
            while let Some(Event::Snapshot(ask)) = inbox.recv().await {
                let _ = ask.send(book(sandbox.clone()));
            }
        });
        site
    }

    async fn get(site: &Site, uri: &str) -> (StatusCode, String) {
        ask(site, Method::GET, uri).await
    }

    async fn ask(site: &Site, method: Method, uri: &str) -> (StatusCode, String) {
        let response = respond(site, &method, &uri.parse().unwrap()).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get_json(site: &Site, uri: &str) -> Value {
        let (status, body) = get(site, uri).await;
        assert_eq!(status, StatusCode::OK, "{uri}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    #[tokio::test]
    async fn every_spelling_of_a_path_answers() {
        let site = site("/s".into());
        for uri in [
            "/state",
            "/state.json",
            "/state/",
            "/slave(1)/state",
            "/slave(1)/state.json",
            "/slave%281%29/state",
        ] {
            assert_eq!(get_json(&site, uri).await["id"], "S0", "{uri}");
        }
        assert_eq!(get(&site, "/health").await, (StatusCode::OK, String::new()));
        assert_eq!(get_json(&site, "/version").await["version"], "1.11.0");
        assert_eq!(
            get_json(&site, "/flags").await["flags"]["switch_user"],
            "true"
        );
    }

    #[tokio::test]
    async fn jsonp_wraps_the_answer_and_takes_only_names() {
        let site = site("/s".into());
        let (_, body) = get(&site, "/version?jsonp=show").await;
        assert!(
            body.starts_with("show({") && body.ends_with("});"),
            "{body}"
        );
        let (status, body) = get(&site, "/version?jsonp=alert(1)").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }

    #[tokio::test]
    async fn wrong_requests_are_told_what_is_wrong() {
        let site = site("/s".into());
        let table = [
            (Method::GET, "/nope", StatusCode::NOT_FOUND, "/state"),
            (
                Method::POST,
                "/state",
                StatusCode::METHOD_NOT_ALLOWED,
                "GET",
            ),
            (
                Method::GET,
                "/files/browse",
                StatusCode::BAD_REQUEST,
                "Expecting 'path=value' in query.",
            ),
            (
                Method::GET,
                "/files/read?path=/x&offset=a",
                StatusCode::BAD_REQUEST,
                "offset",
            ),
            (
                Method::GET,
                "/containers?executor_id=t",
                StatusCode::BAD_REQUEST,
                "framework_id",
            ),
            (Method::GET, "/inspect", StatusCode::BAD_REQUEST, "task_id"),
            (
                Method::GET,
                "/inspect?container_id=nope",
                StatusCode::NOT_FOUND,
                "/containers",
            ),
            (
                Method::GET,
                "/inspect?task_id=t",
                StatusCode::NOT_FOUND,
                "being launched",
            ),
        ];
        for (method, uri, status, text) in table {
            let (got, body) = ask(&site, method, uri).await;
            assert_eq!(got, status, "{uri}: {body}");
            assert!(body.contains(text), "{uri}: {body}");
        }
    }

    #[tokio::test]
    async fn an_agent_that_recovers_is_healthy_and_has_no_state_yet() {
        let site = Site::new(&parse(&[]), "10.0.0.5:5051".parse().unwrap());
        assert_eq!(get(&site, "/health").await.0, StatusCode::OK);
        assert_eq!(
            get(&site, "/state").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }

    #[tokio::test]
    async fn the_state_leads_to_the_task_and_its_sandbox() {
        let state = get_json(&site("/s".into()), "/state").await;
        assert_eq!(state["pid"], "slave(1)@10.0.0.5:5051");
        assert_eq!(state["resources"]["ports"], "[31000-32000]");
        assert_eq!(state["unreserved_resources_allocated"]["mem"], 96.0);
        let executor = &state["frameworks"][0]["executors"][0];
        assert_eq!(executor["directory"], "/s");
        assert_eq!(executor["container"], "C");
        assert_eq!(
            executor["name"],
            "Command Executor (Task: t) (Command: sh -c 'sleep 9')"
        );
        assert_eq!(executor["resources"]["cpus"], 1.1);
        assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING");
        assert_eq!(executor["tasks"][0]["executor_id"], "");
        assert!(state["completed_frameworks"].as_array().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_log_is_browsed_read_and_downloaded_under_each_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("C");
        std::fs::create_dir(&sandbox).unwrap();
        std::fs::write(sandbox.join("stdout"), "hello\n").unwrap();
        let real = sandbox.display().to_string();
        let site = site(sandbox);
        let names = [&real, "/frameworks/F/executors/t/runs/latest"];
        for name in names {
            let listed = get_json(&site, &format!("/files/browse?path={name}")).await;
            assert_eq!(listed[0]["path"], format!("{name}/stdout"));
            assert_eq!(listed[0]["size"], 6);
            let read = get_json(&site, &format!("/files/read?path={name}/stdout&offset=1")).await;
            assert_eq!(read, json!({"offset": 1, "data": "ello\n"}));
            let (status, body) = get(&site, &format!("/files/download?path={name}/stdout")).await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, "hello\n"));
        }
        assert_eq!(get_json(&site, "/files/debug").await[names[1]], real);
    }

    #[tokio::test]
    async fn a_log_is_read_for_as_long_as_it_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let work_dir = dir.path().to_str().unwrap();
        let runs = dir
            .path()
            .join("slaves/S0/frameworks/F/executors/long-ago/runs");
        std::fs::create_dir_all(runs.join("C9")).unwrap();
        std::os::unix::fs::symlink("C9", runs.join("latest")).unwrap();
        std::fs::write(runs.join("C9/stdout"), "old\n").unwrap();
        let site = site_in(work_dir, "/s".into());
        let runs = runs.display();
        for path in [
            format!("{runs}/C9/stdout"),
            format!("{runs}/latest/stdout"),
            "/frameworks/F/executors/long-ago/runs/latest/stdout".to_owned(),
        ] {
            let read = get_json(&site, &format!("/files/read?path={path}&offset=0")).await;
            assert_eq!(read["data"], "old\n", "{path}");
        }
        let gone = format!("/files/read?path={runs}/C8/stdout&offset=0");
        assert_eq!(get(&site, &gone).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_metrics_that_clients_read_first_are_there() {
        let metrics = get_json(&site("/s".into()), "/metrics/snapshot").await;
        let table = [
            ("slave/cpus_total", 8.0),
            ("slave/mem_used", 96.0),
            ("slave/tasks_running", 1.0),
            ("slave/executors_running", 1.0),
            ("slave/frameworks_active", 1.0),
            ("slave/registered", 0.0),
        ];
        for (name, value) in table {
            assert_eq!(metrics[name], value, "{name}");
        }
        for name in [
            "system/load_1min",
            "slave/uptime_secs",
            "slave/recovery_time_secs",
            "slave/executor_directory_max_allowed_age_secs",
            "containerizer/mesos/container_destroy_errors",
            "gc/path_removals_succeeded",
            "gc/path_removals_pending",
        ] {
            assert!(metrics[name].is_number(), "{name}");
        }
    }
}
