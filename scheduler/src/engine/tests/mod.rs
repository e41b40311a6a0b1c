mod deployments;
mod health;
mod instances;
mod offers;
mod recovery;

use serde_json::{Value, json};

use super::*;
use crate::app::App;
use crate::instance::Phase;

pub(super) fn config() -> Config {
    Config {
        max_instances_per_offer: 100,
        decline_offer_duration: Duration::from_secs(120),
        task_launch_timeout: Duration::from_secs(300),
        kill_retry_timeout: Duration::from_secs(30),
        reconciliation_initial_delay: Duration::from_secs(15),
        reconciliation_interval: Duration::from_secs(600),
        max_running_deployments: 100,
        max_versions: 3,
        local_ports: 10_000..=10_009,
    }
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

pub(super) fn id(text: &str) -> AppId {
    text.parse().unwrap()
}

pub(super) fn offer(name: &str, host: &str, cpus: f64) -> v1::Offer {
    let resource = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    let range = vec![v1::value::Range {
        begin: 31000,
        end: 31999,
    }];
    let ports = v1::Resource {
        name: "ports".into(),
        r#type: v1::value::Type::Ranges.into(),
        ranges: Some(v1::value::Ranges { range }),
        ..v1::Resource::default()
    };
    v1::Offer {
        id: v1::OfferId { value: name.into() },
        framework_id: v1::FrameworkId { value: "f".into() },
        agent_id: v1::AgentId {
            value: format!("agent-{host}"),
        },
        hostname: host.into(),
        resources: vec![resource("cpus", cpus), resource("mem", 100_000.0), ports],
        ..v1::Offer::default()
    }
}

pub(super) fn status(task: &str, state: v1::TaskState) -> v1::TaskStatus {
    v1::TaskStatus {
        task_id: v1::TaskId { value: task.into() },
        agent_id: Some(v1::AgentId {
            value: "agent-a".into(),
        }),
        uuid: Some(vec![7; 16]),
        state: state.into(),
        ..v1::TaskStatus::default()
    }
}

/// An engine with a clock of its own and a master that never runs out of offers.
struct Bench {
    engine: Engine,
    now: i64,
}

impl Bench {
    fn new() -> Self {
        Self::with(Snapshot::default())
    }

    fn with(snapshot: Snapshot) -> Self {
        let mut bench = Self {
            engine: Engine::new(config(), 1, snapshot, at(0)),
            now: 0,
        };
        bench.step(Event::Subscribed {
            framework_id: "f".into(),
        });
        bench
    }

    fn step(&mut self, event: Event) -> Effects {
        self.now += 1;
        self.engine.step(event, at(self.now))
    }

    fn change(&mut self, change: Change) -> Result<(Done, Effects), Refusal> {
        self.now += 1;
        self.engine.change(change, at(self.now))
    }

    fn create(&mut self, body: Value) -> Effects {
        let app = App::create(&body).unwrap();
        self.change(Change::Create {
            app: Box::new(app),
            force: false,
        })
        .unwrap()
        .1
    }

    fn update(&mut self, app: &str, body: Value) -> Result<(Done, Effects), Refusal> {
        self.edit(app, body, false)
    }

    /// Updates whatever deployment is in the way.
    fn force(&mut self, app: &str, body: Value) -> Result<(Done, Effects), Refusal> {
        self.edit(app, body, true)
    }

    fn edit(&mut self, app: &str, body: Value, force: bool) -> Result<(Done, Effects), Refusal> {
        let edit = Edit {
            app: id(app),
            body,
            partial: true,
            missing: Missing::Refuse,
            at: String::new(),
        };
        self.change(Change::Update {
            edits: vec![edit],
            force,
        })
    }

    /// One offer of 8 cpus; returns the tasks that were launched on it.
    fn offer(&mut self) -> Vec<String> {
        let effects = self.step(Event::Offers(vec![offer("o", "a", 8.0)]));
        launched(&effects)
    }

    fn report(&mut self, task: &str, state: v1::TaskState) -> Effects {
        self.step(Event::Update(Box::new(status(task, state))))
    }

    fn run(&mut self, tasks: &[String]) {
        for task in tasks {
            self.report(task, v1::TaskState::TaskRunning);
        }
    }

    fn states(&self, app: &str) -> Vec<&'static str> {
        self.engine
            .instances(&id(app))
            .map(Instance::state_name)
            .collect()
    }
}

fn launched(effects: &Effects) -> Vec<String> {
    let tasks = effects.calls.iter().flat_map(|call| match call {
        Call::Accept { tasks, .. } => tasks.as_slice(),
        _ => &[],
    });
    tasks.map(|t| t.task_id.value.clone()).collect()
}

fn killed(effects: &Effects) -> Vec<&str> {
    let kills = effects.calls.iter().filter_map(|call| match call {
        Call::Kill { task, .. } => Some(task.as_str()),
        _ => None,
    });
    kills.collect()
}

fn app(instances: u32) -> Value {
    json!({"id": "/a", "cmd": "sleep 1", "cpus": 0.1, "mem": 10, "instances": instances})
}
