//! `longshore run`: apps on a cluster of their own, for as long as they are watched.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::block_on;
use crate::local::{self, Cluster};
use crate::run::{self, Draft, INTERRUPTED, Mode, Session};
use crate::signals::Requests;
use crate::{logs, terminal};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Files with apps or groups in JSON, one or an array each; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Run each instance to its end once, then exit with its result
    #[arg(
        long = "once", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = clap::ArgAction::Set
    )]
    once: bool,

    /// Show what tasks write to stdout and stderr
    #[arg(
        long = "follow", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = true, action = clap::ArgAction::Set
    )]
    follow: bool,

    #[command(flatten)]
    cluster: local::Flags,
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    let mut drafts = Vec::new();
    for path in &flags.files {
        drafts.extend(run::read(path)?);
    }
    let mode = if flags.once {
        Mode::Once
    } else {
        Mode::Forever
    };
    // Apart from what `longshore up` keeps in the same place: this cluster ends with the command.
    let place = flags.cluster.apart("run");
    block_on(async move {
        let mut requests = Requests::listen_on_terminal().context("cannot listen for signals")?;
        let mut cluster = tokio::select! {
            cluster = Cluster::start(place.clone()) => cluster?,
            () = requests.stop() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let mut session = Session::new(&cluster, mode, flags.follow)?;
        let attended = tokio::select! {
            attended = attend(&mut session, drafts) => attended,
            failed = cluster.failed() => Err(failed),
            () = requests.stop() => {
                session.hurry();
                session.note("ending all tasks; Ctrl-C again leaves them running").await;
                Ok(INTERRUPTED)
            }
        };
        session.hurry();
        let end = async {
            let ended = session.end().await;
            session.leave_terminal().await;
            cluster.destroy().await;
            ended
        };
        tokio::select! {
            ended = end => {
                if let Err(error) = ended {
                    terminal::failure(&error.context("cannot end the apps in order"));
                }
            }
            () = requests.stop() => bail!(
                "gave up waiting for the tasks to end: the next `longshore run` with \
                 --work_dir={} removes what is left",
                place.work_dir().parent().unwrap_or(place.work_dir()).display()
            ),
        }
        attended.map(ExitCode::from)
    })
}

async fn attend(session: &mut Session, drafts: Vec<Draft>) -> anyhow::Result<u8> {
    session.clean_up().await?;
    session.submit(drafts).await?;
    session.attend().await
}
