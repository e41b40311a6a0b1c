//! Files of S3 and HDFS, from servers that answer as those do.

use std::net::SocketAddr;

use super::faults::{TEN, answer, script};
use super::*;
use crate::download::{S3, S3Credentials};

async fn fetch_from(http: Http, value: &str) -> Fetched {
    let sandbox = tempfile::tempdir().unwrap();
    let request = asking(value, sandbox.path());
    fetch_with(http, &request, sandbox, Limits::default(), None).await
}

/// No server here is silent, however slow the machine is.
const PATIENCE: Patience = Patience {
    stall: Duration::from_mins(2),
    ..HASTE
};

fn plain() -> Http {
    Http::new(Policy::default(), PATIENCE, &[], Tls::new(&[]).unwrap()).unwrap()
}

/// What a name node knows of a file.
fn status(length: u64, modified: u64) -> Vec<u8> {
    let body = format!(r#"{{"FileStatus":{{"length":{length},"modificationTime":{modified}}}}}"#);
    let headers = format!("content-length: {}\r\n", body.len());
    answer("200 OK", &headers, &body)
}

fn signing(server: SocketAddr) -> S3 {
    S3 {
        endpoint: Some(format!("http://{server}")),
        region: None,
        credentials: Some(S3Credentials {
            access_key: "KEY".to_owned(),
            secret_key: "hunter2".to_owned(),
            session_token: Some("hunter3".to_owned()),
        }),
    }
}

fn moved(to: &str) -> Vec<u8> {
    let location = format!("content-length: 0\r\nlocation: {to}\r\n");
    answer("307 Temporary Redirect", &location, "")
}

#[tokio::test]
async fn nobody_whom_a_store_sends_on_to_is_told_who_asks() {
    let good = || answer("200 OK", "content-length: 5\r\n", "hello");
    let (store, asked) = script(vec![moved("/there/x"), good()]).await;
    let mut http = plain();
    http.store = signing(store);
    let fetched = fetch_from(http, "s3://jars/x").await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    // The same host is told, of each path anew.
    let signatures = |asked: &str| {
        let at = asked
            .find("signature=")
            .map(|at| asked[at..][..74].to_owned());
        at.unwrap()
    };
    let seen = asked.lock().unwrap().clone();
    assert!(seen[1].starts_with("get /there/x "), "{}", seen[1]);
    assert_ne!(signatures(&seen[0]), signatures(&seen[1]));

    let (other, asked_there) = script(vec![good()]).await;
    let (store, asked) = script(vec![moved(&format!("http://{other}/x?y=z"))]).await;
    let mut http = plain();
    http.store = signing(store);
    let fetched = fetch_from(http, "s3://jars/x").await;
    assert_eq!(fetched.file("x"), "hello");
    assert!(asked.lock().unwrap()[0].contains("x-amz-security-token: hunter3"));
    let told = asked_there.lock().unwrap()[0].clone();
    assert!(told.starts_with("get /x?y=z "), "{told}");
    for word in ["hunter", "x-amz", "authorization", "aws4", "key/"] {
        assert!(!told.contains(word), "{word}: {told}");
    }
}

#[tokio::test]
async fn a_store_sends_on_to_where_one_may_be_sent_and_not_for_ever() {
    for (answers, why) in [
        (vec![moved("http://169.254.169.254/x")], "link-local"),
        (vec![moved("file:///etc/passwd")], "only http and https"),
        (vec![moved("/x"); 11], "more than 10 times"),
        (
            vec![answer("301 Moved", "content-length: 0\r\n", "")],
            "answered 301",
        ),
    ] {
        let (store, _) = script(answers).await;
        let mut http = plain();
        http.store = signing(store);
        let fetched = fetch_from(http, "s3://jars/x").await;
        assert!(fetched.failure().contains(why), "{}", fetched.failure());
    }
}

/// What stands in a URI is for its own server.
#[tokio::test]
async fn whom_a_server_sends_on_to_is_not_told_by_which_uri() {
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (other, asked_there) = script(vec![good]).await;
    let (server, _) = script(vec![moved(&format!("http://{other}/x"))]).await;
    let fetched = fetch_from(
        plain(),
        &format!("http://me:hunter2@{server}/x?sig=hunter3"),
    )
    .await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    let told = asked_there.lock().unwrap()[0].clone();
    for word in ["hunter", "referer", "authorization", &server.to_string()] {
        assert!(!told.contains(word), "{word}: {told}");
    }
}

#[tokio::test]
async fn an_object_is_asked_for_with_a_signature_each_time_anew() {
    let busy = answer("503 Slow Down", "content-length: 0\r\n", "");
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (server, asked) = script(vec![busy, good]).await;
    let mut http = plain();
    http.store = signing(server);
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
    let there = moved(&format!(
        "http://{data_node}/webhdfs/v1/jars/x?op=OPEN&offset=0"
    ));
    let (name_node, asked) = script(vec![status(5, 1), there]).await;
    let mut http = plain();
    http.user = Some("hadoop".to_owned());
    let fetched = fetch_from(http, &format!("webhdfs://{name_node}/jars/x")).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "hello");
    let asked = asked.lock().unwrap().clone();
    let start = "get /webhdfs/v1/jars/x?user.name=hadoop&op=";
    for (asked, operation) in asked.iter().zip(["getfilestatus ", "open "]) {
        let wanted = format!("{start}{operation}");
        assert!(asked.starts_with(&wanted), "{asked}");
    }
    assert_eq!(asked_there.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_name_node_that_is_not_on_standby_is_asked_and_what_it_says_is_told() {
    let refusal = |status: &str, exception: &str, message: &str| {
        let body =
            format!(r#"{{"RemoteException":{{"exception":"{exception}","message":"{message}"}}}}"#);
        let headers = format!("content-length: {}\r\n", body.len());
        answer(status, &headers, &body)
    };
    let standby = || refusal("403 Forbidden", "StandbyException", "not here");
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (first, _) = script(vec![standby(), standby()]).await;
    let (second, asked) = script(vec![
        status(5, 1),
        good,
        refusal("404 Not Found", "FileNotFoundException", "no such /y"),
    ])
    .await;
    let mut http = plain();
    let nodes = [first, second].map(|node| node.to_string());
    http.name_services.insert("ours".to_owned(), nodes.to_vec());
    let fetched = fetch_from(http, "hdfs://ours/x").await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "hello");
    let both = format!("hdfs://{first},{second}/y");
    let fetched = fetch_from(plain(), &both).await;
    let why = "the name node answered FileNotFoundException: no such /y";
    assert!(fetched.failure().contains(why), "{}", fetched.failure());
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_name_node_that_is_dead_or_ill_stands_in_nobodys_way() {
    // Nobody listens, and nobody else can.
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead_at = dead.local_addr().unwrap();
    let ill = |status| answer(status, "content-length: 0\r\n", "");
    let (first, _) = script(vec![ill("500 Internal Server Error")]).await;
    let (second, _) = script(vec![ill("503 Service Unavailable")]).await;
    // It closes the connection without a word.
    let (third, _) = script(vec![Vec::new()]).await;
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (last, _) = script(vec![status(5, 1), good]).await;
    let url = format!("hdfs://{dead_at},{first},{second},{third},{last}/x");
    let fetched = fetch_from(plain(), &url).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "hello");
    let others = fetched
        .log
        .matches("Asking another name node than 127.0.0.1: ");
    assert_eq!(others.count(), 4, "{}", fetched.log);
    assert!(!fetched.log.contains("Trying again"), "{}", fetched.log);
    // Alone it is asked again, and in the end it is said what is wrong.
    let fetched = fetch_from(plain(), &format!("hdfs://{dead_at}/x")).await;
    let failure = fetched.failure();
    assert!(
        failure.contains("cannot connect to the server"),
        "{failure}"
    );
    assert_eq!(fetched.log.matches("Trying again").count(), 3);
    drop(dead);
}

/// A data node that breaks off after `first`, and then sends `then`; and a name node that knows `second` of the file
/// when it is asked again. The operations that it was asked for.
async fn breaking_off(second: Vec<u8>, then: Vec<Vec<u8>>) -> (Fetched, Vec<String>) {
    let part = answer("200 OK", "content-length: 10\r\n", "01234");
    let asked_again = then.len();
    let (data_node, _) = script([vec![part], then].concat()).await;
    let there = moved(&format!("http://{data_node}/x"));
    let mut answers = vec![status(10, 1), there.clone()];
    for _ in 0..asked_again {
        answers.extend([second.clone(), there.clone()]);
    }
    let (name_node, asked) = script(answers).await;
    let fetched = fetch_from(plain(), &format!("hdfs://{name_node}/x")).await;
    let asked = asked.lock().unwrap().clone();
    let operation = |asked: &String| {
        let line = asked.lines().next().unwrap();
        line.split("op=").nth(1).unwrap().replace(" http/1.1", "")
    };
    (fetched, asked.iter().map(operation).collect())
}

#[tokio::test]
async fn from_hdfs_too_a_download_goes_on_where_it_broke_off() {
    let rest = answer("200 OK", "content-length: 5\r\n", "56789");
    let (fetched, asked) = breaking_off(status(10, 1), vec![rest]).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "0123456789");
    let (known, open) = ("getfilestatus", "open");
    assert_eq!(asked, [known, open, known, "open&offset=5"]);
}

#[tokio::test]
async fn from_hdfs_a_file_that_has_changed_meanwhile_begins_again() {
    for (length, modified) in [(10, 2), (11, 1)] {
        let content = &"abcdefghijk"[..usize::try_from(length).unwrap()];
        let whole = answer("200 OK", &format!("content-length: {length}\r\n"), content);
        let (fetched, asked) = breaking_off(status(length, modified), vec![whole]).await;
        assert_eq!(fetched.file("x"), content);
        assert_eq!(asked[3], "open");
    }
}

/// One that knows no offsets sends all of it.
#[tokio::test]
async fn from_hdfs_nothing_is_taken_for_the_rest_that_is_not_as_long() {
    let whole = || answer("200 OK", TEN, "0123456789");
    let (fetched, asked) = breaking_off(status(10, 1), vec![whole(), whole()]).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), "0123456789");
    assert_eq!(asked[3], "open&offset=5");
    assert_eq!(asked[5], "open");
}

#[tokio::test]
async fn what_is_no_name_node_is_said_to_be_none() {
    let page = answer("200 OK", "content-length: 6\r\n", "<html>");
    let (server, asked) = script(vec![page]).await;
    let fetched = fetch_from(plain(), &format!("hdfs://{server}/x")).await;
    let why = "does not answer as a name node of HDFS";
    assert!(fetched.failure().contains(why), "{}", fetched.failure());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_allows_hdfs_alone_gets_what_a_name_node_sends_on_to_and_nothing_else_by_http() {
    let only = |schemes: &[&str]| {
        let policy = Policy {
            schemes: schemes.iter().map(|scheme| (*scheme).to_owned()).collect(),
            ..Policy::default()
        };
        Http::new(policy, PATIENCE, &[], Tls::new(&[]).unwrap()).unwrap()
    };
    let good = answer("200 OK", "content-length: 5\r\n", "hello");
    let (data_node, _) = script(vec![good]).await;
    let there = moved(&format!("http://{data_node}/x"));
    let (name_node, _) = script(vec![status(5, 1), there.clone(), there]).await;
    let fetched = fetch_from(only(&["hdfs"]), &format!("hdfs://{name_node}/x")).await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    let fetched = fetch_from(only(&["https"]), &format!("http://{name_node}/x")).await;
    let why = "the scheme http is not among";
    assert!(fetched.failure().contains(why), "{}", fetched.failure());
}

#[tokio::test]
async fn a_host_of_netrc_is_told_who_asks_and_no_other() {
    let good = || answer("200 OK", "content-length: 5\r\n", "hello");
    let (server, asked) = script(vec![good(), good()]).await;
    let with = |text: &str| {
        let mut http = plain();
        http.netrc = crate::netrc::Netrc::parse(text);
        http
    };
    let url = format!("http://{server}/x");
    let ours = with("machine 127.0.0.1 login me password hunter2");
    assert_eq!(fetch_from(ours, &url).await.outcome, Ok(()));
    let others = with("machine 127.0.0.2 login me password hunter2");
    assert_eq!(fetch_from(others, &url).await.outcome, Ok(()));
    let asked = asked.lock().unwrap();
    assert!(asked[0].contains("authorization: basic "), "{}", asked[0]);
    assert!(!asked[1].contains("authorization"), "{}", asked[1]);
}
