//! The command line, as runc(8) has it.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "longshore oci",
    about = "Open Container Initiative runtime: runs a container from a bundle, as engines ask for it",
    version = crate::version::text(),
    disable_version_flag = true,
    max_term_width = 100
)]
pub struct Line {
    #[command(flatten)]
    pub global: Global,
    /// Show the version
    #[arg(long, short = 'v', action = ArgAction::Version)]
    version: (),
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Log what is done
    #[arg(long)]
    pub debug: bool,
    /// File that errors are logged to, beside stderr
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Form of the log: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: String,
    /// Where the state of containers is kept; on a tmpfs
    ///
    /// [default: /run/longshore-oci]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Not supported: cgroups are managed directly
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Accepted for runc's sake: containers are made by root
    #[arg(long, value_name = "WHEN", default_value = "auto", hide = true)]
    pub rootless: String,
    /// Accepted for crun's sake
    #[arg(long, value_name = "MANAGER", hide = true)]
    pub cgroup_manager: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a container, which then waits for start
    Create(Create),
    /// Run the command of a container that was created
    Start(Of),
    /// Create and start a container, and wait for its end
    Run(Run),
    /// Print the state of a container as JSON
    State(Of),
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Execute another process in a container
    Exec(Exec),
    /// Remove what is left of a container that has stopped
    Delete(Delete),
    /// List containers
    List(List),
    /// Show the processes of a container
    Ps(Ps),
    /// Make every process of a container stand still
    Pause(Of),
    /// Let the processes of a paused container go on
    Resume(Of),
    /// Change the limits of a container that runs
    Update(Box<Update>),
    /// Tell what a container uses, and when its memory runs out
    Events(Events),
    /// Print what this runtime can do as JSON
    Features,
    /// Write a spec to begin with
    Spec(Spec),
    /// Not supported: to store a container that runs
    Checkpoint(Unsupported),
    /// Not supported: to let a stored container go on
    Restore(Unsupported),
}

/// Whatever it is called with.
#[derive(Debug, Args)]
pub struct Unsupported {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    pub arguments: Vec<String>,
}

/// A container by its name.
#[derive(Debug, Args)]
pub struct Of {
    #[arg(value_name = "ID")]
    pub id: String,
}

/// How a container is made.
#[derive(Debug, Args)]
pub struct Create {
    /// Directory with config.json; the current one by default
    #[arg(long, short = 'b', value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// The spec, instead of config.json in the bundle
    #[arg(long, short = 'f', value_name = "FILE", hide = true)]
    pub config: Option<PathBuf>,
    /// Unix socket that the container's terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that a pidfd of the first process is sent to
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// File that the first process' number is written to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Accepted for runc's sake: the root is always pivoted into
    #[arg(long, hide = true)]
    pub no_pivot: bool,
    /// Accepted for runc's sake: a container never gets the caller's session keyring
    #[arg(long, hide = true)]
    pub no_new_keyring: bool,
    /// Further open files that the container gets, from 3 on
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub preserve_fds: u32,
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Leave the container running, and return
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// Keep the container's state and cgroup after its end
    #[arg(long)]
    pub keep: bool,
    /// Accepted for runc's sake
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
    #[command(flatten)]
    pub create: Create,
}

#[derive(Debug, Args)]
pub struct Kill {
    /// Signal every process of the container
    #[arg(long, short = 'a')]
    pub all: bool,
    #[arg(value_name = "ID")]
    pub id: String,
    #[arg(
        value_name = "SIGNAL",
        default_value = "SIGTERM",
        allow_hyphen_values = true
    )]
    pub signal: String,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// Kill the container first where it still runs; no error when there is none
    #[arg(long, short = 'f')]
    pub force: bool,
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct List {
    /// table or json
    #[arg(long, short = 'f', value_name = "FORMAT", default_value = "table")]
    pub format: String,
    /// Only their names
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Ps {
    /// table or json
    #[arg(long, short = 'f', value_name = "FORMAT", default_value = "table")]
    pub format: String,
    #[arg(value_name = "ID")]
    pub id: String,
    /// For the host's ps(1), that makes the table; -ef by default
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    pub arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Spec {
    /// Directory that config.json is written to; the current one by default
    #[arg(long, short = 'b', value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For a runtime that is not root
    #[arg(long)]
    pub rootless: bool,
}

#[derive(Debug, Args)]
pub struct Exec {
    /// Unix socket that the process' terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that a pidfd of the process is sent to
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// NAME=value, beside the container's own; may be repeated
    #[arg(long, short = 'e', value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A terminal for the process
    #[arg(long, short = 't')]
    pub tty: bool,
    /// Numbers of the user, and of its group
    #[arg(long, short = 'u', value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Numbers of further groups; may be repeated
    #[arg(long, short = 'g', value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// File that describes the process, as in a spec
    #[arg(long, short = 'p', value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Leave the process running, and return
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// File that the process' number is written to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// The process and what it executes can gain no privileges
    #[arg(long)]
    pub no_new_privs: bool,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// A capability beside the container's own; may be repeated
    #[arg(long, short = 'c', value_name = "CAP")]
    pub cap: Vec<String>,
    /// Further open files that the process gets, from 3 on
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Cgroup below the container's; on v1 for these controllers, and may be repeated
    #[arg(long, value_name = "[CONTROLLERS:]PATH")]
    pub cgroup: Vec<String>,
    /// Also in a container that is paused: the process starts when it is resumed
    #[arg(long)]
    pub ignore_paused: bool,
    #[arg(value_name = "ID")]
    pub id: String,
    /// The program and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<String>,
}

/// In the order of the OCI runtime spec's `linux.resources`; -1 is no limit.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Update {
    /// File with linux.resources of the OCI runtime spec, or - for stdin; flags go before it
    #[arg(long, short = 'r', value_name = "FILE", allow_hyphen_values = true)]
    pub resources: Option<PathBuf>,
    /// Bytes, or an amount like 50M
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub memory: Option<String>,
    /// Memory that is not taken away while others have some to spare
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub memory_reservation: Option<String>,
    /// Memory and swap together
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Weight against other cgroups, from 2 to 262144
    #[arg(long, alias = "cpu-shares", value_name = "SHARES")]
    pub cpu_share: Option<u64>,
    /// Microseconds in each period
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_quota: Option<i64>,
    /// Microseconds that may be saved up for later periods
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_burst: Option<u64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// Microseconds of real-time scheduling in each of its periods
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_rt_runtime: Option<i64>,
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_rt_period: Option<u64>,
    /// 1: only when nobody else wants the processor
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    /// Processors, like 0-2,4
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Processes and threads
    #[arg(long, value_name = "COUNT")]
    pub pids_limit: Option<i64>,
    /// Weight of block I/O, from 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// Of cgroup v1, on old kernels
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, hide = true)]
    pub kernel_memory: Option<String>,
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, hide = true)]
    pub kernel_memory_tcp: Option<String>,
    /// Of Intel RDT, which containers here have none of
    #[arg(long, value_name = "SCHEMA", hide = true)]
    pub l3_cache_schema: Option<String>,
    #[arg(long, value_name = "SCHEMA", hide = true)]
    pub mem_bw_schema: Option<String>,
    #[arg(value_name = "ID")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Events {
    /// What it uses now, once
    #[arg(long)]
    pub stats: bool,
    /// Between two looks at what it uses
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub interval: String,
    #[arg(value_name = "ID")]
    pub id: String,
}
