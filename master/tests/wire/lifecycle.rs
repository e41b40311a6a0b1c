//! A master, an agent and a framework over real connections.

use crate::support::{
    FakeAgent, FakeFramework, agent_info, flags, framework_info, get, master, register,
};
use proto::link::to_agent;
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::Type;
use proto::v1::{self, TaskState};

const NODE: &str = "cpus:4;mem:2048;disk:1000;ports:[31000-31009]";

#[tokio::test]
async fn a_task_goes_from_offer_to_end() {
    let master = master(&[]).await;
    let mut agent = FakeAgent::join(&master, register(agent_info(NODE))).await;
    assert_eq!(agent.id.value, format!("{}-S0", master.master_id()));
    let mut framework = FakeFramework::subscribe(&master, framework_info()).await;
    assert_eq!(framework.id.value, format!("{}-0000", master.master_id()));

    let offer = framework.offer().await;
    assert_eq!(offer.agent_id, agent.id);
    assert_eq!(
        offer.url.as_ref().and_then(|url| url.path.as_deref()),
        Some("/slave(1)")
    );
    framework
        .launch(&offer, "web.1", "cpus:1;mem:64;ports:[31001-31001]")
        .await;
    let to_agent::Message::RunTask(run) = agent.next().await else {
        panic!("no launch")
    };
    assert_eq!(run.framework.id, Some(framework.id.clone()));
    let role = run.task.resources[0]
        .allocation_info
        .as_ref()
        .and_then(|info| info.role.clone());
    assert_eq!(role.as_deref(), Some("*"));

    agent
        .report(&framework.id, "web.1", TaskState::TaskRunning)
        .await;
    let status = framework.status().await;
    assert_eq!(status.state(), TaskState::TaskRunning);
    framework.acknowledge(&status).await;
    let to_agent::Message::Acknowledge(seen) = agent.next().await else {
        panic!("no ack")
    };
    assert_eq!(Some(seen.uuid), status.uuid);

    let state = get(&master, "/master/state.json").await;
    let task = &state["frameworks"][0]["tasks"][0];
    assert_eq!(task["state"], "TASK_RUNNING");
    assert_eq!(task["executor_id"], "");
    assert_eq!(
        state["slaves"][0]["used_resources"]["ports"],
        "[31001-31001]"
    );

    agent
        .report(&framework.id, "web.1", TaskState::TaskFinished)
        .await;
    let status = framework.status().await;
    // What came free is offered although the rest was declined for an hour.
    let again = framework.offer().await;
    assert_eq!(again.resources, offer.resources);
    framework.acknowledge(&status).await;
    let state = get(&master, "/state").await;
    assert_eq!(state["frameworks"][0]["completed_tasks"][0]["id"], "web.1");
    master.stop().await;
}

#[tokio::test]
#[expect(deprecated, reason = "older frameworks read and write `role`")]
async fn offers_come_in_the_format_the_framework_understands() {
    let master = master(&[]).await;
    let _agent = FakeAgent::join(&master, register(agent_info("cpus(ops):1;mem:64"))).await;
    let plain = v1::FrameworkInfo {
        role: Some("ops".to_owned()),
        ..framework_info()
    };
    let mut plain = FakeFramework::subscribe(&master, plain).await;
    let offer = plain.offer().await;
    assert!(offer.allocation_info.is_none());
    let roles: Vec<_> = offer
        .resources
        .iter()
        .map(|r| (r.name.as_str(), r.role()))
        .collect();
    assert_eq!(roles, [("mem", "*"), ("cpus", "ops")]);
    assert!(
        offer
            .resources
            .iter()
            .all(|r| r.allocation_info.is_none() && r.reservations.is_empty())
    );
    plain
        .call(Call {
            r#type: Some(Type::Teardown.into()),
            ..Call::default()
        })
        .await;

    use v1::framework_info::capability::Type as Capability;
    let capability = |kind: Capability| v1::framework_info::Capability {
        r#type: Some(kind.into()),
    };
    let modern = v1::FrameworkInfo {
        roles: vec!["ops".to_owned()],
        capabilities: vec![
            capability(Capability::MultiRole),
            capability(Capability::ReservationRefinement),
        ],
        ..framework_info()
    };
    let mut modern = FakeFramework::subscribe(&master, modern).await;
    let offer = modern.offer().await;
    assert_eq!(
        offer.allocation_info.and_then(|info| info.role).as_deref(),
        Some("ops")
    );
    assert!(
        offer
            .resources
            .iter()
            .all(|r| r.role.is_none() && r.allocation_info.is_some())
    );
    assert_eq!(
        offer
            .resources
            .iter()
            .filter(|r| !r.reservations.is_empty())
            .count(),
        1
    );
    master.stop().await;
}

#[tokio::test]
async fn a_new_subscription_ends_the_older_one() {
    let master = master(&[]).await;
    let mut old = FakeFramework::subscribe(&master, framework_info()).await;
    let info = v1::FrameworkInfo {
        id: Some(old.id.clone()),
        ..framework_info()
    };
    let new = FakeFramework::subscribe(&master, info).await;
    assert_eq!(new.id, old.id);
    assert_eq!(
        old.event().await.error.expect("an error").message,
        "Framework failed over"
    );
    assert!(old.records.next().await.is_none());
    let revive = || Call {
        r#type: Some(Type::Revive.into()),
        ..Call::default()
    };
    assert_eq!(old.call(revive()).await.status(), 400);
    assert_eq!(new.call(revive()).await.status(), 202);
    master.stop().await;
}

#[tokio::test]
async fn a_framework_without_failover_timeout_ends_with_its_connection() {
    let master = master(&[]).await;
    let mut agent = FakeAgent::join(&master, register(agent_info(NODE))).await;
    let info = v1::FrameworkInfo {
        failover_timeout: None,
        ..framework_info()
    };
    let mut framework = FakeFramework::subscribe(&master, info).await;
    let offer = framework.offer().await;
    framework.launch(&offer, "t", "cpus:1;mem:64").await;
    assert!(matches!(agent.next().await, to_agent::Message::RunTask(_)));
    let id = framework.id.clone();
    drop(framework);
    let to_agent::Message::ShutdownFramework(shutdown) = agent.next().await else {
        panic!("the framework's tasks must end")
    };
    assert_eq!(shutdown.framework_id, id);
    master.stop().await;
}

#[tokio::test]
async fn an_agent_that_breaks_off_is_offered_no_more_and_comes_back_as_itself() {
    let master = master(&[]).await;
    let agent = FakeAgent::join(&master, register(agent_info(NODE))).await;
    let mut framework = FakeFramework::subscribe(&master, framework_info()).await;
    let offer = framework.offer().await;
    let id = agent.id.clone();
    drop(agent);
    assert_eq!(
        framework.event().await.rescind.expect("a rescind").offer_id,
        offer.id
    );
    let info = v1::AgentInfo {
        id: Some(id.clone()),
        ..agent_info(NODE)
    };
    let agent = FakeAgent::join(&master, register(info)).await;
    assert_eq!(agent.id, id);
    assert_eq!(framework.offer().await.agent_id, id);
    master.stop().await;
}

#[tokio::test]
async fn a_new_link_of_an_agent_replaces_the_older() {
    let master = master(&[]).await;
    let mut old = FakeAgent::join(&master, register(agent_info(NODE))).await;
    let info = v1::AgentInfo {
        id: Some(old.id.clone()),
        ..agent_info(NODE)
    };
    let _new = FakeAgent::join(&master, register(info)).await;
    assert!(old.is_closed().await);
    assert_eq!(get(&master, "/state").await["activated_slaves"], 1.0);
    master.stop().await;
}

#[tokio::test]
async fn offers_outlast_a_new_link_of_an_agent_unless_that_tells_something_else() {
    let master = master(&[]).await;
    let old = FakeAgent::join(&master, register(agent_info(NODE))).await;
    let mut framework = FakeFramework::subscribe(&master, framework_info()).await;
    let offer = framework.offer().await;
    let info = v1::AgentInfo {
        id: Some(old.id.clone()),
        ..agent_info(NODE)
    };
    let mut new = FakeAgent::join(&master, register(info.clone())).await;
    let other = v1::AgentInfo {
        hostname: "another".into(),
        ..info
    };
    let _newer = FakeAgent::join(&master, register(other.clone())).await;
    assert!(new.is_closed().await);
    assert_eq!(
        framework.event().await.rescind.expect("a rescind").offer_id,
        offer.id
    );
    let offer = framework.offer().await;
    let mut newest = FakeAgent::join(&master, register(other)).await;
    framework.launch(&offer, "t", "cpus:1;mem:64").await;
    let heard = newest.next().await;
    assert!(matches!(heard, to_agent::Message::RunTask(_)), "{heard:?}");
    master.stop().await;
}

#[tokio::test]
async fn a_restarted_master_knows_its_agents_and_gets_their_tasks_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let work_dir = format!("--work_dir={}", dir.path().display());
    let first = master::start(flags(&[&work_dir]))
        .await
        .expect("the master starts");
    let agent = FakeAgent::join(&first, register(agent_info(NODE))).await;
    let framework = FakeFramework::subscribe(&first, framework_info()).await;
    let (agent_id, framework_id) = (agent.id.clone(), framework.id.clone());
    first.stop().await;

    let second = master::start(flags(&[&work_dir]))
        .await
        .expect("the master starts again");
    let state = get(&second, "/state").await;
    assert_eq!(state["recovered_slaves"][0]["id"], agent_id.value.as_str());

    let info = v1::AgentInfo {
        id: Some(agent_id.clone()),
        ..agent_info(NODE)
    };
    let mut report = register(info);
    report.frameworks = vec![v1::FrameworkInfo {
        id: Some(framework_id.clone()),
        ..framework_info()
    }];
    report.tasks = vec![v1::Task {
        name: "web".to_owned(),
        task_id: v1::TaskId {
            value: "web.1".to_owned(),
        },
        framework_id: framework_id.clone(),
        agent_id: agent_id.clone(),
        state: TaskState::TaskRunning.into(),
        resources: proto::resources::Resources::parse("cpus:1;mem:64", "*")
            .expect("ok")
            .to_protos(),
        ..v1::Task::default()
    }];
    let agent = FakeAgent::join(&second, report).await;
    assert_eq!(agent.id, agent_id);
    let state = get(&second, "/state").await;
    assert_eq!(state["frameworks"][0]["recovered"], true);
    assert_eq!(state["frameworks"][0]["tasks"][0]["state"], "TASK_RUNNING");

    let info = v1::FrameworkInfo {
        id: Some(framework_id.clone()),
        ..framework_info()
    };
    let mut framework = FakeFramework::subscribe(&second, info).await;
    assert_eq!(framework.id, framework_id);
    let offer = framework.offer().await;
    let cpus = offer
        .resources
        .iter()
        .find(|r| r.name == "cpus")
        .and_then(|r| r.scalar);
    assert_eq!(cpus.map(|cpus| cpus.value), Some(3.0));
    second.stop().await;
}

#[tokio::test]
async fn an_agent_that_cannot_take_part_is_told_why() {
    let master = master(&[]).await;
    let nameless = v1::AgentInfo {
        hostname: String::new(),
        ..agent_info(NODE)
    };
    let message = proto::link::from_agent::Message::Register(register(nameless));
    let response =
        crate::support::post_link(&crate::support::url(&master, "/api/v1/link"), None, message)
            .await;
    let mut records = crate::support::Records::of(response);
    let record = records.next().await.expect("a refusal");
    let decoded: proto::link::ToAgent =
        prost::Message::decode(record.as_slice()).expect("a message");
    let Some(to_agent::Message::Refused(refused)) = decoded.message else {
        panic!("{decoded:?}")
    };
    assert!(
        refused.message.contains("--hostname"),
        "{}",
        refused.message
    );
    assert!(records.next().await.is_none());
    master.stop().await;
}
