//! Against a real engine: `tests/run engines` starts one, with an image `longshore-test:1` of busybox.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use engine::{Create, Engine, Event, HostConfig, Resources, Source, Status};

const IMAGE: &str = "longshore-test:1";
const LABEL: &str = "longshore-engine-test";

async fn engine() -> Engine {
    let socket = std::env::var_os("LONGSHORE_DOCKER_SOCKET").unwrap();
    Engine::connect(&PathBuf::from(socket)).await.unwrap()
}

fn shell(label: &str, command: &str) -> Create {
    Create {
        image: IMAGE.to_owned(),
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        cmd: Some(["-c", command].map(str::to_owned).to_vec()),
        labels: BTreeMap::from([(LABEL.to_owned(), label.to_owned())]),
        host_config: HostConfig {
            network_mode: "none".to_owned(),
            ..HostConfig::default()
        },
        ..Create::default()
    }
}

#[tokio::test]
async fn a_container_lives_its_life() {
    let engine = engine().await;
    let label = [(LABEL, Some("life"))];
    let mut events = engine.events(&label).await.unwrap();
    let create = shell("life", "echo out; echo err >&2; exec sleep 1000");
    let (id, _warnings) = engine.create("longshore-life", &create).await.unwrap();
    let again = engine.create("longshore-life", &create).await;
    assert!(again.unwrap_err().is_conflict());
    engine.start(&id).await.unwrap();
    let inspected = engine.inspect("longshore-life").await.unwrap();
    assert_eq!(
        (&inspected.id, inspected.name.as_str()),
        (&id, "longshore-life")
    );
    assert_eq!(inspected.state.status, Status::Running);
    assert!(PathBuf::from(format!("/proc/{}", inspected.state.pid)).exists());
    let listed = engine.list(&label).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, id);

    let command = ["sh", "-c", "echo $A; exit 3"].map(str::to_owned);
    let end = engine.exec(&id, &command, &["A=b".to_owned()], 1000).await;
    let end = end.unwrap();
    assert_eq!((end.exit_code, end.output.as_slice()), (3, &b"b\n"[..]));
    let resources = Resources {
        cpu_shares: Some(100),
        ..Resources::default()
    };
    engine.update(&id, &resources).await.unwrap();
    let inspected = engine.inspect(&id).await.unwrap();
    assert_eq!(inspected.whole["HostConfig"]["CpuShares"], 100);
    assert!(engine.statistics(&id).await.unwrap()["memory_stats"].is_object());

    let waiting = tokio::spawn({
        let (engine, id) = (engine.clone(), id.clone());
        async move { engine.wait(&id).await.unwrap() }
    });
    engine.stop(&id, Duration::from_secs(0)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 137);
    let inspected = engine.inspect(&id).await.unwrap();
    assert!(inspected.state.status.has_ended());
    assert!(engine.kill(&id, 9).await.unwrap_err().is_conflict());

    let mut logs = engine.logs(&id, None, true).await.unwrap();
    let mut said = Vec::new();
    while let Some(frame) = logs.next().await.unwrap() {
        let text = String::from_utf8(frame.bytes.to_vec()).unwrap();
        let (time, text) = text.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        said.push((frame.source, text.to_owned()));
    }
    said.sort_by_key(|(source, _)| *source == Source::Stderr);
    let wanted = [(Source::Stdout, "out\n"), (Source::Stderr, "err\n")];
    assert_eq!(said, wanted.map(|(source, text)| (source, text.to_owned())));
    engine.remove(&id).await.unwrap();
    assert!(engine.inspect(&id).await.unwrap_err().is_not_found());

    let mut seen = Vec::new();
    while !seen.iter().any(|action| action == "destroy") {
        let event: Event = events.next().await.unwrap().unwrap();
        assert_eq!(event.actor.id, id);
        seen.push(event.action);
    }
    for action in ["create", "start", "die", "destroy"] {
        assert!(seen.iter().any(|it| it == action), "{action}: {seen:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let engine = engine().await;
    assert!(engine.image(IMAGE).await.unwrap().is_some());
    assert_eq!(engine.image("longshore-none:1").await.unwrap(), None);
    let none = Create {
        image: "longshore-none:1".to_owned(),
        ..shell("none", "true")
    };
    let error = engine.create("longshore-none", &none).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let mut missing = shell("missing", "true");
    missing.entrypoint = Some(vec!["/missing".to_owned()]);
    let (id, _warnings) = engine.create("longshore-missing", &missing).await.unwrap();
    let error = engine.start(&id).await.unwrap_err().to_string();
    assert!(error.contains("/missing"), "{error}");
    engine.remove(&id).await.unwrap();
    // Nobody is reached there.
    let pulled = match engine.pull("127.0.0.1:1/none", "1", None).await {
        Ok(pull) => pull.finish().await,
        Err(error) => Err(error),
    };
    let error = pulled.unwrap_err().to_string();
    assert!(error.contains("pull image 127.0.0.1:1/none (1)"), "{error}");
}
