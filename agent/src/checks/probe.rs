//! One look, bounded in time.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use proto::error::chain;
use tokio::time::timeout;

use super::asked::{Check, Ip, Probe};
use super::http;
use super::machine::Outcome;
use super::place::Place;

pub async fn probe(check: &Check, place: &Place) -> Outcome {
    let look = look(&check.probe, place);
    match check.timeout {
        None => look.await,
        Some(limit) => {
            let looked = timeout(limit, look).await;
            looked.unwrap_or(Outcome::TimedOut(limit))
        }
    }
}

async fn look(probe: &Probe, place: &Place) -> Outcome {
    match probe {
        Probe::Command(command) => match place.run(command).await {
            Ok(ended) => Outcome::Exited {
                status: ended.status,
                said: ended.said,
            },
            Err(why) => Outcome::Failed(format!("cannot run its command: {why}")),
        },
        Probe::Http {
            scheme,
            port,
            path,
            ip,
        } => {
            let url = format!("{scheme}://{}{path}", ip.loopback(*port));
            match http::get(place, &url).await {
                Ok(status) => Outcome::Answered(status),
                Err(error) => Outcome::Failed(chain(&error)),
            }
        }
        Probe::Tcp { port, ip } => {
            let address = ip.loopback(*port);
            match place.connect(address).await {
                Ok(_connection) => Outcome::Connected,
                Err(error) => Outcome::Failed(format!("cannot connect to {address}: {error}")),
            }
        }
    }
}

impl Ip {
    /// In the task's network, whatever that is.
    fn loopback(self, port: u16) -> SocketAddr {
        match self {
            Ip::V4 => (Ipv4Addr::LOCALHOST, port).into(),
            Ip::V6 => (Ipv6Addr::LOCALHOST, port).into(),
        }
    }
}
