//! `longshore up`: a cluster of one machine.

use std::process::ExitCode;

use anyhow::Context as _;

use super::block_on;
use crate::local::{Cluster, Flags};
use crate::signals::Requests;
use crate::{logs, terminal};

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    block_on(async {
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let cluster = tokio::select! {
            cluster = Cluster::start(&flags) => cluster?,
            () = requests.stop() => return Ok(ExitCode::from(130)),
        };
        for line in welcome(&cluster) {
            terminal::out(&line);
        }
        requests.stop().await;
        cluster.stop().await;
        terminal::out(FAREWELL);
        Ok(ExitCode::SUCCESS)
    })
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

const FAREWELL: &str = "\
longshore has stopped; its tasks keep running, and the next `longshore up` takes them over
to get rid of them: `longshore up` again, then delete its apps (curl -X DELETE …/v2/apps/ID)";
