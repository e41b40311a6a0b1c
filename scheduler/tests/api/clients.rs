//! What old and strict clients send, and what they read.

use super::sleeper;
use super::support::{FakeMaster, start};
use proto::v1::TaskState;
use serde_json::{Value, json};

#[tokio::test]
async fn old_forms_are_accepted_and_answered_in_canonical_form() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let bridged = json!({
        "id": "old", "cmd": "x", "uris": ["http://host/app.tar.gz"], "storeUrls": [], "_comment": "",
        "container": {"type": "DOCKER", "docker": {
            "image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}},
    });
    let answer = client.post("/v2/apps", &bridged).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let app = answer.json();
    assert_eq!(app["networks"], json!([{"mode": "container/bridge"}]));
    assert_eq!(app["fetch"][0]["extract"], true);
    assert_eq!(app["container"]["portMappings"][0]["servicePort"], 10000);
    for gone in ["uris", "ports", "storeUrls", "_comment"] {
        assert!(app.get(gone).is_none(), "{gone}");
    }
    let ports = json!({"id": "Ports", "cmd": "x", "ports": [0, 8080]});
    let app = client.post("/v2/apps", &ports).await.json();
    assert_eq!(app["id"], "/ports");
    assert_eq!(app["portDefinitions"][1]["port"], 8080);
    handle.stop().await;
}

#[tokio::test]
async fn an_app_goes_back_to_an_old_definition_under_a_new_version() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 1)).await;
    client.settled("/a", 1).await;
    let first = client.get("/v2/apps/a").await["app"]["version"].clone();
    let scaled = client.put("/v2/apps/a", &json!({"instances": 2})).await;
    assert_ne!(scaled.json()["version"], first);
    client.settled("/a", 2).await;
    client
        .put("/v2/apps/a", &json!({"cmd": "sleep 2000"}))
        .await;
    client.settled("/a", 2).await;
    let back = client.put("/v2/apps/a", &json!({"version": first})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    client.settled("/a", 1).await;
    let app = client.get("/v2/apps/a").await["app"].clone();
    assert_eq!(
        (&app["cmd"], &app["version"]),
        (&json!("sleep 1000"), &back.json()["version"])
    );
    assert_ne!(app["version"], first);
    let unknown = json!({"version": "2020-01-01T00:00:00.000Z"});
    for path in ["/v2/apps/a", "/v2/apps/b"] {
        let answer = client.put(path, &unknown).await;
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    handle.stop().await;
}

#[tokio::test]
async fn several_apps_are_changed_by_one_deployment_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 1)).await;
    client.settled("/a", 1).await;
    let both = json!([{"id": "/a", "instances": 2}, sleeper("/b", 1)]);
    let refused = client
        .send("PATCH", "/v2/apps", &both.to_string(), "*/*")
        .await;
    assert_eq!(refused.status, 404, "{}", refused.text);
    assert_eq!(client.get("/v2/apps/a").await["app"]["instances"], 1);
    let answer = client.put("/v2/apps", &both).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    client.settled("/a", 2).await;
    client.settled("/b", 1).await;

    #[rustfmt::skip]
    let table = [
        (json!([{"id": "/a"}, {"id": "/c", "cmd": 5}]), "(1)/cmd", "error.expected.jsstring"),
        (json!([5]), "(0)", "error.expected.jsobject"),
        (json!([{"cmd": "x"}]), "(0)/id", "error.path.missing"),
        (json!({"id": "/a"}), "/", "error.expected.jsarray"),
    ];
    for (body, path, error) in table {
        let answer = client.put("/v2/apps", &body).await;
        assert_eq!(answer.status, 422, "{body}");
        let details = json!([{"path": path, "errors": [error]}]);
        assert_eq!(answer.json()["details"], details, "{body}");
    }
    let whole = client
        .put(
            "/v2/apps/a?partialUpdate=false",
            &json!({"cmd": "y", "cpus": 0.01}),
        )
        .await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    client.settled("/a", 1).await;
    let app = client.get("/v2/apps/a").await["app"].clone();
    assert_eq!((&app["cmd"], &app["mem"]), (&json!("y"), &json!(128)));
    handle.stop().await;
}

#[tokio::test]
async fn lists_are_filtered_by_id_command_and_labels() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    for (id, cmd, tier) in [
        ("/web", "nginx -g x", "front"),
        ("/g/db", "postgres", "back"),
    ] {
        let body = json!({"id": id, "cmd": cmd, "cpus": 0.01, "mem": 1, "labels": {"tier": tier}});
        client.post("/v2/apps", &body).await;
        client.settled(id, 1).await;
    }
    let table = [
        ("cmd=NGINX", vec!["/web"]),
        ("id=G/D", vec!["/g/db"]),
        ("label=tier%3D%3Dfront", vec!["/web"]),
        ("label=tier+notin+(front)", vec!["/g/db"]),
        ("label=tier", vec!["/g/db", "/web"]),
        ("id=web&label=tier==back", vec![]),
        ("unknown=x", vec!["/g/db", "/web"]),
    ];
    for (query, expected) in table {
        let apps = client.get(&format!("/v2/apps?{query}")).await["apps"].clone();
        let ids: Vec<&Value> = apps.as_array().unwrap().iter().map(|a| &a["id"]).collect();
        assert_eq!(ids, expected, "{query}");
    }
    let embedded = client
        .get("/v2/apps?embed=app.tasks&embed=apps.taskStats&id=web")
        .await;
    let app = &embedded["apps"][0];
    assert_eq!(app["tasks"][0]["appId"], "/web");
    let stats = &app["taskStats"]["withLatestConfig"]["stats"];
    assert_eq!(stats["counts"]["running"], 1);
    assert!(stats["lifeTime"]["medianSeconds"].is_number());
    assert!(app["taskStats"].get("withOutdatedConfig").is_none());
    handle.stop().await;
}

#[tokio::test]
async fn a_task_that_exits_well_is_replaced_after_a_delay() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let mut app = sleeper("/a", 1);
    app["backoffSeconds"] = json!(100);
    client.post("/v2/apps", &app).await;
    let tasks = client.settled("/a", 1).await;
    master.end(&tasks[0], TaskState::TaskFinished);
    let waits = |q: &Value| q["queue"][0].is_object();
    let item = client.until("/v2/queue", waits).await["queue"][0].clone();
    assert_eq!(item["delay"]["overdue"], false);
    let left = item["delay"]["timeLeftSeconds"].as_u64().unwrap();
    assert!((95..=100).contains(&left), "{left}");
    handle.stop().await;

    let (handle, client) = start(&master, directory.path()).await;
    let item = client.until("/v2/queue", waits).await["queue"][0].clone();
    assert_eq!(
        item["delay"]["overdue"], false,
        "the delay survives a restart"
    );
    handle.stop().await;
}

#[tokio::test]
async fn the_queue_tells_which_offers_did_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client
        .post("/v2/apps", &json!({"id": "/a", "cmd": "x", "cpus": 1000}))
        .await;
    let seen = |q: &Value| q["queue"][0]["processedOffersSummary"]["unusedOffersCount"] == 1;
    let plain = client.until("/v2/queue", seen).await;
    assert!(plain["queue"][0].get("lastUnusedOffers").is_none());
    let summary = &plain["queue"][0]["processedOffersSummary"];
    let row = json!({"reason": "InsufficientCpus", "declined": 1, "processed": 1});
    assert_eq!(summary["rejectSummaryLastOffers"][2], row);
    let queue = client.get("/v2/queue?embed=lastUnusedOffers").await;
    let unused = &queue["queue"][0]["lastUnusedOffers"][0];
    assert_eq!(unused["reason"], json!(["InsufficientCpus"]));
    assert_eq!(unused["offer"]["hostname"], "node-1");
    let cpus = json!({"name": "cpus", "role": "*", "scalar": 16.0});
    assert_eq!(unused["offer"]["resources"][0], cpus);
    handle.stop().await;
}

#[tokio::test]
async fn tasks_are_killed_by_host_and_by_list() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 2)).await;
    let tasks = client.settled("/a", 2).await;
    let elsewhere = client.delete("/v2/apps/a/tasks?host=elsewhere").await;
    assert_eq!(elsewhere.json(), json!({"tasks": []}));
    let here = client
        .delete("/v2/apps/a/tasks?host=node-1&wipe=true")
        .await;
    assert_eq!(here.json()["tasks"].as_array().unwrap().len(), 2);
    let new = client.settled("/a", 2).await;
    assert!(new.iter().all(|task| !tasks.contains(task)));

    let unknown = "z.2f0e3c8e-6a2b-4c1a-9d0d-3a2f8f6f3f11";
    let instance = new[0].strip_suffix("._app.1").unwrap();
    let body = json!({"ids": [instance, unknown]});
    let answer = client.post("/v2/tasks/delete?scale=True", &body).await;
    assert!(answer.json()["deploymentId"].is_string(), "{}", answer.text);
    assert_eq!(client.settled("/a", 1).await, new[1..]);
    for (body, path, error) in [
        (json!({}), "/ids", "error.path.missing"),
        (json!({"ids": [5]}), "/ids(0)", "error.expected.jsstring"),
    ] {
        let answer = client.post("/v2/tasks/delete", &body).await;
        assert_eq!(answer.status, 422);
        let details = json!([{"path": path, "errors": [error]}]);
        assert_eq!(answer.json()["details"], details);
    }
    handle.stop().await;
}

#[tokio::test]
async fn the_form_of_an_answer_is_the_one_that_a_client_likes_best() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/a", 1)).await;
    client.settled("/a", 1).await;
    for (accept, kind) in [
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/json, text/plain, */*", "application/json"),
        ("*/*", "application/json"),
    ] {
        let answer = client.send("GET", "/v2/tasks", "", accept).await;
        assert_eq!(answer.header("content-type"), kind, "{accept}");
    }
    let head = client.send("HEAD", "/v2/apps/a", "", "*/*").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let options = client.send("OPTIONS", "/v2/apps/a", "", "*/*").await;
    assert_eq!(options.status, 200);
    assert_eq!(options.header("allow"), "GET, PUT, POST, PATCH, DELETE");
    handle.stop().await;
}
