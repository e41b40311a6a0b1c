//! The apps of one run, from their submission to the last line of their output.

use std::time::Duration;

use anyhow::Context as _;
use proto::task::is_terminal;
use proto::v1::TaskState;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::file::Draft;
use super::follow::Followed;
use super::show::Show;
use super::watch::{self, Failure, Look, Mode, Notice, Task, Watch};
use crate::api::{self, Api};
use crate::local::Cluster;

/// Between two looks at the output, and at the cluster while something changes.
const TICK: Duration = Duration::from_millis(50);

/// Ticks between two looks at a cluster in which all runs as it should.
const SETTLED: u32 = 10;

/// How long apps may take to end when they are asked to.
const ENDING: Duration = Duration::from_secs(60);

/// Seconds that an instance which has ended waits for its successor: it will not be there any more.
const NEVER: u32 = 1_000_000;

pub struct Session {
    scheduler: Api,
    agent: Api,
    mode: Mode,
    follows: bool,
    watch: Watch,
    followed: Followed,
    show: Show,
}

impl Session {
    pub fn new(cluster: &Cluster, mode: Mode, follows: bool) -> anyhow::Result<Session> {
        Ok(Session {
            scheduler: Api::at(cluster.scheduler())?,
            agent: Api::at(cluster.agent())?,
            mode,
            follows,
            watch: Watch::new(mode),
            followed: Followed::default(),
            show: Show::on_terminal(),
        })
    }

    /// Removes the apps of an earlier run that had no time to.
    pub async fn clean_up(&self) -> anyhow::Result<()> {
        let answer = self.scheduler.get("/v2/apps").await?;
        let apps = answer["apps"].as_array().into_iter().flatten();
        let ids: Vec<&str> = apps.filter_map(|app| app["id"].as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.show.note(&format!(
            "ending what an earlier run left behind: {}",
            ids.join(", ")
        ));
        self.remove(&ids).await;
        self.wait_for_end(&ids).await
    }

    /// Submits every app, or says which file was refused and why.
    pub async fn submit(&mut self, drafts: Vec<Draft>) -> anyhow::Result<()> {
        for draft in drafts {
            let body = match self.mode {
                Mode::Forever => draft.app,
                Mode::Once => once(draft.app),
            };
            let app = self.scheduler.post("/v2/apps", &body).await;
            let app = app.with_context(|| format!("cannot start the app in {}", draft.file))?;
            let id = app["id"].as_str().context("the scheduler named no id")?;
            let instances = app["instances"]
                .as_u64()
                .and_then(|n| u32::try_from(n).ok());
            let fetches = app["fetch"]
                .as_array()
                .is_some_and(|files| !files.is_empty());
            self.watch.add(id, instances.unwrap_or(1), fetches);
        }
        Ok(())
    }

    /// Shows what happens. Returns, with the exit code, when all has ended for good; that is never
    /// in [`Mode::Forever`].
    pub async fn attend(&mut self) -> anyhow::Result<u8> {
        let mut tick = 0_u32;
        loop {
            if tick.is_multiple_of(SETTLED) || !self.watch.is_settled() {
                self.look().await?;
            }
            self.print_output().await?;
            if self.mode == Mode::Once && self.watch.is_done() && self.followed.is_complete() {
                return Ok(self.watch.exit_code());
            }
            tick = tick.wrapping_add(1);
            sleep(TICK).await;
        }
    }

    /// Ends all apps and shows their last words.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        let ids: Vec<String> = self.watch.ids().map(str::to_owned).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.remove(&ids).await;
        self.wait_for_end(&ids).await?;
        // Ends that were asked for are no news.
        let look = self.observe().await?;
        self.watch.step(&look);
        self.follow(&look);
        self.print_output().await?;
        self.show.clear();
        Ok(())
    }

    pub fn note(&self, text: &str) {
        self.show.note(text);
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let look = self.observe().await?;
        let notices = self.watch.step(&look);
        self.follow(&look);
        for notice in notices {
            match notice {
                Notice::Phase { app, phase } => self.show.phase(&app, phase),
                Notice::Ended {
                    task,
                    state,
                    message,
                } => {
                    // Its output comes first.
                    self.print_output().await?;
                    self.tell_end(&task, state, message.as_deref());
                }
                Notice::LaunchRest { app, instances } => self.launch_rest(&app, instances).await?,
            }
        }
        Ok(())
    }

    fn tell_end(&self, task: &str, state: TaskState, message: Option<&str>) {
        let name = self.watch.name(task).unwrap_or_else(|| task.to_owned());
        let word = match state {
            TaskState::TaskFinished => "finished",
            TaskState::TaskFailed => "failed",
            TaskState::TaskKilled => "was killed",
            TaskState::TaskError => "was refused",
            _ => "was lost",
        };
        match message {
            Some(message) => self.show.note(&format!("{name}: {word}: {message}")),
            None => self.show.note(&format!("{name}: {word}")),
        }
    }

    fn follow(&mut self, look: &Look) {
        if !self.follows {
            return;
        }
        for task in look
            .tasks
            .iter()
            .filter(|task| self.watch.name(&task.id).is_some())
        {
            self.followed.add(&task.id, &task.directory);
            if is_terminal(task.state) {
                self.followed.ended(&task.id);
            }
        }
    }

    async fn print_output(&mut self) -> anyhow::Result<()> {
        for output in self.followed.read(&self.agent).await? {
            let name = self.watch.name(&output.task).unwrap_or(output.task);
            self.show.line(output.stream, &name, &output.line);
        }
        Ok(())
    }

    async fn observe(&self) -> anyhow::Result<Look> {
        let tasks = tasks(&self.agent.get("/state").await?);
        let mut failures = Vec::new();
        for id in self.watch.ids() {
            match self.scheduler.get(&format!("/v2/apps{id}")).await {
                Ok(answer) => failures.extend(failure(&answer["app"]["lastTaskFailure"])),
                // Somebody else has deleted it.
                Err(error) if api::refusal(&error).is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Look { tasks, failures })
    }

    /// Lets instances start that still wait, but none again that has ended.
    async fn launch_rest(&self, app: &str, instances: u32) -> anyhow::Result<()> {
        let path = format!("/v2/apps{app}?force=true");
        self.scheduler
            .put(&path, &json!({"instances": instances}))
            .await?;
        match self
            .scheduler
            .delete(&format!("/v2/queue{app}/delay"))
            .await
        {
            // Nothing is queued: then nothing is delayed.
            Err(error) if api::refusal(&error).is_some() => Ok(()),
            result => result.map(drop),
        }
    }

    async fn remove(&self, ids: &[&str]) {
        for id in ids {
            match self
                .scheduler
                .delete(&format!("/v2/apps{id}?force=true"))
                .await
            {
                Ok(_) => {}
                // Somebody else has deleted it.
                Err(error) if api::refusal(&error).is_some() => {}
                Err(error) => tracing::warn!(app = id, ?error, "cannot delete app"),
            }
        }
    }

    async fn wait_for_end(&self, ids: &[&str]) -> anyhow::Result<()> {
        let deadline = Instant::now() + ENDING;
        let all_gone = async {
            loop {
                let tasks = tasks(&self.agent.get("/state").await?);
                let lives = |task: &Task| {
                    !is_terminal(task.state) && ids.iter().any(|id| watch::is_of(&task.id, id))
                };
                if !tasks.iter().any(lives) {
                    return anyhow::Ok(());
                }
                sleep(TICK).await;
            }
        };
        match timeout_at(deadline, all_gone).await {
            Ok(result) => result,
            Err(_late) => {
                tracing::warn!("tasks did not end in {} s", ENDING.as_secs());
                Ok(())
            }
        }
    }
}

/// The app with a delay before any second task of an instance that will not come to pass: so what
/// has ended stays ended until the app is deleted.
fn once(mut app: Value) -> Value {
    if let Some(fields) = app.as_object_mut() {
        for key in ["backoffSeconds", "maxLaunchDelaySeconds"] {
            fields.insert(key.to_owned(), NEVER.into());
        }
    }
    app
}

/// Every task in an agent's `/state`, with its sandbox.
fn tasks(state: &Value) -> Vec<Task> {
    let list = |value: &Value, keys: [&str; 2]| -> Vec<Value> {
        let lists = keys.iter().filter_map(|key| value[*key].as_array());
        lists.flatten().cloned().collect()
    };
    let mut tasks = Vec::new();
    for framework in list(state, ["frameworks", "completed_frameworks"]) {
        for executor in list(&framework, ["executors", "completed_executors"]) {
            for task in list(&executor, ["tasks", "completed_tasks"]) {
                let state = task["state"].as_str().and_then(TaskState::from_str_name);
                let id = task["id"].as_str();
                let directory = executor["directory"].as_str();
                if let (Some(id), Some(state), Some(directory)) = (id, state, directory) {
                    let (id, directory) = (id.to_owned(), directory.to_owned());
                    tasks.push(Task {
                        id,
                        state,
                        directory,
                    });
                }
            }
        }
    }
    tasks
}

fn failure(value: &Value) -> Option<Failure> {
    Some(Failure {
        task: value["taskId"].as_str()?.to_owned(),
        state: TaskState::from_str_name(value["state"].as_str()?)?,
        message: value["message"].as_str().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_wherever_the_agent_lists_them() {
        let executor = |id: &str, list: &str, state: &str| json!({"directory": "/d", list: [{"id": id, "state": state}]});
        let state = json!({
            "frameworks": [{
                "executors": [executor("a", "tasks", "TASK_RUNNING")],
                "completed_executors": [executor("b", "completed_tasks", "TASK_FAILED")],
            }],
            "completed_frameworks": [],
        });
        let found: Vec<_> = tasks(&state).into_iter().map(|t| (t.id, t.state)).collect();
        assert_eq!(
            found,
            [
                ("a".to_owned(), TaskState::TaskRunning),
                ("b".to_owned(), TaskState::TaskFailed),
            ]
        );
    }

    #[test]
    fn an_app_that_runs_once_is_not_started_again_in_time() {
        let app = once(json!({"id": "a", "backoffSeconds": 1}));
        assert_eq!(app["backoffSeconds"], NEVER);
        assert_eq!(app["maxLaunchDelaySeconds"], NEVER);
    }
}
