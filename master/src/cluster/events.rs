//! What a framework hears, as wire messages.

use proto::v1;
use proto::v1::scheduler::Event;
use proto::v1::scheduler::event::{self, Type};

use super::ids::{AgentId, ExecutorId, FrameworkId, OfferId};

/// Seconds between heartbeats on a scheduler's stream.
pub const HEARTBEAT_SECONDS: u64 = 15;

fn of(kind: Type) -> Event {
    Event {
        r#type: Some(kind.into()),
        ..Event::default()
    }
}

pub fn subscribed(id: &FrameworkId, master: &v1::MasterInfo) -> Event {
    let body = event::Subscribed {
        framework_id: id.wire(),
        heartbeat_interval_seconds: Some(HEARTBEAT_SECONDS as f64),
        master_info: Some(master.clone()),
    };
    Event {
        subscribed: Some(body),
        ..of(Type::Subscribed)
    }
}

pub fn heartbeat() -> Event {
    of(Type::Heartbeat)
}

pub fn offers(offers: Vec<v1::Offer>) -> Event {
    Event {
        offers: Some(event::Offers { offers }),
        ..of(Type::Offers)
    }
}

pub fn rescind(offer: &OfferId) -> Event {
    Event {
        rescind: Some(event::Rescind {
            offer_id: offer.wire(),
        }),
        ..of(Type::Rescind)
    }
}

pub fn update(status: v1::TaskStatus) -> Event {
    Event {
        update: Some(event::Update { status }),
        ..of(Type::Update)
    }
}

pub fn operation(status: v1::OperationStatus) -> Event {
    let body = event::UpdateOperationStatus { status };
    Event {
        update_operation_status: Some(body),
        ..of(Type::UpdateOperationStatus)
    }
}

pub fn message(agent: &AgentId, executor: v1::ExecutorId, data: Vec<u8>) -> Event {
    let body = event::Message {
        agent_id: agent.wire(),
        executor_id: executor,
        data,
    };
    Event {
        message: Some(body),
        ..of(Type::Message)
    }
}

pub fn agent_lost(agent: &AgentId) -> Event {
    let body = event::Failure {
        agent_id: Some(agent.wire()),
        ..event::Failure::default()
    };
    Event {
        failure: Some(body),
        ..of(Type::Failure)
    }
}

/// `status` is the raw wait(2) status, -1 when nobody knows it.
pub fn executor_exited(agent: &AgentId, executor: &ExecutorId, status: i32) -> Event {
    let body = event::Failure {
        agent_id: Some(agent.wire()),
        executor_id: Some(executor.wire()),
        status: Some(status),
    };
    Event {
        failure: Some(body),
        ..of(Type::Failure)
    }
}

/// The last thing said on a stream.
pub fn error(message: String) -> Event {
    Event {
        error: Some(event::Error { message }),
        ..of(Type::Error)
    }
}
