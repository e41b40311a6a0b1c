//! What others may say by mistake or on purpose: messages that are well formed and make no sense.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proto::link::{self, FromAgent, from_agent};
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{self, Type};
use proto::v1::{self, TaskState};
use uuid::Uuid;

use super::invariants;
use super::launches::executor;
use super::scenarios::last;
use super::world::{FakeAgent, World, config, framework_info, some_resources};
use crate::cluster::{Cluster, Effect, Event, Now, Registered};

const LINK: Uuid = Uuid::from_u128(1);
const STREAM: Uuid = Uuid::from_u128(2);

fn framework_id() -> v1::FrameworkId {
    v1::FrameworkId {
        value: "m0-0000".to_owned(),
    }
}

fn agent_id() -> v1::AgentId {
    v1::AgentId {
        value: "m0-S0".to_owned(),
    }
}

fn task_id(n: usize) -> v1::TaskId {
    v1::TaskId {
        value: format!("t{n}"),
    }
}

fn offer_ids(n: usize) -> Vec<v1::OfferId> {
    let value = format!("m0-O{n}");
    vec![v1::OfferId { value }]
}

fn task(n: usize) -> v1::TaskInfo {
    v1::TaskInfo {
        name: "t".to_owned(),
        task_id: task_id(n),
        agent_id: agent_id(),
        resources: some_resources("cpus:0.5;mem:32;ports:[31001-31003]"),
        command: Some(v1::CommandInfo {
            value: Some("true".to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    }
}

/// The third task is the first once more; four are more than the agent has.
fn register(tasks: usize, again: bool) -> from_agent::Message {
    let used = match tasks {
        0..4 => "cpus:0.4;mem:100",
        _ => "cpus:1;mem:600;ports:[31002-31004]",
    };
    let wire = |n| {
        let mut wire = proto::task::new(&task(n), &framework_id(), TaskState::TaskRunning);
        wire.resources = some_resources(used);
        wire
    };
    let custom = v1::ExecutorInfo {
        framework_id: Some(framework_id()),
        ..executor("e", v1::executor_info::Type::Custom)
    };
    from_agent::Message::Register(link::Register {
        agent: v1::AgentInfo {
            id: again.then(agent_id),
            hostname: "h".to_owned(),
            resources: some_resources("cpus:2;mem:1024;ports:[31000-31009]"),
            ..v1::AgentInfo::default()
        },
        address: v1::Address {
            hostname: None,
            ip: Some("10.0.0.1".to_owned()),
            port: 5051,
        },
        version: "1.11.0".to_owned(),
        frameworks: vec![framework_info(0, Some(framework_id()))],
        tasks: (0..tasks).map(|n| wire(n % 2)).collect(),
        executors: vec![custom; tasks.min(2)],
        ..link::Register::default()
    })
}

fn status(n: usize, state: TaskState) -> from_agent::Message {
    from_agent::Message::Update(link::StatusUpdate {
        framework_id: framework_id(),
        status: v1::TaskStatus {
            task_id: task_id(n),
            state: state.into(),
            uuid: Some(vec![7; 16]),
            ..v1::TaskStatus::default()
        },
        latest_state: state.into(),
        ..link::StatusUpdate::default()
    })
}

/// What agents may begin a lie with.
fn agent_messages() -> Vec<from_agent::Message> {
    let states = [
        TaskState::TaskRunning,
        TaskState::TaskFinished,
        TaskState::TaskUnreachable,
    ];
    let mut all: Vec<_> = (0..3)
        .flat_map(|n| states.map(|state| status(n, state)))
        .collect();
    let executor_id = v1::ExecutorId {
        value: "e".to_owned(),
    };
    all.extend([
        from_agent::Message::Pong(link::Pong {}),
        from_agent::Message::Unregister(link::Unregister {}),
        from_agent::Message::Drain(link::Drain::default()),
        from_agent::Message::Drain(link::Drain {
            drain_info: Some(v1::DrainInfo::default()),
        }),
        from_agent::Message::ExitedExecutor(link::ExitedExecutor {
            framework_id: framework_id(),
            executor_id: executor_id.clone(),
            status: 9,
        }),
        from_agent::Message::ExecutorMessage(link::ExecutorMessage {
            framework_id: framework_id(),
            executor_id,
            data: vec![1, 2, 3],
        }),
    ]);
    for tasks in 0..5 {
        all.extend([register(tasks, false), register(tasks, true)]);
    }
    all
}

fn operations(n: usize) -> Vec<v1::offer::Operation> {
    use v1::offer::operation::{Launch, LaunchGroup, Type};
    let with_executor = v1::TaskInfo {
        command: None,
        executor: Some(executor("e", v1::executor_info::Type::Custom)),
        resources: some_resources("cpus:0.1;mem:1"),
        ..task(n + 1)
    };
    let launch = v1::offer::Operation {
        r#type: Some(Type::Launch.into()),
        launch: Some(Launch {
            task_infos: vec![task(n), with_executor],
        }),
        ..v1::offer::Operation::default()
    };
    let group = v1::offer::Operation {
        r#type: Some(Type::LaunchGroup.into()),
        launch_group: Some(LaunchGroup {
            executor: executor("g", v1::executor_info::Type::Default),
            task_group: v1::TaskGroupInfo {
                tasks: vec![task(n + 2)],
            },
        }),
        ..v1::offer::Operation::default()
    };
    vec![launch, group]
}

/// What frameworks may begin a lie with: every type, each with every part that a type may need.
fn calls() -> Vec<Call> {
    let filters = Some(v1::Filters {
        refuse_seconds: Some(0.5),
    });
    let types = (0..=20).filter_map(|n| Type::try_from(n).ok());
    let of = |(n, kind): (usize, Type)| Call {
        framework_id: Some(framework_id()),
        r#type: Some(kind.into()),
        subscribe: Some(call::Subscribe {
            framework_info: framework_info(1, Some(framework_id())),
            ..call::Subscribe::default()
        }),
        accept: Some(call::Accept {
            offer_ids: offer_ids(n % 5),
            operations: operations(n % 3),
            filters,
        }),
        decline: Some(call::Decline {
            offer_ids: offer_ids(n % 5),
            filters,
        }),
        kill: Some(call::Kill {
            task_id: task_id(n % 3),
            ..call::Kill::default()
        }),
        acknowledge: Some(call::Acknowledge {
            agent_id: agent_id(),
            task_id: task_id(n % 3),
            uuid: vec![7; 16],
        }),
        reconcile: Some(call::Reconcile {
            tasks: vec![call::reconcile::Task {
                task_id: task_id(n % 5),
                agent_id: Some(agent_id()),
            }],
        }),
        update_framework: Some(call::UpdateFramework {
            framework_info: framework_info(0, Some(framework_id())),
            ..call::UpdateFramework::default()
        }),
        ..Call::default()
    };
    types
        .flat_map(|kind| std::iter::repeat_n(kind, 5).enumerate())
        .map(of)
        .collect()
}

static CALLS: LazyLock<Vec<Call>> = LazyLock::new(calls);
static AGENT_MESSAGES: LazyLock<Vec<from_agent::Message>> = LazyLock::new(agent_messages);

/// Bytes that are overwritten, if the result is still a message.
type Edits = Vec<(Index, u8)>;

#[derive(Debug, Clone)]
enum Move {
    Call(Index, Edits),
    Say(Index, Edits),
    StreamEnds,
    LinkEnds,
    Wait(u64),
}

fn a_move() -> impl Strategy<Value = Move> {
    let edits = || prop::collection::vec((any::<Index>(), any::<u8>()), 0..3);
    prop_oneof![
        8 => (any::<Index>(), edits()).prop_map(|(pick, edits)| Move::Call(pick, edits)),
        8 => (any::<Index>(), edits()).prop_map(|(pick, edits)| Move::Say(pick, edits)),
        1 => Just(Move::StreamEnds),
        1 => Just(Move::LinkEnds),
        1 => (0..200u64).prop_map(Move::Wait),
    ]
}

fn edited<M>(message: &M, edits: &Edits) -> Option<M>
where
    M: prost::Message + prost::Name + Default,
{
    let mut bytes = message.encode_to_vec();
    if !bytes.is_empty() {
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    proto::wire::decode(&bytes).ok()
}

fn event(a_move: &Move) -> Option<Event> {
    let link = LINK;
    let stream = STREAM;
    Some(match a_move {
        Move::Call(pick, edits) => {
            let call = edited(pick.get(&CALLS), edits)?;
            match (call.r#type(), call.subscribe) {
                (Type::Subscribe, Some(subscribe)) => Event::Subscribe {
                    stream,
                    id: call.framework_id,
                    subscribe: Box::new(subscribe),
                },
                (_, subscribe) => Event::Call {
                    stream: Some(stream),
                    call: Box::new(Call { subscribe, ..call }),
                },
            }
        }
        Move::Say(pick, edits) => {
            let message = FromAgent {
                message: Some(pick.get(&AGENT_MESSAGES).clone()),
            };
            match edited(&message, edits)?.message? {
                from_agent::Message::Register(register) => Event::Register {
                    link,
                    register: Box::new(register),
                },
                message => Event::FromAgent {
                    link,
                    message: Box::new(message),
                },
            }
        }
        Move::StreamEnds => Event::StreamClosed { stream },
        Move::LinkEnds => Event::LinkClosed { link },
        Move::Wait(_) => Event::Tick,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn no_message_makes_the_books_wrong_or_the_master_fall(
        moves in prop::collection::vec(a_move(), 1..60)
    ) {
        let mut cluster = Cluster::new(config(0), Registered::default());
        let mut now = Now { up: Duration::ZERO, wall: 1e9 };
        for a_move in moves {
            if let Move::Wait(seconds) = a_move {
                now.up += Duration::from_secs(seconds);
            }
            if let Some(event) = event(&a_move) {
                cluster.step(event, now);
                invariants::check_books(&cluster);
            }
        }
    }
}

#[test]
fn an_agent_that_comes_back_smaller_is_not_offered_beyond_what_it_has() {
    let mut world = World::new();
    world.agent_joins_with(0, "cpus:1;mem:1024");
    world.subscribe(0);
    world.launch(0, 4, 3600.0);
    world.link_breaks(0);
    // An agent that changed is no longer what was declined.
    world.frameworks[0].declined.clear();
    world.agent_joins_with(0, "cpus:0.2;mem:1024");
    for left in (0..4).rev() {
        world.task_moves(0, TaskState::TaskFinished);
        world.acknowledge(0);
        let agent = world.cluster.agents.values().next().unwrap();
        let offered = agent
            .offers
            .iter()
            .map(|id| world.cluster.offers[id].resources.cpus());
        let unused = agent.free.cpus() + offered.sum::<f64>();
        let expected = (0.2 - 0.1 * f64::from(left)).max(0.0);
        assert!(
            (unused - expected).abs() < 1e-9,
            "{left} tasks left: {unused}"
        );
    }
}

#[test]
fn an_agent_cannot_end_the_task_of_another() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    world.launch(0, 1, 3600.0);
    world.agent_joins(1);
    let link = world.agents[1].link.unwrap();
    let heard = world.frameworks[0].updates.len();
    let owner = world.frameworks[0].id.clone().unwrap();
    let from_agent::Message::Update(update) = status(0, TaskState::TaskFailed) else {
        unreachable!()
    };
    let mut update = link::StatusUpdate {
        framework_id: owner,
        ..update
    };
    update.status.task_id.value = "t1".to_owned();
    world.step(Event::FromAgent {
        link,
        message: Box::new(from_agent::Message::Update(update)),
    });
    assert_eq!(world.frameworks[0].updates.len(), heard);
    invariants::check(&world);
}

#[test]
fn nobody_ends_the_tasks_of_a_connected_agent_by_claiming_its_address() {
    let mut world = World::new();
    world.agent_joins(1);
    world.subscribe(0);
    world.launch(0, 1, 3600.0);
    world.task_moves(0, TaskState::TaskRunning);
    let link = world.agents[1].link;

    world.agents[2].link = Some(LINK);
    let from_agent::Message::Register(stranger) = register(0, false) else {
        unreachable!()
    };
    world.step(Event::Register {
        link: LINK,
        register: Box::new(stranger),
    });

    let of_the_cluster: Vec<_> = world.cluster.agents.values().collect();
    assert_eq!(of_the_cluster.len(), 2);
    assert_eq!(of_the_cluster[0].address, of_the_cluster[1].address);
    assert_ne!(world.agents[2].id, world.agents[1].id);
    assert_eq!(world.agents[1].link, link);
    assert_eq!(last(&world, 0).state(), TaskState::TaskRunning);
    assert!(world.frameworks[0].lost_agents.is_empty());
    invariants::check(&world);
}

#[test]
fn an_id_that_an_agent_brought_is_assigned_to_no_other() {
    let mut world = World::new();
    world.agents[2].link = Some(LINK);
    let from_agent::Message::Register(first) = register(0, true) else {
        unreachable!()
    };
    world.step(Event::Register {
        link: LINK,
        register: Box::new(first),
    });
    assert_eq!(world.agents[2].id, Some(agent_id()));
    world.agent_joins(0);
    assert_ne!(world.agents[0].id, world.agents[2].id);
    assert_eq!(world.agents[2].link, Some(LINK));
    assert_eq!(world.cluster.agents.len(), 2);
    invariants::check(&world);
}

#[test]
fn an_agent_that_lost_its_memory_ends_what_it_ran_once_its_link_is_down() {
    let mut world = World::new();
    world.agent_joins(1);
    world.subscribe(0);
    world.launch(0, 1, 3600.0);
    world.task_moves(0, TaskState::TaskRunning);
    world.link_breaks(1);
    world.agents[1] = FakeAgent::default();
    world.agent_joins(1);
    assert_eq!(world.cluster.agents.len(), 1);
    assert_eq!(last(&world, 0).state(), TaskState::TaskLost);
    assert_eq!(world.frameworks[0].lost_agents.len(), 1);
    invariants::check(&world);
}

#[test]
fn an_executor_that_goes_back_and_forth_for_ever_fills_no_memory() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    world.launch(0, 1, 3600.0);
    for _ in 0..100 {
        world.task_moves(0, TaskState::TaskStarting);
        world.task_moves(0, TaskState::TaskRunning);
    }
    let framework = world.cluster.frameworks.values().next().unwrap();
    let statuses = &framework.tasks.values().next().unwrap().wire.statuses;
    assert_eq!(statuses.len(), 64);
    assert_eq!(last(&world, 0).state(), TaskState::TaskRunning);
}

#[test]
fn a_framework_has_a_bounded_number_of_roles() {
    let mut cluster = Cluster::new(config(0), Registered::default());
    let kind = v1::framework_info::capability::Type::MultiRole;
    let capability = v1::framework_info::Capability {
        r#type: Some(kind.into()),
    };
    let framework_info = v1::FrameworkInfo {
        roles: (0..2000).map(|n| format!("r{n}")).collect(),
        capabilities: vec![capability],
        ..framework_info(0, None)
    };
    let subscribe = Box::new(call::Subscribe {
        framework_info,
        ..call::Subscribe::default()
    });
    let effects = cluster.step(
        Event::Subscribe {
            stream: STREAM,
            id: None,
            subscribe,
        },
        Now::default(),
    );
    let [Effect::ToFramework { event, .. }, Effect::CloseStream(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    let message = &event.error.as_ref().unwrap().message;
    assert!(
        message.contains("2000") && message.contains("1024"),
        "{message}"
    );
}
