//! Files of S3 and HDFS, from servers that answer as those do.

use super::faults::{answer, script};
use super::*;
use crate::download::{S3, S3Credentials};

async fn fetch_from(http: Http, value: &str) -> Fetched {
    let sandbox = tempfile::tempdir().unwrap();
    let request = Request {
        uris: vec![uri(value)],
        sandbox: sandbox.path().to_owned(),
        user: None,
        frameworks_home: None,
        links: false,
    };
    fetch_with(http, &request, sandbox, Limits::default(), None).await
}

fn plain() -> Http {
    Http::new(Policy::default(), HASTE, &[]).unwrap()
}

#[tokio::test]
async fn an_object_is_asked_for_with_a_signature_each_time_anew() {
    let busy = answer("503 Slow Down", "content-length: 0\r\n", "");
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (server, asked) = script(vec![busy, good]).await;
    let mut http = plain();
    http.store = S3 {
        endpoint: Some(format!("http://{server}")),
        region: None,
        credentials: Some(S3Credentials {
            access_key: "KEY".to_owned(),
            secret_key: "hunter2".to_owned(),
            session_token: Some("hunter3".to_owned()),
        }),
    };
    let fetched = fetch_from(http, "s3://jars/app/x y").await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x y"), "hello");
    assert!(!fetched.log.contains("hunter"), "{}", fetched.log);
    for asked in asked.lock().unwrap().iter() {
        assert!(asked.starts_with("get /jars/app/x%20y http/1.1"), "{asked}");
        assert!(
            asked.contains("authorization: aws4-hmac-sha256 credential=key/"),
            "{asked}"
        );
        assert!(asked.contains("x-amz-security-token: hunter3"), "{asked}");
    }
}

#[tokio::test]
async fn a_public_object_is_asked_for_without_a_word_of_who_asks() {
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (server, asked) = script(vec![good]).await;
    let mut http = plain();
    http.store = S3 {
        endpoint: Some(format!("http://{server}")),
        ..S3::default()
    };
    let fetched = fetch_from(http, "s3a://jars/x").await;
    assert_eq!(fetched.file("x"), "hello");
    assert!(!asked.lock().unwrap()[0].contains("authorization"));
}

#[tokio::test]
async fn a_name_node_sends_on_to_the_node_that_has_the_file() {
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (data_node, asked_there) = script(vec![good]).await;
    let location = format!(
        "content-length: 0\r\nlocation: http://{data_node}/webhdfs/v1/jars/x?op=OPEN&offset=0\r\n"
    );
    let (name_node, asked) = script(vec![answer("307 Temporary Redirect", &location, "")]).await;
    let mut http = plain();
    http.user = Some("hadoop".to_owned());
    let fetched = fetch_from(http, &format!("webhdfs://{name_node}/jars/x")).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "hello");
    let asked = asked.lock().unwrap()[0].clone();
    assert!(
        asked.starts_with("get /webhdfs/v1/jars/x?op=open&user.name=hadoop "),
        "{asked}"
    );
    assert_eq!(asked_there.lock().unwrap().len(), 1);
}
