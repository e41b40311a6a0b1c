//! Drains that are ordered while the agent is replaced.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::cluster::Agent;

use crate::clients::Until;
use crate::{cluster, ends_well, steady};

/// In seconds: far away, and farther apart than this test takes.
const APART: u64 = 1_000_000;

fn deadline(number: u64) -> Value {
    json!({ "deadline": { "nanoseconds": number * APART * 1_000_000_000 } })
}

/// Which drain is under way.
async fn under_way(agent: &Agent) -> u64 {
    let told = agent.api.json("/drain").await;
    let left = told["deadline"]["nanoseconds"].as_u64();
    let left = left.unwrap_or_else(|| panic!("{told:#}")) / 1_000_000_000;
    left.div_ceil(APART)
}

#[tokio::test]
async fn root_a_drain_is_begun_whichever_process_is_the_agent_when_it_is_ordered() {
    let (cluster, before) = cluster().await;
    let (agent, until) = (&cluster.agents[0], Until::default());
    let upgrades = async {
        for _ in 0..3 {
            let answer = agent.upgrade().await;
            assert!(answer.success, "{answer:?}");
        }
        until.now();
    };
    let drains = async {
        let mut number = 0;
        while !until.is_over() {
            number += 1;
            let answer = agent.api.post("/drain", &deadline(number)).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            assert_eq!(under_way(agent).await, number);
        }
        number
    };
    let ((), last) = tokio::join!(upgrades, drains);
    assert_eq!(under_way(agent).await, last);
    let taken_back = agent.api.ask(Method::DELETE, "/drain", None).await.unwrap();
    assert_eq!(taken_back.status, StatusCode::OK);
    assert_eq!(steady(&cluster).await, before);
    ends_well(cluster).await;
}
