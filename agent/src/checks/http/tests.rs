use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn an_answer_leads_on_to_addresses_and_not_to_names() {
    let from = url("http://127.0.0.1:8080/a/b?c=d");
    let to = |status, location| next(&from, status, location).map(String::from);
    let led = |to: &str| Some(to.to_owned());
    assert_eq!(to(302, Some("/x")), led("http://127.0.0.1:8080/x"));
    assert_eq!(to(301, Some("x?y")), led("http://127.0.0.1:8080/a/x?y"));
    assert_eq!(
        to(307, Some("https://localhost/")),
        led("https://localhost/")
    );
    assert_eq!(to(308, Some("http://[::1]:1/")), led("http://[::1]:1/"));
    let not = [
        (200, Some("/x")),
        (302, None),
        (302, Some("https://example.com/")),
        (302, Some("ftp://127.0.0.1/")),
        (302, Some("file:///etc/passwd")),
        (302, Some("http://")),
    ];
    for (status, location) in not {
        assert_eq!(to(status, location), None, "{location:?}");
    }
}

#[test]
fn a_request_is_for_where_it_goes() {
    let request = request(&url("http://[::1]:8080/a%20b?c=d#e")).unwrap();
    assert_eq!(request.uri(), "/a%20b?c=d");
    assert_eq!(request.headers()[HOST], "[::1]:8080");
    assert_eq!(
        address(&url("https://127.0.0.1/")),
        "127.0.0.1:443".parse().ok()
    );
}

/// A server that gives each of these answers once, and none to who asks more; where it listens.
async fn serve(listener: TcpListener, answers: Vec<String>, tls: Option<TlsAcceptor>) {
    for answer in answers {
        let (stream, _) = listener.accept().await.unwrap();
        match &tls {
            None => reply(stream, &answer).await,
            Some(tls) => reply(tls.accept(stream).await.unwrap(), &answer).await,
        }
    }
}

async fn reply(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

async fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\n\r\n")
}

fn led(to: impl std::fmt::Display) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

/// Of the first of these answers.
async fn got(address: &str, answers: Vec<String>) -> Result<u16, HttpError> {
    let (listener, address) = listen(address).await;
    let server = tokio::spawn(serve(listener, answers, None));
    let found = get(&Place::Here, &format!("http://{address}/health?a=b")).await;
    server.abort();
    found
}

#[tokio::test]
async fn the_head_of_an_answer_is_enough() {
    let endless = "HTTP/1.1 503 No\r\nContent-Length: 1000\r\n\r\nbeginning".to_owned();
    assert_eq!(got("127.0.0.1:0", vec![endless]).await.unwrap(), 503);
    let (first, old) = ("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.0 204 OK\r\n\r\n");
    let both = format!("{first}{old}");
    assert_eq!(got("[::1]:0", vec![both]).await.unwrap(), 204);
}

#[tokio::test]
async fn what_an_answer_leads_to_is_the_answer() {
    let (other, elsewhere) = listen("127.0.0.1:0").await;
    tokio::spawn(serve(other, vec![status("404 Not Found")], None));
    let answers = vec![led("/there"), led(format!("http://{elsewhere}/"))];
    assert_eq!(got("127.0.0.1:0", answers).await.unwrap(), 404);
    let named = vec![led("http://example.com/")];
    assert_eq!(got("127.0.0.1:0", named).await.unwrap(), 302);
    let endless = vec![led("/"); 60];
    let error = got("127.0.0.1:0", endless).await.unwrap_err();
    assert!(matches!(error, HttpError::Led(_)), "{error}");
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_that_says_from_whom() {
    for nonsense in ["", "nonsense\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n"] {
        let error = got("127.0.0.1:0", vec![nonsense.to_owned()]).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("got no answer by HTTP from 127.0.0.1:"),
            "{error}"
        );
    }
    // A head without end is given up.
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(4 << 20));
    let (listener, address) = listen("127.0.0.1:0").await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _given_up = stream.write_all(long.as_bytes()).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
    });
    let error = get(&Place::Here, &format!("http://{address}/")).await;
    assert!(matches!(error, Err(HttpError::Http { .. })), "{error:?}");
    let (listener, address) = listen("127.0.0.1:0").await;
    drop(listener);
    let error = get(&Place::Here, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
}

#[tokio::test]
async fn whoever_speaks_tls_is_trusted() {
    let pem = include_bytes!("tests/self-signed.pem");
    let certificate = CertificateDer::from_pem_slice(pem).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (listener, address) = listen("127.0.0.1:0").await;
    let tls = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(serve(listener, vec![status("200 OK")], Some(tls)));
    let found = get(&Place::Here, &format!("https://{address}/")).await;
    assert_eq!(found.unwrap(), 200);
    // Where nobody does.
    let (listener, address) = listen("127.0.0.1:0").await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let error = get(&Place::Here, &format!("https://{address}/")).await;
    assert!(matches!(error, Err(HttpError::Tls { .. })), "{error:?}");
}
