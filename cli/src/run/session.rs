//! The apps of one run, from their submission to the last line of their output.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use proto::task::is_terminal;
use proto::v1::TaskState;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::app::{Mode, Notice};
use super::draft::{Draft, Kind};
use super::follow::{Followed, Output};
use super::look::{self, Look, Task, failure, tasks};
use super::outcome::told_end;
use super::show::Show;
use super::watch::Watch;
use crate::api::{self, Api};
use crate::local::Cluster;
use crate::task_id::is_of;

/// Between two looks at the output, and at the cluster while something changes.
const TICK: Duration = Duration::from_millis(50);

/// Ticks between two looks at a cluster in which all runs as it should.
const SETTLED: u32 = 10;

/// How long apps may take to end when they are asked to.
const ENDING: Duration = Duration::from_secs(60);

/// What a shell expects of a program that ended for Ctrl-C, or for want of a reader.
pub const INTERRUPTED: u8 = 130;

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
            show: Show::on_terminal()?,
        })
    }

    /// Removes the apps of an earlier run that had no time to.
    pub async fn clean_up(&mut self) -> anyhow::Result<()> {
        let apps = self.apps().await?;
        let ids: Vec<&str> = apps.iter().filter_map(|app| app["id"].as_str()).collect();
        if !ids.is_empty() {
            self.show
                .note(&format!(
                    "ending what an earlier run left behind: {}",
                    ids.join(", ")
                ))
                .await;
            self.remove(&ids).await;
        }
        // It may have been ending them itself: apps that it has named are not to be had before that is over.
        self.wait_for_end(&ids).await
    }

    /// Submits everything, or says which file was refused and why.
    pub async fn submit(&mut self, drafts: Vec<Draft>) -> anyhow::Result<()> {
        for draft in drafts {
            let draft = match self.mode {
                Mode::Forever => draft,
                Mode::Once => draft.once(),
            };
            let document = Value::Object(draft.document);
            let (submitted, what) = match draft.kind {
                Kind::App => (self.scheduler.post("/v2/apps", &document).await, "app"),
                // An earlier run may have left the group, without apps.
                Kind::Group => (self.scheduler.put("/v2/groups", &document).await, "group"),
            };
            submitted.with_context(|| format!("cannot start the {what} in {}", draft.file))?;
            self.watch_all().await?;
        }
        Ok(())
    }

    /// In this cluster there are no apps but those of the session.
    async fn watch_all(&mut self) -> anyhow::Result<()> {
        for app in self.apps().await? {
            let id = app["id"].as_str().context("the scheduler named no id")?;
            if self.watch.ids().any(|known| known == id) {
                continue;
            }
            let instances = app["instances"].as_u64().unwrap_or(1);
            let fetch = app["fetch"].as_array();
            let fetches = fetch.is_some_and(|files| !files.is_empty());
            self.watch
                .add(id, u32::try_from(instances).unwrap_or(u32::MAX), fetches);
        }
        Ok(())
    }

    async fn apps(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.scheduler.get("/v2/apps").await?;
        Ok(answer["apps"].as_array().cloned().unwrap_or_default())
    }

    /// Shows what happens. Returns, with the exit code, when all has ended for good, which is never
    /// in [`Mode::Forever`], or when nobody reads the output any more.
    pub async fn attend(&mut self) -> anyhow::Result<u8> {
        let mut tick = 0_u32;
        loop {
            if tick.is_multiple_of(SETTLED) || !self.watch.is_settled() {
                self.look().await?;
            }
            self.print_output().await?;
            if self.show.reader_is_gone() {
                return Ok(INTERRUPTED);
            }
            if self.mode == Mode::Once && self.watch.is_done() && self.followed.is_complete() {
                self.show.clear().await;
                return Ok(self.watch.exit_code());
            }
            tick = tick.wrapping_add(1);
            if !self.followed.is_behind() {
                sleep(TICK).await;
            }
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
        for left_out in self.followed.skip_to_last_words(&self.agent).await? {
            let task = left_out.task;
            let name = self.watch.name(&task).unwrap_or(task);
            self.show
                .note(&format!(
                    "{name}: {} bytes are left out here: read them in {}",
                    left_out.bytes, left_out.path
                ))
                .await;
        }
        self.print_output().await?;
        while !self.followed.is_complete() {
            self.print_output().await?;
        }
        Ok(())
    }

    /// From now on output that nobody reads is waited for only for a moment.
    pub fn hurry(&mut self) {
        self.show.hurry();
    }

    pub async fn note(&mut self, text: &str) {
        self.show.note(text).await;
    }

    /// Leaves the terminal with everything written.
    pub async fn leave_terminal(&mut self) {
        self.show.clear().await;
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let look = self.observe().await?;
        let notices = self.watch.step(&look);
        self.follow(&look);
        for notice in notices {
            match notice {
                Notice::Phase { app, phase } => self.show.phase(&app, phase).await,
                Notice::Fetch { app, fetch } => self.show.fetch(&app, fetch).await,
                Notice::Ended {
                    task,
                    state,
                    message,
                } => {
                    // Its output comes first.
                    self.print_output().await?;
                    while self.followed.has_more_to_its_end(&task) {
                        self.print_output().await?;
                    }
                    self.tell_end(&task, state, message.as_deref()).await;
                }
                Notice::LaunchRest { app, instances } => self.launch_rest(&app, instances).await?,
            }
        }
        Ok(())
    }

    async fn tell_end(&mut self, task: &str, state: TaskState, message: Option<&str>) {
        let name = self.watch.name(task).unwrap_or_else(|| task.to_owned());
        // A launch that fails says so in the sandbox too, where it was just read.
        let message = message.filter(|message| !self.followed.has_said(task, message));
        self.show.note(&told_end(&name, state, message)).await;
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

    /// Shows one round of what tasks write.
    async fn print_output(&mut self) -> anyhow::Result<()> {
        for task in self.followed.unread() {
            let output = self.followed.read(&self.agent, &task).await?;
            let name = self.watch.name(&task).unwrap_or(task);
            for Output { stream, lines } in output {
                self.show.lines(stream, &name, &lines).await;
            }
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
        let lacks = look::lacks(&self.scheduler.get("/v2/queue").await?);
        let fetches = match self.watch.is_fetching() {
            true => look::fetches(&self.agent.get("/containers").await?),
            false => BTreeMap::new(),
        };
        Ok(Look {
            tasks,
            failures,
            lacks,
            fetches,
        })
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

    /// Of their tasks, and of all that the scheduler has begun.
    async fn wait_for_end(&self, ids: &[&str]) -> anyhow::Result<()> {
        let deadline = Instant::now() + ENDING;
        let all_gone = async {
            while !self.is_over(ids).await? {
                sleep(TICK).await;
            }
            anyhow::Ok(())
        };
        match timeout_at(deadline, all_gone).await {
            Ok(result) => result,
            Err(_late) => {
                tracing::warn!("tasks did not end in {} s", ENDING.as_secs());
                Ok(())
            }
        }
    }

    async fn is_over(&self, ids: &[&str]) -> anyhow::Result<bool> {
        let tasks = tasks(&self.agent.get("/state").await?);
        let lives =
            |task: &Task| !is_terminal(task.state) && ids.iter().any(|id| is_of(&task.id, id));
        if tasks.iter().any(lives) {
            return Ok(false);
        }
        let deployments = self.scheduler.get("/v2/deployments").await?;
        Ok(deployments.as_array().is_none_or(Vec::is_empty))
    }
}
