//! The act: cgroup, program, process, and the word from `init` that the command runs.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use init::{Program, Report, Then, Word};
use isolators::ContainerId;
use isolators::cgroups::{Cgroup, ControllerMount, Layout};
use oci_spec::runtime::Spec;
use tokio::sync::oneshot;

use crate::Shared;
use crate::birth::{Birth, bear};
use crate::compile::{self, Attached, Facts, Kind};
use crate::container::{Container, Process};
use crate::error::LaunchError;
use crate::handover::{Unclaimed, Underway, put_away};
use crate::line::{Line, Said};
use crate::networks::Network;
use crate::record::Record;
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
    pub layout: Layout,
}

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
        line,
        has_own_mounts,
        mut watch,
        timings,
    } = started.await.map_err(|_panicked| LaunchError::GivenUp)??;
    // What `init` does next may wait for a slow file system: others must not wait with it.
    drop(turn);
    let about_to_exec = || {
        if has_own_mounts {
            container.hold_mounts();
        }
    };
    let heard = tokio::select! {
        heard = hear(line, &mut watch, about_to_exec) => heard,
        () = caller.closed() => {
            put_away(&container).await;
            return Err(LaunchError::GivenUp);
        }
    };
    match heard {
        Heard::Running { command } => {
            container.launched(command, watch.stop(), timings);
            Ok(container)
        }
        Heard::Failed(report) => {
            put_away(&container).await;
            Err(report.into())
        }
        Heard::Nothing => {
            let termination = put_away(&container).await;
            Err(LaunchError::Died(Box::new(termination)))
        }
    }
}

/// How a launch went, as far as `init` could tell.
pub(crate) enum Heard {
    /// With the host's number of the command.
    Running {
        command: Option<u32>,
    },
    Failed(Report),
    /// It was killed, or said what nobody understands.
    Nothing,
}

/// `about_to_exec`: what is to be done when all is there that is made for the command.
pub(crate) async fn hear(line: Line, watch: &mut Stopwatch, about_to_exec: impl Fn()) -> Heard {
    let Ok(line) = line.into_async() else {
        return Heard::Nothing;
    };
    let mut execs = None;
    loop {
        let said = line.hear().await;
        match said.map(|said| said.map(|Said { word, speaker, .. }| (word, speaker))) {
            Ok(Some((Word::AboutToExec {}, speaker))) => {
                about_to_exec();
                watch.lap("setup");
                execs = Some(speaker);
            }
            Ok(Some((Word::Failed { report }, _))) => return Heard::Failed(report),
            Ok(None) if let Some(command) = execs => {
                watch.lap("exec");
                return Heard::Running { command };
            }
            // Nothing that is launched this way waits for us or for a start, or asks about calls.
            Ok(None) | Err(_) => return Heard::Nothing,
            Ok(Some((
                Word::Waiting { .. } | Word::Ready {} | Word::Handed { .. } | Word::Listener {},
                _,
            ))) => return Heard::Nothing,
        }
    }
}

struct Started {
    container: Container,
    line: Line,
    has_own_mounts: bool,
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
        layout,
    } = order;
    watch.lap("queue");
    let cgroup = shared.cgroup(&id, &spec, layout);
    let limits = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().as_ref());
    let limits = cgroup.plan(limits)?;
    let network = match compile::takes_network(&spec) {
        true => shared.networks.take(),
        false => None,
    };
    let cradle = match compile::takes_cradle(&spec) {
        true => shared.cradle.get(&shared.config.runtime_dir),
        false => None,
    };
    let attached = Attached {
        network: network.is_some(),
        cradle: cradle.is_some(),
        ..Attached::default()
    };
    let program = compile(
        shared,
        &id,
        &spec,
        then,
        &cgroup,
        limits.hierarchies(),
        attached,
    )?;
    watch.lap("compile");
    let record = Record::create(&shared.config.runtime_dir, &id)?;
    watch.lap("record");
    let mut undo = Undo {
        record: &record,
        cgroup: None,
        committed: false,
    };
    let entry = cgroup.create(&limits)?;
    undo.cgroup = Some(&cgroup);
    if let (Some(program), Some(directory)) = (limits.device_program(), cgroup.directory()) {
        shared.device_programs.attach(program, &directory)?;
    }
    let oom = cgroup.watch_oom()?;
    watch.lap("cgroup");

    let status = record.status_file()?;
    let made_ahead = [
        (network.is_some(), libc::CLONE_NEWNET),
        (cradle.is_some(), libc::CLONE_NEWNS),
    ];
    let made_ahead = made_ahead.iter().filter(|(is_there, _)| *is_there);
    let made_ahead = made_ahead.fold(0, |flags, (_, flag)| flags | *flag as u64);
    let network = network.iter().flat_map(Network::descriptors);
    let (spawned, line) = bear(Birth {
        helper: &shared.helper,
        program,
        stdio: &stdio,
        status: Some(status.as_fd()),
        entry: &entry,
        more: &network.chain(cradle).collect::<Vec<_>>(),
        namespaces: compile::clone_flags(&spec) & !made_ahead,
    })?;
    // What follows is done while `init` works.
    watch.lap("spawn");
    let process = Process::adopt(spawned).map_err(|source| LaunchError::Prepare {
        attempt: "watch the first process",
        source,
    })?;
    // A container that a later agent would not find is better not there at all.
    let recorded = record.write_pid(process.pid);
    if let Err(error) = recorded.and_then(|()| record.write_spec(&spec)) {
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
    let pids = compile::pids(&spec);
    let container = Container::watch(shared, record, cgroup, pids, process, oom);
    Ok(Started {
        container,
        line,
        has_own_mounts: compile::has_own_mounts(&spec),
        watch,
        timings: timings.ok(),
    })
}

fn compile(
    shared: &Shared,
    id: &ContainerId,
    spec: &Spec,
    then: Then,
    cgroup: &Cgroup,
    cgroup_v1_mounts: &[ControllerMount],
    attached: Attached,
) -> Result<Program, LaunchError> {
    let staging = shared
        .config
        .runtime_dir
        .join("containers")
        .join(id.as_str());
    let lookup = |path: &Path| match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Some(Kind::Directory),
        Ok(_) => Some(Kind::File),
        Err(_) => None,
    };
    let facts = Facts {
        cgroup_files: cgroup_v1_mounts.len() as u32,
        cgroup: cgroup.path(),
        cgroup_v1_mounts,
        staging: &staging,
        lookup: &lookup,
        filters: &shared.filters,
        then,
        attached,
    };
    Ok(compile::compile(spec, &facts)?)
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
