//! The agent as a service of a manager such as systemd: says when it is ready, what it does, and that it
//! is alive for as long as it is.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::notify::{Notifier, NotifyError, Word, watchdog};
use crate::start::Handle;
use crate::supervisor::Event;

/// Between two looks at what there is to tell, where no watchdog wants it more often.
const CALM: Duration = Duration::from_secs(30);

/// Of what a watchdog waits for one sign; the others are for those that come late.
const SIGNS: u32 = 3;

/// What the supervisor says when it is asked whether it is alive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pulse {
    pub agent: Option<String>,
    pub is_registered: bool,
    pub tasks: usize,
    pub drains: bool,
}

impl Pulse {
    /// What `systemctl status` shows.
    fn told(&self) -> String {
        let whom = match (&self.agent, self.is_registered) {
            (None, _) => "not registered yet".to_owned(),
            (Some(agent), true) => format!("registered as {agent}"),
            (Some(agent), false) => format!("agent {agent}, without its master"),
        };
        let tasks = match self.tasks {
            1 => "1 task".to_owned(),
            n => format!("{n} tasks"),
        };
        match (self.drains, self.tasks) {
            (false, _) => format!("{whom}; {tasks}"),
            (true, 0) => format!("{whom}; drained"),
            (true, _) => format!("{whom}; draining, {tasks} left"),
        }
    }
}

/// Ends its signs of life when it is dropped.
#[derive(Debug)]
pub struct Service {
    notifier: Notifier,
    watch: Option<JoinHandle<()>>,
}

impl Service {
    /// For an agent that is ready. Without a manager it does nothing.
    pub fn begin(agent: &Handle) -> Result<Service, NotifyError> {
        let (notifier, patience) = (Notifier::from_environment()?, watchdog()?);
        let watch = match notifier.is_on() {
            true => {
                let told = Notifier::from_environment()?;
                Some(tokio::spawn(live(told, patience, agent.events())))
            }
            false => None,
        };
        notifier.tell(&[Word::Ready]);
        Ok(Service { notifier, watch })
    }

    /// The agent is about to end.
    pub fn stopping(&self) {
        self.notifier.tell(&[Word::Stopping]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

/// A sign of life is the supervisor's own: all that an agent does goes through it.
async fn live(notifier: Notifier, patience: Option<Duration>, events: mpsc::Sender<Event>) {
    let interval = patience.map_or(CALM, |patience| (patience / SIGNS).min(CALM));
    let mut last = None;
    loop {
        let (ask, answer) = oneshot::channel();
        if events.send(Event::Pulse(ask)).await.is_err() {
            return;
        }
        let Ok(pulse) = answer.await else { return };
        let told = pulse.told();
        match patience {
            Some(_) => notifier.tell(&[Word::Watchdog, Word::Status(&told)]),
            None if last.as_ref() != Some(&told) => notifier.tell(&[Word::Status(&told)]),
            None => {}
        }
        last = Some(told);
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_the_agent_is_at() {
        let pulse = |agent: Option<&str>, is_registered, tasks, drains| Pulse {
            agent: agent.map(str::to_owned),
            is_registered,
            tasks,
            drains,
        };
        let table = [
            (pulse(None, false, 0, false), "not registered yet; 0 tasks"),
            (
                pulse(Some("S0"), true, 1, false),
                "registered as S0; 1 task",
            ),
            (
                pulse(Some("S0"), false, 3, true),
                "agent S0, without its master; draining, 3 tasks left",
            ),
            (
                pulse(Some("S0"), true, 0, true),
                "registered as S0; drained",
            ),
        ];
        for (pulse, wanted) in table {
            assert_eq!(pulse.told(), wanted);
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_called_alive() {
        use std::os::unix::net::UnixDatagram;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.to_str().unwrap()).unwrap();
        let (events, mut inbox) = mpsc::channel(1);
        let patience = Some(Duration::from_millis(3));
        let watch = tokio::spawn(live(notifier, patience, events));
        let mut held = None;
        for _ in 0..2 {
            let Some(Event::Pulse(ask)) = inbox.recv().await else {
                panic!("it asks");
            };
            let answer = match held {
                None => ask.send(Pulse::default()),
                Some(_) => Ok(()),
            };
            assert!(answer.is_ok());
            held = Some(());
        }
        watch.await.unwrap();
        let mut said = [0; 256];
        let length = manager.recv(&mut said).unwrap();
        assert_eq!(
            &said[..length],
            b"WATCHDOG=1\nSTATUS=not registered yet; 0 tasks\n"
        );
        manager.set_nonblocking(true).unwrap();
        assert!(manager.recv(&mut said).is_err(), "one sign for one answer");
    }
}
