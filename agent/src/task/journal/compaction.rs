//! What of a task's history must be kept, so that its journal does not grow for as long as the task lives.
//! Pure.

use proto::v1::{TaskState, TaskStatus};

use super::{History, Record};

/// Updates that are acknowledged, and of which it is known that they have come: an executor may repeat one.
pub const KEPT: usize = 128;

/// Records that come to what a next process must know of `history`.
///
/// Updates that nobody has acknowledged are kept as they are, and so is the newest of the others, which is
/// shown. Of those before it only that they have come, and since when the task has been running.
pub fn compacted(history: &History) -> Vec<Record> {
    let (told, open) = history.updates.split_at(history.acknowledged);
    let is_running = |status: &TaskStatus| status.state() == TaskState::TaskRunning;
    let running = told.iter().position(is_running);
    let kept = told.len().saturating_sub(KEPT);
    let earlier = running.filter(|running| *running < kept);
    let kept = earlier.into_iter().chain(kept..told.len());
    let updates = kept.map(|at| match at + 1 == told.len() {
        true => told[at].clone(),
        false => brief(&told[at]),
    });
    let about = Record {
        handed_over: history.handed_over,
        came_as: history.came_as,
        killing: history.killing.clone(),
        ..Record::default()
    };
    let acknowledged = told.last().map(|last| Record {
        acknowledged: Some(last.uuid().to_vec()),
        ..Record::default()
    });
    let update = |status| Record {
        update: Some(status),
        ..Record::default()
    };
    [about]
        .into_iter()
        .chain(updates.map(update))
        .chain(acknowledged)
        .chain(open.iter().cloned().map(update))
        .collect()
}

fn brief(status: &TaskStatus) -> TaskStatus {
    TaskStatus {
        task_id: status.task_id.clone(),
        state: status.state,
        source: status.source,
        uuid: status.uuid.clone(),
        timestamp: status.timestamp,
        ..TaskStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::history;
    use super::*;
    use crate::task::killing::Killing;

    fn status(number: u64, state: TaskState) -> TaskStatus {
        TaskStatus {
            state: state as i32,
            uuid: Some(number.to_le_bytes().repeat(2)),
            timestamp: Some(number as f64),
            message: Some(format!("this is number {number}")),
            ..TaskStatus::default()
        }
    }

    fn since(history: &History) -> Option<f64> {
        let mut updates = history.updates.iter();
        updates
            .find(|status| status.state() == TaskState::TaskRunning)
            .and_then(|status| status.timestamp)
    }

    #[derive(Debug, Clone)]
    enum Act {
        Update(TaskState),
        Acknowledge,
        HandOver,
        Kill(u64),
        Compact,
    }

    fn act() -> impl Strategy<Value = Act> {
        use TaskState::{TaskKilling, TaskRunning, TaskStarting};
        let state = prop::sample::select(vec![TaskStarting, TaskRunning, TaskKilling]);
        prop_oneof![
            8 => state.prop_map(Act::Update),
            8 => Just(Act::Acknowledge),
            1 => Just(Act::HandOver),
            1 => any::<u64>().prop_map(Act::Kill),
            2 => Just(Act::Compact),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_that_a_next_agent_needs(acts in prop::collection::vec(act(), 0..600)) {
            // All that was ever written, and what is left of it.
            let (mut all, mut records) = (Vec::new(), Vec::new());
            for (number, act) in acts.into_iter().enumerate() {
                let record = match act {
                    Act::Update(state) => Record {
                        update: Some(status(number as u64, state)),
                        ..Record::default()
                    },
                    Act::Acknowledge => {
                        let history = history(all.clone());
                        let open = history.updates.get(history.acknowledged);
                        let Some(oldest) = open else { continue };
                        Record { acknowledged: oldest.uuid.clone(), ..Record::default() }
                    }
                    Act::HandOver => Record { handed_over: true, ..Record::default() },
                    Act::Kill(grace) => Record {
                        killing: Some(Killing { grace, ..Killing::default() }),
                        ..Record::default()
                    },
                    Act::Compact => {
                        records = compacted(&history(records));
                        continue;
                    }
                };
                all.push(record.clone());
                records.push(record);
            }
            records = compacted(&history(records));
            let (whole, kept) = (history(all), history(records.clone()));
            prop_assert_eq!(
                &whole.updates[whole.acknowledged..],
                &kept.updates[kept.acknowledged..]
            );
            let last = |history: &History| history.updates[..history.acknowledged].last().cloned();
            prop_assert_eq!(last(&whole), last(&kept));
            let newest = |history: &History| -> Vec<_> {
                let told = history.updates[..history.acknowledged].iter().rev();
                told.take(KEPT).map(|status| (status.state, status.uuid.clone())).collect()
            };
            prop_assert_eq!(newest(&whole), newest(&kept));
            prop_assert_eq!(since(&whole), since(&kept));
            prop_assert_eq!(
                (whole.handed_over, whole.came_as, whole.killing),
                (kept.handed_over, kept.came_as, kept.killing.clone())
            );
            prop_assert!(kept.acknowledged <= KEPT + 1);
            // What is compact is not made more so.
            prop_assert_eq!(compacted(&history(records.clone())), records);
        }
    }
}
