//! Groups over HTTP: versions, going back, dry runs, and the parts that a client asks for.

use super::sleeper;
use super::support::{FakeMaster, start};
use serde_json::{Value, json};

#[tokio::test]
async fn a_group_goes_back_to_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let first =
        json!({"id": "/g", "dependencies": ["/db"], "apps": [sleeper("a", 1), sleeper("b", 1)]});
    client.post("/v2/groups", &first).await;
    let a = client.settled("/g/a", 1).await;
    client.settled("/g/b", 1).await;
    let version = client.get("/v2/groups/g").await["version"].clone();
    let version = version.as_str().unwrap();
    client.post("/v2/apps", &sleeper("/other", 1)).await;
    client.settled("/other", 1).await;
    let second = json!({"dependencies": [], "apps": [sleeper("a", 2), sleeper("c", 1)]});
    client.put("/v2/groups/g", &second).await;
    client.settled("/g/c", 1).await;

    let versions = client.get("/v2/groups/g/versions").await;
    assert_eq!(versions.as_array().unwrap().len(), 2, "{versions}");
    assert_eq!(versions[1], version);
    assert_eq!(
        client
            .get("/v2/groups/versions")
            .await
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let past = client
        .get(&format!("/v2/groups/g/versions/{version}"))
        .await;
    let ids: Vec<&Value> = past["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["id"])
        .collect();
    assert_eq!(ids, ["/g/a", "/g/b"]);
    assert_eq!(past["dependencies"], json!(["/db"]));

    handle.stop().await;
    let (handle, client) = start(&master, directory.path()).await;
    // The way of a python client, without a body.
    let path = format!("/v2/groups/g/versions/{version}");
    let back = client.send("PUT", &path, "", "*/*").await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(client.settled("/g/a", 1).await, a);
    client.settled("/g/b", 1).await;
    let group = client.get("/v2/groups/g").await;
    assert_eq!(group["dependencies"], json!(["/db"]));
    assert_eq!(group["apps"].as_array().unwrap().len(), 2);
    assert_eq!(group["version"], back.json()["version"]);
    client.settled("/other", 1).await;

    let same = client
        .put("/v2/groups/g", &json!({"version": version}))
        .await;
    assert_eq!(
        same.json()["version"],
        back.json()["version"],
        "nothing to do"
    );
    let unknown = client
        .put(
            "/v2/groups/g",
            &json!({"version": "2020-01-01T00:00:00.000Z"}),
        )
        .await;
    let message = "Group '/g' does not exist in version 2020-01-01T00:00:00.000Z";
    assert_eq!(
        (unknown.status, &unknown.json()["message"]),
        (404, &json!(message))
    );
    handle.stop().await;
}

#[tokio::test]
async fn a_group_that_was_read_may_be_sent_back() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let group = json!({"id": "/g", "apps": [sleeper("a", 1)], "groups": [{"id": "h"}]});
    client.post("/v2/groups", &group).await;
    let tasks = client.settled("/g/a", 1).await;
    let mut group = client.get("/v2/groups/g").await;
    client.put("/v2/groups/g", &group).await;
    assert_eq!(client.settled("/g/a", 1).await, tasks);
    group["apps"][0]["instances"] = json!(2);
    let answer = client.put("/v2/groups/g", &group).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    client.settled("/g/a", 2).await;
    handle.stop().await;
}

#[tokio::test]
async fn a_dry_run_names_the_steps_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let body = json!({"apps": [sleeper("a", 1)]});
    let answer = client.put("/v2/groups/g?dryRun=true", &body).await;
    let action = |name: &str| json!({"actions": [{"action": name, "app": "/g/a"}]});
    let steps = json!({"steps": [action("StartApplication"), action("ScaleApplication")]});
    assert_eq!(answer.json(), steps);
    assert_eq!(client.get("/v2/apps").await, json!({"apps": []}));
    assert_eq!(
        client.send("GET", "/v2/groups/g", "", "*/*").await.status,
        404
    );
    handle.stop().await;
}

#[tokio::test]
async fn scaling_a_group_twice_multiplies_twice() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client
        .post("/v2/groups", &json!({"id": "g", "apps": [sleeper("a", 1)]}))
        .await;
    for count in [1, 2] {
        client.settled("/g/a", count).await;
        client.put("/v2/groups/g", &json!({"scaleBy": 2})).await;
    }
    client.settled("/g/a", 4).await;
    // More than an app can have would be stored and never be read again.
    let answer = client.put("/v2/groups/g", &json!({"scaleBy": 1e10})).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert_eq!(answer.json()["details"][0]["path"], "/scaleBy");
    client.settled("/g/a", 4).await;
    handle.stop().await;
}

#[tokio::test]
async fn a_group_is_shown_with_the_parts_that_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let group = json!({"id": "g", "apps": [sleeper("a", 1)], "groups": [{"id": "h", "apps": [sleeper("b", 1)]}]});
    client.post("/v2/groups", &group).await;
    client.settled("/g/h/b", 1).await;
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let all = client.get("/v2/groups/g").await;
    assert_eq!(
        keys(&all),
        ["apps", "dependencies", "groups", "id", "pods", "version"]
    );
    let groups = client.get("/v2/groups?embed=group.groups").await;
    assert_eq!(
        keys(&groups["groups"][0]),
        ["dependencies", "groups", "id", "version"]
    );
    let tasks = client
        .get("/v2/groups/g?embed=group.apps&embed=group.apps.tasks")
        .await;
    assert_eq!(keys(&tasks), ["apps", "dependencies", "id", "version"]);
    assert_eq!(tasks["apps"][0]["tasks"][0]["state"], "TASK_RUNNING");
    let apps = client.get("/v2/groups/g/apps").await;
    let ids: Vec<&Value> = apps.as_array().unwrap().iter().map(|a| &a["id"]).collect();
    assert_eq!(ids, ["/g/a", "/g/h/b"]);
    assert_eq!(client.get("/v2/apps/g/*").await["*"], apps);
    handle.stop().await;
}

#[tokio::test]
async fn an_app_and_a_group_cannot_have_the_same_id() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    client.post("/v2/apps", &sleeper("/g/a", 1)).await;
    let below = client.post("/v2/apps", &sleeper("/g/a/b", 1)).await;
    let above = client.post("/v2/apps", &sleeper("/g", 1)).await;
    let inside = client.put("/v2/groups/g/a/c", &json!({})).await;
    for (answer, id) in [(below, "/g/a"), (above, "/g"), (inside, "/g/a")] {
        assert_eq!(answer.status, 422, "{}", answer.text);
        let error = answer.json()["details"][0]["errors"][0].clone();
        let expected = format!("Groups and Applications may not have the same identifier. [{id}]");
        assert_eq!(error, expected);
    }
    let same = client.put("/v2/groups/g/a", &json!({})).await;
    assert_eq!(same.status, 409, "{}", same.text);
    handle.stop().await;
}

#[tokio::test]
async fn a_group_comes_up_in_the_order_of_its_dependencies_and_scales_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let app = |id: &str| sleeper(id, 1);
    let counters = json!({"id": "/counters", "groups": [
        {"id": "/counters/forward", "apps": [app("/counters/forward/fc")]},
        {"id": "backward", "dependencies": ["/counters/forward"], "apps": [app("bc")]},
    ]});
    let answer = client.post("/v2/groups", &counters).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.header("location"), "/v2/groups/counters");
    let forward = client.settled("/counters/forward/fc", 1).await;
    let backward = client.settled("/counters/backward/bc", 1).await;
    let tasks = client.get("/v2/tasks").await["tasks"].clone();
    let staged = |id: &str| {
        let all = tasks.as_array().unwrap();
        all.iter().find(|t| t["id"] == id).unwrap()["stagedAt"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(staged(&forward[0]) <= staged(&backward[0]));
    let group = client.get("/v2/groups/counters").await;
    assert_eq!(
        group["groups"][0]["dependencies"],
        json!(["/counters/forward"])
    );
    assert_eq!(group["groups"][1]["apps"][0]["id"], "/counters/forward/fc");

    assert_eq!(client.post("/v2/groups", &counters).await.status, 409);
    // A workshop posts what ought to be put.
    let scaled = client
        .post("/v2/groups/counters", &json!({"scaleBy": 2}))
        .await;
    assert_eq!(scaled.status, 200, "{}", scaled.text);
    client.settled("/counters/forward/fc", 2).await;
    client.settled("/counters/backward/bc", 2).await;

    let less = json!({"groups": [{"id": "forward"}]});
    assert_eq!(client.put("/v2/groups/counters", &less).await.status, 200);
    client.settled("/counters/forward/fc", 2).await;
    assert_eq!(
        client.get("/v2/apps").await["apps"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(client.delete("/v2/groups/counters").await.status, 200);
    client.until("/v2/tasks", |t| t["tasks"] == json!([])).await;
    assert_eq!(client.get("/v2/groups").await["groups"], json!([]));
    assert_eq!(client.delete("/v2/groups/counters").await.status, 404);
    handle.stop().await;
}

#[tokio::test]
async fn a_cycle_of_dependencies_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let master = FakeMaster::start().await;
    let (handle, client) = start(&master, directory.path()).await;
    let mut one = sleeper("/g/one", 1);
    one["dependencies"] = json!(["/g/two"]);
    let mut two = sleeper("/g/two", 1);
    two["dependencies"] = json!(["/g/one"]);
    let answer = client
        .post("/v2/groups", &json!({"id": "g", "apps": [one, two]}))
        .await;
    assert_eq!(answer.status, 422);
    let expected = json!([{"path": "/", "errors": ["Dependency graph has cyclic dependencies."]}]);
    assert_eq!(answer.json()["details"], expected);
    assert_eq!(client.get("/v2/apps").await, json!({"apps": []}));
    handle.stop().await;
}
