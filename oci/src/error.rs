//! What can go wrong, in the words that engines and suites look for.

use std::io;
use std::path::PathBuf;

use containerizer::{LaunchError, Part, UpdateError};
use isolators::cgroups::{BadHierarchy, CgroupError, StatisticsError};
use nix::errno::Errno;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("container does not exist")]
    NoContainer,
    #[error("container with given ID already exists")]
    Exists,
    #[error(
        "invalid container ID format: {0:?} (letters, digits and any of '_+-.' are valid characters)"
    )]
    BadId(String),
    #[error("invalid character '/' in container ID format: {0:?}")]
    SlashInId(String),
    #[error("JSON specification file {} not found", .0.display())]
    NoConfig(PathBuf),
    #[error("{} is not a valid OCI runtime spec: at {at}", path.display())]
    BadConfig {
        path: PathBuf,
        /// JSON path of the fault.
        at: String,
        source: serde_json::Error,
    },
    #[error("invalid configuration: {at}: {what}")]
    Invalid { at: &'static str, what: String },
    #[error("cannot start a container that has stopped")]
    StartStopped,
    #[error("cannot start an already running container")]
    StartRunning,
    #[error("cannot start a container in the paused state")]
    StartPaused,
    #[error("container not running")]
    NotRunning,
    #[error("container not running or created: {0}")]
    NotRunningOrCreated(&'static str),
    #[error("container not paused")]
    NotPaused,
    #[error("container with id {0} is not running")]
    IdNotRunning(String),
    #[error("cannot exec in a stopped container")]
    ExecStopped,
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    ExecPaused,
    #[error("bad user {0:?}: give numbers, UID or UID:GID")]
    BadUser(String),
    #[error("unknown signal \"{0}\"")]
    UnknownSignal(String),
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: String, status: &'static str },
    #[error("cannot allocate tty if runc will detach without setting console socket")]
    NoConsoleSocket,
    #[error("cannot use console socket if runc will not detach or allocate tty")]
    NeedlessConsoleSocket,
    #[error(
        "the systemd cgroup driver is not supported: leave --systemd-cgroup out, and give engines the \
         cgroupfs driver"
    )]
    SystemdCgroup,
    #[error(
        "{0} is not supported: containers are not stored while they run; stop it, and make a new one \
         from its bundle"
    )]
    Unsupported(&'static str),
    #[error("invalid log-format: {0}")]
    LogFormat(String),
    #[error("invalid format option")]
    ListFormat,
    #[error("this host's ps(1) failed: {0}")]
    Ps(std::process::ExitStatus),
    #[error("the table of this host's ps(1) has no column PID, which tells whose a row is")]
    NoPidColumn,
    #[error("{flag} is {value:?}: {wanted}")]
    BadFlag {
        flag: &'static str,
        value: String,
        wanted: &'static str,
    },
    #[error("the resources are not valid JSON of OCI linux.resources: at {at}")]
    BadResources {
        /// JSON path of the fault.
        at: String,
        source: serde_json::Error,
    },
    #[error("unable to update")]
    Update(#[from] UpdateError),
    #[error("no statistics of the container")]
    Statistics(#[from] StatisticsError),
    #[error("File {0} exists. Remove it first")]
    SpecExists(String),
    #[error("error running {kind} hook #{number}: {how}")]
    Hook {
        kind: &'static str,
        number: usize,
        how: String,
    },
    #[error(
        "failed to connect with seccomp agent specified in the seccomp profile: {}", path.display()
    )]
    SeccompAgent { path: PathBuf, source: io::Error },
    #[error("unable to start container process")]
    Launch(#[from] LaunchError),
    /// Said as the container's own shell would say it, for it was all there.
    #[error("exec {0}: no such file or directory")]
    Interpreter(String),
    /// The container was there, but not its command; or a mount could not be made.
    #[error("unable to start container process: {words}")]
    Command {
        words: String,
        /// The launcher's own words, which say how to mend it.
        source: Box<LaunchError>,
    },
    #[error("cannot use this host's cgroups")]
    Hierarchy(#[from] BadHierarchy),
    #[error("error adding pid to cgroups")]
    Place(#[source] CgroupError),
    #[error("cannot manage the container's cgroup")]
    Cgroup(#[from] CgroupError),
    #[error("cannot {attempt} {}", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot {attempt}")]
    Call {
        attempt: &'static str,
        source: io::Error,
    },
}

/// For `map_err`: a launch of this program has failed.
pub fn launching(program: &str) -> impl FnOnce(LaunchError) -> Error {
    let program = program.to_owned();
    move |error| match command_words(&program, &error) {
        None if is_interpreter_missing(&error) => Error::Interpreter(program),
        Some(words) => Error::Command {
            words,
            source: Box::new(error),
        },
        None => Error::Launch(error),
    }
}

fn is_interpreter_missing(error: &LaunchError) -> bool {
    matches!(error, LaunchError::Step { stage: Part::Interpreter {}, source, .. }
        if source.kind() == io::ErrorKind::NotFound)
}

/// As Go's os/exec says it, and runc of mounts.
fn command_words(program: &str, error: &LaunchError) -> Option<String> {
    let LaunchError::Step {
        stage,
        source,
        attempt,
        ..
    } = error
    else {
        return None;
    };
    let mounting = |why| {
        let words = "error during container init: error mounting";
        Some(format!("{words}: cannot {attempt}: {why}"))
    };
    let by_path = program.contains('/');
    let missing = source.kind() == io::ErrorKind::NotFound;
    let denied = source.kind() == io::ErrorKind::PermissionDenied;
    match stage {
        Part::Exec {} if missing && by_path => Some(format!(
            "exec: {program:?}: stat {program}: no such file or directory"
        )),
        Part::Exec {} if missing => Some(format!(
            "exec: {program:?}: executable file not found in $PATH"
        )),
        Part::Exec {} if denied => Some(format!("exec: {program:?}: permission denied")),
        Part::Mount {} if denied => mounting("operation not permitted"),
        Part::Mount {} if source.raw_os_error() == Some(Errno::ELOOP as i32) => {
            mounting("what the kernel mounts must be mounted on ordinary directory")
        }
        _ => None,
    }
}

/// For `map_err`.
pub fn file(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File {
        attempt,
        path,
        source,
    }
}

/// For `map_err`, where there is no path to name.
pub fn call<E: Into<io::Error>>(attempt: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Call {
        attempt,
        source: error.into(),
    }
}

/// An error and its causes, as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
