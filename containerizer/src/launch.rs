//! The act: cgroup, program, process, and the word from `init` that the command runs.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use failpoint::{Point, reach};
use init::{Program, Report, Then, Word};
use isolators::ContainerId;
use isolators::cgroups::{Cgroup, ControllerMount, Layout, OomWatch, Plan};
use oci_spec::runtime::Spec;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::{block_in_place, spawn_blocking};

use crate::Shared;
use crate::ahead::{self, Ipc, Network};
use crate::birth::{Birth, Born, bear};
use crate::compile::{self, Attached, Facts, Kind};
use crate::container::Container;
use crate::error::{LaunchError, chain};
use crate::handover::{Unclaimed, Underway, put_away, put_away_unheard};
use crate::line::Line;
use crate::process::Process;

use crate::record::Record;
use crate::runtime_dir;
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
    /// One that was connected before; otherwise one that is not, when the spec asks for its own.
    pub network: Option<Network>,
    /// The cgroup of one that is nested in another; otherwise it is where the spec says.
    pub nested: Option<Cgroup>,
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
    let started = on_this_thread(move || start(&worker, order, watch)).await;
    let Started {
        container,
        line,
        mut watch,
        timings,
    } = started.ok_or(LaunchError::GivenUp)??;
    // What `init` does next may wait for a slow file system: others must not wait with it.
    drop(turn);
    let heard = tokio::select! {
        heard = hear(line, &mut watch) => heard,
        () = caller.closed() => {
            put_away_unheard(&container).await;
            return Err(LaunchError::GivenUp);
        }
    };
    match heard {
        Heard::Running { command, mounts } => {
            if let Some(mounts) = mounts {
                container.hold(mounts);
            }
            reach(Point::CommandRuns);
            container.launched(command, watch.stop(), timings);
            reach(Point::TimingsWritten);
            Ok(container)
        }
        Heard::Failed(report) => {
            let termination = put_away(&container).await;
            Err(LaunchError::from(report).and_left(termination.leftovers))
        }
        Heard::Nothing => {
            let termination = put_away(&container).await;
            let leftovers = termination.leftovers.clone();
            Err(LaunchError::Died(Box::new(termination)).and_left(leftovers))
        }
    }
}

/// Work that blocks for a millisecond. Where the runtime has other threads they do meanwhile what else is
/// there: to wake one for this, and to be woken by it, takes longer than to go on. `None`: it panicked,
/// or the runtime ends.
async fn on_this_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => Some(block_in_place(work)),
        _ => spawn_blocking(work).await.ok(),
    }
}

/// How a launch went, as far as `init` could tell.
pub(crate) enum Heard {
    Running {
        /// The host's number of the command.
        command: Option<u32>,
        /// Its mount namespace.
        mounts: Option<OwnedFd>,
    },
    Failed(Report),
    /// It was killed, or said what nobody understands.
    Nothing,
}

pub(crate) async fn hear(line: Line, watch: &mut Stopwatch) -> Heard {
    let mut execs = None;
    let mut mounts = None;
    for said in line.hear_out().await.unwrap_or_default() {
        match said.word {
            Word::AboutToExec { at } => {
                watch.lap_at("setup", at);
                execs = Some(said.speaker);
            }
            Word::Mounts {} => mounts = said.descriptor,
            Word::Failed { report } => return Heard::Failed(report),
            // Nothing that is launched this way waits for us or for a start, or asks about calls.
            Word::Waiting { .. } | Word::Ready {} | Word::Handed { .. } | Word::Listener {} => {
                return Heard::Nothing;
            }
        }
    }
    let Some(command) = execs else {
        return Heard::Nothing;
    };
    watch.lap("exec");
    Heard::Running { command, mounts }
}

struct Started {
    container: Container,
    line: Line,
    watch: Stopwatch,
    /// Where its result will be kept.
    timings: Option<File>,
}

/// Nothing exists of the container before all of it is planned.
fn start(shared: &Arc<Shared>, order: Order, mut watch: Stopwatch) -> Result<Started, LaunchError> {
    let Order {
        id,
        spec,
        stdio,
        then,
        layout,
        network,
        nested,
    } = order;
    watch.lap("queue");
    let cgroup = nested.unwrap_or_else(|| shared.cgroup(&id, &spec, layout));
    let limits = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.resources().as_ref());
    let limits = cgroup.plan(limits)?;
    let network = match (network, compile::takes_network(&spec)) {
        (Some(connected), _) => Some(connected),
        (None, true) => shared.ahead.network(),
        (None, false) => None,
    };
    let ipc = match compile::takes_ipc(&spec) {
        true => shared.ahead.ipc(),
        false => None,
    };
    let cradle = match compile::takes_cradle(&spec) {
        true => shared.cradle.get(&shared.config.runtime_dir),
        false => None,
    };
    let attached = Attached {
        network: network.is_some(),
        ipc: ipc.is_some(),
        cradle: cradle.is_some(),
        holds_mounts: true,
        ..Attached::default()
    };
    let mut program = compile(
        shared,
        &id,
        &spec,
        then,
        &cgroup,
        limits.hierarchies(),
        attached,
    )?;
    // In the order that `attached` has them.
    let network_and_ipc = (network.iter().flat_map(Network::descriptors))
        .chain(ipc.iter().flat_map(Ipc::descriptors));
    let mut more: Vec<_> = network_and_ipc.chain(cradle).collect();
    let after_cgroups = init::fd::FIRST_CGROUP as usize + limits.hierarchies().len();
    let mounts = match cradle {
        Some(_) => take_mounts(shared, &mut program, (after_cgroups + more.len()) as u32),
        None => Vec::new(),
    };
    more.extend(mounts.iter().map(OwnedFd::as_fd));
    watch.lap("compile");
    let record = Record::create(&shared.config.runtime_dir, &id)?;
    watch.lap("record");
    reach(Point::RecordMade);
    let made_ahead = [
        (network.is_some(), libc::CLONE_NEWNET),
        (ipc.is_some(), libc::CLONE_NEWIPC),
        (cradle.is_some(), libc::CLONE_NEWNS),
    ];
    let made_ahead = made_ahead.iter().filter(|(is_there, _)| *is_there);
    let made_ahead = made_ahead.fold(0, |flags, (_, flag)| flags | *flag as u64);
    let planned = Planned {
        spec: &spec,
        limits: &limits,
        program,
        stdio: &stdio,
        more: &more,
        namespaces: compile::clone_flags(&spec) & !made_ahead,
    };
    let mut making = Making {
        shared,
        record: &record,
        cgroup: &cgroup,
        has_cgroup: false,
        over: false,
    };
    let Made {
        process,
        oom,
        line,
        timings,
    } = match making.make(planned, &mut watch) {
        Ok(made) => made,
        Err(failure) => return Err(failure.and_left(making.undo())),
    };
    reach(Point::InitRuns);
    // From here on the container owns the cgroup and the record: it ends in `wait`.
    making.over = true;
    drop(making);
    let pids = compile::pids(&spec);
    let container = Container::watch(shared, record, cgroup, pids, process, oom);
    Ok(Started {
        container,
        line,
        watch,
        timings,
    })
}

/// All that is known before anything exists.
struct Planned<'a> {
    spec: &'a Spec,
    limits: &'a Plan,
    program: Program,
    stdio: &'a Stdio,
    more: &'a [BorrowedFd<'a>],
    /// Those that the first process is born in.
    namespaces: u64,
}

struct Made {
    process: Process,
    oom: Option<OomWatch>,
    line: Line,
    timings: Option<File>,
}

/// What a launch makes. Dropped before it is `over`, as by a panic, it is put away.
struct Making<'a> {
    shared: &'a Shared,
    record: &'a Record,
    cgroup: &'a Cgroup,
    /// Not that of somebody else.
    has_cgroup: bool,
    over: bool,
}

impl Making<'_> {
    /// After an error there is something to undo.
    fn make(&mut self, planned: Planned<'_>, watch: &mut Stopwatch) -> Result<Made, LaunchError> {
        let (cgroup, record, limits) = (self.cgroup, self.record, planned.limits);
        let entry = cgroup.create(limits)?;
        self.has_cgroup = true;
        if let (Some(program), Some(directory)) = (limits.device_program(), cgroup.directory()) {
            self.shared.device_programs.attach(program, &directory)?;
        }
        let oom = cgroup.watch_oom()?;
        watch.lap("cgroup");
        reach(Point::CgroupReady);

        let status = record.status_file()?;
        reach(Point::StatusMade);
        let Born { process, line, way } = bear(
            &self.shared.helper,
            Birth {
                program: planned.program,
                stdio: planned.stdio,
                status: Some(status.as_fd()),
                entry: &entry,
                more: planned.more,
                namespaces: planned.namespaces,
            },
        )?;
        // What follows is done while it works.
        watch.lap("spawn");
        reach(Point::Spawned);
        let process = Process::adopt(process).map_err(|source| LaunchError::Prepare {
            attempt: "watch the first process",
            source,
        })?;
        // A container that a later agent would not find is better not there at all.
        let recorded = record.write_pid(process.pid);
        let recorded = recorded.and_then(|()| record.write_spec(planned.spec));
        // Made now: once the container has ended, its record may be on its way out.
        let timings = record.timings_file();
        let timings = timings.inspect_err(
            |error| tracing::warn!(container = %record.id, %error, "the next agent will not know a launch's timings"),
        );
        if let Err(error) = recorded.map_err(LaunchError::from).and(way.end()) {
            process.end();
            return Err(error);
        }
        Ok(Made {
            process,
            oom,
            line,
            timings: timings.ok(),
        })
    }

    /// Newest first. Returns what cannot be taken away, each as a sentence.
    fn undo(&mut self) -> Vec<String> {
        self.over = true;
        let cgroup = (self.has_cgroup).then(|| self.cgroup.remove());
        let cgroup = cgroup.and_then(Result::err).map(|error| chain(&error));
        let record = self.record.remove().err().map(|error| chain(&error));
        cgroup.into_iter().chain(record).collect()
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        for left in self.undo() {
            tracing::warn!(container = %self.record.id, left, "a failed launch left something");
        }
    }
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
    let staging = runtime_dir::container(&shared.config.runtime_dir, id);
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

/// What is ready of the program's file systems, in the order of their numbers, which begin at `first`.
fn take_mounts(shared: &Shared, program: &mut Program, first: u32) -> Vec<OwnedFd> {
    let wanted = ahead::wanted(program).into_iter();
    let taken = wanted.filter_map(|wanted| Some((shared.ahead.mount(&wanted.recipe)?, wanted)));
    let (mounts, used): (Vec<_>, Vec<_>) = taken.unzip();
    let used: Vec<_> = used.into_iter().zip(first..).collect();
    ahead::use_made(program, &used);
    mounts
}
