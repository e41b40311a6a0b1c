//! Stories of launches: executors, groups, and what cannot be carried out.

use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{self, Type};
use proto::v1::task_status::Reason;
use proto::v1::{self, TaskState};

use super::invariants;
use super::scenarios::last;
use super::world::{World, some_resources};

pub fn executor(id: &str, kind: v1::executor_info::Type) -> v1::ExecutorInfo {
    let command = v1::CommandInfo {
        value: Some("./executor".to_owned()),
        ..Default::default()
    };
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId {
            value: id.to_owned(),
        },
        r#type: Some(kind.into()),
        command: (kind == v1::executor_info::Type::Custom).then_some(command),
        resources: some_resources("cpus:0.2;mem:32"),
        ..v1::ExecutorInfo::default()
    }
}

#[test]
fn an_executor_is_charged_once_and_freed_when_it_exits() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    let offer = world.frameworks[0].offers.remove(0);
    let custom = executor("e", v1::executor_info::Type::Custom);
    let tasks = (0..2)
        .map(|_| v1::TaskInfo {
            command: None,
            executor: Some(custom.clone()),
            ..world.task(&offer)
        })
        .collect();
    world.accept(0, &offer, tasks, 3600.0);
    invariants::check(&world);
    let free = |world: &World| world.cluster.agents.values().next().unwrap().free.cpus();
    assert!((free(&world) - 0.6).abs() < 1e-9, "{}", free(&world));

    let link = world.agents[0].link.unwrap();
    let exited = proto::link::ExitedExecutor {
        framework_id: world.frameworks[0].id.clone().unwrap(),
        executor_id: custom.executor_id,
        status: 9,
    };
    let message = Box::new(proto::link::from_agent::Message::ExitedExecutor(exited));
    world.step(crate::cluster::Event::FromAgent { link, message });
    invariants::check(&world);
    assert_eq!(world.frameworks[0].offers.len(), 1);
}

#[test]
fn a_framework_hears_of_executors_that_an_agent_comes_back_without() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    let offer = world.frameworks[0].offers.remove(0);
    let task = v1::TaskInfo {
        command: None,
        executor: Some(executor("e", v1::executor_info::Type::Custom)),
        ..world.task(&offer)
    };
    world.accept(0, &offer, vec![task], 3600.0);
    world.link_breaks(0);
    assert!(world.frameworks[0].lost_executors.is_empty());
    // It tells of its task, and of no executor.
    world.agent_joins(0);
    assert_eq!(world.frameworks[0].lost_executors, ["e"]);
    invariants::check(&world);
}

#[test]
fn a_task_group_is_launched_whole_or_not_at_all() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    let group = |world: &mut World, offer: &v1::Offer, cpus: &str| {
        let tasks = ["cpus:0.1;mem:1", cpus]
            .map(|resources| v1::TaskInfo {
                resources: some_resources(resources),
                ..world.task(offer)
            })
            .into();
        let launch = v1::offer::operation::LaunchGroup {
            executor: executor("group", v1::executor_info::Type::Default),
            task_group: v1::TaskGroupInfo { tasks },
        };
        let operation = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::LaunchGroup.into()),
            launch_group: Some(launch),
            ..v1::offer::Operation::default()
        };
        let accept = call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![operation],
            filters: None,
        };
        world.call(
            0,
            Call {
                r#type: Some(Type::Accept.into()),
                accept: Some(accept),
                ..Call::default()
            },
        );
    };
    let offer = world.frameworks[0].offers.remove(0);
    group(&mut world, &offer, "cpus:99;mem:1");
    let reasons: Vec<_> = world.frameworks[0]
        .updates
        .iter()
        .map(|s| s.reason())
        .collect();
    assert_eq!(reasons, [Reason::TaskGroupInvalid; 2]);
    assert!(
        world
            .cluster
            .frameworks
            .values()
            .all(|f| f.tasks.is_empty())
    );
    invariants::check(&world);

    world.revive(0);
    let offer = world.frameworks[0].offers.remove(0);
    group(&mut world, &offer, "cpus:0.1;mem:1");
    assert_eq!(
        world
            .cluster
            .frameworks
            .values()
            .next()
            .unwrap()
            .tasks
            .len(),
        2
    );
    invariants::check(&world);
}

#[test]
fn an_operation_that_is_not_possible_is_answered_when_it_has_an_id() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    let offer = world.frameworks[0].offers.remove(0);
    let reserve = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Reserve.into()),
        id: Some(v1::OperationId {
            value: "r1".to_owned(),
        }),
        reserve: Some(v1::offer::operation::Reserve::default()),
        ..v1::offer::Operation::default()
    };
    let accept = call::Accept {
        offer_ids: vec![offer.id],
        operations: vec![reserve],
        filters: None,
    };
    world.call(
        0,
        Call {
            r#type: Some(Type::Accept.into()),
            accept: Some(accept),
            ..Call::default()
        },
    );
    let status = &world.frameworks[0].operations[0];
    assert_eq!(status.state(), v1::OperationState::OperationError);
    assert!(status.message().contains("RESERVE"), "{}", status.message());
    invariants::check(&world);
}

#[test]
fn tasks_of_stale_offers_are_lost() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    let offer = world.frameworks[0].offers[0].clone();
    world.link_breaks(0);
    let task = world.task(&offer);
    world.accept(0, &offer, vec![task], 5.0);
    assert_eq!(last(&world, 0).state(), TaskState::TaskLost);
    assert_eq!(last(&world, 0).reason(), Reason::InvalidOffers);
}

#[test]
fn a_task_beyond_its_offer_is_an_error_that_says_by_how_much() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    let offer = world.frameworks[0].offers.remove(0);
    let task = v1::TaskInfo {
        resources: some_resources("cpus:64;mem:1"),
        ..world.task(&offer)
    };
    world.accept(0, &offer, vec![task], 5.0);
    let status = last(&world, 0);
    assert_eq!(
        (status.state(), status.reason()),
        (TaskState::TaskError, Reason::TaskInvalid)
    );
    assert!(status.message().contains("cpus:64"), "{}", status.message());
    invariants::check(&world);
}

#[test]
fn a_shutdown_reaches_an_agent_only_for_what_the_framework_has_there() {
    let mut world = World::new();
    world.agent_joins(0);
    world.agent_joins(1);
    world.subscribe(0);
    let host = world.agents[0].id.clone().unwrap();
    let (mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut world.frameworks[0].offers)
        .into_iter()
        .partition(|offer| offer.agent_id == host);
    let elsewhere = others[0].agent_id.clone();
    let custom = v1::TaskInfo {
        command: None,
        executor: Some(executor("e", v1::executor_info::Type::Custom)),
        ..world.task(&mine[0])
    };
    let of_executor = custom.task_id.value.clone();
    let command = world.task(&mine[0]);
    let of_command = command.task_id.value.clone();
    world.accept(0, &mine[0], vec![custom, command], 3600.0);

    let mut shut_down = |executor: &str, agent_id: &v1::AgentId| {
        let executor_id = v1::ExecutorId {
            value: executor.to_owned(),
        };
        let shutdown = Some(call::Shutdown {
            executor_id,
            agent_id: agent_id.clone(),
        });
        world.call(
            0,
            Call {
                r#type: Some(Type::Shutdown.into()),
                shutdown,
                ..Call::default()
            },
        );
        let told = |n: usize| world.agents[n].shut_down.contains(&executor.to_owned());
        told(0) || told(1)
    };
    assert!(!shut_down("nothing", &host));
    assert!(!shut_down("../e", &host));
    assert!(
        !shut_down(&of_executor, &host),
        "a task is not its executor"
    );
    assert!(!shut_down("e", &elsewhere));
    assert!(!shut_down(&of_command, &elsewhere));
    assert!(shut_down("e", &host));
    assert!(shut_down(&of_command, &host));
}
