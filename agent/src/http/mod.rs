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
use crate::networks::Networks;
use crate::paths::Paths;
use crate::provisioning::Pulls;
use crate::quota::Quotas;
use crate::supervisor::Event;
use containers::Meters;
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
    pulls: RwLock<Option<Arc<Pulls>>>,
    networks: RwLock<Option<Networks>>,
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
            networks: RwLock::new(None),
            quotas: RwLock::new(None),
            fetcher: RwLock::new(None),
            pulls: RwLock::new(None),
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

    pub fn measure_with(&self, quotas: &Arc<Quotas>, fetcher: &Arc<Fetcher>, networks: &Networks) {
        // Those that the agent has now: it may have recovered from an upgrade that failed.
        let mut place = self
            .networks
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(networks.clone());
        *self.quotas.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(quotas));
        *self.fetcher.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(fetcher));
    }

    /// Those of images.
    pub fn show_pulls(&self, pulls: &Arc<Pulls>) {
        *self.pulls.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(pulls));
    }

    fn fetcher(&self) -> Option<Arc<Fetcher>> {
        let fetcher = self.fetcher.read();
        fetcher.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn networks(&self) -> Option<Networks> {
        let networks = self.networks.read();
        networks.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn meters(&self) -> Meters {
        Meters {
            quotas: self.quotas(),
            networks: self.networks(),
            pulls: self
                .pulls
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
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
        return match Route::of(request.uri().path()) {
            Some(Route::Executor) => executor::lead_on(successor, request).await,
            _ => successor.answer(request).await,
        };
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
            let (book, meters) = (site.book().await?, site.meters());
            blocking(move || Ok(containers::statistics(&book, &meters))).await?
        }
        Route::Containers => {
            let (book, query) = (site.book().await?, query.clone());
            let (meters, fetcher) = (site.meters(), site.fetcher());
            let answer = move || containers::containers(&book, &query, &meters, fetcher.as_deref());
            blocking(answer).await?
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
mod tests;
