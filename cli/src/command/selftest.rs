//! `longshore selftest`: the security battery on this node, as its agent is configured.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use agent::Rights;
use anyhow::{Context as _, bail};
use selftest::{ATTACKS, Attack, Settings, Toolbox, Walls};

use crate::beside_agent::BesideAgent;
use crate::verdicts::{Row, summary};
use crate::{logs, terminal};

/// What to try, and the agent's flags.
pub type Flags = BesideAgent<Own>;

#[derive(Debug, clap::Args)]
pub struct Own {
    /// Try only attacks whose name or CVE contains this
    #[arg(value_name = "TEXT")]
    only: Option<String>,

    /// Tell what the attacks are, and try none
    #[arg(long = "list")]
    list: bool,
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
