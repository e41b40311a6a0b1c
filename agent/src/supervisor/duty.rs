//! Whose the tasks are, while the agent is handed over to another process.
//!
//! What the master orders meanwhile is lost to nobody: it is held back, in order, for whoever goes on.

use proto::link::to_agent::Message as Order;
use tokio::sync::{mpsc, oneshot};

use super::Supervisor;
use crate::book::{Book, ExecutorState};
use crate::executor::messages::Order as ExecutorOrder;
use crate::task::actor::Message;

/// Whether all that is known of a task, or of an executor and its tasks, is written down; if not, why.
pub type Written = oneshot::Sender<Result<(), String>>;

#[derive(Debug)]
pub enum Duty {
    /// Orders are carried out.
    Working,
    /// No task is begun until those that are being launched have come up, which is told to `settled`.
    Settling {
        held: Vec<Order>,
        settled: Option<oneshot::Sender<()>>,
    },
    /// The tasks are another process's.
    Relieved {
        held: Vec<Order>,
        /// Waits until the master has nothing more to say to this process.
        heard_out: Option<oneshot::Sender<Vec<Order>>>,
    },
    /// Waits for what an earlier process has held back.
    Waiting { held: Vec<Order> },
}

impl Duty {
    /// Takes an order that is not to be carried out now.
    fn hold(&mut self, order: Order) -> Option<Order> {
        match self {
            Duty::Working => Some(order),
            Duty::Settling { held, .. } => match waits(&order, held) {
                true => {
                    held.push(order);
                    None
                }
                false => Some(order),
            },
            Duty::Relieved { held, .. } | Duty::Waiting { held } => {
                held.push(order);
                None
            }
        }
    }

    fn take_held(self) -> Vec<Order> {
        match self {
            Duty::Working => vec![],
            Duty::Settling { held, .. } | Duty::Relieved { held, .. } | Duty::Waiting { held } => {
                held
            }
        }
    }
}

/// Whether an order begins a task, or comes after one of the same framework that does.
fn waits(order: &Order, held: &[Order]) -> bool {
    match order {
        Order::RunTask(_) | Order::RunTaskGroup(_) => true,
        // Of tasks that are here.
        Order::Acknowledge(_) => false,
        _ => {
            let framework = framework(order);
            framework.is_some() && held.iter().any(|it| self::framework(it) == framework)
        }
    }
}

/// Whose tasks an order is about.
fn framework(order: &Order) -> Option<&str> {
    match order {
        Order::RunTask(it) => it.framework.id.as_ref().map(|id| id.value.as_str()),
        Order::RunTaskGroup(it) => it.framework.id.as_ref().map(|id| id.value.as_str()),
        Order::UpdateFramework(it) => it.framework.id.as_ref().map(|id| id.value.as_str()),
        Order::KillTask(it) => Some(&it.framework_id.value),
        Order::Acknowledge(it) => Some(&it.framework_id.value),
        Order::ShutdownFramework(it) => Some(&it.framework_id.value),
        Order::ShutdownExecutor(it) => Some(&it.framework_id.value),
        Order::FrameworkMessage(it) => Some(&it.framework_id.value),
        Order::Registered(_)
        | Order::Refused(_)
        | Order::Ping(_)
        | Order::Reconcile(_)
        | Order::Shutdown(_) => None,
    }
}

impl Supervisor {
    /// Until an earlier process has passed on what it held back.
    pub fn wait_for_orders(&mut self) {
        self.duty = Duty::Waiting { held: vec![] };
    }

    /// Says so when no launch is under way, and has none begun.
    pub(super) fn settle(&mut self, settled: oneshot::Sender<()>) {
        self.duty = Duty::Settling {
            held: vec![],
            settled: Some(settled),
        };
    }

    /// To be looked at after each event.
    pub(super) fn has_settled(&mut self) {
        if let Duty::Settling { settled, .. } = &mut self.duty
            && !is_launching(&self.book)
            && let Some(settled) = settled.take()
        {
            // Whoever asked may have given up.
            let _ = settled.send(());
        }
    }

    /// Carries out `first`, and then what was held back.
    pub(super) async fn resume(&mut self, first: Vec<Order>) {
        let held = std::mem::replace(&mut self.duty, Duty::Working).take_held();
        for order in first.into_iter().chain(held) {
            self.on_order(order).await;
        }
    }

    /// Has all that is only known to this process written down, and says whether it is.
    pub(super) async fn write_down(&mut self, written: oneshot::Sender<Result<(), String>>) {
        if let Err(error) = self.pay().await {
            // Whoever asked may have given up.
            let _ = written.send(Err(proto::error::chain(&error)));
            return;
        }
        let (mailboxes, executors) = (self.mailboxes(), self.executors_that_last());
        let groups = self.write_groups_down();
        tokio::spawn(async move {
            // First: who finds a task of one finds which others belong to it.
            if let Err(why) = groups.await {
                return drop(written.send(Err(why)));
            }
            let (tasks, executors) = tokio::join!(
                ask(&mailboxes, Message::WriteDown),
                ask(&executors, ExecutorOrder::WriteDown),
            );
            // The same.
            let _ = written.send(tasks.and(executors));
        });
    }

    fn mailboxes(&self) -> Vec<mpsc::Sender<Message>> {
        self.tasks.values().map(|it| it.mailbox.clone()).collect()
    }

    /// Has every task's actor end, and says so when all have.
    pub(super) fn relieve(&mut self, relieved: oneshot::Sender<Result<(), String>>) {
        let held = std::mem::replace(&mut self.duty, Duty::Working).take_held();
        self.duty = Duty::Relieved {
            held,
            heard_out: None,
        };
        let (mailboxes, executors) = (self.mailboxes(), self.executors_that_last());
        let ended = self.end_other_executors();
        let (groups, keepers) = (self.write_groups_down(), self.hand_over_groups());
        tokio::spawn(async move {
            let of_groups = groups.await;
            let (of_tasks, of_executors) = tokio::join!(
                ask(&mailboxes, Message::HandOver),
                ask(&executors, ExecutorOrder::HandOver),
            );
            for mailbox in mailboxes {
                mailbox.closed().await;
            }
            for executor in executors.into_iter().chain(ended) {
                executor.closed().await;
            }
            for keeper in keepers {
                keeper.closed().await;
            }
            // Whoever asked may have given up.
            let _ = relieved.send(of_groups.and(of_tasks).and(of_executors));
        });
    }

    /// What was held back, once the link to the master has ended.
    pub(super) fn hear_out(&mut self, asker: oneshot::Sender<Vec<Order>>) {
        if let Duty::Relieved { heard_out, .. } = &mut self.duty {
            *heard_out = Some(asker);
        }
        self.is_heard_out();
    }

    /// To be looked at whenever the link has ended.
    pub(super) fn is_heard_out(&mut self) {
        if let Duty::Relieved { held, heard_out } = &mut self.duty
            && self.outgoing.is_none()
            && let Some(asker) = heard_out.take()
        {
            let _ = asker.send(std::mem::take(held));
        }
    }

    /// Whether this process speaks for the agent.
    pub(super) fn is_the_agent(&self) -> bool {
        match self.duty {
            Duty::Working | Duty::Settling { .. } | Duty::Waiting { .. } => true,
            Duty::Relieved { .. } => false,
        }
    }

    /// Carries an order out, now or when its time comes.
    pub(super) async fn take_order(&mut self, order: Order) {
        if let Some(order) = self.duty.hold(order) {
            self.on_order(order).await;
        }
    }
}

fn is_launching(book: &Book) -> bool {
    let mut executors = book.executors();
    executors.any(|(_, executor)| executor.state == ExecutorState::Registering)
}

/// Asks all of them, and gives the first refusal when each has answered. One that has ended has nothing left
/// to be written down.
async fn ask<M>(
    mailboxes: &[mpsc::Sender<M>],
    question: impl Fn(Written) -> M,
) -> Result<(), String> {
    let mut answers = Vec::new();
    for mailbox in mailboxes {
        let (answer, says) = oneshot::channel();
        if mailbox.send(question(answer)).await.is_ok() {
            answers.push(says);
        }
    }
    let mut all = Ok(());
    for says in answers {
        all = all.and(says.await.unwrap_or(Ok(())));
    }
    all
}

#[cfg(test)]
mod tests {
    use proto::link::{Acknowledge, KillTask, Reconcile, RunTask, Shutdown};
    use proto::v1;

    use super::*;

    fn run(framework: &str) -> Order {
        Order::RunTask(RunTask {
            framework: v1::FrameworkInfo {
                id: Some(id(framework)),
                ..Default::default()
            },
            task: v1::TaskInfo::default(),
        })
    }

    fn kill(framework: &str) -> Order {
        Order::KillTask(KillTask {
            framework_id: id(framework),
            ..Default::default()
        })
    }

    fn acknowledge(framework: &str) -> Order {
        Order::Acknowledge(Acknowledge {
            framework_id: id(framework),
            ..Default::default()
        })
    }

    fn id(value: &str) -> v1::FrameworkId {
        v1::FrameworkId {
            value: value.to_owned(),
        }
    }

    #[tokio::test]
    async fn all_are_asked_whoever_refuses_and_who_has_gone_has_nothing_to_say() {
        let (gone, _) = mpsc::channel(1);
        let (asked, mut questions) = mpsc::channel(1);
        let owners = tokio::spawn(async move {
            for said in [Ok(()), Err("no room"), Err("no more"), Ok(())] {
                let answer: Written = questions.recv().await.unwrap();
                answer.send(said.map_err(str::to_owned)).unwrap();
            }
            // Ends when it is asked.
            questions.recv().await.unwrap();
        });
        let mut mailboxes = vec![asked; 5];
        mailboxes.push(gone);
        let refused = ask(&mailboxes, |answer| answer).await;
        assert_eq!(refused, Err("no room".to_owned()));
        owners.await.unwrap();
        assert_eq!(ask(&mailboxes, |answer| answer).await, Ok(()));
    }

    #[test]
    fn while_launches_come_up_only_what_begins_a_task_or_may_be_about_one_that_waits_is_held() {
        let mut duty = Duty::Settling {
            held: vec![],
            settled: None,
        };
        let table = [
            (kill("A"), false),
            (run("A"), true),
            (kill("A"), true),
            (acknowledge("A"), false),
            (kill("B"), false),
            (Order::Shutdown(Shutdown::default()), false),
            (Order::Reconcile(Reconcile::default()), false),
            (run("B"), true),
            (kill("B"), true),
        ];
        let mut held = Vec::new();
        for (order, is_held) in table {
            assert_eq!(duty.hold(order.clone()).is_none(), is_held, "{order:?}");
            held.extend(is_held.then_some(order));
        }
        assert_eq!(duty.take_held(), held);
    }

    #[test]
    fn who_is_relieved_or_waits_holds_everything_in_order() {
        let relieved = Duty::Relieved {
            held: vec![run("A")],
            heard_out: None,
        };
        let waiting = Duty::Waiting {
            held: vec![run("A")],
        };
        for mut duty in [relieved, waiting] {
            assert!(duty.hold(acknowledge("A")).is_none());
            assert!(duty.hold(kill("B")).is_none());
            assert_eq!(duty.take_held(), [run("A"), acknowledge("A"), kill("B")]);
        }
        assert_eq!(Duty::Working.hold(kill("A")), Some(kill("A")));
    }
}
