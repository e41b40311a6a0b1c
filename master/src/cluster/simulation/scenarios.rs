//! Single stories, each for one rule.

use std::time::Duration;

use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{self, Type};
use proto::v1::task_status::Reason;
use proto::v1::{self, TaskState};

use super::invariants;
use super::world::World;
use crate::cluster::Refusal;

/// One agent, framework `n` connected, one task launched and reported as running.
fn running(n: usize) -> World {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(n);
    world.launch(n, 1, 3600.0);
    world.task_moves(0, TaskState::TaskRunning);
    world
}

pub fn last(world: &World, n: usize) -> &v1::TaskStatus {
    world.frameworks[n]
        .updates
        .back()
        .expect("there was an update")
}

#[test]
fn an_offer_is_made_in_the_step_in_which_it_becomes_possible() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    assert_eq!(world.frameworks[0].offers.len(), 1);
    world.decline(0, 3600.0);
    assert!(world.frameworks[0].offers.is_empty());
    world.revive(0);
    assert_eq!(world.frameworks[0].offers.len(), 1);
}

#[test]
fn freed_resources_are_offered_although_the_rest_was_declined() {
    let mut world = running(0);
    assert!(world.frameworks[0].offers.is_empty());
    world.task_moves(0, TaskState::TaskFinished);
    assert_eq!(world.frameworks[0].offers.len(), 1);
}

#[test]
fn a_plain_no_holds_until_the_next_interval() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    world.wait(Duration::from_millis(300));
    world.decline(0, 0.0);
    assert!(world.frameworks[0].offers.is_empty());
    world.wait(Duration::from_millis(600));
    assert!(world.frameworks[0].offers.is_empty());
    world.wait(Duration::from_millis(100));
    assert_eq!(world.frameworks[0].offers.len(), 1);
}

#[test]
fn what_one_framework_declines_goes_to_the_other_at_once() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    world.subscribe(1);
    world.decline(0, 3600.0);
    assert_eq!(world.frameworks[1].offers.len(), 1);
}

#[test]
fn the_framework_with_the_smaller_share_is_served_first() {
    let mut world = World::new();
    world.subscribe(0);
    world.agent_joins(0);
    world.launch(0, 3, 0.0);
    world.subscribe(1);
    world.agent_joins(1);
    assert_eq!(world.frameworks[1].offers.len(), 1);
}

#[test]
fn a_silent_agent_is_unreachable_after_its_window_and_its_task_comes_back_with_it() {
    let mut world = running(1);
    world.link_breaks(0);
    world.wait(Duration::from_secs(74));
    assert_eq!(last(&world, 1).state(), TaskState::TaskRunning);
    world.wait(Duration::from_secs(1));
    assert_eq!(last(&world, 1).state(), TaskState::TaskUnreachable);
    assert_eq!(last(&world, 1).reason(), Reason::AgentRemoved);
    assert!(last(&world, 1).unreachable_time.is_some() && last(&world, 1).uuid.is_none());
    assert_eq!(world.frameworks[1].lost_agents.len(), 1);
    assert_eq!(world.stored.unreachable.len(), 1);

    world.agent_joins(0);
    assert_eq!(last(&world, 1).state(), TaskState::TaskRunning);
    assert_eq!(last(&world, 1).reason(), Reason::AgentReregistered);
    assert!(world.stored.unreachable.is_empty());
    invariants::check(&world);
}

#[test]
fn a_task_reported_lost_to_an_older_framework_is_killed_when_its_agent_returns() {
    let mut world = running(0);
    world.link_breaks(0);
    world.wait(Duration::from_secs(75));
    assert_eq!(last(&world, 0).state(), TaskState::TaskLost);
    world.agent_joins(0);
    let task = world.agents[0].tasks.values().next().unwrap();
    assert_eq!(task.state(), TaskState::TaskKilling);
    invariants::check(&world);
}

#[test]
fn after_a_restart_of_the_master_agents_and_frameworks_bring_everything_back() {
    let mut world = running(0);
    let (agent, framework) = (world.agents[0].id.clone(), world.frameworks[0].id.clone());
    world.master_restarts();
    assert_eq!(world.cluster.recovered.len(), 1);
    world.agent_joins(0);
    assert_eq!(world.agents[0].id, agent);
    // Nobody ends the task while its scheduler is away, however long that takes.
    world.wait(Duration::from_secs(5000));
    world.subscribe(0);
    assert_eq!(world.frameworks[0].id, framework);
    let tasks = &world.cluster.frameworks.values().next().unwrap().tasks;
    assert_eq!(
        tasks.values().next().unwrap().wire.state(),
        TaskState::TaskRunning
    );
    invariants::check(&world);
}

#[test]
fn after_a_restart_of_the_master_its_agents_tell_of_tasks_that_ended_before() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    world.launch(0, 2, 0.0);
    world.task_moves(0, TaskState::TaskFinished);
    world.acknowledge(0);
    let ended = world.agents[0].completed[0].task_id.value.clone();
    let completed = |world: &World| -> Vec<String> {
        let framework = world.cluster.frameworks.values().next().unwrap();
        let completed = framework.completed.iter();
        completed.map(|task| task.id.as_str().to_owned()).collect()
    };
    assert_eq!(completed(&world), [ended.as_str()]);
    world.master_restarts();
    world.agent_joins(0);
    assert_eq!(completed(&world), [ended.as_str()]);
    // Told again, it is still there once.
    world.link_breaks(0);
    world.agent_joins(0);
    assert_eq!(completed(&world), [ended.as_str()]);
    invariants::check(&world);
}

#[test]
fn an_agent_tells_of_no_ends_but_its_own() {
    let mut world = running(0);
    let mut elsewhere = world.agents[0].tasks.values().next().unwrap().clone();
    elsewhere.state = TaskState::TaskLost.into();
    world.master_restarts();
    world.agents[1].completed.push(elsewhere);
    world.agents[1].frameworks = world.agents[0].frameworks.clone();
    world.agent_joins(1);
    world.agent_joins(0);
    let task = world.agents[0].tasks.values().next().unwrap();
    assert_eq!(task.state(), TaskState::TaskRunning, "it was killed");
    invariants::check(&world);
}

#[test]
fn agents_that_do_not_return_after_a_restart_become_unreachable() {
    let mut world = running(0);
    world.master_restarts();
    world.subscribe(0);
    world.wait(Duration::from_secs(599));
    assert!(world.frameworks[0].lost_agents.is_empty());
    world.wait(Duration::from_secs(1));
    assert_eq!(world.frameworks[0].lost_agents.len(), 1);
    assert_eq!(world.stored.unreachable.len(), 1);
}

#[test]
fn an_update_without_a_scheduler_is_delivered_when_one_subscribes() {
    let mut world = running(0);
    world.stream_breaks(0);
    world.task_moves(0, TaskState::TaskFailed);
    world.subscribe(0);
    assert_eq!(last(&world, 0).state(), TaskState::TaskFailed);
    assert!(last(&world, 0).uuid.is_some());
}

#[test]
fn a_framework_that_stays_away_too_long_is_removed_and_its_id_is_spent() {
    let mut world = running(0);
    world.stream_breaks(0);
    world.wait(Duration::from_secs(1000));
    assert!(world.cluster.frameworks.is_empty() && world.agents[0].tasks.is_empty());
    assert_eq!(
        world.cluster.completed[0]
            .framework
            .completed
            .iter()
            .count(),
        1
    );
    let spent = world.frameworks[0].id.clone();
    world.subscribe(0);
    assert!(world.cluster.frameworks.is_empty());
    world.subscribe(0);
    assert_ne!(world.frameworks[0].id, spent);
}

#[test]
fn a_second_subscriber_takes_over() {
    let mut world = running(0);
    let (old, id) = (world.frameworks[0].stream, world.frameworks[0].id.clone());
    world.subscribe(0);
    assert_eq!(world.frameworks[0].id, id);
    let call = Call {
        framework_id: id,
        r#type: Some(Type::Revive.into()),
        ..Call::default()
    };
    world.step(crate::cluster::Event::Call {
        stream: old,
        call: Box::new(call),
    });
    assert!(
        matches!(world.refused, Some(Refusal::Invalid(_))),
        "{:?}",
        world.refused
    );
}

#[test]
fn a_terminal_task_is_kept_until_its_end_is_acknowledged() {
    let mut world = running(0);
    world.acknowledge(0);
    world.task_moves(0, TaskState::TaskFinished);
    let framework = |world: &World| {
        let framework = world.cluster.frameworks.values().next().unwrap();
        (framework.tasks.len(), framework.completed.iter().count())
    };
    assert_eq!(framework(&world), (1, 0));
    world.acknowledge(0);
    assert_eq!(framework(&world), (0, 1));
    assert!(world.agents[0].tasks.is_empty());
}

#[test]
fn reconciliation_tells_what_is_known() {
    let mut world = running(1);
    let agent_id = world.agents[0].id.clone();
    let ask = |world: &mut World, task: &str, agent_id| {
        let task_id = v1::TaskId {
            value: task.to_owned(),
        };
        let tasks = vec![call::reconcile::Task { task_id, agent_id }];
        world.call(
            1,
            Call {
                r#type: Some(Type::Reconcile.into()),
                reconcile: Some(call::Reconcile { tasks }),
                ..Call::default()
            },
        );
        let status = last(world, 1).clone();
        assert!(status.uuid.is_none() && status.reason() == Reason::Reconciliation);
        status.state()
    };
    assert_eq!(ask(&mut world, "t1", None), TaskState::TaskRunning);
    assert_eq!(
        ask(&mut world, "nope", agent_id.clone()),
        TaskState::TaskGone
    );
    assert_eq!(ask(&mut world, "nope", None), TaskState::TaskUnknown);
    world.link_breaks(0);
    world.wait(Duration::from_secs(75));
    assert_eq!(ask(&mut world, "t1", agent_id), TaskState::TaskUnreachable);
}

#[test]
fn nothing_is_said_of_tasks_whose_agents_may_still_return() {
    let mut world = running(0);
    world.master_restarts();
    world.subscribe(0);
    let before = world.frameworks[0].updates.len();
    let task_id = v1::TaskId {
        value: "t1".to_owned(),
    };
    let tasks = vec![call::reconcile::Task {
        task_id,
        agent_id: world.agents[0].id.clone(),
    }];
    world.call(
        0,
        Call {
            r#type: Some(Type::Reconcile.into()),
            reconcile: Some(call::Reconcile { tasks }),
            ..Call::default()
        },
    );
    assert_eq!(world.frameworks[0].updates.len(), before);
}

#[test]
fn a_kill_is_repeated_when_the_agent_comes_back() {
    let mut world = running(0);
    world.link_breaks(0);
    world.kill(0);
    assert_eq!(world.agents[0].tasks["t1"].state(), TaskState::TaskRunning);
    world.agent_joins(0);
    assert_eq!(world.agents[0].tasks["t1"].state(), TaskState::TaskKilling);
}

#[test]
fn a_kill_that_comes_before_its_agent_is_back_is_kept_for_it() {
    let mut world = running(0);
    world.master_restarts();
    world.subscribe(0);
    world.kill(0);
    assert_eq!(world.agents[0].tasks["t1"].state(), TaskState::TaskRunning);
    world.agent_joins(0);
    assert_eq!(world.agents[0].tasks["t1"].state(), TaskState::TaskKilling);
    invariants::check(&world);
}

#[test]
fn a_framework_that_does_not_checkpoint_loses_its_tasks_with_the_link() {
    let mut world = World::new();
    world.agent_joins(0);
    world.unchecked = true;
    world.subscribe(0);
    world.launch(0, 1, 3600.0);
    world.link_breaks(0);
    assert_eq!(last(&world, 0).state(), TaskState::TaskLost);
    assert_eq!(last(&world, 0).reason(), Reason::AgentDisconnected);
    assert_eq!(last(&world, 0).message(), "Agent host0 disconnected");
    world.agent_joins(0);
    assert_eq!(world.agents[0].tasks["t1"].state(), TaskState::TaskKilling);
    invariants::check(&world);
}

#[test]
fn a_changed_agent_is_offered_in_spite_of_filters() {
    let mut world = World::new();
    world.agent_joins(0);
    world.subscribe(0);
    world.decline(0, 3600.0);
    world.agents[0].attributes = "rack:2";
    world.frameworks[0].declined.clear();
    world.agent_joins(0);
    assert_eq!(world.frameworks[0].offers.len(), 1);
    invariants::check(&world);
}

#[test]
fn a_failover_timeout_beyond_all_clocks_is_no_timeout_of_zero() {
    let mut world = running(0);
    let framework = world.cluster.frameworks.values_mut().next().unwrap();
    for (seconds, kept) in [(1e300, true), (1e18, true), (0.0, false), (-1.0, false)] {
        framework.info.failover_timeout = Some(seconds);
        assert_eq!(
            framework.failover_timeout() > Duration::from_secs(1 << 30),
            kept,
            "{seconds}"
        );
    }
    framework.info.failover_timeout = Some(1e300);
    world.stream_breaks(0);
    world.wait(Duration::from_secs(10_000));
    assert_eq!(world.cluster.frameworks.len(), 1);
}
