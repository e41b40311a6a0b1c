//! `longshore selftest`: the security battery on this node, as its agent is configured.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use agent::Rights;
use anyhow::{Context as _, bail};
use clap::{Args, Command, FromArgMatches};
use selftest::{ATTACKS, Attack, Settings, Toolbox, Walls};

use crate::borrow::Terms;
use crate::verdicts::{Row, summary};
use crate::{logs, terminal};

/// The agent's own flags, so that its command line, or its environment, can be used as it is.
const AGENT: Terms = Terms {
    decided: &[],
    defaults: &[("master", "127.0.0.1:5050")],
};

/// What to try, and the agent's flags.
#[derive(Debug)]
pub struct Flags {
    own: Own,
    agent: agent::Flags,
}

#[derive(Debug, clap::Args)]
struct Own {
    /// Try only attacks whose name or CVE contains this
    #[arg(value_name = "TEXT")]
    only: Option<String>,

    /// Tell what the attacks are, and try none
    #[arg(long = "list")]
    list: bool,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        AGENT.offer::<agent::Flags>(Own::augment_args(command), "Agent")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Flags, clap::Error> {
        Ok(Flags {
            own: Own::from_arg_matches(matches)?,
            agent: AGENT.read(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

pub fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    logs::to_stderr(logs::QUIET);
    let only = flags.own.only.clone().unwrap_or_default().to_lowercase();
    let attacks: Vec<&Attack> = ATTACKS
        .iter()
        .filter(|attack| is_meant(attack, &only))
        .collect();
    if attacks.is_empty() {
        bail!("no attack is called {only:?}: see longshore selftest --list");
    }
    if flags.own.list {
        for attack in attacks {
            terminal::out(&format!(
                "{} {}\n    {}",
                attack.name, attack.cve, attack.tries
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("the attacks are on containers, and those take root: run it as root");
    }
    let settings = settings(flags.agent)?;
    if settings.toolbox == Toolbox::Host && std::io::stderr().is_terminal() {
        terminal::err(
            "no static busybox here: hostile containers get the host's own programs, read-only",
        );
    }
    let had_directory = settings.runtime_dir.exists();
    let mut rows = Vec::new();
    terminal::out(&Row::heading());
    for attack in attacks {
        let row = Row::of(attack, &attack.run(&settings, Walls::Up));
        terminal::out(&row.line());
        rows.push(row);
    }
    if !had_directory {
        // Not when an agent has begun to use it.
        let _ = std::fs::remove_dir(&settings.runtime_dir);
    }
    terminal::out(&summary(&rows));
    Ok(match rows.iter().all(Row::is_well) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn is_meant(attack: &Attack, only: &str) -> bool {
    [attack.name, attack.cve]
        .iter()
        .any(|text| text.to_lowercase().contains(only))
}

fn settings(agent: agent::Flags) -> anyhow::Result<Settings> {
    let rights = Rights::of(&agent).context("cannot read what tasks of this node may do")?;
    Ok(Settings {
        runtime_dir: agent.runtime_dir,
        cgroups_hierarchy: agent.cgroups_hierarchy,
        cgroups_root: agent.cgroups_root,
        seccomp: rights.seccomp,
        capabilities: rights.capabilities,
        pids: rights.pids,
        swap: rights.swap,
        devices: rights.devices,
        cgroups_enable_cfs: agent.cgroups_enable_cfs,
        user_namespaces: agent.user_namespaces.then_some(agent.user_namespace_ids),
        toolbox: Toolbox::find(),
        program: std::env::current_exe().context("cannot find this program's own file")?,
    })
}
