//! Downloads from a loopback server.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use futures_util::{Stream, StreamExt as _, stream};

use super::*;

pub async fn serve() -> SocketAddr {
    let stalled = get(|| async {
        std::future::pending::<()>().await;
        StatusCode::OK
    });
    let router = Router::new()
        .route("/hello.sh", get(|| async { "echo hello" }))
        .route("/moved", get(|| async { Redirect::to("/hello.sh") }))
        .route("/circle", get(|| async { Redirect::to("/circle") }))
        .route(
            "/partial",
            get(|| async { StatusCode::PARTIAL_CONTENT.into_response() }),
        )
        .route("/stalled", stalled)
        .route(
            "/file",
            get(|| async { Redirect::to("file:///etc/passwd") }),
        )
        .route("/ftp", get(|| async { Redirect::to("ftp://host/x") }))
        .route("/large", get(|| async { vec![b'x'; 5000] }))
        .route(
            "/endless",
            get(|| async { body(stream::repeat(&[b'x'; 1000])) }),
        )
        .route(
            "/half",
            get(|| async { body(stream::iter([&[b'x'; 1000]]).chain(stream::pending())) }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn body(chunks: impl Stream<Item = &'static [u8; 1000]> + Send + 'static) -> Body {
    Body::from_stream(chunks.map(|chunk| Ok::<_, io::Error>(&chunk[..])))
}

#[tokio::test]
async fn a_script_is_fetched_over_http_and_each_step_is_logged() {
    let url = format!("http://{}/hello.sh", serve().await);
    let fetched = fetch_uri(uri(&url)).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("hello.sh"), "echo hello");
    let to = fetched.sandbox.path().join("hello.sh");
    for part in [
        "Fetcher Info: {".to_owned(),
        format!("\nFetching URI '{url}'\n"),
        "\nFetching directly into the sandbox directory\n".to_owned(),
        format!(
            "\nDownloading resource from '{url}' to '{}'\n",
            to.display()
        ),
        format!("\nFetched '{url}' to '{}'\n", to.display()),
        "\nSuccessfully fetched all URIs into".to_owned(),
    ] {
        assert!(
            fetched.log.contains(&part),
            "{part:?} is not in\n{}",
            fetched.log
        );
    }
}

#[tokio::test]
async fn an_executable_can_be_executed_and_lands_under_its_output_file() {
    let mut script = uri(format!("http://{}/hello.sh", serve().await));
    script.executable = true;
    script.output_file = Some("bin/run".into());
    let fetched = fetch_uri(script).await;
    assert_eq!(fetched.outcome, Ok(()));
    let metadata = fetched.sandbox.path().join("bin/run").metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn a_redirect_is_followed_but_not_for_ever() {
    let server = serve().await;
    let moved = fetch_uri(uri(format!("http://{server}/moved"))).await;
    assert_eq!(moved.file("moved"), "echo hello");
    let circle = fetch_uri(uri(format!("http://{server}/circle"))).await;
    assert!(
        circle.failure().contains("redirects in a circle"),
        "{}",
        circle.failure()
    );
    for (path, why) in [
        (
            "ftp",
            "it leads to the scheme ftp: only http and https are followed",
        ),
        // Without a host it is nothing that the client could ask for at all.
        ("file", "the server answered 303 See Other"),
    ] {
        let fetched = fetch_uri(uri(format!("http://{server}/{path}"))).await;
        assert!(fetched.failure().contains(why), "{}", fetched.failure());
        assert!(fetched.names().is_empty());
    }
}

#[tokio::test]
async fn an_answer_other_than_200_fails_and_leaves_nothing() {
    let server = serve().await;
    for (path, status) in [
        ("missing", "404 Not Found"),
        ("partial", "206 Partial Content"),
    ] {
        let url = format!("http://{server}/{path}");
        let fetched = fetch_uri(uri(&url)).await;
        assert_eq!(
            fetched.failure(),
            format!(
                "failed to fetch '{url}': the server answered {status}: check that the URI is \
                 right and the file is there"
            )
        );
        assert!(fetched.names().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up() {
    let server = serve().await;
    for path in ["stalled", "half"] {
        let fetched = fetch_uri(uri(format!("http://{server}/{path}"))).await;
        let stalled = "nothing came from the server for 0.2 s";
        assert!(
            fetched.failure().ends_with(stalled),
            "{path}: {}",
            fetched.failure()
        );
        assert!(fetched.names().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fetched = fetch_uri(uri(format!("http://{address}/x"))).await;
    assert!(
        fetched.failure().contains("cannot connect to the server"),
        "{}",
        fetched.failure()
    );
}
