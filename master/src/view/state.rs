//! `/state`, `/slaves` and `/frameworks`.

use proto::resources::Resources;
use proto::v0;
use serde_json::{Map, Value, json};

use super::{About, offered_on, offered_to, used_by, used_on};
use crate::cluster::{Agent, Cluster, Completed, Connection, Framework, Offer, Task};

pub fn state(cluster: &Cluster, about: &About) -> Value {
    let master = &cluster.config.master;
    let active = cluster
        .agents
        .values()
        .filter(|agent| agent.is_active())
        .count();
    let capabilities: Vec<&str> = master
        .capabilities
        .iter()
        .map(|c| c.r#type().as_str_name())
        .collect();
    let mut state = proto::version::info();
    let rest = json!({
        "start_time": about.start_time,
        "elected_time": about.start_time,
        "id": master.id,
        "pid": master.pid(),
        "hostname": master.hostname(),
        "capabilities": capabilities,
        "activated_slaves": active as f64,
        "deactivated_slaves": (cluster.agents.len() - active) as f64,
        "unreachable_slaves": cluster.unreachable.len() as f64,
        "leader": master.pid(),
        "leader_info": {
            "id": master.id,
            "pid": master.pid(),
            "port": master.port,
            "hostname": master.hostname(),
        },
        "flags": about.flags,
        "slaves": cluster.agents.values().map(|a| agent(cluster, a)).collect::<Vec<_>>(),
        "recovered_slaves": recovered(cluster),
        "frameworks": cluster.frameworks.values().map(|f| framework(cluster, f)).collect::<Vec<_>>(),
        "completed_frameworks": cluster.completed.iter().map(|f| completed(cluster, f)).collect::<Vec<_>>(),
        "orphan_tasks": [],
        "unregistered_frameworks": [],
    });
    extend(&mut state, rest);
    if let Some(name) = &about.cluster {
        state.insert("cluster".to_owned(), json!(name));
    }
    Value::Object(state)
}

/// With an id, only the agent of that id.
pub fn agents(cluster: &Cluster, id: Option<&str>) -> Value {
    let wanted = cluster
        .agents
        .values()
        .filter(|a| id.is_none_or(|id| a.id.as_str() == id));
    let agents = wanted.map(|a| {
        let mut object = agent(cluster, a);
        let full = |resources: &Resources| v0::resources_full(resources);
        let by_role = a.total.reserved().into_iter();
        extend(&mut object, json!({
            "reserved_resources_full": by_role.map(|(role, r)| (role, full(&r))).collect::<Map<_, _>>(),
            "unreserved_resources_full": full(&a.total.unreserved()),
            "used_resources_full": full(&used_on(cluster, a)),
            "offered_resources_full": full(&offered_on(cluster, a)),
        }));
        Value::Object(object)
    });
    json!({ "slaves": agents.collect::<Vec<_>>(), "recovered_slaves": recovered(cluster) })
}

/// With an id, only the framework of that id.
pub fn frameworks(cluster: &Cluster, id: Option<&str>) -> Value {
    let wanted = |f: &Framework| id.is_none_or(|id| f.id.as_str() == id);
    let live = cluster.frameworks.values().filter(|f| wanted(f));
    let past = cluster.completed.iter().filter(|c| wanted(&c.framework));
    json!({
        "frameworks": live.map(|f| framework(cluster, f)).collect::<Vec<_>>(),
        "completed_frameworks": past.map(|f| completed(cluster, f)).collect::<Vec<_>>(),
        "unregistered_frameworks": [],
    })
}

pub(super) fn agent(cluster: &Cluster, agent: &Agent) -> Map<String, Value> {
    let by_role = agent.total.reserved().into_iter();
    let capabilities: Vec<&str> = agent.capabilities.iter().map(|c| c.as_str_name()).collect();
    let mut object = Map::new();
    extend(
        &mut object,
        json!({
            "id": agent.id.as_str(),
            "hostname": agent.info.hostname,
            "port": agent.address.port,
            "attributes": proto::attributes::flat_json(&agent.info.attributes),
            "pid": agent.pid(),
            "registered_time": agent.registered,
            "resources": agent.total.flat_json(),
            "used_resources": used_on(cluster, agent).flat_json(),
            "offered_resources": offered_on(cluster, agent).flat_json(),
            "reserved_resources": by_role.map(|(role, r)| (role, Value::Object(r.flat_json()))).collect::<Map<_, _>>(),
            "unreserved_resources": agent.total.unreserved().flat_json(),
            "active": agent.is_active(),
            "deactivated": agent.drain.is_some(),
            "version": agent.version,
            "capabilities": capabilities,
        }),
    );
    if let Some(time) = agent.reregistered {
        object.insert("reregistered_time".to_owned(), json!(time));
    }
    if let Some(drain) = &agent.drain {
        object.insert("drain_info".to_owned(), proto::json::to_value(drain));
    }
    if let Some(domain) = &agent.info.domain {
        object.insert("domain".to_owned(), v0::domain(domain));
    }
    object
}

/// Agents of the registry that have not come back since this master started.
fn recovered(cluster: &Cluster) -> Vec<Value> {
    let agents = cluster.recovered.iter().map(|(id, info)| {
        let resources = Resources::from_protos(&info.resources).unwrap_or_default();
        json!({
            "id": id.as_str(),
            "hostname": info.hostname,
            "port": info.port(),
            "attributes": proto::attributes::flat_json(&info.attributes),
            "resources": resources.flat_json(),
        })
    });
    agents.collect()
}

/// What `/state-summary` shows of a framework too. Frameworks of the HTTP API have no `pid`: an
/// empty one would break resolvers.
pub(super) fn framework_summary(cluster: &Cluster, framework: &Framework) -> Map<String, Value> {
    let connected = framework.stream().is_some();
    let mut object = Map::new();
    extend(
        &mut object,
        json!({
            "id": framework.id.as_str(),
            "name": framework.info.name,
            "used_resources": used_by(cluster, framework).flat_json(),
            "offered_resources": offered_to(cluster, framework).flat_json(),
            "capabilities": v0::framework_capabilities(&framework.info),
            "hostname": framework.info.hostname(),
            "webui_url": framework.info.webui_url(),
            "active": connected,
            "connected": connected,
            "recovered": framework.connection == Connection::Recovered,
        }),
    );
    object
}

fn framework(cluster: &Cluster, framework: &Framework) -> Map<String, Value> {
    let mut object = v0::framework(&framework.info);
    extend(
        &mut object,
        Value::Object(framework_summary(cluster, framework)),
    );
    let mut resources = used_by(cluster, framework);
    resources += &offered_to(cluster, framework);
    let tasks = |tasks: &mut dyn Iterator<Item = &Task>| -> Vec<Value> {
        tasks.map(|task| v0::task(&task.wire)).collect()
    };
    let offers = framework
        .offers
        .iter()
        .filter_map(|id| cluster.offers.get(id));
    extend(
        &mut object,
        json!({
            "registered_time": framework.registered,
            "unregistered_time": 0.0,
            "resources": resources.flat_json(),
            "tasks": tasks(&mut framework.tasks.values()),
            "unreachable_tasks": tasks(&mut framework.unreachable.iter()),
            "completed_tasks": tasks(&mut framework.completed.iter()),
            "offers": offers.map(offer).collect::<Vec<_>>(),
            "executors": executors(cluster, framework),
        }),
    );
    if let Some(time) = framework.reregistered {
        object.insert("reregistered_time".to_owned(), json!(time));
    }
    if let Some(labels) = &framework.info.labels {
        object.insert("labels".to_owned(), v0::labels(labels));
    }
    object
}

fn completed(cluster: &Cluster, past: &Completed) -> Map<String, Value> {
    let mut object = framework(cluster, &past.framework);
    extend(
        &mut object,
        json!({
            "unregistered_time": past.unregistered,
            "active": false,
            "connected": false,
        }),
    );
    object
}

fn offer(offer: &Offer) -> Value {
    json!({
        "id": offer.id.as_str(),
        "framework_id": offer.framework.as_str(),
        "allocation_info": { "role": offer.role },
        "slave_id": offer.agent.as_str(),
        "resources": offer.resources.flat_json(),
    })
}

fn executors(cluster: &Cluster, framework: &Framework) -> Vec<Value> {
    let on = |agent: &Agent| {
        let mine = agent
            .executors
            .iter()
            .filter(|((owner, _), _)| *owner == framework.id);
        let shown = mine.map(|((_, id), executor)| {
            let mut object = v0::executor(&executor.info);
            extend(
                &mut object,
                json!({
                    "executor_id": id.as_str(),
                    "framework_id": framework.id.as_str(),
                    "slave_id": agent.id.as_str(),
                }),
            );
            if let Some(command) = &executor.info.command {
                object.insert("command".to_owned(), v0::command(command));
            }
            Value::Object(object)
        });
        shown.collect::<Vec<_>>()
    };
    cluster.agents.values().flat_map(on).collect()
}

/// Adds the keys of `more`, which is an object.
pub(super) fn extend(object: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        object.extend(more);
    }
}
