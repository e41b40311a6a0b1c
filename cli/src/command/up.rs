//! `longshore up`: a cluster of one machine.

use std::process::ExitCode;

use anyhow::Context as _;

use super::block_on;
use crate::api::Api;
use crate::local::{Cluster, Flags};
use crate::signals::Requests;
use crate::{logs, terminal};

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async {
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let mut cluster = tokio::select! {
            cluster = Cluster::start(flags) => cluster?,
            () = requests.stop() => return Ok(ExitCode::from(130)),
        };
        for line in welcome(&cluster) {
            terminal::out(&line);
        }
        tokio::select! {
            () = requests.stop() => {}
            failed = cluster.failed() => return Err(failed),
        }
        // Asked before anything stops; the words are for the user only.
        let running = running(&cluster).await.unwrap_or(0);
        cluster.stop().await;
        for line in farewell(running) {
            terminal::out(&line);
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn running(cluster: &Cluster) -> anyhow::Result<u64> {
    let answer = Api::at(cluster.scheduler())?.get("/v2/apps").await?;
    let apps = answer["apps"].as_array().into_iter().flatten();
    Ok(apps.filter_map(|app| app["tasksRunning"].as_u64()).sum())
}

fn welcome(cluster: &Cluster) -> [String; 8] {
    let (scheduler, master, agent) = (cluster.scheduler(), cluster.master(), cluster.agent());
    [
        "longshore is up".to_owned(),
        format!("  apps    http://{scheduler}/v2/apps"),
        format!("  master  http://{master}/state"),
        format!("  agent   http://{agent}/state"),
        String::new(),
        format!("start an app:   curl -d @app.json http://{scheduler}/v2/apps"),
        format!("end it:         curl -X DELETE http://{scheduler}/v2/apps/ID"),
        "Ctrl-C stops longshore; its tasks keep running".to_owned(),
    ]
}

fn farewell(running: u64) -> Vec<String> {
    match running {
        0 => vec!["longshore has stopped; no task is running".to_owned()],
        running => vec![
            format!(
                "longshore has stopped; {running} of its tasks keep running, and the next \
                 `longshore up` takes them over"
            ),
            "to get rid of them: `longshore up` again, then delete its apps \
             (curl -X DELETE …/v2/apps/ID)"
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_say_whether_tasks_stay() {
        assert!(farewell(0)[0].ends_with("no task is running"));
        assert!(farewell(2)[0].contains("2 of its tasks keep running"));
    }
}
