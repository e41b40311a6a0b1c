//! Agents and frameworks that behave as they should, around one cluster.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proto::link::to_agent;
use proto::resources::Resources;
use proto::v1::scheduler::Event as Heard;
use proto::v1::{self, TaskState, TaskStatus};
use uuid::Uuid;
use v1::framework_info::capability::Type as Capability;

use crate::cluster::{Cluster, Config, Effect, Event, Now, Refusal, Remembered};
use crate::cluster::{Registered, Write};

#[derive(Default)]
pub struct FakeAgent {
    pub attributes: &'static str,
    pub id: Option<v1::AgentId>,
    pub link: Option<Uuid>,
    pub tasks: BTreeMap<String, v1::Task>,
    /// Whose end is acknowledged.
    pub completed: Vec<v1::Task>,
    pub frameworks: BTreeMap<String, v1::FrameworkInfo>,
    /// Executors it was told to end.
    pub shut_down: Vec<String>,
    pub drain: Option<v1::DrainInfo>,
}

#[derive(Default)]
pub struct FakeFramework {
    pub id: Option<v1::FrameworkId>,
    pub stream: Option<Uuid>,
    pub suppressed: bool,
    pub offers: Vec<v1::Offer>,
    pub updates: VecDeque<TaskStatus>,
    /// Agent, resources, and until when they must not be offered again.
    pub declined: Vec<(String, Resources, Duration)>,
    pub errors: Vec<String>,
    pub lost_agents: Vec<String>,
    pub lost_executors: Vec<String>,
    pub operations: Vec<v1::OperationStatus>,
}

pub struct World {
    pub cluster: Cluster,
    pub agents: Vec<FakeAgent>,
    pub frameworks: Vec<FakeFramework>,
    pub stored: Registered,
    pub up: Duration,
    pub refused: Option<Refusal>,
    /// Frameworks subscribe without checkpointing.
    pub unchecked: bool,
    pub(super) launched: BTreeSet<(String, String)>,
    pub(super) next_task: u64,
    pub(super) restarts: u64,
}

pub(super) fn config(restarts: u64) -> Config {
    Config {
        master: v1::MasterInfo {
            id: format!("m{restarts}"),
            ..v1::MasterInfo::default()
        },
        agent_ping_timeout: Duration::from_secs(15),
        max_agent_ping_timeouts: 5,
        agent_reregister_timeout: Duration::from_secs(600),
        allocation_interval: Duration::from_secs(1),
        min_allocatable: "cpus:0.01|mem:32".parse().unwrap(),
        offer_timeout: None,
        root_submissions: true,
        remembered: Remembered {
            frameworks: 50,
            completed_tasks: 1000,
            unreachable_tasks: 1000,
        },
        seed: 7,
    }
}

/// The second framework knows partitions, the third has a failover timeout of 0.
pub(super) fn framework_info(n: usize, id: Option<v1::FrameworkId>) -> v1::FrameworkInfo {
    let capability = |kind: Capability| v1::framework_info::Capability {
        r#type: Some(kind.into()),
    };
    v1::FrameworkInfo {
        id,
        user: "nobody".to_owned(),
        name: format!("f{n}"),
        checkpoint: Some(true),
        failover_timeout: (n < 2).then_some(1000.0),
        capabilities: if n == 1 {
            vec![capability(Capability::PartitionAware)]
        } else {
            Vec::new()
        },
        ..v1::FrameworkInfo::default()
    }
}

pub fn some_resources(text: &str) -> Vec<v1::Resource> {
    Resources::parse(text, "*").unwrap().to_protos()
}

impl World {
    pub fn new() -> Self {
        Self {
            cluster: Cluster::new(config(0), Registered::default()),
            agents: (0..4).map(|_| FakeAgent::default()).collect(),
            frameworks: (0..3).map(|_| FakeFramework::default()).collect(),
            stored: Registered::default(),
            up: Duration::ZERO,
            refused: None,
            unchecked: false,
            launched: BTreeSet::new(),
            next_task: 0,
            restarts: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            up: self.up,
            wall: 1e9 + self.up.as_secs_f64(),
        }
    }

    pub fn step(&mut self, event: Event) {
        self.refused = None;
        let effects = self.cluster.step(event, self.now());
        for effect in effects {
            match effect {
                Effect::Store(writes) => writes.into_iter().for_each(|write| self.store(write)),
                Effect::ToAgent { link, message } => self.hear_as_agent(link, *message),
                Effect::CloseLink(link) => {
                    let agents = self.agents.iter_mut();
                    agents
                        .filter(|a| a.link == Some(link))
                        .for_each(|a| a.link = None);
                }
                Effect::ToFramework { stream, event } => self.hear_as_framework(stream, *event),
                Effect::CloseStream(stream) => {
                    let frameworks = self.frameworks.iter_mut();
                    frameworks
                        .filter(|f| f.stream == Some(stream))
                        .for_each(|f| f.stream = None);
                }
                Effect::Refuse(refusal) => self.refused = Some(refusal),
            }
        }
    }

    fn store(&mut self, write: Write) {
        match write {
            Write::Admit { id, info } => {
                self.stored.unreachable.remove(&id);
                self.stored.admitted.insert(id, info);
            }
            Write::Unreachable { id, since } => {
                self.stored.admitted.remove(&id);
                self.stored.unreachable.insert(id, since);
            }
            Write::Remove { id } => {
                self.stored.admitted.remove(&id);
                self.stored.unreachable.remove(&id);
            }
        }
    }

    fn hear_as_agent(&mut self, link: Uuid, message: to_agent::Message) {
        let agent = self
            .agents
            .iter_mut()
            .find(|agent| agent.link == Some(link));
        let agent = agent.expect("messages go to links that are open");
        match message {
            to_agent::Message::Registered(registered) => {
                let id = registered.agent_id;
                let known = self
                    .stored
                    .admitted
                    .keys()
                    .any(|known| known.as_str() == id.value);
                assert!(
                    known,
                    "an agent is told of its admission once it is durable"
                );
                assert!(agent.id.as_ref().is_none_or(|before| *before == id));
                agent.id = Some(id);
            }
            to_agent::Message::RunTask(run) => {
                let framework = run.framework.id.clone().unwrap();
                let key = (framework.value.clone(), run.task.task_id.value.clone());
                assert!(self.launched.insert(key), "no task is launched twice");
                let task = proto::task::new(&run.task, &framework, TaskState::TaskStaging);
                agent.frameworks.insert(framework.value, run.framework);
                agent.tasks.insert(run.task.task_id.value, task);
            }
            to_agent::Message::KillTask(kill) => {
                if let Some(task) = agent.tasks.get_mut(&kill.task_id.value) {
                    task.set_state(TaskState::TaskKilling);
                }
            }
            to_agent::Message::Acknowledge(acknowledge) => {
                let over = |task: &v1::Task| proto::task::is_terminal(task.state());
                if agent
                    .tasks
                    .get(&acknowledge.task_id.value)
                    .is_some_and(over)
                {
                    let ended = agent.tasks.remove(&acknowledge.task_id.value);
                    agent.completed.extend(ended);
                }
            }
            to_agent::Message::ShutdownExecutor(shutdown) => {
                agent.shut_down.push(shutdown.executor_id.value);
            }
            to_agent::Message::ShutdownFramework(shutdown) => {
                agent
                    .tasks
                    .retain(|_, task| task.framework_id != shutdown.framework_id);
            }
            _ => {}
        }
    }

    fn hear_as_framework(&mut self, stream: Uuid, event: Heard) {
        let up = self.up;
        let framework = self
            .frameworks
            .iter_mut()
            .find(|f| f.stream == Some(stream));
        let framework = framework.expect("events go to streams that are open");
        if let Some(subscribed) = event.subscribed {
            framework.id = Some(subscribed.framework_id);
        }
        for offer in event.offers.into_iter().flat_map(|offers| offers.offers) {
            assert!(
                !framework.suppressed,
                "a suppressed framework gets no offers"
            );
            let resources = Resources::from_protos(&offer.resources).unwrap();
            let hidden = framework.declined.iter().any(|(agent, declined, until)| {
                *agent == offer.agent_id.value && *until > up && declined.contains(&resources)
            });
            assert!(!hidden, "a filter holds for as long as it was set");
            framework.offers.push(offer);
        }
        if let Some(rescind) = event.rescind {
            framework
                .offers
                .retain(|offer| offer.id != rescind.offer_id);
        }
        framework
            .updates
            .extend(event.update.map(|update| update.status));
        framework
            .errors
            .extend(event.error.map(|error| error.message));
        let operation = event.update_operation_status.map(|update| update.status);
        framework.operations.extend(operation);
        match event.failure {
            Some(v1::scheduler::event::Failure {
                executor_id: Some(executor),
                ..
            }) => framework.lost_executors.push(executor.value),
            Some(failure) => {
                let agent = failure.agent_id.map(|id| id.value);
                framework.lost_agents.extend(agent);
            }
            None => {}
        }
    }
}
