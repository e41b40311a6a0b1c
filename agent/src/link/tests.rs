use proto::link::{Refused, ShutdownFramework, Unregister};
use proto::v1;

use super::fake_master::{FakeMaster, registered};
use super::*;

#[test]
fn attempts_spread_out_and_never_wait_longer_than_a_minute() {
    let second = Duration::from_secs(1);
    assert_eq!(backoff(second, 0, 0.5), Duration::from_millis(500));
    assert_eq!(backoff(second, 3, 0.5), Duration::from_secs(4));
    assert_eq!(backoff(second, 99, 0.5), Duration::from_secs(30));
    assert_eq!(backoff(Duration::ZERO, 5, 0.9), Duration::ZERO);
}

/// Starts a link to `master`, and a supervisor that registers as host "n5" and passes on the rest.
fn start(master: Master) -> mpsc::Receiver<Event> {
    start_with(master, Duration::ZERO)
}

fn start_with(master: Master, backoff_factor: Duration) -> mpsc::Receiver<Event> {
    let (events, mut inbox) = mpsc::channel(8);
    let (seen, rest) = mpsc::channel(8);
    let link = Link::new(master, backoff_factor, events).unwrap();
    tokio::spawn(link.run());
    tokio::spawn(async move {
        while let Some(supervisor::Event::Link(event)) = inbox.recv().await {
            match event {
                Event::Register(ask) => {
                    let agent = v1::AgentInfo {
                        hostname: "n5".into(),
                        ..Default::default()
                    };
                    let _ = ask.send(Register {
                        agent,
                        ..Default::default()
                    });
                }
                event => seen.send(event).await.unwrap(),
            }
        }
    });
    rest
}

fn at(master: &FakeMaster) -> Master {
    Master::At(master.address.to_string())
}

async fn up(events: &mut mpsc::Receiver<Event>) -> Outgoing {
    match events.recv().await {
        Some(Event::Up { outgoing, .. }) => outgoing,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_attempt_does_not_wait() {
    let mut master = FakeMaster::start().await;
    let day = Duration::from_secs(24 * 60 * 60);
    let mut events = start_with(at(&master), day);
    let _link = master.accept("S0").await;
    up(&mut events).await;
}

#[tokio::test]
async fn what_each_side_says_arrives_in_order() {
    let mut master = FakeMaster::start().await;
    let mut events = start(at(&master));
    let mut link = master.accept("S0").await;
    assert_eq!(link.register.agent.hostname, "n5");
    let outgoing = up(&mut events).await;
    for message in [
        from_agent::Message::Pong(Pong {}),
        from_agent::Message::Unregister(Unregister {}),
    ] {
        outgoing
            .send(FromAgent {
                message: Some(message),
            })
            .await
            .unwrap();
    }
    assert!(matches!(link.hear().await, from_agent::Message::Pong(_)));
    assert!(matches!(
        link.hear().await,
        from_agent::Message::Unregister(_)
    ));
}

#[tokio::test]
async fn messages_of_the_master_are_passed_on_and_pings_are_answered() {
    let mut master = FakeMaster::start().await;
    let mut events = start(at(&master));
    let mut link = master.accept("S0").await;
    let _outgoing = up(&mut events).await;
    link.say(to_agent::Message::Ping(Ping { connected: true }))
        .await;
    assert!(matches!(link.hear().await, from_agent::Message::Pong(_)));
    let shutdown = to_agent::Message::ShutdownFramework(ShutdownFramework::default());
    link.say(shutdown.clone()).await;
    let Some(Event::Message(passed)) = events.recv().await else {
        panic!()
    };
    assert_eq!(*passed, shutdown);
}

#[tokio::test]
async fn a_link_that_breaks_or_is_disowned_is_made_again() {
    let mut master = FakeMaster::start().await;
    let mut events = start(at(&master));
    let link = master.accept("S0").await;
    up(&mut events).await;
    drop(link);
    assert!(matches!(events.recv().await, Some(Event::Down)));
    let mut link = master.accept("S0").await;
    up(&mut events).await;
    link.say(to_agent::Message::Ping(Ping { connected: false }))
        .await;
    assert!(matches!(events.recv().await, Some(Event::Down)));
    master.accept("S0").await;
    up(&mut events).await;
}

#[tokio::test]
async fn a_master_that_falls_silent_is_left() {
    let mut master = FakeMaster::start().await;
    let mut events = start(at(&master));
    let mut link = master.link().await;
    let mut soon = registered("S0");
    soon.ping_timeout.nanoseconds = 1_000_000;
    link.say(to_agent::Message::Registered(soon)).await;
    up(&mut events).await;
    assert!(matches!(events.recv().await, Some(Event::Down)));
    master.link().await;
}

#[tokio::test]
async fn an_agent_that_is_refused_does_not_try_again() {
    let mut master = FakeMaster::start().await;
    let mut events = start(at(&master));
    let mut link = master.link().await;
    link.say(to_agent::Message::Refused(Refused {
        message: "no".into(),
    }))
    .await;
    assert!(matches!(events.recv().await, Some(Event::Refused(why)) if why == "no"));
    assert!(events.recv().await.is_none(), "the link has ended");
}

#[tokio::test]
async fn a_master_is_looked_up_in_its_file_at_every_attempt() {
    let mut master = FakeMaster::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("master");
    let mut events = start(Master::In(file.clone()));
    tokio::task::yield_now().await;
    std::fs::write(&file, format!("{}\n", master.address)).unwrap();
    master.accept("S0").await;
    up(&mut events).await;
}
