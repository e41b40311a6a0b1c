//! Calls as the master reads them.

use std::time::Duration;

use proto::v1;
use proto::v1::scheduler;
use proto::v1::scheduler::call::{self, Type};

use crate::app::task::kill_after;
use crate::engine::Call;

pub fn subscribe(info: v1::FrameworkInfo) -> scheduler::Call {
    let id = info.id.clone();
    let subscribe = call::Subscribe {
        framework_info: info,
        ..call::Subscribe::default()
    };
    scheduler::Call {
        framework_id: id,
        subscribe: Some(subscribe),
        ..of_type(Type::Subscribe)
    }
}

pub fn encode(call: Call, framework_id: v1::FrameworkId) -> scheduler::Call {
    let encoded = match call {
        Call::Revive => {
            let revive = Some(call::Revive::default());
            scheduler::Call {
                revive,
                ..of_type(Type::Revive)
            }
        }
        Call::Suppress => {
            let suppress = Some(call::Suppress::default());
            scheduler::Call {
                suppress,
                ..of_type(Type::Suppress)
            }
        }
        Call::Accept {
            offer,
            tasks,
            refuse,
        } => {
            let launch = v1::offer::operation::Launch { task_infos: tasks };
            let operation = v1::offer::Operation {
                r#type: Some(v1::offer::operation::Type::Launch.into()),
                launch: Some(launch),
                ..v1::offer::Operation::default()
            };
            let accept = call::Accept {
                offer_ids: vec![offer],
                operations: vec![operation],
                filters: Some(filters(refuse)),
            };
            scheduler::Call {
                accept: Some(accept),
                ..of_type(Type::Accept)
            }
        }
        Call::Decline { offers, refuse } => {
            let decline = call::Decline {
                offer_ids: offers,
                filters: Some(filters(refuse)),
            };
            scheduler::Call {
                decline: Some(decline),
                ..of_type(Type::Decline)
            }
        }
        Call::Kill { task, agent, grace } => {
            let kill = call::Kill {
                task_id: v1::TaskId { value: task },
                agent_id: agent.map(|value| v1::AgentId { value }),
                kill_policy: grace.map(kill_after),
            };
            scheduler::Call {
                kill: Some(kill),
                ..of_type(Type::Kill)
            }
        }
        Call::Acknowledge { agent, task, uuid } => {
            let acknowledge = call::Acknowledge {
                agent_id: agent,
                task_id: task,
                uuid,
            };
            scheduler::Call {
                acknowledge: Some(acknowledge),
                ..of_type(Type::Acknowledge)
            }
        }
        Call::Reconcile { tasks } => {
            let task = |(task, agent)| call::reconcile::Task {
                task_id: v1::TaskId { value: task },
                agent_id: Some(v1::AgentId { value: agent }),
            };
            let reconcile = call::Reconcile {
                tasks: tasks.into_iter().map(task).collect(),
            };
            scheduler::Call {
                reconcile: Some(reconcile),
                ..of_type(Type::Reconcile)
            }
        }
    };
    scheduler::Call {
        framework_id: Some(framework_id),
        ..encoded
    }
}

fn of_type(kind: Type) -> scheduler::Call {
    scheduler::Call {
        r#type: Some(kind.into()),
        ..scheduler::Call::default()
    }
}

fn filters(refuse: Duration) -> v1::Filters {
    v1::Filters {
        refuse_seconds: Some(refuse.as_secs_f64()),
    }
}
