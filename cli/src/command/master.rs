//! `longshore master`: with the scheduler in the same process, unless `--no-scheduler`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::block_on;
use crate::signals::Requests;
use crate::{borrow, logs};

/// Flags of the scheduler that follow from the master's.
const DECIDED: &[&str] = &["master", "http_address", "work_dir", "insecure", "hostname"];

#[derive(Debug, Clone)]
pub struct Flags {
    master: master::Flags,
    /// Its flags, when it runs here.
    scheduler: Option<Vec<OsString>>,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = master::Flags::augment_args(command).arg(
            Arg::new("scheduler")
                .long("scheduler")
                .help("Run the scheduler in this process; --no-scheduler leaves it out")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("true")
                .value_parser(value_parser!(bool))
                .action(ArgAction::Set),
        );
        borrow::add::<scheduler::Flags>(command, "Scheduler", DECIDED)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let here = matches.get_one("scheduler").copied().unwrap_or(true);
        let master = master::Flags::from_arg_matches(matches)?;
        let words = || {
            let mut words = borrow::words::<scheduler::Flags>(matches, DECIDED);
            words.extend(decided(&master));
            words
        };
        Ok(Flags {
            scheduler: here.then(words),
            master,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What the scheduler shares with the master it runs beside.
fn decided(master: &master::Flags) -> Vec<OsString> {
    let mut work_dir = OsString::from("--work_dir=");
    work_dir.push(master.work_dir.join("scheduler"));
    let mut words = vec![work_dir, format!("--http_address={}", master.ip).into()];
    if master.insecure {
        words.push("--insecure=true".into());
    }
    if let Some(hostname) = &master.hostname {
        words.push(format!("--hostname={hostname}").into());
    }
    words
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::USUAL);
    block_on(async {
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let mut master = master::start(flags.master)
            .await
            .context("cannot start the master")?;
        let address = master.address();
        tracing::info!(%address, "master is up");
        let scheduler = match flags.scheduler {
            Some(mut words) => {
                words.push(format!("--master={address}").into());
                let flags = borrow::read(&words)?;
                let scheduler = scheduler::start(flags).await;
                let scheduler = scheduler.context("cannot start the scheduler")?;
                tracing::info!(address = %scheduler.address(), "scheduler is up");
                Some(scheduler)
            }
            None => None,
        };
        tokio::select! {
            () = requests.stop() => {}
            failed = master.failed() => failed.context("the master failed")?,
        }
        if let Some(scheduler) = scheduler {
            scheduler.stop().await;
        }
        master.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}
