//! Offers, and the form in which a framework understands their resources.

use std::time::Duration;

use proto::resources::Resources;
use proto::v1;
use proto::v1::framework_info::capability::Type as Capability;

use super::agent::Agent;
use super::framework::Framework;
use super::ids::{AgentId, FrameworkId, OfferId};

#[derive(Debug)]
pub struct Offer {
    pub id: OfferId,
    pub framework: FrameworkId,
    pub agent: AgentId,
    pub role: String,
    pub resources: Resources,
    /// When it is rescinded unless answered.
    pub until: Option<Duration>,
}

impl Offer {
    pub fn wire(&self, agent: &Agent, framework: &Framework) -> v1::Offer {
        let multi_role = framework.has(Capability::MultiRole);
        v1::Offer {
            id: self.id.wire(),
            framework_id: self.framework.wire(),
            agent_id: self.agent.wire(),
            hostname: agent.info.hostname.clone(),
            resources: resources(&self.resources, &self.role, framework),
            executor_ids: executors(agent, framework),
            attributes: agent.info.attributes.clone(),
            url: Some(v1::Url {
                scheme: "http".to_owned(),
                address: agent.address.clone(),
                path: Some("/slave(1)".to_owned()),
                ..v1::Url::default()
            }),
            allocation_info: multi_role.then(|| allocation(&self.role)),
            domain: agent.info.domain.clone(),
            unavailability: None,
        }
    }
}

fn executors(agent: &Agent, framework: &Framework) -> Vec<v1::ExecutorId> {
    let mine = agent
        .executors
        .keys()
        .filter(|(owner, _)| *owner == framework.id);
    mine.map(|(_, executor)| executor.wire()).collect()
}

fn allocation(role: &str) -> v1::resource::AllocationInfo {
    v1::resource::AllocationInfo {
        role: Some(role.to_owned()),
    }
}

/// Strict clients compare these fields literally: the allocation only appears for MULTI_ROLE, and
/// a framework without RESERVATION_REFINEMENT gets `role` and `reservation` instead of the stack.
fn resources(resources: &Resources, role: &str, framework: &Framework) -> Vec<v1::Resource> {
    let resources = match framework.has(Capability::MultiRole) {
        true => resources.allocate(role),
        false => resources.clone(),
    };
    if framework.has(Capability::ReservationRefinement) {
        return resources.to_protos();
    }
    // The allocator offers nothing refined to such a framework.
    resources.to_protos_pre_refinement().unwrap_or_default()
}
