//! `create`: from a bundle to a container that waits to be started.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use containerizer::hooks::Kind;
use containerizer::{Child, Identity, Lines, Progress, Stage, Staged, Stdio};
use isolators::cgroups::{Cgroup, Layout, resolve};
use oci_spec::runtime::Spec;
use tracing::debug;

use crate::config::Config;
use crate::error::{Error, call, chain, file, launching};
use crate::flags::Create;
use crate::log::Log;
use crate::seccomp_agent::Agent;
use crate::state::State;
use crate::status::Status;
use crate::store::{Entry, Store, Stored};
use crate::{caller, console, hooks, start, status};

pub fn create(store: &Store, flags: &Create, log: &Log) -> Result<(), Error> {
    let order = Order::read(store, flags, log)?;
    let terminal = order.wants_terminal();
    if terminal && flags.console_socket.is_none() {
        return Err(Error::NoConsoleSocket);
    }
    if !terminal && flags.console_socket.is_some() {
        return Err(Error::NeedlessConsoleSocket);
    }
    let console = flags.console_socket.as_deref().map(console::connect);
    let console = console.transpose()?.map(|socket| (socket, Lines::Terminal));
    order.create(caller::stdio()?, console, Waits::AtGate)?;
    Ok(())
}

/// What was asked for, read and checked. Nothing exists yet but the name.
pub struct Order<'a> {
    entry: Reserved,
    flags: &'a Create,
    bundle: PathBuf,
    pub spec: Spec,
}

/// Whether the container is to be started by another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    AtGate,
    Never,
}

pub struct Created {
    pub entry: Entry,
    pub stored: Stored,
    pub child: Child,
}

/// A name that is given back, unless it is kept.
struct Reserved(Option<Entry>);

impl Reserved {
    fn keep(mut self) -> Option<Entry> {
        self.0.take()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(Entry::remove) {
            // It is found by delete.
            tracing::warn!(
                error = chain(&error),
                "a container that failed to start left its state"
            );
        }
    }
}

impl<'a> Order<'a> {
    pub fn read(store: &Store, flags: &'a Create, log: &Log) -> Result<Self, Error> {
        let entry = Reserved(Some(store.reserve(&flags.id)?));
        let bundle = fs::canonicalize(&flags.bundle).map_err(file("find bundle", &flags.bundle))?;
        let Config { spec, warnings } = Config::load(&bundle, flags.config.as_deref())?;
        warnings.iter().for_each(|warning| log.warning(warning));
        debug!(bundle = %bundle.display(), "the spec is read");
        Ok(Self {
            entry,
            flags,
            bundle,
            spec,
        })
    }

    pub fn wants_terminal(&self) -> bool {
        let process = self.spec.process().as_ref();
        process.and_then(|process| process.terminal()) == Some(true)
    }

    /// Returns once the container waits at its gate, or runs. Errors: nothing of it is left.
    pub fn create(
        self,
        stdio: Stdio,
        console: Option<(OwnedFd, Lines)>,
        waits: Waits,
    ) -> Result<Created, Error> {
        let Self {
            entry: reserved,
            flags,
            bundle,
            spec,
        } = self;
        let entry = reserved.0.as_ref().ok_or(Error::NoContainer)?;
        let hierarchy = status::hierarchy()?;
        let cgroup_path = cgroup_path(&spec, entry);
        let cgroup = Cgroup::at(&hierarchy, &cgroup_path, Layout::Oci);
        let gate = match waits {
            Waits::AtGate => Some(start::gate(entry)?),
            // They run between the two.
            Waits::Never if hooks::any(&spec, Kind::StartContainer) => Some(start::gate(entry)?),
            Waits::Never => None,
        };
        // Where it waits at the gate, who opens that asks the agent.
        let agent = gate.is_none().then(|| Agent::of(&spec)).transpose()?;
        entry.write_spec(&spec)?;
        let mut staged = Stage {
            spec: &spec,
            cgroup,
            staging: entry.directory(),
            stdio,
            gate,
            console,
            preserved: caller::preserved(flags.preserve_fds)?,
        }
        .set()?;
        let stored = stored(&spec, &bundle, cgroup_path, staged.pid)?;
        entry.write_stored(&stored)?;
        debug!(
            pid = stored.process.pid,
            cgroup = %stored.cgroup.display(),
            "the first process is made, in the container's cgroup and namespaces"
        );
        bring_up(&mut staged, entry, &stored, &spec, agent.as_ref())?;
        if let Some(path) = &flags.pid_file {
            fs::write(path, stored.process.pid.to_string()).map_err(file("write", path))?;
        }
        console::send_pidfd(flags.pidfd_socket.as_deref(), stored.process)?;
        let child = staged
            .leave()
            .map_err(call("keep the container's first process"))?;
        let entry = reserved.keep().ok_or(Error::NoContainer)?;
        Ok(Created {
            entry,
            stored,
            child,
        })
    }
}

fn bring_up(
    staged: &mut Staged,
    entry: &Entry,
    stored: &Stored,
    spec: &Spec,
    agent: Option<&Agent>,
) -> Result<(), Error> {
    let hand_on = |listener| {
        let state = State::as_told(entry, stored, "creating");
        let agent = agent.ok_or(io::ErrorKind::NotConnected)?;
        agent.hand(&state, stored.process.pid, listener)
    };
    loop {
        let progress = staged.progress(&hand_on);
        let progress = progress.map_err(launching(program(spec)))?;
        debug!(?progress, "the first process has come further");
        match progress {
            Progress::Ready | Progress::Running => return Ok(()),
            Progress::Hooks => {
                // Written for runtimes that had no state before it.
                let before = State::as_told(entry, stored, Status::Created.name()).to_json()?;
                hooks::run(spec, Kind::Prestart, &before)?;
                let state = State::as_told(entry, stored, "creating").to_json()?;
                hooks::run(spec, Kind::CreateRuntime, &state)?;
                staged.go_on(&state)?;
            }
        }
    }
}

/// What it is to run, for messages.
pub fn program(spec: &Spec) -> &str {
    let process = spec.process().as_ref();
    let args = process.and_then(|process| process.args().as_deref());
    args.and_then(|args| args.first())
        .map_or("", String::as_str)
}

/// What the spec names, or the container's name at the top.
fn cgroup_path(spec: &Spec, entry: &Entry) -> PathBuf {
    let linux = spec.linux().as_ref();
    let named = linux.and_then(|linux| linux.cgroups_path().as_deref());
    resolve(named, Path::new("/"), entry.id.as_str())
}

fn stored(spec: &Spec, bundle: &Path, cgroup: PathBuf, pid: u32) -> Result<Stored, Error> {
    let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let process = Identity::of(pid).ok_or_else(gone);
    let now = chrono::Utc::now();
    Ok(Stored {
        oci_version: spec.version().clone(),
        process: process.map_err(call("look at the container's first process"))?,
        bundle: bundle.to_owned(),
        rootfs: (spec.root().as_ref()).map_or_else(PathBuf::new, |root| root.path().clone()),
        created: now.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true),
        annotations: (spec.annotations().iter().flatten())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        cgroup,
    })
}
