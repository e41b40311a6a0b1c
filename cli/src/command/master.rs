//! `longshore master`: with the scheduler in the same process, unless `--no-scheduler`.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::block_on;
use crate::borrow::Terms;
use crate::logs;
use crate::signals::Requests;

/// What the scheduler has in common with the master it runs beside.
const SCHEDULER: Terms = Terms {
    decided: &["master", "ip", "insecure", "hostname", "work_dir"],
    defaults: &[],
};

#[derive(Debug, Clone)]
pub struct Flags {
    master: master::Flags,
    /// Its flags, when it runs here.
    scheduler: Option<scheduler::Flags>,
}

#[derive(Debug, Clone, clap::Args)]
struct Beside {
    /// Run the scheduler in this process; --no-scheduler leaves it out
    #[arg(
        long = "scheduler", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = true, action = clap::ArgAction::Set
    )]
    scheduler: bool,

    /// Address on which the scheduler listens, if it is not --ip
    #[arg(long = "http_address", env = "MARATHON_HTTP_ADDRESS")]
    http_address: Option<IpAddr>,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = Beside::augment_args(master::Flags::augment_args(command));
        SCHEDULER.offer::<scheduler::Flags>(command, "Scheduler")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let master = master::Flags::from_arg_matches(matches)?;
        let beside = Beside::from_arg_matches(matches)?;
        let scheduler = scheduler::Flags {
            ip: beside.http_address.unwrap_or(master.ip),
            insecure: master.insecure,
            hostname: hostname(&master),
            work_dir: master.work_dir.join("scheduler"),
            ..SCHEDULER.read(matches)?
        };
        Ok(Flags {
            scheduler: beside.scheduler.then_some(scheduler),
            master,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Under which others reach both.
fn hostname(master: &master::Flags) -> Option<String> {
    let advertised = || master.advertise_ip.map(|ip| ip.to_string());
    master.hostname.clone().or_else(advertised)
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::USUAL);
    block_on(async {
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let mut master = master::start(flags.master)
            .await
            .context("cannot start the master")?;
        let address = master.address();
        let scheduler = match flags.scheduler {
            Some(mut flags) => {
                flags.master = address.into();
                let scheduler = scheduler::start(flags).await;
                Some(scheduler.context("cannot start the scheduler")?)
            }
            None => None,
        };
        tokio::select! {
            () = requests.stop() => {}
            failed = master.failed() => failed.context("the master failed")?,
            reason = failure(scheduler.as_ref()) => {
                return Err(anyhow::Error::new(reason).context("the scheduler failed"));
            }
        }
        if let Some(scheduler) = scheduler {
            scheduler.stop().await;
        }
        master.stop().await;
        tracing::info!("master stopped; tasks keep running");
        Ok(ExitCode::SUCCESS)
    })
}

/// Waits for the end of a scheduler that was not asked to end.
async fn failure(scheduler: Option<&scheduler::Handle>) -> scheduler::FailureReason {
    match scheduler {
        Some(scheduler) => scheduler.failed().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn scheduler(line: &str) -> Option<scheduler::Flags> {
        let words = std::iter::once("master").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().flags.scheduler
    }

    #[test]
    fn the_scheduler_listens_where_the_master_does() {
        let flags = scheduler("--ip=127.0.0.2 --insecure --work_dir=/w --http_port=1").unwrap();
        assert_eq!(flags.ip.to_string(), "127.0.0.2");
        assert!(flags.insecure);
        assert_eq!(flags.http_port, 1);
        assert_eq!(flags.work_dir, std::path::Path::new("/w/scheduler"));
        assert_eq!(flags.hostname, None);
    }

    #[test]
    fn the_scheduler_is_reached_under_the_masters_name() {
        let name = |line| scheduler(line).unwrap().hostname;
        let both = name("--hostname=m.example --advertise_ip=10.0.0.9");
        assert_eq!(both.as_deref(), Some("m.example"));
        let address = name("--ip=0.0.0.0 --advertise_ip=10.0.0.9");
        assert_eq!(address.as_deref(), Some("10.0.0.9"));
    }

    #[test]
    fn the_scheduler_can_listen_elsewhere_or_be_left_out() {
        let flags = scheduler("--ip=10.0.0.1 --http_address=127.0.0.1").unwrap();
        assert_eq!(flags.ip.to_string(), "127.0.0.1");
        assert!(scheduler("--scheduler=false").is_none());
    }
}
