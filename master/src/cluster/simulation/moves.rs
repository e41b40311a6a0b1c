//! What agents, frameworks and time can do to the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::link::{self, from_agent};
use proto::resources::Resources;
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{self, Type};
use proto::v1::{self, TaskState, TaskStatus};
use uuid::Uuid;

use super::world::{FakeFramework, World, config, framework_info, some_resources};
use crate::cluster::Registered;
use crate::cluster::{Cluster, Event};

impl World {
    pub fn agent_joins(&mut self, n: usize) {
        self.agent_joins_with(n, &format!("cpus:{};mem:1024;ports:[31000-31009]", n + 1));
    }

    pub fn agent_joins_with(&mut self, n: usize, resources: &str) {
        let link = Uuid::from_u128(rand::random());
        let agent = &mut self.agents[n];
        agent.link = Some(link);
        let info = v1::AgentInfo {
            id: agent.id.clone(),
            attributes: proto::attributes::parse(agent.attributes).unwrap(),
            hostname: format!("host{n}"),
            resources: some_resources(resources),
            ..v1::AgentInfo::default()
        };
        let register = link::Register {
            agent: info,
            address: v1::Address {
                hostname: None,
                ip: Some(format!("10.0.0.{n}")),
                port: 5051,
            },
            version: "1.11.0".to_owned(),
            frameworks: agent.frameworks.values().cloned().collect(),
            tasks: agent.tasks.values().cloned().collect(),
            completed_tasks: agent.completed.clone(),
            drain_info: agent.drain,
            ..link::Register::default()
        };
        self.step(Event::Register {
            link,
            register: Box::new(register),
        });
    }

    pub fn link_breaks(&mut self, n: usize) {
        if let Some(link) = self.agents[n].link.take() {
            self.step(Event::LinkClosed { link });
        }
    }

    pub fn subscribe(&mut self, n: usize) {
        let stream = Uuid::from_u128(rand::random());
        let framework = &mut self.frameworks[n];
        let older = framework.stream.replace(stream);
        framework.offers.clear();
        framework.declined.clear();
        framework.suppressed = false;
        let id = framework.id.clone();
        let subscribe = call::Subscribe {
            framework_info: v1::FrameworkInfo {
                checkpoint: Some(!self.unchecked),
                ..framework_info(n, id.clone())
            },
            ..call::Subscribe::default()
        };
        if older.is_some() {
            // What the older connection is still told is of no interest here.
            let mut elsewhere = FakeFramework {
                stream: older,
                ..FakeFramework::default()
            };
            self.frameworks.push(std::mem::take(&mut elsewhere));
        }
        self.step(Event::Subscribe {
            stream,
            id,
            subscribe: Box::new(subscribe),
        });
        self.frameworks.truncate(3);
        let framework = &mut self.frameworks[n];
        if framework
            .errors
            .iter()
            .any(|error| error.contains("removed"))
        {
            *framework = FakeFramework::default();
        }
    }

    pub fn stream_breaks(&mut self, n: usize) {
        let framework = &mut self.frameworks[n];
        framework.offers.clear();
        if let Some(stream) = framework.stream.take() {
            self.step(Event::StreamClosed { stream });
        }
    }

    /// Does nothing for a framework that is not connected.
    pub fn call(&mut self, n: usize, call: Call) {
        let framework = &self.frameworks[n];
        let Some(stream) = framework.stream else {
            return;
        };
        let call = Call {
            framework_id: framework.id.clone(),
            ..call
        };
        self.step(Event::Call {
            stream: Some(stream),
            call: Box::new(call),
        });
    }

    /// Launches tasks of 0.1 cpus, as many as `tasks` and the offer allow.
    pub fn launch(&mut self, n: usize, tasks: usize, refuse: f64) {
        let Some(offer) = self.frameworks[n].offers.pop() else {
            return;
        };
        let fits = (Resources::from_protos(&offer.resources).unwrap().cpus() / 0.1) as usize;
        let infos: Vec<v1::TaskInfo> = (0..tasks.min(fits)).map(|_| self.task(&offer)).collect();
        self.accept(n, &offer, infos, refuse);
    }

    pub fn task(&mut self, offer: &v1::Offer) -> v1::TaskInfo {
        self.next_task += 1;
        v1::TaskInfo {
            name: "t".to_owned(),
            task_id: v1::TaskId {
                value: format!("t{}", self.next_task),
            },
            agent_id: offer.agent_id.clone(),
            resources: some_resources("cpus:0.1;mem:1"),
            command: Some(v1::CommandInfo {
                value: Some("true".to_owned()),
                ..Default::default()
            }),
            ..v1::TaskInfo::default()
        }
    }

    pub fn accept(&mut self, n: usize, offer: &v1::Offer, infos: Vec<v1::TaskInfo>, refuse: f64) {
        let executors: BTreeMap<_, _> = infos
            .iter()
            .flat_map(|info| &info.executor)
            .map(|executor| (&executor.executor_id.value, &executor.resources))
            .collect();
        let mut used = Resources::new();
        for wire in infos
            .iter()
            .map(|info| &info.resources)
            .chain(executors.into_values())
        {
            used += &Resources::from_protos(wire).unwrap();
        }
        let rest = Resources::from_protos(&offer.resources)
            .unwrap()
            .try_sub(&used);
        let plain_no = refuse == 0.0 && !infos.is_empty();
        if let Some(rest) = rest.filter(|rest| !rest.is_empty() && !plain_no) {
            let until = self.up + Duration::from_secs_f64(refuse);
            self.frameworks[n]
                .declined
                .push((offer.agent_id.value.clone(), rest, until));
        }
        let launch = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: infos }),
            ..v1::offer::Operation::default()
        };
        self.call(
            n,
            Call {
                r#type: Some(Type::Accept.into()),
                accept: Some(call::Accept {
                    offer_ids: vec![offer.id.clone()],
                    operations: vec![launch],
                    filters: Some(v1::Filters {
                        refuse_seconds: Some(refuse),
                    }),
                }),
                ..Call::default()
            },
        );
    }

    pub fn decline(&mut self, n: usize, refuse: f64) {
        let Some(offer) = self.frameworks[n].offers.pop() else {
            return;
        };
        let resources = Resources::from_protos(&offer.resources).unwrap();
        let until = self.up + Duration::from_secs_f64(refuse);
        self.frameworks[n]
            .declined
            .push((offer.agent_id.value.clone(), resources, until));
        self.call(
            n,
            Call {
                r#type: Some(Type::Decline.into()),
                decline: Some(call::Decline {
                    offer_ids: vec![offer.id],
                    filters: Some(v1::Filters {
                        refuse_seconds: Some(refuse),
                    }),
                }),
                ..Call::default()
            },
        );
    }

    pub fn revive(&mut self, n: usize) {
        if self.frameworks[n].stream.is_some() {
            self.frameworks[n].declined.clear();
            self.frameworks[n].suppressed = false;
            self.call(
                n,
                Call {
                    r#type: Some(Type::Revive.into()),
                    ..Call::default()
                },
            );
        }
    }

    pub fn suppress(&mut self, n: usize) {
        if self.frameworks[n].stream.is_some() {
            self.frameworks[n].suppressed = true;
            self.call(
                n,
                Call {
                    r#type: Some(Type::Suppress.into()),
                    ..Call::default()
                },
            );
        }
    }

    /// One of all tasks on agents, with the number of its agent.
    fn pick(&self, pick: usize) -> Option<(usize, v1::Task)> {
        let all = self.agents.iter().enumerate();
        let all: Vec<_> = all
            .flat_map(|(n, a)| a.tasks.values().map(move |t| (n, t.clone())))
            .collect();
        (!all.is_empty()).then(|| all[pick % all.len()].clone())
    }

    fn owner(&self, id: &v1::FrameworkId) -> Option<usize> {
        self.frameworks
            .iter()
            .position(|framework| framework.id.as_ref() == Some(id))
    }

    pub fn kill(&mut self, pick: usize) {
        let Some((_, task)) = self.pick(pick) else {
            return;
        };
        let Some(owner) = self.owner(&task.framework_id) else {
            return;
        };
        let kill = call::Kill {
            task_id: task.task_id,
            agent_id: Some(task.agent_id),
            ..call::Kill::default()
        };
        self.call(
            owner,
            Call {
                r#type: Some(Type::Kill.into()),
                kill: Some(kill),
                ..Call::default()
            },
        );
    }

    pub fn task_moves(&mut self, pick: usize, state: TaskState) {
        let Some((n, task)) = self.pick(pick) else {
            return;
        };
        if proto::task::is_terminal(task.state()) {
            return;
        }
        let known = self.agents[n].tasks.get_mut(&task.task_id.value).unwrap();
        known.set_state(state);
        let Some(link) = self.agents[n].link else {
            return;
        };
        let status = TaskStatus {
            task_id: task.task_id,
            state: state.into(),
            agent_id: Some(task.agent_id),
            uuid: Some(Uuid::from_u128(rand::random()).as_bytes().to_vec()),
            ..TaskStatus::default()
        };
        let update = link::StatusUpdate {
            framework_id: task.framework_id,
            status,
            latest_state: state.into(),
            ..link::StatusUpdate::default()
        };
        let message = Box::new(from_agent::Message::Update(update));
        self.step(Event::FromAgent { link, message });
    }

    /// Acknowledges the oldest update of one framework.
    pub fn acknowledge(&mut self, pick: usize) {
        let n = pick % 3;
        if self.frameworks[n].stream.is_none() {
            return;
        }
        let Some(status) = self.frameworks[n].updates.pop_front() else {
            return;
        };
        let (Some(agent_id), Some(uuid)) = (status.agent_id, status.uuid) else {
            return;
        };
        let acknowledge = call::Acknowledge {
            agent_id,
            task_id: status.task_id,
            uuid,
        };
        self.call(
            n,
            Call {
                r#type: Some(Type::Acknowledge.into()),
                acknowledge: Some(acknowledge),
                ..Call::default()
            },
        );
    }

    pub fn drain(&mut self, n: usize, on: bool) {
        let Some(link) = self.agents[n].link else {
            return;
        };
        self.agents[n].drain = on.then(|| v1::DrainInfo {
            state: v1::DrainState::Draining.into(),
            config: v1::DrainConfig::default(),
        });
        let drain_info = self.agents[n].drain;
        let message = Box::new(from_agent::Message::Drain(link::Drain { drain_info }));
        self.step(Event::FromAgent { link, message });
    }

    pub fn teardown(&mut self, n: usize) {
        if self.frameworks[n].stream.is_some() {
            self.call(
                n,
                Call {
                    r#type: Some(Type::Teardown.into()),
                    ..Call::default()
                },
            );
            self.frameworks[n] = FakeFramework::default();
        }
    }

    /// All connections break; agents and frameworks come back when they are told to.
    pub fn master_restarts(&mut self) {
        self.restarts += 1;
        self.up = Duration::ZERO;
        let stored = std::mem::take(&mut self.stored);
        self.stored = Registered {
            admitted: stored.admitted.clone(),
            unreachable: stored.unreachable.clone(),
        };
        self.cluster = Cluster::new(config(self.restarts), stored);
        for agent in &mut self.agents {
            agent.link = None;
        }
        for framework in &mut self.frameworks {
            framework.stream = None;
            framework.offers.clear();
        }
    }

    /// Time passes; agents answer pings.
    pub fn wait(&mut self, time: Duration) {
        let end = self.up + time;
        while let Some(due) = self.cluster.next_deadline().filter(|due| *due <= end) {
            self.up = self.up.max(due);
            self.step(Event::Tick);
            for n in 0..self.agents.len() {
                if let Some(link) = self.agents[n].link {
                    let message = Box::new(from_agent::Message::Pong(link::Pong {}));
                    self.step(Event::FromAgent { link, message });
                }
            }
        }
        self.up = end;
    }
}
