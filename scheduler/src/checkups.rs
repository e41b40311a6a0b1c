//! Makes the check-ups of instances that the engine asks for: each bounded in time, and not too many at once.

use std::sync::Arc;
use std::time::Duration;

use proto::error::chain;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::engine::{Checkup, Event, Target};
use crate::health::Outcome;

/// For check-ups. Nobody asks for a certificate, follows where an answer leads, or goes by a proxy: an instance is
/// asked, and nobody else.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    endpoint::client()
        .danger_accept_invalid_certs(true)
        // Each shows that a connection can be made.
        .pool_max_idle_per_host(0)
        .build()
}

/// Until the engine has ended. `most`: at one time.
pub async fn make(
    client: reqwest::Client,
    mut checkups: mpsc::UnboundedReceiver<Checkup>,
    events: mpsc::Sender<Event>,
    most: usize,
) {
    let free = Arc::new(Semaphore::new(most));
    let mut underway = JoinSet::new();
    loop {
        let checkup = tokio::select! {
            checkup = checkups.recv() => checkup,
            Some(_ended) = underway.join_next() => continue,
        };
        let Some(checkup) = checkup else {
            return;
        };
        let (client, free, events) = (client.clone(), Arc::clone(&free), events.clone());
        underway.spawn(async move {
            // Nobody closes it.
            let turn = free.acquire().await.ok();
            let outcome = within(checkup.timeout, seen(&client, &checkup.target)).await;
            drop(turn);
            let (instance, check) = (checkup.instance, checkup.check);
            let checked = Event::Checked {
                instance,
                check,
                outcome,
            };
            if events.send(checked).await.is_err() {
                tracing::debug!("the engine has ended before a check-up was made");
            }
        });
    }
}

/// A time of 0 is as long as it takes, within reason.
async fn within(limit: Duration, seen: impl Future<Output = Outcome>) -> Outcome {
    const MOST: Duration = Duration::from_secs(3600);
    let limit = match limit {
        Duration::ZERO => MOST,
        limit => limit,
    };
    let late = |_elapsed| Outcome::Failed(format!("no answer within {limit:?}"));
    timeout(limit, seen).await.unwrap_or_else(late)
}

async fn seen(client: &reqwest::Client, target: &Target) -> Outcome {
    match target {
        Target::Http { url } => match client.get(url).send().await {
            Ok(answer) => Outcome::Answered(answer.status().as_u16()),
            Err(error) => Outcome::Failed(chain(&error)),
        },
        Target::Tcp { host, port } => match TcpStream::connect((host.as_str(), *port)).await {
            Ok(_connection) => Outcome::Connected,
            Err(error) => Outcome::Failed(format!("cannot connect to {host}:{port}: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::instance::InstanceId;

    const ID: &str = "a.instance-2f0e3c8e-6a2b-4c1a-9d0d-3a2f8f6f3f11";

    fn checkup(check: usize, target: Target) -> Checkup {
        Checkup {
            instance: InstanceId::parse(ID).unwrap(),
            check,
            target,
            timeout: Duration::from_millis(300),
        }
    }

    /// What is seen of each, in order.
    async fn outcomes(targets: Vec<Target>) -> Vec<Outcome> {
        let (asked, checkups) = mpsc::unbounded_channel();
        let (events, mut told) = mpsc::channel(1);
        let made = tokio::spawn(make(client().unwrap(), checkups, events, 2));
        let count = targets.len();
        for (check, target) in targets.into_iter().enumerate() {
            asked.send(checkup(check, target)).unwrap();
        }
        let mut outcomes = vec![Outcome::Connected; count];
        for _ in 0..count {
            let Some(Event::Checked { check, outcome, .. }) = told.recv().await else {
                panic!("every one is answered");
            };
            outcomes[check] = outcome;
        }
        drop(asked);
        made.await.unwrap();
        outcomes
    }

    async fn listen() -> (TcpListener, String, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, "127.0.0.1".to_owned(), port)
    }

    #[tokio::test]
    async fn every_checkup_is_told_of_whatever_it_shows() {
        let (web, host, port) = listen().await;
        let led = "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n";
        tokio::spawn(async move {
            let (mut stream, _) = web.accept().await.unwrap();
            let _some = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(led.as_bytes()).await.unwrap();
        });
        // Who connects is not answered.
        let (_silent, _, silent) = listen().await;
        let (closed, _, refusing) = listen().await;
        drop(closed);
        let http = |port| Target::Http {
            url: format!("http://127.0.0.1:{port}/"),
        };
        let tcp = |port| Target::Tcp {
            host: host.clone(),
            port,
        };
        let targets = vec![
            http(port),
            http(silent),
            tcp(silent),
            tcp(refusing),
            http(refusing),
        ];
        let [led, silent, connected, refused, unreached] =
            outcomes(targets).await.try_into().unwrap();
        assert_eq!(led, Outcome::Answered(302));
        assert_eq!(silent, Outcome::Failed("no answer within 300ms".into()));
        assert_eq!(connected, Outcome::Connected);
        for (outcome, why) in [
            (refused, "cannot connect to 127.0.0.1:"),
            (unreached, "error sending"),
        ] {
            assert!(
                matches!(&outcome, Outcome::Failed(told) if told.starts_with(why)),
                "{outcome:?}"
            );
        }
    }
}
