//! The act: cgroup, program, process, and the word from `init` that the command runs.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use init::{Heard, Program, Then};
use isolators::ContainerId;
use isolators::cgroups::{Cgroup, Entry, Hierarchy};
use nix::fcntl::OFlag;
use oci_spec::runtime::Spec;
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;

use crate::Shared;
use crate::compile::{self, Facts, Kind};
use crate::container::{Container, Process};
use crate::error::LaunchError;
use crate::handover::{Unclaimed, Underway, put_away};
use crate::helper;
use crate::record::Record;
use crate::sys;
use crate::timings::Stopwatch;

/// The command's standard streams; /dev/null without a stdin.
#[derive(Debug)]
pub struct Stdio {
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// What is to be launched.
pub struct Order {
    pub id: ContainerId,
    pub spec: Spec,
    pub stdio: Stdio,
    pub then: Then,
}

/// A report is one phrase and a few numbers.
const REPORT_LIMIT: u64 = 64 * 1024;

pub async fn launch(
    shared: Arc<Shared>,
    order: Order,
    watch: Stopwatch,
) -> Result<Container, LaunchError> {
    let (mut done, answer) = oneshot::channel();
    let underway = Underway::begin(&shared, &order.id);
    // A task of its own: when the caller gives up, someone must still put things away.
    tokio::spawn(async move {
        let launched = start_and_hear(&shared, order, watch, &mut done).await;
        // Whether it cannot be sent, or is sent and never received: both times it is dropped.
        drop(done.send(launched.map(Unclaimed::new)));
        drop(underway);
    });
    let launched = answer.await.unwrap_or(Err(LaunchError::GivenUp));
    launched.map(Unclaimed::claim)
}

async fn start_and_hear(
    shared: &Arc<Shared>,
    order: Order,
    watch: Stopwatch,
    caller: &mut oneshot::Sender<Result<Unclaimed, LaunchError>>,
) -> Result<Container, LaunchError> {
    let turn = tokio::select! {
        turn = shared.turns.acquire() => turn.map_err(|_closed| LaunchError::GivenUp)?,
        () = caller.closed() => return Err(LaunchError::GivenUp),
    };
    let worker = shared.clone();
    let started = tokio::task::spawn_blocking(move || start(&worker, order, watch));
    let Started {
        container,
        report,
        mut watch,
        timings,
    } = started.await.map_err(|_panicked| LaunchError::GivenUp)??;
    // What `init` does next may wait for a slow file system: others must not wait with it.
    drop(turn);
    let heard = tokio::select! {
        heard = hear(report, &mut watch) => heard,
        () = caller.closed() => {
            put_away(&container).await;
            return Err(LaunchError::GivenUp);
        }
    };
    match heard {
        Ok(Heard::Running) => {
            container.launched(watch.stop(), timings);
            Ok(container)
        }
        Ok(Heard::Failed(report)) => {
            put_away(&container).await;
            Err(report.into())
        }
        Ok(Heard::Nothing) | Err(_) => Err(LaunchError::Died(put_away(&container).await)),
    }
}

pub(crate) async fn hear(report: OwnedFd, watch: &mut Stopwatch) -> io::Result<Heard> {
    let mut bytes = Vec::new();
    let pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(report)?;
    let mut pipe = pipe.take(REPORT_LIMIT);
    // The first word is that `init` is about to exec.
    pipe.read_buf(&mut bytes).await?;
    watch.lap("setup");
    pipe.read_to_end(&mut bytes).await?;
    watch.lap("exec");
    Heard::decode(&bytes).map_err(|_bad| io::Error::from(io::ErrorKind::InvalidData))
}

struct Started {
    container: Container,
    report: OwnedFd,
    watch: Stopwatch,
    /// Where its result will be kept.
    timings: Option<File>,
}

/// Each `?` below leaves nothing behind: the record and the cgroup are put away by `undo`.
fn start(shared: &Arc<Shared>, order: Order, mut watch: Stopwatch) -> Result<Started, LaunchError> {
    let Order {
        id,
        spec,
        stdio,
        then,
    } = order;
    watch.lap("queue");
    let cgroup = shared.cgroup(&id, &spec);
    let program = compile(shared, &id, &spec, then)?;
    watch.lap("compile");
    let record = Record::create(&shared.config.runtime_dir, &id, &spec)?;
    watch.lap("record");
    let mut undo = Undo {
        record: &record,
        cgroup: None,
        committed: false,
    };
    let limits = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().as_ref());
    cgroup.create(limits)?;
    undo.cgroup = Some(&cgroup);
    let oom = cgroup.watch_oom()?;
    let (tasks, directory) = match cgroup.entry()? {
        Entry::Tasks(tasks) => (tasks, None),
        Entry::Directory(directory) => (Vec::new(), Some(directory)),
    };
    watch.lap("cgroup");

    let status = record.status_file()?;
    let (report, report_end) =
        nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| LaunchError::Prepare {
            attempt: "make a pipe",
            source: e.into(),
        })?;
    set_nonblocking(&report)?;
    let program = program_file(&program).map_err(|source| LaunchError::Prepare {
        attempt: "store the program",
        source,
    })?;
    let stdin = match stdio.stdin {
        Some(stdin) => stdin,
        None => File::open("/dev/null")
            .map(OwnedFd::from)
            .map_err(|source| LaunchError::Prepare {
                attempt: "open /dev/null",
                source,
            })?,
    };
    // In the order of `init::fd`.
    let own = [
        &stdin,
        &stdio.stdout,
        &stdio.stderr,
        &program,
        &report_end,
        &status,
    ];
    let descriptors: Vec<BorrowedFd<'_>> =
        own.into_iter().chain(&tasks).map(|fd| fd.as_fd()).collect();
    let spawned = sys::spawn(&sys::Spawn {
        exe: shared.helper.as_fd(),
        name: c"longshore-init",
        descriptors: &descriptors,
        namespaces: compile::clone_flags(spec.linux().as_ref()),
        cgroup: directory.as_ref().map(|fd| fd.as_fd()),
    })
    .map_err(|source| LaunchError::Spawn { source })?;
    // What follows is done while `init` works.
    watch.lap("spawn");
    let process = Process::adopt(spawned).map_err(|source| LaunchError::Prepare {
        attempt: "watch the first process",
        source,
    })?;
    // A container that a later agent would not find is better not there at all.
    if let Err(error) = record.write_pid(process.pid) {
        process.end();
        return Err(error.into());
    }
    // Made now: once the container has ended, its record may be on its way out.
    let timings = record.timings_file();
    let timings = timings.inspect_err(
        |error| tracing::warn!(container = %id, %error, "the next agent will not know a launch's timings"),
    );
    // From here on the container owns the cgroup and the record: it ends in `wait`.
    undo.commit();
    let container = Container::watch(shared, record, cgroup, process, oom);
    Ok(Started {
        container,
        report,
        watch,
        timings: timings.ok(),
    })
}

fn compile(
    shared: &Shared,
    id: &ContainerId,
    spec: &Spec,
    then: Then,
) -> Result<Program, LaunchError> {
    let staging = shared
        .config
        .runtime_dir
        .join("containers")
        .join(id.as_str());
    let (cgroup_files, cgroup_v1_mounts) = match &shared.hierarchy {
        Hierarchy::V1(mounts) => (mounts.len() as u32, mounts.as_slice()),
        Hierarchy::V2(_) => (0, [].as_slice()),
    };
    let lookup = |path: &Path| match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Some(Kind::Directory),
        Ok(_) => Some(Kind::File),
        Err(_) => None,
    };
    let facts = Facts {
        cgroup_files,
        cgroup_v1_mounts,
        staging: &staging,
        lookup: &lookup,
        filters: &shared.filters,
        then,
    };
    Ok(compile::compile(spec, &facts)?)
}

pub(crate) fn set_nonblocking(pipe: &OwnedFd) -> Result<(), LaunchError> {
    let set = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
    let done = nix::fcntl::fcntl(pipe, set).map(drop);
    done.map_err(|e| LaunchError::Prepare {
        attempt: "set up a pipe",
        source: e.into(),
    })
}

pub(crate) fn program_file(program: &Program) -> io::Result<OwnedFd> {
    let memfd = helper::memfd(c"longshore-program", helper::Contents::Data)?;
    let mut file = File::from(memfd);
    file.write_all(&program.encode())?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// Puts away what a failed launch has made, newest first, when dropped before `commit`.
struct Undo<'a> {
    record: &'a Record,
    cgroup: Option<&'a Cgroup>,
    committed: bool,
}

impl Undo<'_> {
    fn commit(mut self) {
        self.committed = true;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        if let Err(error) = self.cgroup.map_or(Ok(()), Cgroup::remove) {
            tracing::warn!(container = %self.record.id, %error, "a failed launch left its cgroup");
        }
        if let Err(error) = self.record.remove() {
            tracing::warn!(container = %self.record.id, %error, "a failed launch left its record");
        }
    }
}
