//! Apps on a cluster: start them, wait for them, read what they say.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::audit::nothing_differs;
use crate::cluster::{Agent, Cluster};
use crate::eventually;

/// Where an app of the folder `examples` is.
pub fn example_path(name: &str) -> String {
    format!("{}/../examples/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

pub fn example(name: &str) -> Value {
    let path = example_path(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// A small app that runs `cmd` in a shell.
pub fn shell(id: &str, cmd: &str) -> Value {
    json!({ "id": id, "cmd": cmd, "cpus": 0.1, "mem": 32, "instances": 1 })
}

/// One running instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub id: String,
    pub host: String,
    pub ports: Vec<u16>,
    pub started_at: String,
}

impl Cluster {
    pub async fn post(&self, app: &Value) {
        let answer = self.marathon.post("/v2/apps", app).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }

    pub async fn remove(&self, app: &str) {
        let answer = self.marathon.delete(&format!("/v2/apps/{app}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    /// Posts it and waits for all its instances.
    pub async fn run(&self, app: &Value) -> Vec<Task> {
        self.post(app).await;
        let id = app["id"].as_str().unwrap().trim_start_matches('/');
        let instances = app["instances"].as_u64().unwrap_or(1);
        self.running(id, usize::try_from(instances).unwrap()).await
    }

    /// Waits until that many instances run.
    pub async fn running(&self, app: &str, instances: usize) -> Vec<Task> {
        eventually(&format!("{instances} of {app} run"), || async {
            let answer = self.marathon.get(&format!("/v2/apps/{app}/tasks")).await;
            let tasks = answer.json()["tasks"].clone();
            let all = tasks.as_array().into_iter().flatten();
            let running: Vec<_> = all.filter(|task| task["state"] == "TASK_RUNNING").collect();
            match running.len() == instances {
                true => Ok(running.into_iter().map(task).collect()),
                false => {
                    let app = self.marathon.get(&format!("/v2/apps/{app}")).await;
                    Err(format!(
                        "{tasks:#}, {}",
                        app.json()["app"]["lastTaskFailure"]
                    ))
                }
            }
        })
        .await
    }

    /// Waits until no deployment is under way: until then an app is locked.
    pub async fn settled(&self) {
        eventually("every deployment is done", || async {
            match self.marathon.json("/v2/deployments").await {
                Value::Array(none) if none.is_empty() => Ok(()),
                some => Err(some.to_string()),
            }
        })
        .await
    }

    /// Waits for the first task of the app that fails: `{message, state, taskId, …}`.
    pub async fn failure(&self, app: &str) -> Value {
        eventually(&format!("a task of {app} failed"), || async {
            let answer = self.marathon.get(&format!("/v2/apps/{app}")).await.json();
            match &answer["app"]["lastTaskFailure"] {
                Value::Null => Err(answer.to_string()),
                failure => Ok(failure.clone()),
            }
        })
        .await
    }

    /// Posts an app that cannot start or end well, and gives the message of its first failure.
    pub async fn failure_of(&self, app: &Value) -> (Value, String) {
        self.post(app).await;
        let failure = self.failure(app["id"].as_str().unwrap()).await;
        let message = failure["message"].as_str().unwrap_or_default().to_owned();
        (failure, message)
    }

    pub fn agent_of(&self, task: &Task) -> &Agent {
        let found = self.agents.iter().find(|agent| agent.name == task.host);
        found.unwrap_or_else(|| panic!("no agent is called {}", task.host))
    }

    /// Waits until everything of every container is gone, and all else is as it is recorded.
    pub async fn nothing_left(&self) {
        for agent in &self.agents {
            eventually("nothing is left on the host", || async {
                agent.nothing_left()
            })
            .await;
            eventually("an audit finds nothing", || {
                nothing_differs(agent.arguments())
            })
            .await;
        }
    }
}

impl Agent {
    /// What a task has written so far, read as clients do: its sandbox from `/state`, then
    /// `/files/read`.
    pub async fn file(&self, task: &str, name: &str) -> Result<String, String> {
        let directory = self.sandbox(task).await?;
        let path = format!("/files/read?path={directory}/{name}&offset=0&length=65536");
        let answer = self.api.get(&path).await;
        if answer.status != StatusCode::OK {
            return Err(format!("{path}: {} {}", answer.status, answer.text));
        }
        Ok(answer.json()["data"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Where a task's files are.
    pub async fn sandbox(&self, task: &str) -> Result<String, String> {
        let state = self.api.json("/state").await;
        sandbox(&state, task).ok_or_else(|| format!("no {task} in {state:#}"))
    }

    /// Waits until a file of the sandbox contains the text; gives all of it.
    pub async fn says(&self, task: &str, name: &str, text: &str) -> String {
        eventually(&format!("{name} of {task} says {text:?}"), || async {
            let content = self.file(task, name).await?;
            match content.contains(text) {
                true => Ok(content),
                false => Err(content),
            }
        })
        .await
    }
}

/// The directory of a task's executor, current or completed. Command tasks share its id.
fn sandbox(state: &Value, task: &str) -> Option<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let frameworks = [
        list(&state["frameworks"]),
        list(&state["completed_frameworks"]),
    ]
    .concat();
    let executors = frameworks
        .iter()
        .flat_map(|it| [list(&it["executors"]), list(&it["completed_executors"])].concat());
    let mut ours = executors.filter(|executor| executor["id"] == task);
    Some(ours.next()?["directory"].as_str()?.to_owned())
}

fn task(value: &Value) -> Task {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let ports = value["ports"].as_array().into_iter().flatten();
    Task {
        id: text("id"),
        host: text("host"),
        ports: ports
            .filter_map(|port| u16::try_from(port.as_u64()?).ok())
            .collect(),
        started_at: text("startedAt"),
    }
}
