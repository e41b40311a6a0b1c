//! The stream of one task's status updates: strictly in order, each until it is acknowledged.
//!
//! Only the oldest unacknowledged update is ever under way. Source: spec/mesos-agent.md section 12.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proto::v1::{TaskState, TaskStatus};

const FIRST_RETRY: Duration = Duration::from_secs(10);
const LAST_RETRY: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub struct Stream {
    /// Oldest first.
    pending: VecDeque<TaskStatus>,
    latest: Option<TaskState>,
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Retry {
    at: Instant,
    interval: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an acknowledgement names no update that waits for one")]
pub struct UnknownUpdate;

impl Stream {
    /// The newest state of the task.
    pub fn latest(&self) -> Option<TaskState> {
        self.latest
    }

    /// No update waits for an acknowledgement.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// So many wait for an acknowledgement.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Adds an update; returns what to send now, if it is the only one.
    pub fn push(&mut self, status: TaskStatus, now: Instant) -> Option<&TaskStatus> {
        self.latest = Some(status.state());
        self.pending.push_back(status);
        if self.pending.len() > 1 {
            return None;
        }
        self.send_first(now)
    }

    /// Takes the acknowledgement of the oldest update; returns what to send next.
    pub fn acknowledge(
        &mut self,
        uuid: &[u8],
        now: Instant,
    ) -> Result<Option<&TaskStatus>, UnknownUpdate> {
        if self
            .pending
            .front()
            .is_none_or(|status| status.uuid() != uuid)
        {
            return Err(UnknownUpdate);
        }
        self.pending.pop_front();
        if self.pending.is_empty() {
            // A task may run for a year before its next: no room is kept for that.
            self.pending = VecDeque::new();
        }
        Ok(self.send_first(now))
    }

    /// There is a (new) master: what to send it.
    pub fn connected(&mut self, now: Instant) -> Option<&TaskStatus> {
        self.send_first(now)
    }

    /// When `woke` should be called.
    pub fn wake_at(&self) -> Option<Instant> {
        self.retry.as_ref().map(|retry| retry.at)
    }

    /// What to send again, when the time has come.
    pub fn woke(&mut self, now: Instant) -> Option<&TaskStatus> {
        let retry = self.retry.as_mut().filter(|retry| retry.at <= now)?;
        retry.interval = (retry.interval * 2).min(LAST_RETRY);
        retry.at = now + retry.interval;
        self.pending.front()
    }

    fn send_first(&mut self, now: Instant) -> Option<&TaskStatus> {
        let first = self.pending.front();
        self.retry = first.map(|_| Retry {
            at: now + FIRST_RETRY,
            interval: FIRST_RETRY,
        });
        first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn update(uuid: u8, state: TaskState) -> TaskStatus {
        TaskStatus {
            uuid: Some(vec![uuid; 16]),
            state: state as i32,
            ..Default::default()
        }
    }

    #[test]
    fn an_update_is_repeated_after_10_s_doubling_to_10_min() {
        let start = Instant::now();
        let mut stream = Stream::default();
        stream.push(update(1, TaskState::TaskRunning), start);
        let mut waits = Vec::new();
        let mut now = start;
        for _ in 0..8 {
            let at = stream.wake_at().unwrap();
            assert!(stream.woke(at - Duration::from_millis(1)).is_none());
            assert!(stream.woke(at).is_some());
            waits.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn a_new_connection_sends_the_oldest_and_starts_at_10_s_again() {
        let now = Instant::now();
        let mut stream = Stream::default();
        stream.push(update(1, TaskState::TaskStarting), now);
        stream.push(update(2, TaskState::TaskRunning), now);
        stream.woke(now + FIRST_RETRY);
        let sent = stream.connected(now + FIRST_RETRY).unwrap();
        assert_eq!(sent.uuid(), [1; 16]);
        assert_eq!(stream.wake_at(), Some(now + 2 * FIRST_RETRY));
        assert_eq!(stream.latest(), Some(TaskState::TaskRunning));
    }

    #[derive(Debug, Clone)]
    enum Act {
        Push,
        Acknowledge(u8),
        Connect,
        Wake(u64),
    }

    fn any_act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::Push),
            (0..12_u8).prop_map(Act::Acknowledge),
            Just(Act::Connect),
            (0..700_u64).prop_map(Act::Wake),
        ]
    }

    proptest! {
        /// The model is a plain queue of numbers: whatever is sent is always its head.
        #[test]
        fn only_the_oldest_unacknowledged_update_is_ever_sent(
            acts in proptest::collection::vec(any_act(), 0..60)
        ) {
            let mut now = Instant::now();
            let mut stream = Stream::default();
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut pushed = 0;
            for act in acts {
                let sent = match act {
                    Act::Push => {
                        model.push_back(pushed);
                        let sent = stream.push(update(pushed, TaskState::TaskRunning), now);
                        prop_assert_eq!(sent.is_some(), model.len() == 1);
                        pushed += 1;
                        sent.cloned()
                    }
                    Act::Acknowledge(uuid) => {
                        let outcome = stream.acknowledge(&[uuid; 16], now).map(|s| s.cloned());
                        prop_assert_eq!(outcome.is_ok(), model.front() == Some(&uuid));
                        if outcome.is_ok() {
                            model.pop_front();
                        }
                        outcome.unwrap_or(None)
                    }
                    Act::Connect => stream.connected(now).cloned(),
                    Act::Wake(seconds) => {
                        now += Duration::from_secs(seconds);
                        stream.woke(now).cloned()
                    }
                };
                if let Some(sent) = sent {
                    prop_assert_eq!(Some(sent.uuid()[0]), model.front().copied());
                }
                prop_assert_eq!(stream.is_empty(), model.is_empty());
                prop_assert_eq!(stream.wake_at().is_some(), !model.is_empty());
            }
        }
    }
}
