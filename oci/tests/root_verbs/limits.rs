//! `pause`, `resume`, `update` and `events`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Bundle, cgroup_file, until};

/// Counts in a file of the bundle, which the container has as /count.
const COUNTS: &str = "i=0; while :; do i=$((i+1)); echo $i >/count/n; sleep 0.01; done";

fn counting(name: &str) -> Bundle {
    let bundle = Bundle::new(name, COUNTS);
    let counted = bundle.path("counted");
    std::fs::create_dir(&counted).expect("a directory");
    bundle.add_mount(json!({
        "destination": "/count", "type": "bind", "source": counted, "options": ["bind"],
    }));
    bundle
}

fn count(bundle: &Bundle) -> u64 {
    let text = std::fs::read_to_string(bundle.path("counted/n")).unwrap_or_default();
    // It may just be written anew.
    text.trim().parse().unwrap_or(0)
}

#[test]
fn root_a_paused_container_stands_still_until_it_is_resumed() {
    let bundle = counting("pause");
    bundle.run_detached();
    until("it counts", || count(&bundle) > 0);
    bundle
        .call(&["resume", &bundle.id])
        .refuses("container not paused");

    bundle.output(&["pause", &bundle.id]);
    assert_eq!(bundle.state()["status"], "paused");
    let before = count(&bundle);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(count(&bundle), before);
    let said = bundle.call(&["exec", &bundle.id, "true"]);
    assert_eq!(said.status, Some(255), "{said:?}");
    said.refuses("cannot exec in a paused container");
    bundle
        .call(&["delete", &bundle.id])
        .refuses("not stopped: paused");
    bundle
        .call(&["start", &bundle.id])
        .refuses("in the paused state");
    bundle
        .call(&["pause", &bundle.id])
        .refuses("not running or created: paused");

    bundle.output(&["resume", &bundle.id]);
    assert_eq!(bundle.state()["status"], "running");
    until("it goes on", || count(&bundle) > before);
    // Also a frozen one dies at once.
    bundle.output(&["pause", &bundle.id]);
    bundle.output(&["kill", &bundle.id, "KILL"]);
    bundle.until_status("stopped");
    bundle
        .call(&["pause", &bundle.id])
        .refuses("not running or created: stopped");
}

#[test]
fn root_limits_change_while_it_runs_and_are_remembered() {
    let bundle = Bundle::new("update", "sleep 1000");
    bundle.set(
        "linux/resources",
        json!({
            "memory": {"limit": 64 << 20}, "cpu": {"quota": 50_000, "period": 100_000},
            "pids": {"limit": 20},
        }),
    );
    bundle.run_detached();
    let memory = || cgroup_file(&bundle.id, "memory/memory.limit_in_bytes", "memory.max");
    let pids = || cgroup_file(&bundle.id, "pids/pids.max", "pids.max");
    assert_eq!((memory().as_str(), pids().as_str()), ("67108864", "20"));

    bundle.output(&[
        "update",
        &bundle.id,
        "--memory",
        "50M",
        "--pids-limit",
        "-1",
    ]);
    assert_eq!((memory().as_str(), pids().as_str()), ("52428800", "max"));
    // The period stays.
    bundle.output(&["update", "--cpu-quota", "20000", &bundle.id]);
    let quota = || cgroup_file(&bundle.id, "cpu/cpu.cfs_quota_us", "cpu.max");
    assert!(
        ["20000", "20000 100000"].contains(&quota().as_str()),
        "{}",
        quota()
    );

    let file = bundle.path("resources.json");
    std::fs::write(&file, r#"{"CPU": {"Quota": 30000}, "pids": null}"#).expect("writes");
    bundle.output(&["update", "-r", "resources.json", &bundle.id]);
    assert!(
        ["30000", "30000 100000"].contains(&quota().as_str()),
        "{}",
        quota()
    );

    let said = bundle.call(&["update", "--memory", "much", &bundle.id]);
    said.refuses("--memory is \\\"much\\\"");
    // What the kernel refuses changes nothing.
    let said = bundle.call(&[
        "update",
        "--pids-limit",
        "7",
        "--cpuset-cpus",
        "9999",
        &bundle.id,
    ]);
    assert!(!said.succeeded(), "{said:?}");
    assert_eq!(pids(), "max");

    let spec = std::fs::read_to_string(bundle.path("state").join(&bundle.id).join("config.json"));
    let spec: Value = serde_json::from_str(&spec.expect("is there")).expect("JSON");
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["memory"]["limit"], 50 << 20);
    assert_eq!(resources["pids"]["limit"], -1);
    assert_eq!(resources["cpu"]["quota"], 30_000);
    assert_eq!(resources["cpu"]["period"], 100_000);

    bundle.output(&["kill", &bundle.id, "KILL"]);
    bundle.until_status("stopped");
    bundle
        .call(&["update", "--pids-limit", "5", &bundle.id])
        .refuses("container not running");
}

#[test]
fn root_events_tell_what_is_used_until_the_end() {
    let bundle = counting("events");
    bundle.set("linux/resources", json!({"pids": {"limit": 20}}));
    bundle.run_detached();
    let line = bundle.output(&["events", "--stats", &bundle.id]);
    let begin = format!(r#"{{"type":"stats","id":"{}","data":{{"#, bundle.id);
    assert!(line.starts_with(&begin), "{line}");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    let data = &told["data"];
    assert!(
        data["memory"]["usage"]["usage"].as_u64() > Some(0),
        "{line}"
    );
    assert_eq!(data["pids"]["limit"], 20);
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{line}");

    let mut events = bundle.command(&["events", "--interval", "50ms", &bundle.id]);
    let mut events = events.stdout(Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(events.stdout.take().expect("a pipe")).lines();
    let two: Vec<_> = lines.take(2).map(|line| line.expect("a line")).collect();
    assert!(two.iter().all(|line| line.starts_with(&begin)), "{two:?}");
    events.kill().expect("ends");
    events.wait().expect("has ended");

    bundle.output(&["kill", &bundle.id, "KILL"]);
    bundle.until_status("stopped");
    let words = format!("container with id {} is not running", bundle.id);
    bundle.call(&["events", &bundle.id]).refuses(&words);
}

#[test]
fn root_events_tell_when_memory_runs_out_and_end_with_the_container() {
    // A child needs more than there is: /dev/zero has lines without end.
    let bundle = Bundle::new("oom", "read go </go/fifo; x=$(tail /dev/zero); sleep 0.5");
    let go = bundle.path("go");
    std::fs::create_dir(&go).expect("a directory");
    nix::unistd::mkfifo(&go.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    bundle.add_mount(json!({
        "destination": "/go", "type": "bind", "source": go, "options": ["bind"],
    }));
    bundle.set(
        "linux/resources",
        json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}),
    );
    bundle.run_detached();
    let mut events = bundle.command(&["events", "--interval", "100ms", &bundle.id]);
    let mut events = events.stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(events.stdout.take().expect("a pipe")).lines();
    // From now on it watches.
    let first = lines.next().expect("tells").expect("a line");
    assert!(first.contains("stats"), "{first}");
    std::fs::write(go.join("fifo"), "go\n").expect("writes");
    let rest: Vec<_> = lines.map(|line| line.expect("a line")).collect();
    let oom = format!(r#"{{"type":"oom","id":"{}"}}"#, bundle.id);
    assert!(rest.contains(&oom), "{rest:?}");
    assert!(events.wait().expect("has ended").success());
}
