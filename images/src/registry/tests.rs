//! A client, and registries of this process that behave and that do not.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response as Answer};
use axum::response::IntoResponse as _;
use futures_util::{StreamExt as _, stream};

use super::*;
use crate::manifest::Descriptor;
use crate::media::OCI_MANIFEST;

/// What was asked: the path with its query, and as whom.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;
type Reply = Answer<Body>;

struct Server {
    /// `127.0.0.1:port`.
    host: String,
    asked: Asked,
    _runs: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self._runs.abort();
    }
}

impl Server {
    /// `answer` gets the path with its query, and headers.
    async fn start(
        answer: impl Fn(&str, &HeaderMap) -> Reply + Clone + Send + Sync + 'static,
    ) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let host = listener.local_addr().expect("an address").to_string();
        let asked = Asked::default();
        let heard = Arc::clone(&asked);
        let answer = move |request: Request| {
            let path = request.uri().path_and_query().map_or("", |it| it.as_str());
            let who = request.headers().get("authorization");
            let who = who.map(|it| it.to_str().expect("text").to_owned());
            heard.lock().expect("whole").push((path.to_owned(), who));
            let reply = answer(path, request.headers());
            async move { reply }
        };
        let runs = tokio::spawn(async move {
            let served = axum::serve(listener, Router::new().fallback(answer)).await;
            served.expect("serves");
        });
        Server {
            host,
            asked,
            _runs: runs,
        }
    }

    /// As whom each path beginning so was asked for.
    fn asked(&self, path: &str) -> Vec<Option<String>> {
        let asked = self.asked.lock().expect("whole");
        let those = asked.iter().filter(|(it, _)| it.starts_with(path));
        those.map(|(_, who)| who.clone()).collect()
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let mut reply = Answer::builder().status(status);
    for (name, value) in headers {
        reply = reply.header(*name, *value);
    }
    reply.body(body.into()).expect("an answer")
}

fn settings() -> Settings {
    Settings {
        stall_timeout: Duration::from_secs(20),
        pause: Duration::from_millis(1),
        ..Settings::default()
    }
}

fn image(host: &str) -> Reference {
    format!("{host}/a/b:1").parse().expect("a name")
}

fn login(host: &str) -> Credentials {
    let text = format!(r#"{{"auths": {{"{host}": {{"username": "me", "password": "pw"}}}}}}"#);
    Credentials::parse(text.as_bytes()).expect("credentials")
}

fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor {
        digest: Digest::of(content),
        size: content.len() as u64,
    }
}

/// What comes of a blob, into a file in which there is `before` already.
async fn blob(
    settings: Settings,
    host: &str,
    credentials: &Credentials,
    wanted: &Descriptor,
    before: &[u8],
) -> Result<Vec<u8>, RegistryError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("blob");
    std::fs::write(&path, before).expect("writes");
    let registries = Registries::new(settings).expect("a client");
    let repository = registries.repository(&image(host), credentials);
    let mut partial = Partial::open(&path, wanted).expect("opens");
    repository.blob(&mut partial, |_| {}).await?;
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut partial.finish().expect("rewinds"), &mut text).expect("reads");
    Ok(text)
}

async fn manifest(host: &str, credentials: &Credentials) -> Result<Vec<u8>, RegistryError> {
    let registries = Registries::new(settings())?;
    let repository = registries.repository(&image(host), credentials);
    Ok(repository.manifest("1").await?.0)
}

#[tokio::test]
async fn who_needs_not_be_known_is_not_told() {
    let server = Server::start(|path, _| match path {
        "/v2/a/b/manifests/1" => reply(200, &[("content-type", OCI_MANIFEST)], "{}"),
        _ => reply(404, &[], ""),
    });
    let server = server.await;
    assert_eq!(
        manifest(&server.host, &login(&server.host))
            .await
            .expect("is there"),
        b"{}"
    );
    assert_eq!(server.asked("/v2/"), [None]);
}

#[tokio::test]
async fn a_token_is_got_with_credentials_and_goes_to_the_registry_alone() {
    let content = b"a layer".to_vec();
    let sent = content.clone();
    let cdn = Server::start(move |_, _| reply(200, &[], sent.clone())).await;
    let elsewhere = format!(
        "http://localhost:{}/x",
        cdn.host.rsplit_once(':').expect("a port").1
    );
    let server = Server::start(move |path, headers| {
        let host = headers["host"].to_str().expect("text");
        let challenge = format!("Bearer realm=\"http://{host}/token?x=1\",service=\"r\"");
        match (
            path,
            headers.get("authorization").and_then(|it| it.to_str().ok()),
        ) {
            ("/token?x=1&scope=repository%3Aa%2Fb%3Apull&service=r", Some("Basic bWU6cHc=")) => {
                reply(200, &[], r#"{"token": "t"}"#)
            }
            (path, Some("Bearer t")) if path.starts_with("/v2/a/b/blobs/") => {
                reply(307, &[("location", &elsewhere)], "")
            }
            _ => reply(401, &[("www-authenticate", &challenge)], ""),
        }
    });
    let server = server.await;
    let credentials = login(&server.host);
    let got = blob(
        settings(),
        &server.host,
        &credentials,
        &descriptor(&content),
        b"",
    )
    .await;
    assert_eq!(got.expect("is there"), content);
    let bearer = Some("Bearer t".to_owned());
    assert_eq!(server.asked("/v2/"), [None, bearer]);
    assert_eq!(cdn.asked("/x"), [None]);
}

#[tokio::test]
async fn credentials_that_a_registry_asks_for_itself_stay_with_it() {
    let server = Server::start(|_, headers| match headers.get("authorization") {
        Some(who) if who == "Basic bWU6cHc=" => reply(200, &[], "{}"),
        _ => reply(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
    });
    let server = server.await;
    assert!(manifest(&server.host, &login(&server.host)).await.is_ok());
    let error = manifest(&server.host, &Credentials::default())
        .await
        .expect_err("refused");
    assert!(
        error
            .to_string()
            .contains("not logged in: check the image's name"),
        "{error}"
    );
}

#[tokio::test]
async fn a_realm_elsewhere_is_told_nothing() {
    let thief = Server::start(|_, _| reply(200, &[], r#"{"token": "t"}"#)).await;
    let realm = format!(
        "http://localhost:{}/token",
        thief.host.rsplit_once(':').expect("a port").1
    );
    let server = Server::start(move |_, _| {
        let challenge = format!("Bearer realm=\"{realm}\"");
        reply(401, &[("www-authenticate", &challenge)], "")
    });
    let server = server.await;
    let error = manifest(&server.host, &login(&server.host))
        .await
        .expect_err("refused");
    assert!(matches!(error, RegistryError::Realm { .. }), "{error}");
    assert!(thief.asked("").is_empty());
}

#[tokio::test]
async fn what_a_redirect_leads_to_may_not_ask_who_we_are() {
    let thief =
        Server::start(|_, _| reply(401, &[("www-authenticate", "Basic realm=\"x\"")], "")).await;
    let elsewhere = format!("http://{}/x", thief.host);
    let server = Server::start(move |_, _| reply(307, &[("location", &elsewhere)], "")).await;
    let error = manifest(&server.host, &login(&server.host))
        .await
        .expect_err("refused");
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    assert_eq!(thief.asked("/x"), [None]);
}

#[tokio::test]
async fn content_is_what_it_was_asked_for_or_is_not_taken() {
    let wanted = descriptor(b"0123456789");
    for (sent, why) in [
        (&b"0123456780"[..], "is not what it was asked for"),
        (b"01234567890", "another size"),
        (b"012345678", "another size"),
    ] {
        let server = Server::start(move |_, _| reply(200, &[], sent)).await;
        let got = blob(
            settings(),
            &server.host,
            &Credentials::default(),
            &wanted,
            b"",
        )
        .await;
        let error = got.expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
        // Also when nothing says before how much there will be.
        let server = Server::start(move |_, _| {
            let pieces = sent
                .chunks(3)
                .map(|it| Ok::<_, std::io::Error>(Bytes::from_static(it)));
            reply(200, &[], Body::from_stream(stream::iter(pieces)))
        });
        let server = server.await;
        let got = blob(
            settings(),
            &server.host,
            &Credentials::default(),
            &wanted,
            b"",
        )
        .await;
        let error = got.expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// One that sends three bytes more each time, and breaks off.
async fn stutters(content: &'static [u8]) -> Server {
    Server::start(move |_, headers| {
        let from = headers
            .get("range")
            .and_then(|it| it.to_str().ok()?.strip_prefix("bytes="));
        let from = from
            .and_then(|it| it.strip_suffix('-')?.parse().ok())
            .unwrap_or(0_usize);
        let rest = &content[from..];
        let piece = Ok(Bytes::from_static(&rest[..rest.len().min(3)]));
        let breaks_off = rest.len() > 3;
        let off = stream::once(async {
            // What came before is sent first.
            tokio::task::yield_now().await;
            Err(std::io::Error::other("off"))
        });
        let off = off.take(usize::from(breaks_off));
        let body = Body::from_stream(stream::once(async { piece }).chain(off));
        let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
        match from {
            0 => reply(200, &[], body),
            _ => reply(206, &[("content-range", &range)], body),
        }
    })
    .await
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off_and_where_an_earlier_one_ended() {
    let content = b"0123456789abcdef";
    let server = stutters(content).await;
    let nobody = Credentials::default();
    let got = blob(settings(), &server.host, &nobody, &descriptor(content), b"").await;
    assert_eq!(got.expect("is there"), content);
    assert!(server.asked("/v2/").len() > 1);
    let got = blob(
        settings(),
        &server.host,
        &nobody,
        &descriptor(content),
        b"0123456789",
    )
    .await;
    assert_eq!(got.expect("is there"), content);
    let asked = server.asked("/v2/").len();
    // What is whole is not asked for.
    let got = blob(
        settings(),
        &server.host,
        &nobody,
        &descriptor(content),
        content,
    )
    .await;
    assert_eq!(got.expect("is there"), content);
    assert_eq!(server.asked("/v2/").len(), asked);
}

#[tokio::test]
async fn what_was_left_and_is_wrong_is_got_anew() {
    let content = b"0123456789abcdef";
    // It cannot say parts.
    let server = Server::start(|_, _| reply(200, &[], &b"0123456789abcdef"[..]));
    let server = server.await;
    for before in [&b"0123"[..], b"xxxxxxxxxxxxxxxx", b"0123456789abcdefg"] {
        let nobody = Credentials::default();
        let got = blob(
            settings(),
            &server.host,
            &nobody,
            &descriptor(content),
            before,
        )
        .await;
        assert_eq!(got.expect("is there"), content);
    }
}

#[tokio::test]
async fn a_manifest_without_end_is_not_read_to_it() {
    let server = Server::start(|_, _| {
        let piece = Bytes::from(vec![b' '; 1 << 20]);
        let pieces = std::iter::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        reply(200, &[], Body::from_stream(stream::iter(pieces)))
    });
    let server = server.await;
    let error = manifest(&server.host, &Credentials::default())
        .await
        .expect_err("refused");
    assert!(
        matches!(error, RegistryError::Manifest(BadManifest::TooLarge(_))),
        "{error}"
    );
}

#[tokio::test]
async fn a_manifest_that_is_asked_for_by_digest_is_that_one() {
    let server = Server::start(|_, _| reply(200, &[], "{}")).await;
    let registries = Registries::new(settings()).expect("a client");
    let repository = registries.repository(&image(&server.host), &Credentials::default());
    assert!(
        repository
            .manifest(Digest::of(b"{}").as_str())
            .await
            .is_ok()
    );
    let error = repository
        .manifest(Digest::of(b"[]").as_str())
        .await
        .expect_err("refused");
    assert!(
        matches!(error, RegistryError::WrongContent { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_mirror_is_asked_first_as_nobody_and_the_registry_when_that_has_nothing() {
    let mirror = Server::start(|_, _| reply(404, &[], "").into_response()).await;
    let server = Server::start(|_, _| reply(200, &[], "{}")).await;
    let settings = Settings {
        mirrors: vec![(server.host.clone(), mirror.host.clone())],
        ..settings()
    };
    let registries = Registries::new(settings).expect("a client");
    let repository = registries.repository(&image(&server.host), &login(&server.host));
    assert_eq!(repository.manifest("1").await.expect("is there").0, b"{}");
    assert_eq!(mirror.asked("/v2/"), [None]);
}

#[tokio::test]
async fn a_registry_elsewhere_is_not_spoken_with_in_the_clear() {
    let registries = Registries::new(settings()).expect("a client");
    let named = |host: &str, insecure: &[&str]| {
        let mut registries = Registries::new(settings()).expect("a client");
        registries.settings.insecure = insecure.iter().map(|it| (*it).to_owned()).collect();
        registries.place(host, None).insecure
    };
    for (host, insecure, plain) in [
        ("localhost:5000", &[][..], true),
        ("127.0.0.2", &[], true),
        ("[::1]:5000", &[], true),
        ("r.example:5000", &[], false),
        ("r.example:5000", &["r.example:5000"], true),
        ("r.example:5001", &["r.example:5000"], false),
        ("r.example:5001", &["r.example"], true),
        ("localhost.example", &[], false),
    ] {
        assert_eq!(named(host, insecure), plain, "{host}");
    }
    let link_local = registries.repository(&image("169.254.169.254"), &Credentials::default());
    let error = link_local.manifest("1").await.expect_err("refused");
    assert!(matches!(error, RegistryError::Forbidden { .. }), "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_announced_as_too_large_is_not_begun() {
    let server = Server::start(|_, _| {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let size = [("content-length", "104857600")];
        reply(200, &size, Body::from_stream(never))
    });
    let server = server.await;
    let error = manifest(&server.host, &Credentials::default())
        .await
        .expect_err("refused");
    assert!(
        matches!(
            error,
            RegistryError::Manifest(BadManifest::TooLarge(104_857_600))
        ),
        "{error}"
    );
}
