//! `/state-summary`: agents and frameworks with numbers of tasks instead of tasks.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::TaskState;
use serde_json::{Map, Value, json};

use super::About;
use super::state::{agent, extend, framework_summary};
use crate::cluster::{Agent, AgentId, Cluster, Framework, FrameworkId, Task};

const COUNTED: &[TaskState] = &[
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

/// Numbers of tasks by state, and the other side of the tasks: agents or frameworks.
struct Tally<Other> {
    states: BTreeMap<i32, u64>,
    others: BTreeSet<Other>,
}

impl<Other: Ord> Tally<Other> {
    fn empty() -> Self {
        Self {
            states: BTreeMap::new(),
            others: BTreeSet::new(),
        }
    }

    fn count(&mut self, task: &Task, other: Other) {
        *self.states.entry(task.wire.state).or_insert(0) += 1;
        self.others.insert(other);
    }

    fn states(&self) -> Map<String, Value> {
        let count = |state: &TaskState| self.states.get(&i32::from(*state)).copied().unwrap_or(0);
        COUNTED
            .iter()
            .map(|state| (state.as_str_name().to_owned(), json!(count(state))))
            .collect()
    }
}

pub fn summary(cluster: &Cluster, about: &About) -> Value {
    let mut on_agents: BTreeMap<AgentId, Tally<FrameworkId>> = BTreeMap::new();
    let mut of_frameworks: BTreeMap<FrameworkId, Tally<AgentId>> = BTreeMap::new();
    for framework in cluster.frameworks.values() {
        let tally = of_frameworks
            .entry(framework.id.clone())
            .or_insert_with(Tally::empty);
        let past = framework
            .unreachable
            .iter()
            .chain(framework.completed.iter());
        for task in framework.tasks.values().chain(past) {
            tally.count(task, task.agent.clone());
            let on_agent = on_agents
                .entry(task.agent.clone())
                .or_insert_with(Tally::empty);
            on_agent.count(task, framework.id.clone());
        }
    }
    let agents = cluster.agents.values().map(|a: &Agent| {
        let mut object = agent(cluster, a);
        let tally = on_agents.remove(&a.id).unwrap_or_else(Tally::empty);
        let ids: Vec<&str> = tally.others.iter().map(FrameworkId::as_str).collect();
        object.insert("framework_ids".to_owned(), json!(ids));
        object.extend(tally.states());
        object
    });
    let agents: Vec<_> = agents.collect();
    let frameworks = cluster.frameworks.values().map(|f: &Framework| {
        let mut object = framework_summary(cluster, f);
        let tally = of_frameworks.remove(&f.id).unwrap_or_else(Tally::empty);
        let ids: Vec<&str> = tally.others.iter().map(AgentId::as_str).collect();
        object.insert("slave_ids".to_owned(), json!(ids));
        object.extend(tally.states());
        object
    });
    let frameworks: Vec<_> = frameworks.collect();
    let mut object = Map::new();
    extend(
        &mut object,
        json!({
            "hostname": cluster.config.master.hostname(),
            "slaves": agents,
            "frameworks": frameworks,
        }),
    );
    if let Some(name) = &about.cluster {
        object.insert("cluster".to_owned(), json!(name));
    }
    Value::Object(object)
}
