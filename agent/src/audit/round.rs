//! The agent's own look at its node, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use containerizer::audit::Remedy;
use proto::error::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::difference::{Difference, Finding, Outcome};
use super::node::{Asker, AuditError, Look, Node, Tasks};
use super::repair::mend;
use crate::book::{Book, total};
use crate::supervisor::Event;

/// As long as what is on its way may take on a node that has much to do.
const MOMENT: Duration = Duration::from_secs(2);

/// What a round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// That are there now.
    pub differences: u64,
    pub repaired: u64,
    pub failed: u64,
}

#[derive(Debug)]
pub struct Auditor {
    pub node: Node,
    pub events: mpsc::Sender<Event>,
    /// Containers that the agent answers for beside its tasks'.
    pub others: BTreeSet<String>,
    /// What was told of already.
    told: Vec<Finding>,
}

impl Auditor {
    pub fn new(node: Node, events: mpsc::Sender<Event>, others: BTreeSet<String>) -> Auditor {
        Auditor {
            node,
            events,
            others,
            told: Vec::new(),
        }
    }

    /// Tells of what is new. `None` once the agent has gone.
    pub async fn round(&mut self, repairs: bool) -> Option<Tally> {
        match self.look(repairs).await {
            Ok(findings) => {
                let tally = findings.map(|findings| self.tell(findings))?;
                let Tally {
                    differences,
                    repaired,
                    failed,
                } = tally;
                if repairs {
                    tracing::info!(
                        differences,
                        repaired,
                        failed,
                        "compared this node with what is recorded"
                    );
                }
                Some(tally)
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "cannot compare the kernel with what is recorded");
                Some(Tally::default())
            }
        }
    }

    async fn look(&self, repairs: bool) -> Result<Option<Vec<Finding>>, AuditError> {
        let Some(first) = self.once().await? else {
            return Ok(None);
        };
        if first.differences.is_empty() {
            return Ok(Some(Vec::new()));
        }
        tokio::time::sleep(MOMENT).await;
        let Some(second) = self.once().await? else {
            return Ok(None);
        };
        let look = Look::lasting(&first.differences, second);
        let node = self.node.clone();
        let explained = spawn_blocking(move || {
            let all = look.differences.iter();
            all.map(|it| settle(&node, &look, it, repairs)).collect()
        });
        Ok(Some(explained.await?))
    }

    async fn once(&self) -> Result<Option<Look>, AuditError> {
        let (ask, answer) = oneshot::channel();
        if self.events.send(Event::Snapshot(ask)).await.is_err() {
            return Ok(None);
        }
        let Ok(book) = answer.await else {
            return Ok(None);
        };
        let (node, others) = (self.node.clone(), self.others.clone());
        let look = spawn_blocking(move || node.look(Asker::Agent(tasks(&book, others))));
        Ok(Some(look.await??))
    }

    fn tell(&mut self, findings: Vec<Finding>) -> Tally {
        let count = |is: fn(&Outcome) -> bool| {
            let meant = findings.iter().filter(|finding| is(&finding.outcome));
            meant.count() as u64
        };
        let tally = Tally {
            differences: count(|it| *it != Outcome::Repaired),
            repaired: count(|it| *it == Outcome::Repaired),
            failed: count(|it| matches!(it, Outcome::Failed(_))),
        };
        for Finding {
            kind,
            place,
            container,
            task,
            why,
            remedy: Remedy::Repair(remedy) | Remedy::Advice(remedy),
            outcome,
        } in findings.iter().filter(|it| !self.told.contains(it))
        {
            let (container, task) = (container.as_deref(), task.as_deref());
            match outcome {
                Outcome::Repaired => tracing::info!(
                    kind,
                    place,
                    container,
                    task,
                    why,
                    remedy,
                    "mended what nobody owns"
                ),
                Outcome::Untried => tracing::warn!(
                    kind,
                    place,
                    container,
                    task,
                    why,
                    remedy,
                    "this is not as it is recorded"
                ),
                Outcome::Failed(error) => tracing::warn!(
                    kind,
                    place,
                    container,
                    task,
                    why,
                    remedy,
                    error,
                    "cannot mend what nobody owns"
                ),
            }
        }
        self.told = findings;
        tally
    }
}

fn settle(node: &Node, look: &Look, difference: &Difference, repairs: bool) -> Finding {
    let mut finding = look.explain(difference);
    // `networks::watch` looks after those.
    let is_cared_for = matches!(
        difference,
        Difference::Network(_) | Difference::Attachment { .. }
    );
    if repairs && !is_cared_for && matches!(finding.remedy, Remedy::Repair(_)) {
        finding.outcome = mend(node, difference);
    }
    finding
}

/// What the agent answers for.
fn tasks(book: &Book, mut containers: BTreeSet<String>) -> Tasks {
    let mut ports = BTreeMap::new();
    for (_, executor) in book.executors() {
        let container = &executor.run.container;
        containers.insert(container.clone());
        containers.extend(executor.nested().map(|(_, container)| container));
        ports.insert(container.clone(), total(&executor.resources()).ports());
    }
    Tasks {
        containers,
        ports,
        offered: total(&book.info.resources).ports(),
    }
}
