//! The state machine under random agents and frameworks, checked after every step.

mod hostile;
mod invariants;
mod launches;
mod moves;
mod scenarios;
pub mod world;

use std::time::Duration;

use proptest::prelude::*;
use proto::v1::TaskState;
use world::World;

#[derive(Debug, Clone)]
enum Move {
    AgentJoins(usize),
    LinkBreaks(usize),
    Drain(usize, bool),
    Subscribe(usize),
    StreamBreaks(usize),
    Launch {
        framework: usize,
        tasks: usize,
        refuse: f64,
    },
    Decline {
        framework: usize,
        refuse: f64,
    },
    Revive(usize),
    Suppress(usize),
    Kill(usize),
    TaskMoves {
        pick: usize,
        state: TaskState,
    },
    Acknowledge(usize),
    Teardown(usize),
    MasterRestarts,
    Wait(Duration),
}

fn a_move() -> impl Strategy<Value = Move> {
    let refuse = || prop_oneof![Just(0.0), Just(1.5), Just(5.0), Just(3600.0)];
    let state = prop_oneof![
        2 => Just(TaskState::TaskRunning),
        1 => Just(TaskState::TaskFinished),
        1 => Just(TaskState::TaskFailed),
    ];
    prop_oneof![
        2 => (0..4usize).prop_map(Move::AgentJoins),
        1 => (0..4usize).prop_map(Move::LinkBreaks),
        1 => (0..4usize, any::<bool>()).prop_map(|(n, on)| Move::Drain(n, on)),
        3 => (0..3usize).prop_map(Move::Subscribe),
        1 => (0..3usize).prop_map(Move::StreamBreaks),
        6 => (0..3usize, 1..4usize, refuse())
            .prop_map(|(framework, tasks, refuse)| Move::Launch { framework, tasks, refuse }),
        3 => (0..3usize, refuse()).prop_map(|(framework, refuse)| Move::Decline { framework, refuse }),
        2 => (0..3usize).prop_map(Move::Revive),
        1 => (0..3usize).prop_map(Move::Suppress),
        2 => any::<usize>().prop_map(Move::Kill),
        5 => (any::<usize>(), state).prop_map(|(pick, state)| Move::TaskMoves { pick, state }),
        4 => any::<usize>().prop_map(Move::Acknowledge),
        1 => (0..3usize).prop_map(Move::Teardown),
        1 => Just(Move::MasterRestarts),
        3 => (1..120u64).prop_map(|seconds| Move::Wait(Duration::from_secs(seconds))),
    ]
}

fn play(world: &mut World, step: Move) {
    match step {
        Move::AgentJoins(n) => world.agent_joins(n),
        Move::LinkBreaks(n) => world.link_breaks(n),
        Move::Subscribe(n) => world.subscribe(n),
        Move::StreamBreaks(n) => world.stream_breaks(n),
        Move::Launch {
            framework,
            tasks,
            refuse,
        } => world.launch(framework, tasks, refuse),
        Move::Decline { framework, refuse } => world.decline(framework, refuse),
        Move::Revive(n) => world.revive(n),
        Move::Suppress(n) => world.suppress(n),
        Move::Kill(pick) => world.kill(pick),
        Move::TaskMoves { pick, state } => world.task_moves(pick, state),
        Move::Acknowledge(pick) => world.acknowledge(pick),
        Move::Drain(n, on) => world.drain(n, on),
        Move::Teardown(n) => world.teardown(n),
        Move::MasterRestarts => world.master_restarts(),
        Move::Wait(time) => world.wait(time),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn resources_are_conserved_and_promises_are_kept(moves in prop::collection::vec(a_move(), 1..60)) {
        let mut world = World::new();
        for step in moves {
            play(&mut world, step);
            invariants::check(&world);
        }
    }
}
