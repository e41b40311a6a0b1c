use axum::http::StatusCode;

use super::*;
use crate::book::tests::book;
use crate::flags::tests::parse;

/// A site with the book of one running task, whose sandbox is at `sandbox`.
fn site(sandbox: PathBuf) -> Site {
    site_in("/work", sandbox)
}

fn site_in(work_dir: &str, sandbox: PathBuf) -> Site {
    let flags = parse(&[&format!("--work_dir={work_dir}")]);
    let site = Site::new(&flags, "10.0.0.5:5051".parse().unwrap());
    let (events, mut inbox) = mpsc::channel(1);
    site.open(events, Arc::default());
    tokio::spawn(async move {
        while let Some(Event::Snapshot(ask)) = inbox.recv().await {
            let _ = ask.send(book(sandbox.clone()));
        }
    });
    site
}

async fn get(site: &Site, uri: &str) -> (StatusCode, String) {
    ask(site, Method::GET, uri).await
}

async fn ask(site: &Site, method: Method, uri: &str) -> (StatusCode, String) {
    let response = respond(site, &method, &uri.parse().unwrap()).await;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get_json(site: &Site, uri: &str) -> Value {
    let (status, body) = get(site, uri).await;
    assert_eq!(status, StatusCode::OK, "{uri}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn every_spelling_of_a_path_answers() {
    let site = site("/s".into());
    for uri in [
        "/state",
        "/state.json",
        "/state/",
        "/slave(1)/state",
        "/slave(1)/state.json",
        "/slave%281%29/state",
    ] {
        assert_eq!(get_json(&site, uri).await["id"], "S0", "{uri}");
    }
    assert_eq!(get(&site, "/health").await, (StatusCode::OK, String::new()));
    assert_eq!(get_json(&site, "/version").await["version"], "1.11.0");
    assert_eq!(
        get_json(&site, "/flags").await["flags"]["switch_user"],
        "true"
    );
}

#[tokio::test]
async fn jsonp_wraps_the_answer_and_takes_only_names() {
    let site = site("/s".into());
    let (_, body) = get(&site, "/version?jsonp=show").await;
    assert!(
        body.starts_with("show({") && body.ends_with("});"),
        "{body}"
    );
    let (status, body) = get(&site, "/version?jsonp=alert(1)").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let site = site("/s".into());
    let table = [
        (Method::GET, "/nope", StatusCode::NOT_FOUND, "/state"),
        (
            Method::POST,
            "/state",
            StatusCode::METHOD_NOT_ALLOWED,
            "GET",
        ),
        (
            Method::GET,
            "/files/browse",
            StatusCode::BAD_REQUEST,
            "Expecting 'path=value' in query.",
        ),
        (
            Method::GET,
            "/files/read?path=/x&offset=a",
            StatusCode::BAD_REQUEST,
            "offset",
        ),
        (
            Method::GET,
            "/containers?executor_id=t",
            StatusCode::BAD_REQUEST,
            "framework_id",
        ),
        (Method::GET, "/inspect", StatusCode::BAD_REQUEST, "task_id"),
        (
            Method::GET,
            "/inspect?container_id=nope",
            StatusCode::NOT_FOUND,
            "/containers",
        ),
        (
            Method::GET,
            "/inspect?task_id=t",
            StatusCode::NOT_FOUND,
            "being launched",
        ),
    ];
    for (method, uri, status, text) in table {
        let (got, body) = ask(&site, method, uri).await;
        assert_eq!(got, status, "{uri}: {body}");
        assert!(body.contains(text), "{uri}: {body}");
    }
}

#[tokio::test]
async fn an_agent_that_recovers_is_healthy_and_has_no_state_yet() {
    let site = Site::new(&parse(&[]), "10.0.0.5:5051".parse().unwrap());
    assert_eq!(get(&site, "/health").await.0, StatusCode::OK);
    assert_eq!(
        get(&site, "/state").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn the_state_leads_to_the_task_and_its_sandbox() {
    let state = get_json(&site("/s".into()), "/state").await;
    assert_eq!(state["pid"], "slave(1)@10.0.0.5:5051");
    assert_eq!(state["resources"]["ports"], "[31000-32000]");
    assert_eq!(state["unreserved_resources_allocated"]["mem"], 96.0);
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(executor["directory"], "/s");
    assert_eq!(executor["container"], "C");
    assert_eq!(
        executor["name"],
        "Command Executor (Task: t) (Command: sh -c 'sleep 9')"
    );
    assert_eq!(executor["resources"]["cpus"], 1.1);
    assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING");
    assert_eq!(executor["tasks"][0]["executor_id"], "");
    assert!(state["completed_frameworks"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_log_is_browsed_read_and_downloaded_under_each_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = dir.path().join("C");
    std::fs::create_dir(&sandbox).unwrap();
    std::fs::write(sandbox.join("stdout"), "hello\n").unwrap();
    let real = sandbox.display().to_string();
    let site = site(sandbox);
    let names = [&real, "/frameworks/F/executors/t/runs/latest"];
    for name in names {
        let listed = get_json(&site, &format!("/files/browse?path={name}")).await;
        assert_eq!(listed[0]["path"], format!("{name}/stdout"));
        assert_eq!(listed[0]["size"], 6);
        let read = get_json(&site, &format!("/files/read?path={name}/stdout&offset=1")).await;
        assert_eq!(read, json!({"offset": 1, "data": "ello\n"}));
        let (status, body) = get(&site, &format!("/files/download?path={name}/stdout")).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "hello\n"));
    }
    assert_eq!(get_json(&site, "/files/debug").await[names[1]], real);
}

#[tokio::test]
async fn a_log_is_read_for_as_long_as_it_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let work_dir = dir.path().to_str().unwrap();
    let runs = dir
        .path()
        .join("slaves/S0/frameworks/F/executors/long-ago/runs");
    std::fs::create_dir_all(runs.join("C9")).unwrap();
    std::os::unix::fs::symlink("C9", runs.join("latest")).unwrap();
    std::fs::write(runs.join("C9/stdout"), "old\n").unwrap();
    let site = site_in(work_dir, "/s".into());
    let runs = runs.display();
    for path in [
        format!("{runs}/C9/stdout"),
        format!("{runs}/latest/stdout"),
        "/frameworks/F/executors/long-ago/runs/latest/stdout".to_owned(),
    ] {
        let read = get_json(&site, &format!("/files/read?path={path}&offset=0")).await;
        assert_eq!(read["data"], "old\n", "{path}");
    }
    let gone = format!("/files/read?path={runs}/C8/stdout&offset=0");
    assert_eq!(get(&site, &gone).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_metrics_that_clients_read_first_are_there() {
    let metrics = get_json(&site("/s".into()), "/metrics/snapshot").await;
    let table = [
        ("slave/cpus_total", 8.0),
        ("slave/mem_used", 96.0),
        ("slave/tasks_running", 1.0),
        ("slave/executors_running", 1.0),
        ("slave/frameworks_active", 1.0),
        ("slave/registered", 0.0),
    ];
    for (name, value) in table {
        assert_eq!(metrics[name], value, "{name}");
    }
    for name in [
        "system/load_1min",
        "slave/uptime_secs",
        "slave/recovery_time_secs",
        "slave/executor_directory_max_allowed_age_secs",
        "containerizer/mesos/container_destroy_errors",
        "gc/path_removals_succeeded",
        "gc/path_removals_pending",
    ] {
        assert!(metrics[name].is_number(), "{name}");
    }
}

#[tokio::test]
async fn a_replaced_agent_passes_on_what_executors_say_but_no_subscription() {
    let site = site("/s".into());
    // Nobody answers there: what is passed on shows by that.
    site.lead_on("127.0.0.1:1".parse().unwrap());
    let site = Arc::new(site);
    let call = |kind: &str| {
        let body = json!({
            "type": kind, "framework_id": {"value": "F"}, "executor_id": {"value": "E"},
            "subscribe": {}, "message": {"data": ""},
        });
        let request = Request::post("/api/v1/executor").header("content-type", "application/json");
        let request = request.body(axum::body::Body::from(body.to_string()));
        on_request(State(Arc::clone(&site)), request.unwrap())
    };
    let told = call("SUBSCRIBE").await;
    assert_eq!(told.status(), StatusCode::SERVICE_UNAVAILABLE);
    // So that the next try comes to the other process.
    assert_eq!(told.headers()["connection"], "close");
    assert_eq!(call("MESSAGE").await.status(), StatusCode::BAD_GATEWAY);
}
