//! A request by HTTP in a task's network, as `curl -s -S -L -k -g` makes it there.
//!
//! Of the answer only its head is read: what else a task sends is nothing to the agent. It is led on to addresses
//! alone: what has a name is looked up by nobody, and is no part of the task; where an answer leads there, it is
//! the answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::certificates;
use super::place::Place;

/// As many as curl follows.
const REDIRECTS: u32 = 50;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{0:?} is not an address that can be asked by HTTP")]
    BadUrl(String),
    #[error("cannot connect to {address}")]
    Connect {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot speak TLS with {address}")]
    Tls {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("got no answer by HTTP from {address}")]
    Http {
        address: SocketAddr,
        source: hyper::Error,
    },
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("led on more than {REDIRECTS} times, last to {0}")]
    Led(Url),
}

/// The status of the answer, after all that it is led on.
pub async fn get(place: &Place, url: &str) -> Result<u16, HttpError> {
    let bad = || HttpError::BadUrl(url.to_owned());
    let mut url = Url::parse(url).map_err(|_not_one| bad())?;
    for _ in 0..=REDIRECTS {
        let address = address(&url).ok_or_else(bad)?;
        let answer = ask(place, &url, address).await?;
        let status = answer.status().as_u16();
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        match next(&url, status, location) {
            Some(next) => url = next,
            None => return Ok(status),
        }
    }
    Err(HttpError::Led(url))
}

/// Where the answer leads, if that is to be followed. Pure.
fn next(url: &Url, status: u16, location: Option<&str>) -> Option<Url> {
    if !(300..400).contains(&status) {
        return None;
    }
    let next = url.join(location?).ok()?;
    address(&next).map(|_| next)
}

/// `None` for what has a name. Pure.
fn address(url: &Url) -> Option<SocketAddr> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let ip = match url.host_str()? {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(host) => host.parse::<Ipv6Addr>().ok()?.into(),
            None => host.parse::<Ipv4Addr>().ok()?.into(),
        },
    };
    Some((ip, url.port_or_known_default()?).into())
}

async fn ask(
    place: &Place,
    url: &Url,
    address: SocketAddr,
) -> Result<Response<Incoming>, HttpError> {
    let request = request(url)?;
    let connected = place.connect(address).await;
    let stream = connected.map_err(|source| HttpError::Connect { address, source })?;
    let answer = match url.scheme() {
        "https" => {
            let failed = |source| HttpError::Tls { address, source };
            let config = certificates::any().map_err(|error| failed(io::Error::other(error)))?;
            let name = ServerName::IpAddress(address.ip().into());
            let secured = TlsConnector::from(config).connect(name, stream).await;
            let stream = secured.map_err(failed)?;
            answer(stream, request).await
        }
        _ => answer(stream, request).await,
    };
    answer.map_err(|source| HttpError::Http { address, source })
}

fn request(url: &Url) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Request::get(target)
        .header(HOST, host)
        .header(USER_AGENT, concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .body(Empty::new())
}

async fn answer<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    // It does the work. When it ends first, the answer is there, or why there is none.
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        _ended = connection => {}
    }
    answer.await
}

#[cfg(test)]
mod tests;
