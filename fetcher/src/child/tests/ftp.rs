//! Files of FTP servers that answer in many lines, know no EPSV, break off, or say something else.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What one server is like.
#[derive(Debug, Clone, Default)]
struct Habits {
    knows_no_epsv: bool,
    /// Of each transfer in turn, the most bytes that are sent.
    cuts: Vec<usize>,
    /// Of each connection in turn, what MDTM says.
    modified: Vec<&'static str>,
    refuses_login: bool,
}

const CONTENT: &str = "0123456789";

/// A server, and the commands it was given.
async fn serve(habits: Habits) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&said);
    tokio::spawn(async move {
        let mut transfers = 0;
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let _broken_off = talk(stream, &habits, connection, &mut transfers, &log).await;
        }
    });
    (address, said)
}

async fn talk(
    stream: TcpStream,
    habits: &Habits,
    connection: usize,
    transfers: &mut usize,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream
        .write_all(b"220-Welcome\r\n 220 still\r\n220 here\r\n")
        .await?;
    let (mut data, mut at) = (None, 0);
    loop {
        let mut command = String::new();
        if stream.read_line(&mut command).await? == 0 {
            return Ok(());
        }
        let command = command.trim_end().to_owned();
        log.lock().unwrap().push(command.clone());
        let (verb, argument) = command.split_once(' ').unwrap_or((&command, ""));
        let answer = match verb {
            "USER" => "331 and the password".to_owned(),
            "PASS" if habits.refuses_login => "530 no".to_owned(),
            "PASS" => "230 in".to_owned(),
            "TYPE" => "200 binary".to_owned(),
            "SIZE" => format!("213 {}", CONTENT.len()),
            "MDTM" => {
                let modified = habits.modified.get(connection).or(habits.modified.last());
                format!("213 {}", modified.unwrap_or(&"20260101000000"))
            }
            "EPSV" if habits.knows_no_epsv => "500 what".to_owned(),
            "EPSV" | "PASV" => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let port = listener.local_addr()?.port();
                data = Some(listener);
                match verb {
                    "EPSV" => format!("229 Extended (|||{port}|)"),
                    // The address is a lie.
                    _ => format!("227 Passive (10,9,8,7,{},{})", port >> 8, port & 255),
                }
            }
            "REST" => {
                at = argument.parse().unwrap();
                "350 from there".to_owned()
            }
            "RETR" if argument == "x" => {
                let (mut to, _) = data.take().unwrap().accept().await?;
                stream.write_all(b"150 here it comes\r\n").await?;
                let most = habits.cuts.get(*transfers).copied().unwrap_or(usize::MAX);
                *transfers += 1;
                let rest = &CONTENT.as_bytes()[at..];
                to.write_all(&rest[..rest.len().min(most)]).await?;
                drop(to);
                match most < rest.len() {
                    true => "426 broken".to_owned(),
                    false => "226 all of it".to_owned(),
                }
            }
            _ => "550 no such file".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

async fn fetch_from(habits: Habits, path: &str) -> (Fetched, Vec<String>) {
    let (server, said) = serve(habits).await;
    let fetched = fetch_uri(uri(format!("ftp://me:hunter2@{server}/{path}"))).await;
    let said = said.lock().unwrap().clone();
    (fetched, said)
}

#[tokio::test]
async fn a_file_comes_by_ftp_whichever_passive_mode_the_server_knows() {
    for knows_no_epsv in [false, true] {
        let habits = Habits {
            knows_no_epsv,
            ..Habits::default()
        };
        let (fetched, said) = fetch_from(habits, "x").await;
        assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
        assert_eq!(fetched.file("x"), CONTENT);
        assert_eq!(said[..3], ["USER me", "PASS hunter2", "TYPE I"]);
        assert!(!fetched.log.contains("hunter2"), "{}", fetched.log);
    }
}

#[tokio::test]
async fn by_ftp_too_a_download_goes_on_where_it_broke_off() {
    let habits = Habits {
        cuts: vec![3, 4],
        ..Habits::default()
    };
    let (fetched, said) = fetch_from(habits, "x").await;
    assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
    assert_eq!(fetched.file("x"), CONTENT);
    let starts: Vec<_> = said
        .iter()
        .filter(|said| said.starts_with("REST"))
        .collect();
    assert_eq!(starts, ["REST 3", "REST 7"]);
}

#[tokio::test]
async fn by_ftp_a_file_that_has_changed_meanwhile_begins_again() {
    let habits = Habits {
        cuts: vec![3],
        modified: vec!["20260101000000", "20260101000001"],
        ..Habits::default()
    };
    let (fetched, said) = fetch_from(habits, "x").await;
    assert_eq!(fetched.file("x"), CONTENT);
    assert!(
        !said.iter().any(|said| said.starts_with("REST")),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_an_ftp_server_refuses_is_not_asked_for_again() {
    let (fetched, said) = fetch_from(Habits::default(), "none").await;
    assert!(
        fetched.failure().contains("answered 550"),
        "{fetched:?}",
        fetched = fetched.outcome
    );
    assert_eq!(
        said.iter().filter(|said| said.starts_with("RETR")).count(),
        1
    );
    let habits = Habits {
        refuses_login: true,
        ..Habits::default()
    };
    let (fetched, said) = fetch_from(habits, "x").await;
    assert!(
        fetched.failure().contains("answered 530"),
        "{}",
        fetched.failure()
    );
    assert!(
        !fetched.failure().contains("hunter2"),
        "{}",
        fetched.failure()
    );
    assert_eq!(said.len(), 2);
}

#[tokio::test]
async fn by_ftp_too_a_host_of_netrc_is_told_who_asks_and_no_other() {
    for (host, user) in [("127.0.0.1", "USER me"), ("127.0.0.2", "USER anonymous")] {
        let (server, said) = serve(Habits::default()).await;
        let mut http = Http::new(Policy::default(), HASTE, &[], Tls::new(&[]).unwrap()).unwrap();
        let netrc = format!("machine {host} login me password hunter2");
        http.ftp.netrc = Netrc::parse(&netrc);
        let sandbox = tempfile::tempdir().unwrap();
        let request = asking(&format!("ftp://{server}/x"), sandbox.path());
        let fetched = fetch_with(http, &request, sandbox, Limits::default(), None).await;
        assert_eq!(fetched.outcome, Ok(()), "{}", fetched.log);
        let said = said.lock().unwrap();
        assert_eq!(said[0], user);
        let told = said[1] == "PASS hunter2";
        assert_eq!(told, user == "USER me", "{said:?}");
    }
}
