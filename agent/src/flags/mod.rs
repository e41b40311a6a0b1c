//! The agent's command line. Names, units and defaults: spec/mesos-agent.md section 2.
//!
//! What can be said is here, how it is read in `values`, how it is told again in `texts`.

mod docker;
mod fetcher;
mod images;
#[cfg(test)]
pub(crate) mod tests;
mod texts;
pub(crate) mod values;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use isolators::IdRange;
use proto::address::Master;
use proto::sizes::parse_size;
use proto::units::parse_duration;

use crate::networks::NetworkFlags;
use crate::ports::PortsFlags;
use crate::quota::ProjectRange;
use crate::recovery::Reconfiguration;
pub use crate::recovery::Recover;
pub use docker::DockerFlags;
pub use fetcher::FetcherFlags;
pub use images::{ImageFlags, ImageGc};
use values::{
    http_authenticators, id_range, path_or_url, project_range, reregistration_timeout, shm_size,
    text_or_file,
};

/// What every container has. Mesos' default, posix/cpu and posix/mem, is part of it.
pub const ISOLATION: &str = "cgroups/all,disk/du,disk/xfs,filesystem/linux,linux/capabilities,linux/nnp,\
                             linux/seccomp,namespaces/ipc,namespaces/pid,posix/rlimits,\
                             volume/host_path,volume/sandbox_path";

#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// The master: host:port, or file:///path of a file that says so (read again at each attempt).
    #[arg(long = "master", env = "MESOS_MASTER", value_parser = Master::parse)]
    pub master: Master,

    /// Sandboxes and checkpointed state; must survive reboots.
    #[arg(
        long = "work_dir",
        env = "MESOS_WORK_DIR",
        default_value = "/var/lib/longshore"
    )]
    pub work_dir: PathBuf,

    /// State of containers that ends with this boot. Our own name below /run, so that an agent of
    /// another make on the same host never finds our containers under /var/run/mesos.
    #[arg(
        long = "runtime_dir",
        env = "MESOS_RUNTIME_DIR",
        default_value = "/run/longshore"
    )]
    pub runtime_dir: PathBuf,

    /// Address to listen on.
    #[arg(long = "ip", env = "MESOS_IP", default_value = "127.0.0.1")]
    pub ip: IpAddr,

    /// Port to listen on; 0 takes any free one.
    #[arg(long = "port", env = "MESOS_PORT", default_value_t = 5051)]
    pub port: u16,

    /// Address told to others instead of --ip.
    #[arg(long = "advertise_ip", env = "MESOS_ADVERTISE_IP")]
    pub advertise_ip: Option<IpAddr>,

    /// Port told to others instead of --port.
    #[arg(long = "advertise_port", env = "MESOS_ADVERTISE_PORT")]
    pub advertise_port: Option<u16>,

    /// Listen on an address that other machines reach, without authentication.
    #[arg(
        long = "insecure",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub insecure: bool,

    /// Host name reported to the master; this host's name by default, "localhost" on loopback.
    #[arg(long = "hostname", env = "MESOS_HOSTNAME")]
    pub hostname: Option<String>,

    /// What to offer, e.g. 'cpus:4;mem:8192;ports:[31000-32000]', or a JSON array, or file:///path of
    /// a file with either. What is not named is detected.
    #[arg(long = "resources", env = "MESOS_RESOURCES", value_parser = text_or_file)]
    pub resources: Option<String>,

    /// Role of resources that name none.
    #[arg(long = "default_role", env = "MESOS_DEFAULT_ROLE", default_value = "*")]
    pub default_role: String,

    /// What schedulers may match on, e.g. 'rack:1;disk:ssd'.
    #[arg(long = "attributes", env = "MESOS_ATTRIBUTES")]
    pub attributes: Option<String>,

    /// Where cgroup file systems are mounted.
    #[arg(
        long = "cgroups_hierarchy",
        env = "MESOS_CGROUPS_HIERARCHY",
        default_value = "/sys/fs/cgroup"
    )]
    pub cgroups_hierarchy: PathBuf,

    /// The subtree of cgroups that this agent owns, relative to the top of the hierarchy.
    #[arg(
        long = "cgroups_root",
        env = "MESOS_CGROUPS_ROOT",
        default_value = "mesos"
    )]
    pub cgroups_root: String,

    /// Cap cpu at the request for tasks without a limit of their own.
    #[arg(
        long = "cgroups_enable_cfs", env = "MESOS_CGROUPS_ENABLE_CFS",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub cgroups_enable_cfs: bool,

    /// Let no task go on in swap space where its memory is limited.
    #[arg(
        long = "cgroups_limit_swap", env = "MESOS_CGROUPS_LIMIT_SWAP",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub cgroups_limit_swap: bool,

    /// For those used to it: statistics always tell how many processes and threads a container has.
    #[arg(
        long = "cgroups_cpu_enable_pids_and_tids_count", env = "MESOS_CGROUPS_CPU_ENABLE_PIDS_AND_TIDS_COUNT",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub cgroups_cpu_enable_pids_and_tids_count: bool,

    /// Processes and threads that each task may have.
    #[arg(long = "pids_limit", value_parser = clap::value_parser!(u64).range(1..))]
    pub pids_limit: Option<u64>,

    /// Names of isolators, separated by commas. Every container has all that there are, whichever
    /// are named; one that is not known is an error, and one that this build lacks is told in the log.
    #[arg(long = "isolation", env = "MESOS_ISOLATION", default_value = ISOLATION)]
    pub isolation: String,

    /// Devices that every task may use beside the usual ones, as JSON: {"allowed_devices": [{"device":
    /// {"path": "/dev/fuse"}, "access": {"read": true, "write": true, "mknod": false}}]}
    #[arg(
        long = "allowed_devices", env = "MESOS_ALLOWED_DEVICES",
        value_parser = text_or_file
    )]
    pub allowed_devices: Option<String>,

    /// Size, such as 64MB, of /dev/shm of tasks that ask for one of their own and not for a size;
    /// otherwise what the kernel gives a tmpfs.
    #[arg(
        long = "default_container_shm_size", env = "MESOS_DEFAULT_CONTAINER_SHM_SIZE",
        value_parser = shm_size
    )]
    pub default_container_shm_size: Option<u64>,

    /// Refuse tasks that want to share the agent's IPC namespace and /dev/shm.
    #[arg(
        long = "disallow_sharing_agent_ipc_namespace", env = "MESOS_DISALLOW_SHARING_AGENT_IPC_NAMESPACE",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub disallow_sharing_agent_ipc_namespace: bool,

    /// Refuse tasks that want to share the agent's pid namespace: they see every process of this host.
    #[arg(
        long = "disallow_sharing_agent_pid_namespace", env = "MESOS_DISALLOW_SHARING_AGENT_PID_NAMESPACE",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub disallow_sharing_agent_pid_namespace: bool,

    /// How long the processes of a killed container may take to disappear.
    #[arg(
        long = "cgroups_destroy_timeout", env = "MESOS_CGROUPS_DESTROY_TIMEOUT",
        default_value = "60secs", value_parser = parse_duration
    )]
    pub cgroups_destroy_timeout: Duration,

    /// Run tasks as the user they name; otherwise as the agent's own user.
    #[arg(
        long = "switch_user", env = "MESOS_SWITCH_USER",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = true, action = ArgAction::Set
    )]
    pub switch_user: bool,

    /// Give each task a user namespace of its own, unless its label LONGSHORE_USER_NAMESPACE is "false":
    /// its root is nobody on the host then. Otherwise only tasks whose label is "true" have one. Sandbox
    /// and volumes must be on file systems that can be idmapped.
    #[arg(
        long = "user_namespaces",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub user_namespaces: bool,

    /// FIRST-LAST id of users and groups for those namespaces, of which each takes 65536: none may be a
    /// user's of this host. The default is what systemd leaves unused.
    #[arg(
        long = "user_namespace_ids",
        default_value = "1879048192-2147352575", value_parser = id_range
    )]
    pub user_namespace_ids: IdRange,

    /// Capabilities of tasks that name none, as JSON: {"capabilities": ["NET_RAW", "CHOWN"]}. By
    /// default those that Docker grants.
    #[arg(
        long = "effective_capabilities", env = "MESOS_EFFECTIVE_CAPABILITIES",
        value_parser = text_or_file
    )]
    pub effective_capabilities: Option<String>,

    /// The most capabilities that a task may have, as JSON. By default a task gets what it names.
    #[arg(
        long = "bounding_capabilities", env = "MESOS_BOUNDING_CAPABILITIES",
        value_parser = text_or_file
    )]
    pub bounding_capabilities: Option<String>,

    /// Directory of seccomp profiles in Docker's JSON form, which tasks and --seccomp_profile_name name.
    #[arg(long = "seccomp_config_dir", env = "MESOS_SECCOMP_CONFIG_DIR")]
    pub seccomp_config_dir: Option<PathBuf>,

    /// The profile of tasks that name none, a file in --seccomp_config_dir; by default one that is
    /// built in and lets through the system calls of ordinary programs.
    #[arg(long = "seccomp_profile_name", env = "MESOS_SECCOMP_PROFILE_NAME")]
    pub seccomp_profile_name: Option<String>,

    /// Directory that relative paths among a task's URIs start from.
    #[arg(long = "frameworks_home", env = "MESOS_FRAMEWORKS_HOME")]
    pub frameworks_home: Option<PathBuf>,

    /// JSON object of strings, or file:///path of a file with one: environment for every task.
    #[arg(
        long = "executor_environment_variables",
        env = "MESOS_EXECUTOR_ENVIRONMENT_VARIABLES",
        value_parser = text_or_file
    )]
    pub executor_environment_variables: Option<String>,

    /// What may change when the agent is restarted: nothing (equal), or resources and attributes may
    /// grow (additive).
    #[arg(
        long = "reconfiguration_policy", env = "MESOS_RECONFIGURATION_POLICY",
        value_enum, default_value_t = Reconfiguration::Equal
    )]
    pub reconfiguration_policy: Reconfiguration,

    /// What becomes of the tasks that an earlier agent left running: take them over (reconnect), or kill
    /// them, forget the agent's id, and exit (cleanup).
    #[arg(
        long = "recover", env = "MESOS_RECOVER",
        value_enum, default_value_t = Recover::Reconnect
    )]
    pub recover: Recover,

    /// Do not start when a part of the agent's state is damaged. Otherwise that part is set aside, the
    /// containers that it is about are left alone, and the agent goes on without them.
    #[arg(
        long = "strict", env = "MESOS_STRICT",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = true, action = ArgAction::Set
    )]
    pub strict: bool,

    /// An agent that starts registers at once; attempt n after that, or after a link has broken, comes
    /// after a random part of this times 2^n, at most a minute.
    #[arg(
        long = "registration_backoff_factor", env = "MESOS_REGISTRATION_BACKOFF_FACTOR",
        default_value = "1secs", value_parser = parse_duration
    )]
    pub registration_backoff_factor: Duration,

    /// How long the start of a task may take, fetching included, before it fails.
    #[arg(
        long = "executor_registration_timeout", env = "MESOS_EXECUTOR_REGISTRATION_TIMEOUT",
        default_value = "1mins", value_parser = parse_duration
    )]
    pub executor_registration_timeout: Duration,

    /// How long custom executors have to come back after a restart of the agent, 15 seconds at most; those
    /// that do not are killed.
    #[arg(
        long = "executor_reregistration_timeout", env = "MESOS_EXECUTOR_REREGISTRATION_TIMEOUT",
        default_value = "2secs", value_parser = reregistration_timeout
    )]
    pub executor_reregistration_timeout: Duration,

    /// Take what custom executors say only with the token that the agent gave them. Executors that were
    /// started without --jwt_secret_key have none, and cannot come back: set that first, and this when the
    /// last of them has gone.
    #[arg(
        long = "authenticate_http_executors", env = "MESOS_AUTHENTICATE_HTTP_EXECUTORS",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub authenticate_http_executors: bool,

    /// File with the key that tokens of custom executors are signed with: some random bytes, such as 32,
    /// which other users may not read. Every executor finds its token in its environment then. Who changes
    /// the key ends the executors that run.
    #[arg(
        long = "jwt_secret_key", env = "MESOS_JWT_SECRET_KEY",
        value_parser = path_or_url
    )]
    pub jwt_secret_key: Option<PathBuf>,

    /// For those used to it: basic or jwt, or both, separated by commas; custom executors have jwt anyway.
    #[arg(
        long = "http_authenticators", env = "MESOS_HTTP_AUTHENTICATORS",
        default_value = "basic", value_parser = http_authenticators
    )]
    pub http_authenticators: String,

    /// How long custom executors try to come back while there is no agent, before they end themselves.
    #[arg(
        long = "recovery_timeout", env = "MESOS_RECOVERY_TIMEOUT",
        default_value = "15mins", value_parser = parse_duration
    )]
    pub recovery_timeout: Duration,

    /// Time for the tasks of a framework, or of an agent, that is shut down. Two seconds of it are
    /// kept back for the clean-up.
    #[arg(
        long = "executor_shutdown_grace_period", env = "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
        default_value = "5secs", value_parser = parse_duration
    )]
    pub executor_shutdown_grace_period: Duration,

    /// Completed executors remembered per framework.
    #[arg(
        long = "max_completed_executors_per_framework",
        env = "MESOS_MAX_COMPLETED_EXECUTORS_PER_FRAMEWORK",
        default_value_t = 150
    )]
    pub max_completed_executors_per_framework: usize,

    /// Size, such as 10MB, at which a task's stdout is rotated; 0B for never. A task may say otherwise in
    /// its environment: CONTAINER_LOGGER_MAX_STDOUT_SIZE.
    #[arg(
        long = "max_stdout_size",
        env = "MESOS_MAX_STDOUT_SIZE",
        default_value = "10MB"
    )]
    pub max_stdout_size: String,

    /// Size at which a task's stderr is rotated; 0B for never. CONTAINER_LOGGER_MAX_STDERR_SIZE.
    #[arg(
        long = "max_stderr_size",
        env = "MESOS_MAX_STDERR_SIZE",
        default_value = "10MB"
    )]
    pub max_stderr_size: String,

    /// Lines of logrotate(8), of which "rotate COUNT" says how many rotated files of stdout are kept.
    /// CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS.
    #[arg(
        long = "logrotate_stdout_options",
        env = "MESOS_LOGROTATE_STDOUT_OPTIONS",
        default_value = "rotate 4"
    )]
    pub logrotate_stdout_options: String,

    /// The same for stderr. CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS.
    #[arg(
        long = "logrotate_stderr_options",
        env = "MESOS_LOGROTATE_STDERR_OPTIONS",
        default_value = "rotate 4"
    )]
    pub logrotate_stderr_options: String,

    /// Sandboxes of ended tasks are removed after this long, sooner when the disk fills up.
    #[arg(
        long = "gc_delay", env = "MESOS_GC_DELAY",
        default_value = "1weeks", value_parser = parse_duration
    )]
    pub gc_delay: Duration,

    /// Fraction of the disk that garbage collection of sandboxes tries to keep free.
    #[arg(
        long = "gc_disk_headroom",
        env = "MESOS_GC_DISK_HEADROOM",
        default_value_t = 0.1
    )]
    pub gc_disk_headroom: f64,

    /// How often to look for sandboxes that are due for removal.
    #[arg(
        long = "disk_watch_interval", env = "MESOS_DISK_WATCH_INTERVAL",
        default_value = "1mins", value_parser = parse_duration
    )]
    pub disk_watch_interval: Duration,

    /// Hold tasks to their disk: the file system of the work directory does where it has project quotas
    /// (ext4 mounted with prjquota, XFS with pquota), and else who takes more is killed. Otherwise it is
    /// only told how much each takes.
    #[arg(
        long = "enforce_container_disk_quota", env = "MESOS_ENFORCE_CONTAINER_DISK_QUOTA",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub enforce_container_disk_quota: bool,

    /// How often to look at what each sandbox takes.
    #[arg(
        long = "container_disk_watch_interval", env = "MESOS_CONTAINER_DISK_WATCH_INTERVAL",
        default_value = "15secs", value_parser = parse_duration
    )]
    pub container_disk_watch_interval: Duration,

    /// Projects that sandboxes get where the file system has project quotas; nobody else may use them.
    #[arg(
        long = "xfs_project_range", env = "MESOS_XFS_PROJECT_RANGE",
        default_value = "[5000-10000]", value_parser = project_range
    )]
    pub xfs_project_range: ProjectRange,

    /// Kill who takes more than its disk also where the file system has project quotas, which then stop
    /// it only --xfs_quota_headroom later.
    #[arg(
        long = "xfs_kill_containers", env = "MESOS_XFS_KILL_CONTAINERS",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false, action = ArgAction::Set
    )]
    pub xfs_kill_containers: bool,

    /// What a task may take beyond its disk before the file system stops it, with --xfs_kill_containers.
    #[arg(
        long = "xfs_quota_headroom", env = "MESOS_XFS_QUOTA_HEADROOM",
        default_value = "10MB", value_parser = parse_size
    )]
    pub xfs_quota_headroom: u64,

    /// Files and directories that each sandbox may have, logs included, so that no task takes all inodes of
    /// the disk; only where the file system of the work directory has project quotas.
    #[arg(long = "sandbox_inodes_limit", value_parser = clap::value_parser!(u64).range(16..))]
    pub sandbox_inodes_limit: Option<u64>,

    /// How long the program that replaces this one in an upgrade may take to say that it can, and again to
    /// take over; if it does not, this one goes on.
    #[arg(
        long = "upgrade_timeout",
        default_value = "30secs", value_parser = parse_duration
    )]
    pub upgrade_timeout: Duration,

    #[command(flatten)]
    pub fetcher: FetcherFlags,

    #[command(flatten)]
    pub docker: DockerFlags,

    #[command(flatten)]
    pub images: ImageFlags,

    /// A directory of secrets, each a file: any app may name any of them, for its environment, for files, or for
    /// pulling its image ("pullConfig", a Docker config.json). The one of the source /team/db is the file team/db
    /// there, to its last byte. None when this is not set.
    #[arg(long = "secrets_dir", alias = "image_secrets_dir")]
    pub secrets_dir: Option<PathBuf>,

    #[command(flatten)]
    pub network: NetworkFlags,

    #[command(flatten)]
    pub ports: PortsFlags,

    /// Program and arguments that end up in `fetcher::child_main`. Not a flag: the program that
    /// embeds the agent knows its own command line. `/proc/self/exe fetcher` when empty.
    #[arg(skip)]
    pub fetch_helper: Vec<String>,

    /// The same for `images::unpack_child_main`; `/proc/self/exe unpack-layer` when empty.
    #[arg(skip)]
    pub unpack_helper: Vec<String>,
}
