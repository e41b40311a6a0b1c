//! A custom executor, as a framework would bring one: it runs the shell command in the label `command` of
//! each task, speaks JSON with its agent, and comes back to it when that was away.
//!
//! Tests launch it. What it says of itself goes to its stderr, and so to its sandbox.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "an executor that cannot go on ends, and its agent tells"
)]
#![expect(clippy::print_stderr, reason = "its log")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

/// What its agent may not know of.
#[derive(Default)]
struct Unacknowledged {
    tasks: BTreeMap<String, Value>,
    updates: Vec<Value>,
}

struct Executor {
    agent: String,
    framework: String,
    executor: String,
    /// A header, or nothing.
    credentials: String,
    running: Mutex<BTreeMap<String, (Child, bool)>>,
    unacknowledged: Mutex<Unacknowledged>,
}

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let executor = Arc::new(Executor {
        agent: variable("MESOS_AGENT_ENDPOINT"),
        framework: variable("MESOS_FRAMEWORK_ID"),
        executor: variable("MESOS_EXECUTOR_ID"),
        credentials: match std::env::var("MESOS_EXECUTOR_AUTHENTICATION_TOKEN") {
            Ok(token) => format!("Authorization: Bearer {token}\r\n"),
            Err(_none_is_given) => String::new(),
        },
        running: Mutex::default(),
        unacknowledged: Mutex::default(),
    });
    let patience = match std::env::var("MESOS_CHECKPOINT").as_deref() {
        Ok("1") => duration(&variable("MESOS_RECOVERY_TIMEOUT")),
        _ => Duration::ZERO,
    };
    let watched = Arc::clone(&executor);
    std::thread::spawn(move || watched.watch());
    let mut last = Instant::now();
    loop {
        match executor.listen() {
            Ok(()) => last = Instant::now(),
            Err(error) => eprintln!("no agent: {error}"),
        }
        if last.elapsed() >= patience {
            eprintln!("gave up after {patience:?}");
            std::process::exit(1);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Executor {
    /// Until the agent has gone; an error when there is none.
    fn listen(&self) -> Result<(), std::io::Error> {
        let subscribe = {
            let unacknowledged = self.unacknowledged.lock().unwrap();
            let tasks: Vec<_> = unacknowledged.tasks.values().collect();
            let update = |status: &Value| json!({ "status": status });
            let updates: Vec<_> = unacknowledged.updates.iter().map(update).collect();
            json!({ "unacknowledged_tasks": tasks, "unacknowledged_updates": updates })
        };
        let mut call = self.call("SUBSCRIBE");
        call["subscribe"] = subscribe;
        let mut stream = self.post(&call)?;
        let status = status_line(&mut stream)?;
        if !status.contains(" 200 ") {
            return Err(std::io::Error::other(status));
        }
        let mut records = Chunks { stream, left: 0 };
        while let Ok(event) = record(&mut records) {
            eprintln!("{}", event["type"]);
            self.on(&event);
        }
        Ok(())
    }

    fn on(&self, event: &Value) {
        match event["type"].as_str().unwrap() {
            "LAUNCH" => self.launch(&event["launch"]["task"]),
            "KILL" => {
                let id = event["kill"]["task_id"]["value"].as_str().unwrap();
                if let Some((child, killed)) = self.running.lock().unwrap().get_mut(id) {
                    *killed = true;
                    child.kill().unwrap();
                }
            }
            "ACKNOWLEDGED" => {
                let mut unacknowledged = self.unacknowledged.lock().unwrap();
                let of = &event["acknowledged"];
                unacknowledged
                    .tasks
                    .remove(of["task_id"]["value"].as_str().unwrap());
                unacknowledged.updates.retain(|it| it["uuid"] != of["uuid"]);
            }
            // Back where it came from.
            "MESSAGE" => {
                let mut call = self.call("MESSAGE");
                call["message"] = event["message"].clone();
                let _best_effort = self.say(&call);
            }
            "SHUTDOWN" => {
                for (child, killed) in self.running.lock().unwrap().values_mut() {
                    *killed = true;
                    child.kill().unwrap();
                }
                let all_told = || {
                    let unacknowledged = self.unacknowledged.lock().unwrap();
                    unacknowledged.updates.is_empty() && self.running.lock().unwrap().is_empty()
                };
                // What it says of them goes out meanwhile; whether it is stored it does not hear any more.
                for _ in 0..20 {
                    std::thread::sleep(Duration::from_millis(50));
                    if all_told() {
                        break;
                    }
                }
                std::process::exit(0);
            }
            _ => {}
        }
    }

    fn launch(&self, task: &Value) {
        let id = task["task_id"]["value"].as_str().unwrap().to_owned();
        let labels = task["labels"]["labels"].as_array().unwrap();
        let command = labels.iter().find(|label| label["key"] == "command");
        let command = command.unwrap()["value"].as_str().unwrap();
        let mut unacknowledged = self.unacknowledged.lock().unwrap();
        unacknowledged.tasks.insert(id.clone(), task.clone());
        drop(unacknowledged);
        let child = Command::new("/bin/sh").args(["-c", command]).spawn();
        // Before its end is looked for, which may have come already.
        self.update(&id, "TASK_RUNNING");
        let running = self.running.lock();
        running.unwrap().insert(id, (child.unwrap(), false));
    }

    /// Tells of tasks that end.
    fn watch(&self) {
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let mut ended = Vec::new();
            self.running.lock().unwrap().retain(|id, (child, killed)| {
                let Some(status) = child.try_wait().unwrap() else {
                    return true;
                };
                ended.push((
                    id.clone(),
                    match (*killed, status.success()) {
                        (true, _) => "TASK_KILLED",
                        (false, true) => "TASK_FINISHED",
                        (false, false) => "TASK_FAILED",
                    },
                ));
                false
            });
            for (id, state) in ended {
                self.update(&id, state);
            }
        }
    }

    fn update(&self, task: &str, state: &str) {
        let status = json!({
            "task_id": { "value": task },
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": uuid(),
        });
        let mut unacknowledged = self.unacknowledged.lock().unwrap();
        unacknowledged.updates.push(status.clone());
        drop(unacknowledged);
        let mut call = self.call("UPDATE");
        call["update"] = json!({ "status": status });
        // Without an agent it is told with the next subscription.
        let said = self.say(&call);
        eprintln!("{task}: {state}: {said:?}");
    }

    fn call(&self, kind: &str) -> Value {
        json!({
            "type": kind,
            "framework_id": { "value": self.framework },
            "executor_id": { "value": self.executor },
        })
    }

    fn say(&self, call: &Value) -> Result<String, std::io::Error> {
        status_line(&mut self.post(call)?)
    }

    fn post(&self, call: &Value) -> Result<BufReader<TcpStream>, std::io::Error> {
        let mut stream = TcpStream::connect(&self.agent)?;
        let body = call.to_string();
        write!(
            stream,
            "POST /api/v1/executor HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: \
             application/json\r\n{}Content-Length: {}\r\n\r\n{body}",
            self.agent,
            self.credentials,
            body.len()
        )?;
        Ok(BufReader::new(stream))
    }
}

/// Of an answer whose headers are passed over.
fn status_line(stream: &mut BufReader<TcpStream>) -> Result<String, std::io::Error> {
    let mut status = String::new();
    stream.read_line(&mut status)?;
    let mut header = String::new();
    while stream.read_line(&mut header)? > 2 {
        header.clear();
    }
    Ok(status.trim_end().to_owned())
}

/// A body in chunks.
struct Chunks {
    stream: BufReader<TcpStream>,
    left: usize,
}

impl Chunks {
    fn byte(&mut self) -> Result<u8, std::io::Error> {
        if self.left == 0 {
            let mut line = String::new();
            while line.trim().is_empty() {
                line.clear();
                if self.stream.read_line(&mut line)? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            self.left = usize::from_str_radix(line.trim(), 16).unwrap();
            if self.left == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        self.left -= 1;
        Ok(byte[0])
    }
}

/// One event: its length as a line, and that many bytes.
fn record(chunks: &mut Chunks) -> Result<Value, std::io::Error> {
    let mut length = String::new();
    loop {
        match chunks.byte()? {
            b'\n' => break,
            digit => length.push(char::from(digit)),
        }
    }
    let bytes = (0..length.parse().unwrap()).map(|_| chunks.byte());
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

/// 16 bytes in base64, which digits are part of.
fn uuid() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_millis() as u64;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{now:015}{count:06}A==")
}

/// `15mins`, as agents write it.
fn duration(text: &str) -> Duration {
    let digits = text.find(|c: char| c.is_alphabetic()).unwrap();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        other => panic!("a duration in {other}"),
    };
    Duration::from_secs_f64(number.parse::<f64>().unwrap() * seconds)
}
