//! `network/ports`: a task with the host's network listens on the ports that it holds, and on no other.
//!
//! From time to time the agent looks who listens; what that means is decided purely. As in Mesos only tcp is
//! looked at, and only where the isolator is named. Source: spec/mesos-agent.md sections 2 and 20.

mod flags;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use containerizer::audit::{Scope, own_listeners};
use proto::resources::Ranges;
use tokio::sync::{mpsc, oneshot};

pub use flags::PortsFlags;

use crate::book::{Book, total};
use crate::excess::Excess;
use crate::flags::Flags;
use crate::isolation;
use crate::supervisor::Event;
use crate::task::Key;

/// A zero interval would be a busy loop.
const SHORTEST: Duration = Duration::from_millis(100);

/// A container listens on ports that it does not hold.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Listening {
    #[prost(string, tag = "1")]
    pub container: String,
    /// In the form of resources.
    #[prost(string, tag = "2")]
    pub ports: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Otherwise it is only told.
    enforces: bool,
    interval: Duration,
    minds: Minds,
}

/// Which ports nobody may take for himself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Minds {
    All,
    Offered,
    These(Ranges),
}

impl Policy {
    /// `None` where nobody has asked for it.
    pub fn of(flags: &Flags) -> Option<Policy> {
        let ports = &flags.ports;
        isolation::looks_at_ports(&flags.isolation).then(|| Policy {
            enforces: ports.enforce,
            interval: ports.interval.max(SHORTEST),
            minds: match &ports.isolated_range {
                Some(range) => Minds::These(range.clone()),
                None if ports.offered_only => Minds::Offered,
                None => Minds::All,
            },
        })
    }

    /// Ends with the agent.
    pub fn watch(self, scope: Scope, events: mpsc::Sender<Event>) {
        tokio::spawn(async move {
            let mut told = BTreeMap::new();
            loop {
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => {}
                    () = events.closed() => return,
                }
                let Some(known) = known(&events).await else {
                    return;
                };
                let found = self.look(scope.clone(), known.clone()).await;
                self.act(&known, &found, &told, &events).await;
                told = found;
            }
        });
    }

    async fn look(&self, scope: Scope, known: Known) -> BTreeMap<String, Ranges> {
        let minds = self.minds.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let is_meant = |port: u16| minds.are_of(port, &known.offered);
            let heard = own_listeners(&scope, is_meant);
            beyond(
                heard.iter().map(|it| (it.container.as_str(), it.port)),
                &known,
            )
        });
        looked.await.unwrap_or_default()
    }

    async fn act(
        &self,
        known: &Known,
        found: &BTreeMap<String, Ranges>,
        told: &BTreeMap<String, Ranges>,
        events: &mpsc::Sender<Event>,
    ) {
        for (container, ports) in found {
            let Some((key, _)) = known.holders.get(container) else {
                continue;
            };
            if is_news(container, ports, told) {
                tracing::warn!(container, task = %key, %ports, "a task listens on ports that it does not hold");
            }
            if self.enforces {
                let excess = Excess::Ports(Listening {
                    container: container.clone(),
                    ports: ports.to_string(),
                });
                let key = key.clone();
                // The agent may have gone. Whoever is to end it may not have listened: it is said until he
                // has.
                let _ = events.send(Event::Exceeds { key, excess }).await;
            }
        }
    }
}

impl Minds {
    fn are_of(&self, port: u16, offered: &Ranges) -> bool {
        match self {
            Self::All => true,
            Self::Offered => offered.contains(u64::from(port)),
            Self::These(range) => range.contains(u64::from(port)),
        }
    }
}

/// What the agent knows of its containers.
#[derive(Debug, Clone, Default)]
struct Known {
    offered: Ranges,
    /// Of each container, whose it is and which ports it holds.
    holders: BTreeMap<String, (Key, Ranges)>,
}

/// `None` once the agent has gone.
async fn known(events: &mpsc::Sender<Event>) -> Option<Known> {
    let (ask, answer) = oneshot::channel();
    events.send(Event::Snapshot(ask)).await.ok()?;
    answer.await.ok().map(|book| known_of(&book))
}

fn known_of(book: &Book) -> Known {
    let holders = book.executors().map(|(_, executor)| {
        let run = &executor.run;
        let key = Key {
            framework: run.framework.clone(),
            task: run.executor.clone(),
        };
        let ports = total(&executor.resources()).ports();
        (run.container.clone(), (key, ports))
    });
    Known {
        offered: total(&book.info.resources).ports(),
        holders: holders.collect(),
    }
}

/// Whether it is to be told: once, until it is another. Pure.
fn is_news(container: &str, ports: &Ranges, told: &BTreeMap<String, Ranges>) -> bool {
    told.get(container) != Some(ports)
}

/// Of each container that is known, the ports that it does not hold. Pure.
fn beyond<'a>(
    heard: impl Iterator<Item = (&'a str, u16)>,
    known: &Known,
) -> BTreeMap<String, Ranges> {
    let mut found: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (container, port) in heard {
        let (holder, port) = (known.holders.get(container), u64::from(port));
        if holder.is_some_and(|(_, held)| !held.contains(port)) {
            found.entry(container.to_owned()).or_default().insert(port);
        }
    }
    let found = found.into_iter();
    found
        .map(|(container, ports)| (container, ports.into_iter().collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    #[test]
    fn what_is_beyond_a_container_is_told_once_until_it_is_more_or_less() {
        let ports = |text: &str| Ranges::parse(text).unwrap();
        let told = BTreeMap::from([("c1".to_owned(), ports("[8080-8081]"))]);
        assert!(!is_news("c1", &ports("[8080-8081]"), &told));
        assert!(is_news("c1", &ports("[8080-8080]"), &told));
        assert!(is_news("c1", &ports("[8080-8082]"), &told));
        assert!(is_news("c2", &ports("[8080-8081]"), &told));
    }

    #[test]
    fn what_a_container_does_not_hold_is_beyond_it() {
        let holder = |ports: &str| {
            let key = Key {
                framework: "F".to_owned(),
                task: "T".to_owned(),
            };
            (key, Ranges::parse(ports).unwrap())
        };
        let known = Known {
            offered: Ranges::default(),
            holders: BTreeMap::from([
                ("c1".to_owned(), holder("[31000-31001]")),
                ("c2".to_owned(), holder("[]")),
            ]),
        };
        let heard = [
            ("c1", 31000),
            ("c1", 8081),
            ("c1", 8080),
            ("c1", 8080),
            ("c2", 31000),
            ("unknown", 80),
        ];
        let found = beyond(heard.into_iter(), &known);
        let texts: Vec<_> = found.iter().map(|(id, it)| format!("{id} {it}")).collect();
        assert_eq!(texts, ["c1 [8080-8081]", "c2 [31000-31000]"]);
    }

    #[test]
    fn flags_say_which_ports_are_minded() {
        let offered = Ranges::parse("[31000-32000]").unwrap();
        let minded = |flags: &[&str]| {
            let flags: Vec<_> = ["--isolation=network/ports"]
                .iter()
                .chain(flags)
                .copied()
                .collect();
            let policy = Policy::of(&parse(&flags)).unwrap();
            [80, 31000, 40000].map(|port| policy.minds.are_of(port, &offered))
        };
        assert_eq!(minded(&[]), [true, true, true]);
        assert_eq!(
            minded(&["--check_agent_port_range_only"]),
            [false, true, false]
        );
        let range = "--container_ports_isolated_range=[0-35000]";
        assert_eq!(minded(&[range]), [true, true, false]);
        assert_eq!(Policy::of(&parse(&[])), None);
    }
}
