//! What an executor may say, and what of it is not taken. Pure. Source: spec/mesos-agent.md section 9.

use std::collections::BTreeSet;

use proto::ids::BadId;
use proto::v1::executor::{Call, call};
use proto::v1::task_status::Source;
use proto::v1::{ExecutorId, TaskState, TaskStatus};

use super::Key;

/// A call that was found to be one.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Subscribe {
        /// Tasks that it has, and nobody has acknowledged anything of.
        tasks: BTreeSet<String>,
        updates: Vec<TaskStatus>,
    },
    Update(Box<TaskStatus>),
    Message(Vec<u8>),
    Heartbeat,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCall {
    #[error("the call has no type, or one that is not known here")]
    UnknownType,
    #[error("a call of type {kind} needs the field {field:?}")]
    NoBody {
        kind: &'static str,
        field: &'static str,
    },
    #[error("status.uuid has {0} bytes: it must have the 16 of a UUID, new for each update")]
    Uuid(usize),
    #[error("status.source is {0}: an executor must say SOURCE_EXECUTOR")]
    Source(&'static str),
    #[error("status.state is TASK_STAGING, which only an agent may say")]
    Staging,
    #[error("status.executor_id is {given:?}, and the call is from executor {own:?}")]
    OtherExecutor { given: String, own: String },
    #[error("status.task_id is {id:?}")]
    TaskId { id: String, source: BadId },
}

/// Whom a call is from, as it says.
pub fn sender(call: &Call) -> Key {
    Key {
        framework: call.framework_id.value.clone(),
        executor: call.executor_id.value.clone(),
    }
}

pub fn check(call: Call) -> Result<Asked, BadCall> {
    let own = call.executor_id.clone();
    match call.r#type() {
        call::Type::Subscribe => {
            let body = call.subscribe.ok_or(BadCall::NoBody {
                kind: "SUBSCRIBE",
                field: "subscribe",
            })?;
            let updates = body.unacknowledged_updates.into_iter();
            let updates = updates.map(|update| checked(update.status, &own));
            Ok(Asked::Subscribe {
                tasks: (body.unacknowledged_tasks.into_iter())
                    .map(|task| task.task_id.value)
                    .collect(),
                updates: updates.collect::<Result<_, _>>()?,
            })
        }
        call::Type::Update => {
            let body = call.update.ok_or(BadCall::NoBody {
                kind: "UPDATE",
                field: "update",
            })?;
            Ok(Asked::Update(Box::new(checked(body.status, &own)?)))
        }
        call::Type::Message => {
            let body = call.message.ok_or(BadCall::NoBody {
                kind: "MESSAGE",
                field: "message",
            })?;
            Ok(Asked::Message(body.data))
        }
        call::Type::Heartbeat => Ok(Asked::Heartbeat),
        call::Type::Unknown => Err(BadCall::UnknownType),
    }
}

fn checked(status: TaskStatus, own: &ExecutorId) -> Result<TaskStatus, BadCall> {
    proto::ids::check(&status.task_id.value).map_err(|source| BadCall::TaskId {
        id: status.task_id.value.clone(),
        source,
    })?;
    if status.uuid().len() != 16 {
        return Err(BadCall::Uuid(status.uuid().len()));
    }
    if status.source() != Source::Executor {
        return Err(BadCall::Source(status.source().as_str_name()));
    }
    if status.state() == TaskState::TaskStaging {
        return Err(BadCall::Staging);
    }
    match &status.executor_id {
        Some(given) if given != own => Err(BadCall::OtherExecutor {
            given: given.value.clone(),
            own: own.value.clone(),
        }),
        _ => Ok(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(change: impl FnOnce(&mut TaskStatus)) -> Call {
        let mut status = TaskStatus {
            task_id: proto::v1::TaskId { value: "t".into() },
            state: TaskState::TaskRunning as i32,
            source: Some(Source::Executor as i32),
            uuid: Some(vec![7; 16]),
            ..Default::default()
        };
        change(&mut status);
        Call {
            executor_id: ExecutorId { value: "E".into() },
            r#type: Some(call::Type::Update as i32),
            update: Some(call::Update { status }),
            ..Default::default()
        }
    }

    #[test]
    fn an_update_is_taken_only_with_all_that_an_executor_must_say() {
        assert!(matches!(check(update(|_| {})), Ok(Asked::Update(_))));
        let refused = |change: fn(&mut TaskStatus)| check(update(change)).unwrap_err();
        assert_eq!(refused(|s| s.uuid = None), BadCall::Uuid(0));
        assert_eq!(refused(|s| s.uuid = Some(vec![7; 15])), BadCall::Uuid(15));
        assert_eq!(
            refused(|s| s.source = Some(Source::Master as i32)),
            BadCall::Source("SOURCE_MASTER")
        );
        assert!(matches!(refused(|s| s.source = None), BadCall::Source(_)));
        assert_eq!(
            refused(|s| s.state = TaskState::TaskStaging as i32),
            BadCall::Staging
        );
        let of_another =
            |s: &mut TaskStatus| s.executor_id = Some(ExecutorId { value: "D".into() });
        assert!(matches!(refused(of_another), BadCall::OtherExecutor { .. }));
        assert!(matches!(
            refused(|s| s.task_id.value = "../t".into()),
            BadCall::TaskId { .. }
        ));
    }

    #[test]
    fn what_a_subscription_repeats_is_judged_as_if_it_were_new() {
        let mut subscribe = Call {
            r#type: Some(call::Type::Subscribe as i32),
            ..update(|_| {})
        };
        assert!(matches!(
            check(subscribe.clone()),
            Err(BadCall::NoBody { .. })
        ));
        let bad = update(|s| s.uuid = None).update.unwrap();
        subscribe.subscribe = Some(call::Subscribe {
            unacknowledged_tasks: vec![],
            unacknowledged_updates: vec![bad],
        });
        assert_eq!(check(subscribe), Err(BadCall::Uuid(0)));
    }

    #[test]
    fn a_call_without_a_type_is_none() {
        let call = Call {
            r#type: None,
            ..update(|_| {})
        };
        assert_eq!(check(call), Err(BadCall::UnknownType));
    }
}
