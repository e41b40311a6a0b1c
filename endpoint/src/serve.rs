//! From connections to answers.
//!
//! One client cannot take the place of all: there are bounds on how many connections are open, how
//! long the head of a request may take, and how long an answer may lie unread.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::map_response;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections at the same time; more wait in the backlog of the socket. Each agent has two
    /// with the master.
    connections: usize,
    /// For the head of a request, counted from the connection or from the answer before: how long
    /// a connection may be idle, too.
    head: Duration,
}

/// More than any cluster of ours has agents.
const MOST_CONNECTIONS: usize = 16_384;

impl Limits {
    /// Half of the files that the process may open: the other half is for its own work, which
    /// clients must not be able to stop.
    fn of_this_process() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _hard)| soft);
        let half = usize::try_from(files / 2).unwrap_or(MOST_CONNECTIONS);
        Self {
            connections: half.clamp(1, MOST_CONNECTIONS),
            head: Duration::from_secs(30),
        }
    }
}

/// How long a peer may leave unconfirmed what we send, before its connection is given up.
const UNREAD: Duration = Duration::from_secs(60);

/// After this much silence the system asks whether the peer is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What fails now, such as accepting without a free file descriptor, may work a little later.
const PAUSE: Duration = Duration::from_millis(100);

/// What becomes of connections when no more are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// Those that are idle are closed at once: nobody listens here any more.
    AtOnce,
    /// Each is closed with its next answer, which says so, or when it has been idle for as long as any
    /// may be: a client never finds one closed that it was just about to use.
    WithAnAnswer,
}

/// Answers requests until `stop` is done; then lets those end that are being answered, of which
/// streams are some. Put a deadline on that: dropping the future cuts them off.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let stop = async {
        stop.await;
        Parting::AtOnce
    };
    serve_within(Limits::of_this_process(), listener, router, stop).await;
}

/// The same, while another process goes on to listen on the same socket: clients of this one are led
/// there. Put a deadline on that, too.
pub async fn serve_until_handed_over(
    listener: TcpListener,
    router: Router,
    handed_over: impl Future<Output = ()>,
) {
    let handed_over = async {
        handed_over.await;
        Parting::WithAnAnswer
    };
    serve_within(Limits::of_this_process(), listener, router, handed_over).await;
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = Parting>,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let (closing, closed) = watch::channel(None);
    let router = say_the_last_word(router, closed.clone());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    let parting = loop {
        tokio::select! {
            parting = &mut stop => break parting,
            Some(ended) = connections.join_next() => note_panic(ended),
            (stream, place) = accept(&listener, &room) => {
                let (router, closed) = (router.clone(), closed.clone());
                connections.spawn(async move {
                    answer(stream, router, limits.head, closed).await;
                    drop(place);
                });
            }
        }
    };
    drop(listener);
    closing.send_replace(Some(parting));
    while let Some(ended) = connections.join_next().await {
        note_panic(ended);
    }
}

/// Waits for a place first: what cannot be served stays in the backlog.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        if room.available_permits() == 0 {
            tracing::warn!(
                "no more connections are taken until one ends: raise the limit of open files"
            );
        }
        // A semaphore that is never closed always gives a permit in the end.
        let Ok(place) = Arc::clone(room).acquire_owned().await else {
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _peer)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(
    stream: TcpStream,
    router: Router,
    head: Duration,
    closed: watch::Receiver<Option<Parting>>,
) {
    if let Err(error) = tune(&stream) {
        tracing::debug!(%error, "cannot set the options of a connection");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_close(closed) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn told_to_close(mut closed: watch::Receiver<Option<Parting>>) {
    // An error means the same: nobody serves any more.
    let parting = closed.wait_for(Option::is_some).await.map(|it| *it);
    if let Ok(Some(Parting::WithAnAnswer)) = parting {
        std::future::pending::<()>().await;
    }
}

/// An answer that says `Connection: close` is the last one of its connection.
fn say_the_last_word(router: Router, closed: watch::Receiver<Option<Parting>>) -> Router {
    router.layer(map_response(move |mut response: Response| {
        if *closed.borrow() == Some(Parting::WithAnAnswer) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        std::future::ready(response)
    }))
}

/// Answers and records are small and wanted at once; a peer that is gone or reads nothing is let go.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNREAD))?;
    let probes = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE);
    socket.set_tcp_keepalive(&probes)
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the answer to a request broke off");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;

    const TIGHT: Limits = Limits {
        connections: 1,
        head: Duration::from_millis(50),
    };
    const DEADLINE: Duration = Duration::from_secs(10);

    struct Server {
        address: std::net::SocketAddr,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn server(limits: Limits) -> Server {
        server_that_parts(limits, Parting::AtOnce).await
    }

    async fn server_that_parts(limits: Limits, parting: Parting) -> Server {
        let listening = crate::listen("127.0.0.1".parse().unwrap(), 0, false).await;
        let (listener, address) = listening.unwrap();
        let (stop, stopped) = oneshot::channel();
        let slowly = || async {
            let parts = futures_util::stream::iter(0..4).then(|n| async move {
                tokio::time::sleep(Duration::from_millis(40)).await;
                Ok::<_, io::Error>(n.to_string())
            });
            axum::body::Body::from_stream(parts)
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/slow", get(slowly));
        let task = tokio::spawn(serve_within(limits, listener, router, async move {
            let _ = stopped.await;
            parting
        }));
        Server {
            address,
            stop,
            task,
        }
    }

    async fn connect(server: &Server, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Everything up to the end of the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut text)).await;
        read.expect("in time").expect("readable");
        text
    }

    const LAST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_client_that_is_slow_with_its_request_makes_room_for_others() {
        let server = server(TIGHT).await;
        let slow = connect(&server, "GET / HTTP/1.1\r\nHo").await;
        let other = connect(&server, LAST).await;
        assert!(rest(other).await.ends_with("hello"));
        drop(slow);
    }

    #[tokio::test]
    async fn an_idle_connection_makes_room_for_others() {
        let server = server(TIGHT).await;
        let idle = connect(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let other = connect(&server, LAST).await;
        assert!(rest(other).await.ends_with("hello"));
        assert!(rest(idle).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_long_answer_outlives_the_time_for_a_request_and_the_stop() {
        let server = server(TIGHT).await;
        let mut stream = connect(&server, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 17];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK\r\n");
        server.stop.send(()).unwrap();
        assert!(rest(stream).await.ends_with("1\r\n3\r\n0\r\n\r\n"));
        tokio::time::timeout(DEADLINE, server.task)
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn a_server_that_is_handed_over_answers_once_more_where_it_is_asked_and_closes() {
        let server = server_that_parts(Limits::of_this_process(), Parting::WithAnAnswer).await;
        let mut idle = connect(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 17];
        idle.read_exact(&mut first).await.unwrap();
        server.stop.send(()).unwrap();
        // Until nobody listens.
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!server.task.is_finished());
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let answers = rest(idle).await;
        let (one, other) = answers.split_once("hello").unwrap();
        assert!(!one.contains("connection: close"), "{one}");
        assert!(other.contains("connection: close\r\n"), "{other}");
        assert!(other.ends_with("hello"), "{other}");
        tokio::time::timeout(DEADLINE, server.task)
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn an_idle_connection_of_a_server_that_is_handed_over_ends_like_any() {
        let short = Limits {
            connections: 10,
            head: Duration::from_millis(50),
        };
        let server = server_that_parts(short, Parting::WithAnAnswer).await;
        let mut idle = connect(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 17];
        idle.read_exact(&mut first).await.unwrap();
        server.stop.send(()).unwrap();
        tokio::time::timeout(DEADLINE, server.task)
            .await
            .unwrap()
            .unwrap();
        assert!(rest(idle).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_server_that_stops_lets_go_of_idle_connections() {
        let server = server(Limits::of_this_process()).await;
        let idle = connect(&server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 17];
        let mut idle = idle;
        idle.read_exact(&mut first).await.unwrap();
        server.stop.send(()).unwrap();
        tokio::time::timeout(DEADLINE, server.task)
            .await
            .unwrap()
            .unwrap();
        assert!(rest(idle).await.ends_with("hello"));
    }
}
