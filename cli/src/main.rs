//! The `longshore` program: commands that start the crates with their flags. Done here are only `run`,
//! which watches a cluster, and `inspect`, `why` and `attach`, which ask an agent, as any client of their
//! public APIs could; and the streams of `exec`.
#![forbid(unsafe_code)]

mod api;
mod arguments;
mod attach;
mod beside_agent;
mod borrow;
mod command;
mod differences;
mod exec;
mod live;
mod local;
mod logs;
mod phases;
mod run;
mod signals;
mod task_id;
mod tasks;
mod terminal;
mod verdicts;
mod why;

use std::process::ExitCode;

use clap::Parser;

use command::{
    agent, attach as attach_command, audit as audit_command, cleanup, drain, exec as exec_command,
    image, inspect as inspect_command, master, run as run_command, scheduler,
    selftest as selftest_command, up, upgrade, version, why as why_command,
};

/// Runs containers on Linux hosts from Marathon app definitions, with the protocols of Mesos.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run apps from files, show their output, and end them with Ctrl-C
    Run(Box<run_command::Flags>),
    /// Run a master, a scheduler and an agent on this machine
    Up(Box<local::Flags>),
    /// Run an agent, which runs tasks on this machine
    Agent(Box<::agent::Flags>),
    /// Run a master, with the scheduler in it
    Master(Box<master::Flags>),
    /// Run a scheduler of its own
    Scheduler(Box<::scheduler::Flags>),
    /// Show what a running task's container is made of: its OCI spec, and the phases of its launch
    Inspect(Box<inspect_command::Flags>),
    /// Tell how a task came to its state, also one that has ended: when, why, and what to do
    Why(Box<why_command::Flags>),
    /// Show what a running task writes, until it ends
    Attach(Box<attach_command::Flags>),
    /// Execute a command in the container of a task that runs on this machine
    Exec(Box<exec_command::Flags>),
    /// Have an agent take no more tasks, and end those that run: by themselves, or at a deadline
    Drain(Box<drain::Flags>),
    /// Tell what of this machine is not as its agent has written it down, and mend it if asked to
    Audit(Box<audit_command::Flags>),
    /// Pull, list, remove, inspect and prune the images of this machine
    Image(Box<image::Flags>),
    /// Take away the bridge of tasks, and its rules, that an agent of this machine has left
    Cleanup(Box<cleanup::Flags>),
    /// Let the agent of this machine go on with the program that is on the disk now; tasks and clients notice
    /// nothing
    Upgrade(Box<upgrade::Flags>),
    /// Try on this machine's containers what has broken container runtimes, and show what held
    Selftest(Box<selftest_command::Flags>),
    /// Run a container from a bundle, as an OCI runtime like runc: see `longshore oci --help`
    Oci,
    /// Show the version
    Version,
    /// What an agent starts to fetch files for a task
    #[command(hide = true)]
    Fetcher,
    /// What an agent starts to unpack a layer of an image
    #[command(hide = true)]
    UnpackLayer { order: std::ffi::OsString },
}

/// A link with one of these names is an OCI runtime, for engines that cannot give it a first word, or
/// that look for runc.
const RUNTIMES: [&str; 2] = ["longshore-oci", "runc"];

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let called = std::path::Path::new(&name).file_name();
    if RUNTIMES
        .iter()
        .any(|runtime| called == Some(runtime.as_ref()))
    {
        return oci::main(std::iter::once(name).chain(words));
    }
    // Its words are those of another program: flags of ours would be in their way.
    if words.next().is_some_and(|word| word == "oci") {
        return oci::main(std::iter::once("longshore oci".into()).chain(words));
    }
    let result = match Line::parse_from(arguments::rewrite(std::env::args_os())).command {
        Command::Run(flags) => run_command::run(*flags),
        Command::Up(flags) => up::run(*flags),
        Command::Agent(flags) => agent::run(*flags),
        Command::Master(flags) => master::run(*flags),
        Command::Scheduler(flags) => scheduler::run(*flags),
        Command::Inspect(flags) => inspect_command::run(*flags),
        Command::Why(flags) => why_command::run(*flags),
        Command::Attach(flags) => attach_command::run(*flags),
        Command::Exec(flags) => exec_command::run(*flags),
        Command::Drain(flags) => drain::run(*flags),
        Command::Audit(flags) => audit_command::run(*flags),
        Command::Image(flags) => image::run(*flags),
        Command::Cleanup(flags) => cleanup::run(*flags),
        Command::Upgrade(flags) => upgrade::run(*flags),
        Command::Selftest(flags) => selftest_command::run(*flags),
        // Not reached but by an empty command line of it.
        Command::Oci => Ok(oci::main(["longshore oci".into(), "--help".into()])),
        Command::Version => Ok(version::run()),
        // Exit codes of a process are one byte wide.
        Command::Fetcher => Ok(ExitCode::from(fetcher::child_main() as u8)),
        Command::UnpackLayer { order } => Ok(ExitCode::from(images::unpack_child_main(
            std::iter::once(order),
        ) as u8)),
    };
    result.unwrap_or_else(|error| {
        terminal::failure(&error);
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn flags_of_all_parts_are_known_where_they_are_needed() {
        for line in [
            "run app.json --once --resources=cpus:1 --http_port=0",
            "up --attributes=rack:1 --master_port=0 --agent_port=0",
            "agent --master=127.0.0.1:5050 --switch_user=false",
            "master --ip=127.0.0.2 --insecure --port=0 --http_port=0",
            "master --scheduler=false --http_address=127.0.0.1",
            "scheduler --http_port=0",
            "inspect hello",
            "inspect --timings /hello --agent=n5:5051",
            "why hello --agent=n5:5051",
            "selftest",
            "upgrade --runtime_dir=/r --master=a:1",
            "audit",
            "drain --deadline=10mins --agent=n5:5051",
            "audit --repair --json --runtime_dir=/r --work_dir=/w --cgroups_root=x --master=a:1",
            "selftest cve-2019 --list --runtime_dir=/r --seccomp_config_dir=/s --master=a:1",
            "attach /hello --from-start",
        ] {
            let words = ["longshore"].into_iter().chain(line.split(' '));
            assert!(Line::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(Line::try_parse_from(["longshore", "up", "--resource=x"]).is_err());
        assert!(Line::try_parse_from(["longshore", "run"]).is_err());
        for bad in ["--agent=n5", "--agent=5051", ""] {
            assert!(Line::try_parse_from(["longshore", "inspect", "hello", bad]).is_err());
        }
    }
}
