//! Executors that must show who they are.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Keeps its token where the test finds it, and does not say it.
const KEEPS: &str =
    "echo $MESOS_EXECUTOR_AUTHENTICATION_TOKEN > token; echo waiting; exec sleep 1000";

/// The token that an executor has been given.
async fn token(node: &Node, executor: &str) -> String {
    let executors = node
        .flags
        .work_dir
        .join("slaves/M-S0/frameworks/F/executors");
    let file = executors.join(executor).join("runs/latest/token");
    loop {
        let said = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(token) = said.strip_suffix('\n') {
            return token.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn demanding() -> Node {
    let mut node = node().await;
    let key = node.dir.path().join("key");
    std::fs::write(&key, [7; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    node.flags.jwt_secret_key = Some(key);
    node.flags.authenticate_http_executors = true;
    node.flags.executor_reregistration_timeout = Duration::from_secs(15);
    node
}

fn of(id: &str, executor: &str) -> TaskInfo {
    let mut task = hosted(id, KEEPS);
    task.executor.as_mut().unwrap().executor_id.value = executor.into();
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn root_who_has_not_the_token_of_an_executor_does_not_speak_for_it() {
    let mut node = demanding().await;
    let (handle, mut link) = node.start().await;
    link.say(run(of("t", "E"))).await;
    link.say(run(of("other", "D"))).await;
    let voice = || Voice::of(&handle, Encoding::Json);
    let (ours, theirs) = (token(&node, "E").await, token(&node, "D").await);
    assert_ne!(ours, theirs);

    let subscription = voice().subscription(&[], &[]);
    let nobody = voice().send(&subscription).await;
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    let realm = "Bearer realm=\"mesos-agent-executor\"";
    assert_eq!(nobody.headers()["www-authenticate"], realm);
    let forged = voice().with_token("a.b.c").send(&subscription).await;
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    let challenge = forged.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with(realm) && challenge.contains("invalid_token"));
    // Nobody learns by it what there is.
    let unknown = voice().call(|call| call.executor_id.value = "X".into());
    for call in [&subscription, &unknown] {
        let (status, said) = voice().with_token(&theirs).post(call).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
        assert!(said.contains("is that of executor F/D"), "{said}");
    }

    let voice = voice().with_token(&ours);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    assert_eq!(
        voice.update("t", TaskRunning, 1).await,
        StatusCode::ACCEPTED
    );
    assert_eq!(link.update().await.state(), TaskRunning);
    for path in [
        "/state",
        "/flags",
        "/containers",
        "/inspect?task_id=t",
        "/monitor/statistics",
    ] {
        let shown = get(&handle, path).await.to_string();
        assert!(!shown.contains(&ours), "{path}: {shown}");
    }
    // No file of the agent's that others can read holds it.
    for dir in ["run", "work/meta"] {
        no_open_file_holds(&node.dir.path().join(dir), &ours);
    }

    // The next agent knows it again.
    stop(handle, link).await;
    let (handle, mut link) = node.start().await;
    let voice = |token| Voice::of(&handle, Encoding::Protobuf).with_token(token);
    let (status, said) = voice(&theirs).post(&subscription).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
    let voice = voice(&ours);
    let mut ears = voice.subscribe(&[], &[]).await;
    ears.hear(Type::Subscribed).await;
    voice.update("t", TaskFinished, 2).await;
    while link.update().await.state() != TaskFinished {}

    // One of an earlier run is none of the next: the executor of the same name is another.
    link.say(shutdown()).await;
    exited(&mut link).await;
    link.say(run(of("next", "E"))).await;
    let next = loop {
        let next = token(&node, "E").await;
        if next != ours {
            break next;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let (status, said) = voice.post(&subscription).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
    let mut ears = Voice::of(&handle, Encoding::Protobuf)
        .with_token(&next)
        .subscribe(&[], &[])
        .await;
    ears.hear(Type::Launch).await;
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_tokens_are_given_out_before_anybody_asks_for_them_and_to_executors_alone() {
    let mut node = demanding().await;
    node.flags.authenticate_http_executors = false;
    let (handle, mut link) = node.start().await;
    link.say(run(of("t", "E"))).await;
    assert_eq!(token(&node, "E").await.split('.').count(), 3);
    let mut ears = Voice::of(&handle, Encoding::Json).subscribe(&[], &[]).await;
    ears.hear(Type::Launch).await;
    // The agent itself is the executor of that one.
    link.say(run(task("alone", KEEPS))).await;
    while link.update().await.state() != TaskRunning {}
    assert_eq!(token(&node, "alone").await, "");
    node.end(handle).await;
}

/// Those that only root can get at may hold it.
fn no_open_file_holds(dir: &Path, token: &str) {
    let mode = std::fs::metadata(dir).unwrap().permissions().mode();
    if mode & 0o005 == 0 {
        return;
    }
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            no_open_file_holds(&path, token);
        } else if kind.is_file() && entry.metadata().unwrap().permissions().mode() & 0o004 != 0 {
            let content = std::fs::read(&path).unwrap();
            let held = content
                .windows(token.len())
                .any(|it| it == token.as_bytes());
            assert!(!held, "{} holds it", path.display());
        }
    }
}
