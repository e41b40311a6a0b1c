//! The life of an app.

use std::collections::BTreeSet;

use super::sleeper;
use super::support::{FakeMaster, start};
use proto::v1::TaskState;
use proto::v1::scheduler::call::Type;
use serde_json::{Value, json};

#[tokio::test]
async fn a_posted_app_is_created_and_runs() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;

    let answer = client.post("/v2/apps", &sleeper("hello", 1)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.header("location"), "/v2/apps/hello");
    let app = answer.json();
    assert_eq!(app["id"], "/hello");
    assert_eq!(
        app["deployments"][0]["id"],
        answer.header("marathon-deployment-id")
    );
    assert!(
        answer
            .header("x-marathon-leader")
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(
        answer.header("cache-control"),
        "no-cache, no-store, must-revalidate"
    );

    let tasks = client.settled("/hello", 1).await;
    assert!(tasks[0].starts_with("hello.instance-") && tasks[0].ends_with("._app.1"));
    let app = client.get("/v2/apps//hello").await["app"].clone();
    assert_eq!(
        (&app["tasksRunning"], &app["tasksStaged"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(app["tasks"][0]["host"], "node-1");
    let port = app["tasks"][0]["ports"][0].as_u64().unwrap();
    assert!((31000..=32000).contains(&port));

    let text = client.send("GET", "/v2/tasks", "", "text/plain").await;
    assert_eq!(text.text, format!("hello\t10000\tnode-1:{port}\t\n"));
    assert_eq!(client.get("/v2/info").await["frameworkId"], "framework-1");
    handle.stop().await;
}

#[tokio::test]
async fn refusals_have_the_status_and_the_message_that_clients_read() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 1)).await;
    client.settled("/a", 1).await;
    let ghost = "a.instance-2f0e3c8e-6a2b-4c1a-9d0d-3a2f8f6f3f11._app.1";
    let kill_ghost = format!("/v2/apps/a/tasks/{ghost}");
    let no_ghost = format!("Task '{ghost}' does not exist");
    #[rustfmt::skip]
    let table = [
        ("POST", "/v2/apps", "{", 400, "Invalid JSON"),
        ("POST", "/v2/apps", "", 400, "Invalid JSON"),
        ("POST", "/v2/apps", "{}", 422, "Invalid JSON"),
        ("POST", "/v2/apps", r#"{"id":"/b"}"#, 422, "Object is not valid"),
        ("POST", "/v2/apps", r#"{"id":"/a","cmd":"x"}"#, 409, "An app with id [/a] already exists."),
        ("PUT", "/v2/apps", "{}", 422, "Invalid JSON"),
        ("PATCH", "/v2/apps/b", r#"{"cmd":"x"}"#, 404, "App '/b' does not exist"),
        ("GET", "/v2/apps/b", "", 404, "App '/b' does not exist"),
        ("DELETE", "/v2/apps/b", "", 404, "App '/b' does not exist"),
        ("POST", "/v2/apps/b/restart", "", 404, "App '/b' does not exist"),
        ("GET", "/v2/apps/b/tasks", "", 404, "App '/b' does not exist"),
        ("GET", "/v2/apps/b/versions", "", 404, "App '/b' does not exist"),
        ("GET", "/v2/apps/a/versions/yesterday", "", 422, "bad timestamp"),
        ("DELETE", "/v2/apps/a/tasks/x", "", 404, "Task 'x' does not exist"),
        ("DELETE", &kill_ghost, "", 404, &no_ghost),
        ("DELETE", "/v2/apps/a/tasks?scale=true&wipe=true", "", 400, "You cannot use scale and wipe"),
        ("POST", "/v2/tasks/delete", r#"{"ids":["x"]}"#, 400, "Invalid task id 'x'"),
        ("DELETE", "/v2/deployments/x", "", 404, "DeploymentPlan x does not exist"),
        ("DELETE", "/v2/queue/a/delay", "", 404, "Application /a not found in tasks queue."),
        ("GET", "/v2/apps?label=a==", "", 422, "Can not parse label selector"),
        ("GET", "/nowhere", "", 404, "there is nothing at /nowhere"),
        ("POST", "/v2/info", "", 405, "this resource knows only the methods GET"),
    ];
    for (method, path, body, status, message) in table {
        let answer = client.send(method, path, body, "*/*").await;
        assert_eq!(
            answer.status, status,
            "{method} {path} {body}: {}",
            answer.text
        );
        let found = answer.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            found.starts_with(message),
            "{method} {path} {body}: {found}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
    handle.stop().await;
}

#[tokio::test]
async fn an_app_is_scaled_suspended_restarted_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/g/a", 1)).await;
    let first = client.settled("/g/a", 1).await;

    // Old material scales with POST, and writes whole numbers as 3.0.
    let answer = client
        .post("/v2/app/g/a/", &json!({"instances": 3.0}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let three = client.settled("/g/a", 3).await;
    assert!(three.contains(&first[0]));

    let unchanged = client.put("/v2/apps/g/a", &json!({"instances": 3})).await;
    assert_eq!(unchanged.status, 200);
    assert_eq!(client.settled("/g/a", 3).await, three);

    let restarted = client.post("/v2/apps/g/a/restart", &Value::Null).await;
    assert_eq!(restarted.status, 200, "{}", restarted.text);
    assert_eq!(
        restarted.json()["deploymentId"],
        restarted.header("marathon-deployment-id")
    );
    let new = client.settled("/g/a", 3).await;
    assert!(new.iter().all(|task| !three.contains(task)));

    let killed = client
        .delete(&format!("/v2/apps/g/a/tasks/{}", new[0]))
        .await;
    assert_eq!(killed.json()["task"]["id"], new[0].as_str());
    let replaced = client.settled("/g/a", 3).await;
    assert!(!replaced.contains(&new[0]));

    let fewer = client
        .delete(&format!("/v2/apps/g/a/tasks/{}?scale=True", replaced[0]))
        .await;
    assert!(fewer.json()["deploymentId"].is_string(), "{}", fewer.text);
    assert_eq!(client.settled("/g/a", 2).await, replaced[1..]);
    let versions = client.get("/v2/apps/g/a/versions").await["versions"].clone();
    let versions = versions.as_array().unwrap();
    assert_eq!(versions.len(), 4);
    assert!(
        versions
            .iter()
            .map(Value::as_str)
            .is_sorted_by(|a, b| a >= b)
    );
    let oldest = format!("/v2/apps/g/a/versions/{}", versions[3].as_str().unwrap());
    assert_eq!(client.get(&oldest).await["instances"], 1);

    client.put("/v2/apps/g/a", &json!({"instances": 0})).await;
    client.settled("/g/a", 0).await;
    assert_eq!(client.delete("/v2/apps/g/a").await.status, 200);
    assert_eq!(client.get("/v2/apps").await, json!({"apps": []}));
    assert_eq!(master.running(), 0);
    handle.stop().await;
}

#[tokio::test]
async fn a_deployment_locks_its_app_until_it_is_rolled_back() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let huge = json!({"id": "/a", "cmd": "x", "cpus": 1000});
    client.post("/v2/apps", &huge).await;
    client
        .until("/v2/queue", |q| {
            q["queue"][0]["processedOffersSummary"]["unusedOffersCount"] == 1
        })
        .await;
    let deployments = client.get("/v2/deployments").await;
    assert_eq!(
        deployments[0]["currentActions"][0]["action"],
        "ScaleApplication"
    );
    assert_eq!(
        (
            &deployments[0]["currentStep"],
            &deployments[0]["totalSteps"]
        ),
        (&json!(2), &json!(2))
    );

    let locked = client.put("/v2/apps/a", &json!({"instances": 2})).await;
    assert_eq!(locked.status, 409);
    assert_eq!(locked.json()["deployments"][0]["id"], deployments[0]["id"]);
    assert_eq!(
        client
            .put("/v2/apps/a?force=True", &json!({"instances": 2}))
            .await
            .status,
        200
    );

    let id = client.get("/v2/deployments").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let back = client.delete(&format!("/v2/deployments/{id}")).await;
    assert_eq!(back.status, 200, "{}", back.text);
    // Only what the second deployment did is undone.
    assert_eq!(client.get("/v2/apps/a").await["app"]["instances"], 1);
    let id = back.header("marathon-deployment-id").to_owned();
    assert_eq!(
        client
            .delete(&format!("/v2/deployments/{id}?force=true"))
            .await
            .status,
        202
    );
    assert_eq!(client.get("/v2/deployments").await, json!([]));
    handle.stop().await;
}

#[tokio::test]
async fn a_task_that_fails_is_shown_and_waits_in_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let mut app = sleeper("/a", 1);
    app["backoffSeconds"] = json!(100);
    client.post("/v2/apps", &app).await;
    let tasks = client.settled("/a", 1).await;
    master.end(&tasks[0], TaskState::TaskFailed);
    let queue = client
        .until("/v2/queue", |q| !q["queue"].as_array().unwrap().is_empty())
        .await;
    assert_eq!(queue["queue"][0]["delay"]["overdue"], false);
    let failure = client.get("/v2/apps/a").await["app"]["lastTaskFailure"].clone();
    assert_eq!(
        (&failure["state"], &failure["taskId"]),
        (&json!("TASK_FAILED"), &json!(tasks[0]))
    );
    assert_eq!(failure["message"], "as the test wants it");
    assert_eq!(client.delete("/v2/queue/a/delay").await.status, 204);
    assert_ne!(client.settled("/a", 1).await, tasks);
    handle.stop().await;
}

#[tokio::test]
async fn a_restarted_scheduler_is_the_same_framework_and_leaves_tasks_alone() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 3)).await;
    let before = client.settled("/a", 3).await;
    handle.stop().await;

    let (handle, client) = start(&master, directory.path()).await;
    assert_eq!(client.settled("/a", 3).await, before);
    client
        .until("/v2/info", |info| info["frameworkId"] == "framework-1")
        .await;
    client.put("/v2/apps/a", &json!({"instances": 4})).await;
    assert_eq!(client.settled("/a", 4).await.len(), 4);
    assert_eq!(master.subscriptions(), [None, Some("framework-1".into())]);
    assert!(master.calls().contains(&Type::Reconcile));
    assert!(!master.calls().contains(&Type::Kill));
    handle.stop().await;
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 1)).await;
    let before = client.settled("/a", 1).await;
    master.hang_up();
    client.post("/v2/apps", &sleeper("/b", 2)).await;
    client.settled("/b", 2).await;
    assert_eq!(client.settled("/a", 1).await, before);
    assert_eq!(master.subscriptions().len(), 2);
    handle.stop().await;
}

#[tokio::test]
async fn a_hundred_instances_are_launched_in_one_go() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 100)).await;
    client.settled("/a", 100).await;
    let accepts = master
        .calls()
        .iter()
        .filter(|c| **c == Type::Accept)
        .count();
    assert_eq!(accepts, 1);
    handle.stop().await;
}

#[tokio::test]
async fn answers_have_no_key_that_a_strict_client_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 1)).await;
    client.settled("/a", 1).await;
    client
        .post("/v2/apps", &json!({"id": "/b", "cmd": "x", "cpus": 1000}))
        .await;
    let queue = client
        .until("/v2/queue", |q| q["queue"][0].is_object())
        .await;
    let app = client.get("/v2/apps/a").await["app"].clone();
    let deployment = client.get("/v2/deployments").await[0].clone();
    let info = client.get("/v2/info").await;
    #[rustfmt::skip]
    let table = [
        (&app, "acceptedResourceRoles args backoffFactor backoffSeconds cmd constraints container cpus \
            dependencies deployments disk env executor fetch gpus healthChecks id instances ipAddress \
            killSelection labels lastTaskFailure maxLaunchDelaySeconds mem networks portDefinitions \
            ports readinessCheckResults readinessChecks requirePorts residency role secrets storeUrls \
            taskKillGracePeriodSeconds taskRateLimit taskStats tasks tasksHealthy tasksRunning \
            tasksStaged tasksUnhealthy unreachableStrategy upgradeStrategy uris user version versionInfo"),
        (&app["tasks"][0], "appId healthCheckResults host id ports servicePorts slaveId stagedAt \
            startedAt version ipAddresses state localVolumes region zone role"),
        (&queue["queue"][0], "app overdue count delay since processedOffersSummary lastUnusedOffers"),
        (&queue["queue"][0]["delay"], "timeLeftSeconds overdue"),
        (&deployment, "affectedApps currentActions currentStep id steps totalSteps version affectedPods"),
        (&deployment["currentActions"][0], "action app apps type readinessCheckResults pod"),
        (&info, "buildref elected event_subscriber frameworkId http_config leader marathon_config name \
            version zookeeper_config"),
        (&info["http_config"], "http_port https_port assets_path"),
    ];
    for (object, known) in table {
        let known: BTreeSet<&str> = known.split_whitespace().collect();
        let keys = object.as_object().unwrap().keys();
        let strange: Vec<&String> = keys.filter(|k| !known.contains(k.as_str())).collect();
        assert!(strange.is_empty(), "{strange:?} in {object}");
    }
    handle.stop().await;
}
