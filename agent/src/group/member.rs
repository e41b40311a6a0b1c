//! A task of a group, as its launch sees it.

use std::future::pending;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use tokio::sync::watch;

use crate::networks::wish::Own;

/// What makes a task one of a group.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Its own.
    pub container: String,
    /// The network of all; `None` for the host's.
    pub network: Option<Arc<Own>>,
    pub held: Held,
}

impl Membership {
    pub fn new(parent: &str, task: &str, network: Option<Arc<Own>>, held: Held) -> Self {
        Self {
            container: container(parent, task),
            network,
            held,
        }
    }
}

/// The container of a task, which is nested in that of its executor. It needs not be written down, for it
/// follows from both.
pub fn container(parent: &str, task: &str) -> String {
    // No '/' is in either.
    let name = digest(&SHA256, format!("{parent}/{task}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&name.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// What the members of a group wait for: the executor's container once it has room for them, or why there is
/// none.
#[derive(Debug, Clone)]
pub struct Held(watch::Receiver<Option<Holding>>);

/// An error is the whole chain of reasons, as one line.
pub type Holding = Result<containerizer::Container, String>;

/// To all members of one group.
#[derive(Debug)]
pub struct Promise(watch::Sender<Option<Holding>>);

impl Promise {
    pub fn new() -> (Promise, Held) {
        let (sender, receiver) = watch::channel(None);
        (Promise(sender), Held(receiver))
    }

    pub fn keep(self, holding: Holding) {
        // Nobody may wait for it any more.
        self.0.send_replace(Some(holding));
    }
}

impl Held {
    pub async fn wait(mut self) -> Holding {
        let held = self.0.wait_for(Option::is_some).await;
        match held.map(|held| held.clone()) {
            Ok(Some(holding)) => holding,
            // The agent goes away: what becomes of the task the next one says.
            Ok(None) | Err(_) => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_of_each_run_has_a_container_of_its_own_that_never_changes() {
        let one = container("c1", "t1");
        assert_eq!(one, container("c1", "t1"));
        assert_ne!(one, container("c2", "t1"));
        assert_ne!(one, container("c1", "t2"));
        assert!(uuid::Uuid::try_parse(&one).is_ok(), "{one}");
    }
}
