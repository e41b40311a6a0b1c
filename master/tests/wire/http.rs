//! What clients see of the master over HTTP, to the byte where they care.

use crate::support::{
    DEADLINE, FakeAgent, FakeFramework, JSON, agent_info, flags, framed, framework_info, get,
    master, register, subscribe_call, url,
};
use proto::v1::{self, TaskState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn post(master: &master::Handle, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = reqwest::Client::new().post(url(master, "/api/v1/scheduler"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request
        .body(body.to_owned())
        .send()
        .await
        .expect("the master answers");
    (
        response.status().as_u16(),
        response.text().await.expect("text"),
    )
}

#[tokio::test]
async fn one_record_is_one_chunk_and_ascii() {
    let master = master(&[]).await;
    let _agent = FakeAgent::join(&master, register(agent_info("cpus:4;mem:2048"))).await;
    let info = v1::FrameworkInfo {
        name: "démo".to_owned(),
        ..framework_info()
    };
    let body = proto::json::to_string(&subscribe_call(info));
    let mut connection = tokio::net::TcpStream::connect(master.address())
        .await
        .expect("connect");
    let request = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection
        .write_all(request.as_bytes())
        .await
        .expect("sent");

    let mut seen = String::new();
    let mut buffer = [0; 65536];
    while !seen.contains("\"OFFERS\"") || !seen.ends_with("\r\n") {
        let read = tokio::time::timeout(DEADLINE, connection.read(&mut buffer)).await;
        let read = read.expect("in time").expect("readable");
        seen.push_str(std::str::from_utf8(&buffer[..read]).expect("ascii"));
    }
    assert!(seen.is_ascii());
    let (head, mut rest) = seen.split_once("\r\n\r\n").expect("a head");
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 200"));
    assert!(head.contains("transfer-encoding: chunked") && head.contains("mesos-stream-id: "));
    assert!(head.contains("content-type: application/json"));
    let mut types = Vec::new();
    while !rest.is_empty() {
        let (length, more) = rest.split_once("\r\n").expect("a chunk");
        let length = usize::from_str_radix(length, 16).expect("hexadecimal");
        let (chunk, more) = more.split_at(length);
        rest = more.strip_prefix("\r\n").expect("the end of a chunk");
        let (_, record) = chunk.split_once('\n').expect("a record");
        assert!(!record.contains('\n'));
        assert_eq!(chunk.as_bytes(), framed(record));
        let event: serde_json::Value = serde_json::from_str(record).expect("json");
        types.push(event["type"].as_str().expect("a type").to_owned());
    }
    assert_eq!(types, ["SUBSCRIBED", "HEARTBEAT", "OFFERS"]);
    master.stop().await;
}

#[tokio::test]
async fn calls_are_refused_with_the_status_clients_expect() {
    let master = master(&[]).await;
    let framework = FakeFramework::subscribe(&master, framework_info()).await;
    let (id, stream) = (framework.id.value.as_str(), framework.stream.as_str());
    let revive = format!(r#"{{"type":"REVIVE","framework_id":{{"value":"{id}"}},"revive":null}}"#);
    let stranger = r#"{"type":"REVIVE","framework_id":{"value":"nobody"}}"#;
    let other = "00000000-0000-4000-8000-000000000000";
    let json = ("Content-Type", JSON);
    let stream = ("Mesos-Stream-Id", stream);
    let kill = format!(r#"{{"type":"KILL","framework_id":{{"value":"{id}"}}}}"#);
    /// Headers, body, status, and a part of the answer.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, u16, &'a str);
    let cases: &[Case<'_>] = &[
        (&[json, stream], &revive, 202, ""),
        (&[json], &revive, 400, "Mesos-Stream-Id"),
        (
            &[json, ("Mesos-Stream-Id", other)],
            &revive,
            400,
            "older subscription",
        ),
        (
            &[json, ("Mesos-Stream-Id", "x")],
            &revive,
            400,
            "Mesos-Stream-Id",
        ),
        (&[json, stream], stranger, 400, "Framework cannot be found"),
        (&[json, stream], r#"{"type":"REVIVE"}"#, 400, "framework_id"),
        (&[json, stream], &kill, 400, "\"kill\""),
        (
            &[json, stream],
            r#"{"type":"SUBSCRIBE","subscribe":{}}"#,
            400,
            "",
        ),
        (&[json], r#"{"type":"SUBSCRIBE"}"#, 400, "subscribe"),
        (&[json, stream], "{", 400, ""),
        (&[json, stream], "{}", 400, "type"),
        (
            &[("Content-Type", "text/plain")],
            "{}",
            415,
            "application/json",
        ),
        (
            &[json, ("Accept", "image/png")],
            r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#,
            406,
            "",
        ),
    ];
    for (headers, body, status, text) in cases {
        let (got, answer) = post(&master, headers, body).await;
        assert_eq!(got, *status, "{headers:?} {body}: {answer}");
        assert!(answer.contains(text), "{body}: {answer}");
    }
    let get = reqwest::get(url(&master, "/api/v1/scheduler"))
        .await
        .expect("an answer");
    assert_eq!(
        (get.status().as_u16(), &get.headers()["allow"]),
        (405, &"POST".parse().expect("ok"))
    );
    master.stop().await;
}

#[tokio::test]
async fn a_framework_that_cannot_subscribe_hears_why_on_its_stream() {
    let master = master(&["--root_submissions=false"]).await;
    let json = ("Content-Type", JSON);
    let cases = [
        (r#"{"user":"root","name":"n"}"#, "root"),
        (r#"{"user":"u","name":"n","role":"a b"}"#, "a b"),
        (r#"{"user":"u","name":"n","roles":["a"]}"#, "MULTI_ROLE"),
        (
            r#"{"user":"u","name":"n","failover_timeout":-1}"#,
            "failover_timeout",
        ),
    ];
    for (info, text) in cases {
        let body = format!(r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{info}}}}}"#);
        let (status, answer) = post(&master, &[json], &body).await;
        assert_eq!(status, 200);
        assert!(
            answer.contains("\"ERROR\"") && answer.contains(text),
            "{answer}"
        );
    }
    assert_eq!(
        get(&master, "/state").await["frameworks"],
        serde_json::json!([])
    );
    master.stop().await;
}

#[tokio::test]
async fn state_has_the_keys_that_clients_read() {
    let master = master(&["--cluster=test"]).await;
    let _agent = FakeAgent::join(
        &master,
        register(agent_info("cpus:4;mem:2048;disk:10;ports:[31000-31009]")),
    )
    .await;
    let mut framework = FakeFramework::subscribe(&master, framework_info()).await;
    let offer = framework.offer().await;
    framework.launch(&offer, "web.1", "cpus:1;mem:64").await;

    let state = get(&master, "/master/state").await;
    let address = master.address();
    assert_eq!(state["leader"], format!("master@{address}"));
    assert_eq!(state["leader_info"]["port"], address.port());
    assert_eq!(state["cluster"], "test");
    assert_eq!(state["activated_slaves"], 1.0);
    assert_eq!(state["flags"]["root_submissions"], "true");
    let slave = &state["slaves"][0];
    assert_eq!(slave["pid"], "slave(1)@127.0.0.1:5051");
    assert_eq!(
        slave["attributes"],
        serde_json::json!({ "rack": 1.0, "disk": "hdd" })
    );
    assert_eq!(slave["resources"]["ports"], "[31000-31009]");
    assert_eq!(slave["used_resources"]["cpus"], 1.0);
    assert_eq!(slave["unreserved_resources"]["gpus"], 0.0);
    let shown = &state["frameworks"][0];
    assert!(shown.get("pid").is_none());
    assert_eq!(shown["active"], true);
    assert_eq!(shown["tasks"][0]["state"], "TASK_STAGING");
    for key in [
        "completed_tasks",
        "unreachable_tasks",
        "offers",
        "executors",
    ] {
        assert!(shown[key].is_array(), "{key}");
    }
    for key in [
        "completed_frameworks",
        "orphan_tasks",
        "unregistered_frameworks",
        "recovered_slaves",
    ] {
        assert!(state[key].is_array(), "{key}");
    }

    let summary = get(&master, "/state-summary").await;
    assert_eq!(summary["slaves"][0]["TASK_STAGING"], 1);
    assert_eq!(
        summary["slaves"][0]["framework_ids"][0],
        framework.id.value.as_str()
    );
    assert_eq!(
        summary["frameworks"][0]["slave_ids"][0],
        offer.agent_id.value.as_str()
    );
    assert_eq!(
        get(&master, "/slaves").await["slaves"][0]["used_resources_full"][0]["name"],
        "cpus"
    );
    let found = get(&master, "/tasks?task_id=web.1&limit=5&order=asc").await;
    assert_eq!(found["tasks"][0]["id"], "web.1");
    let roles = get(&master, "/roles").await;
    assert_eq!(roles["roles"][0]["allocated"]["cpus"], 1.0);
    let metrics = get(&master, "/metrics/snapshot").await;
    assert_eq!(metrics["master/cpus_used"], 1.0);
    assert_eq!(metrics["master/tasks_staging"], 1.0);
    assert_eq!(metrics["master/elected"], 1.0);
    assert!(
        metrics
            .as_object()
            .expect("an object")
            .values()
            .all(serde_json::Value::is_number)
    );
    assert_eq!(get(&master, "/version").await["version"], "1.11.0");
    assert!(get(&master, "/system/stats.json").await["mem_total_bytes"].is_number());
    assert_eq!(get(&master, "/flags/").await["flags"]["cluster"], "test");
    master.stop().await;
}

#[tokio::test]
async fn odd_requests_get_clear_answers() {
    let master = master(&[]).await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let client = client.expect("a client");
    let ask = async |path: &str| {
        let response = client.get(url(&master, path)).send().await.expect(path);
        (
            response.status().as_u16(),
            response.headers().clone(),
            response.text().await.expect(path),
        )
    };
    assert_eq!(ask("/health").await.0, 200);
    let (status, headers, _) = ask("/master/redirect").await;
    assert_eq!(status, 307);
    assert_eq!(headers["location"], format!("//{}", master.address()));
    let (status, headers, body) = ask("/state?jsonp=cb").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (200, &"text/javascript".parse().expect("ok"))
    );
    assert!(body.starts_with("cb({") && body.ends_with("});"));
    assert_eq!(ask("/state?jsonp=a(b").await.0, 400);
    assert_eq!(ask("/tasks?limit=many").await.0, 400);
    let (status, _, body) = ask("/nothing").await;
    assert!(status == 404 && body.contains("/state"), "{body}");
    for path in ["/health", "/teardown", "/redirect", "/api/v1/scheduler"] {
        assert!(body.contains(path), "{path}: {body}");
    }
    for path in ["/", "/health", "/state", "/redirect"] {
        let response = client.head(url(&master, path)).send().await.expect(path);
        let status = response.status().as_u16();
        assert!(matches!(status, 200 | 307), "{path}: {status}");
        assert_eq!(response.text().await.expect(path), "");
    }
    let response = client.post(url(&master, "/state")).send().await;
    let response = response.expect("an answer");
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    let (_, _, page) = ask("/").await;
    assert!(page.contains("<h2>Agents</h2>"));
    let big = "x".repeat(9 << 20);
    assert_eq!(post(&master, &[("Content-Type", JSON)], &big).await.0, 413);
    master.stop().await;
}

#[tokio::test]
async fn the_page_leads_to_what_a_task_wrote() {
    let master = master(&[]).await;
    let agent = FakeAgent::join(&master, register(agent_info("cpus:4;mem:2048"))).await;
    let mut framework = FakeFramework::subscribe(&master, framework_info()).await;
    let offer = framework.offer().await;
    framework.launch(&offer, "a&b", "cpus:1;mem:64").await;
    let page = async || {
        let response = reqwest::get(url(&master, "/")).await.expect("the page");
        response.text().await.expect("text")
    };
    let sandbox = format!(
        "/frameworks/{}/executors/a%26b/runs/latest",
        framework.id.value
    );
    let links = [
        format!("http://127.0.0.1:5051/files/browse?path={sandbox}"),
        format!("http://127.0.0.1:5051/files/download?path={sandbox}/stdout"),
        format!("http://127.0.0.1:5051/files/download?path={sandbox}/stderr"),
        "http://127.0.0.1:5051/state".to_owned(),
    ];
    let shown = page().await;
    for link in &links {
        assert!(
            shown.contains(&format!("href=\"{link}\"")),
            "{link}: {shown}"
        );
    }
    agent
        .report(&framework.id, "a&b", TaskState::TaskFailed)
        .await;
    let status = framework.status().await;
    framework.acknowledge(&status).await;
    let shown = page().await;
    let (_, ended) = shown
        .split_once("Ended tasks")
        .expect("a table of the past");
    assert!(
        ended.contains("TASK_FAILED") && ended.contains(&links[1]),
        "{shown}"
    );
    master.stop().await;
}

#[tokio::test]
async fn an_operator_can_remove_a_framework() {
    let master = master(&[]).await;
    let mut framework = FakeFramework::subscribe(&master, framework_info()).await;
    let teardown = async |body: String| {
        let request = reqwest::Client::new().post(url(&master, "/master/teardown"));
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        request
            .body(body)
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    assert_eq!(teardown("frameworkId=nobody".to_owned()).await, 400);
    assert_eq!(teardown(String::new()).await, 400);
    assert_eq!(teardown("frameworkId=".to_owned()).await, 400);
    assert_eq!(
        teardown(format!("frameworkId={}", framework.id.value)).await,
        200
    );
    assert!(framework.records.next().await.is_none());
    let shown = get(&master, "/frameworks").await;
    assert_eq!(
        shown["completed_frameworks"][0]["id"],
        framework.id.value.as_str()
    );
    master.stop().await;
}

#[tokio::test]
async fn a_master_is_not_opened_to_the_network_by_accident() {
    let error = master::start(flags(&["--ip=0.0.0.0"]))
        .await
        .err()
        .expect("a refusal")
        .to_string();
    assert!(error.contains("--insecure"), "{error}");
    let error = master::start(flags(&["--ip=0.0.0.0", "--insecure"]))
        .await
        .err();
    let error = error.expect("a refusal").to_string();
    assert!(error.contains("--advertise_ip"), "{error}");
}
