//! Clients that mean no good, over real connections.

use prost::Message as _;
use proto::link::{ExecutorMessage, from_agent};
use proto::v1;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};

use crate::support::{
    FakeAgent, FakeFramework, JSON, PROTOBUF, agent_info, framework_info, get, master, register,
    subscribe_call, url,
};

#[tokio::test]
async fn arbitrary_bytes_are_refused_and_the_master_lives_on() {
    let master = master(&[]).await;
    let client = reqwest::Client::new();
    let mut random = SmallRng::seed_from_u64(1);
    let whole = subscribe_call(framework_info()).encode_to_vec();
    for n in 0..300_usize {
        let mut bytes = vec![0; n % 90];
        random.fill_bytes(&mut bytes);
        if n % 3 == 0 {
            // A message that breaks off somewhere, or is followed by what is none.
            bytes.splice(..0, whole[..n % whole.len()].iter().copied());
        }
        for (path, content_type) in [
            ("/api/v1/scheduler", PROTOBUF),
            ("/api/v1/scheduler", JSON),
            ("/api/v1/link", PROTOBUF),
            ("/api/v1", JSON),
        ] {
            let request = client.post(url(&master, path)).body(bytes.clone());
            let request = request.header("Content-Type", content_type);
            let status = request.send().await.expect("an answer").status();
            assert!(
                !status.is_server_error() || status == 501,
                "{path}: {status}"
            );
        }
    }
    get(&master, "/state").await;
    master.stop().await;
}

#[tokio::test]
async fn a_framework_that_does_not_read_is_cut_off_and_loses_its_offers() {
    let master = master(&[]).await;
    let agent = FakeAgent::join(&master, register(agent_info("cpus:4;mem:2048"))).await;
    let mut framework = FakeFramework::subscribe(&master, framework_info()).await;
    framework.offer().await;
    // Far more than the buffers of sockets and the backlog hold.
    for _ in 0..20 {
        let message = ExecutorMessage {
            framework_id: framework.id.clone(),
            executor_id: v1::ExecutorId {
                value: "e".to_owned(),
            },
            data: vec![0; 8 << 20],
        };
        agent
            .say(from_agent::Message::ExecutorMessage(message))
            .await;
    }
    let shown = get(&master, "/frameworks").await;
    assert_eq!(shown["frameworks"][0]["connected"], false);
    let metrics = get(&master, "/metrics/snapshot").await;
    assert_eq!(metrics["master/outstanding_offers"], 0.0);
    // Its connection has yet to take what the sockets hold: a stop would wait for that.
    drop(framework);
    master.stop().await;
}
