//! What the container's file system is made of, in the order of making it.

use std::path::Path;

use init::{Attributes, Source, Step};
use oci_spec::runtime::{Linux, Process, Spec};

use super::mounts::Plan;
use super::view::Kind;
use super::{CompileError, Facts, Numbers, devices, hooks, sysctls, text};

pub struct FileSystem {
    /// Takes hold of what is the host's.
    pub sources: Option<Step>,
    /// In the container's namespaces.
    pub steps: Vec<Step>,
}

pub fn plan(
    spec: &Spec,
    linux: &Linux,
    facts: &Facts<'_>,
    numbers: &Numbers,
) -> Result<FileSystem, CompileError> {
    let root = spec
        .root()
        .as_ref()
        .ok_or(CompileError::Missing("\"root\" section"))?;
    let propagation = propagation(linux.rootfs_propagation().as_deref())?;
    let host_root = root.path() == Path::new("/");
    let cwd = spec
        .process()
        .as_ref()
        .map_or(Path::new("/"), |process| process.cwd());
    let own = if host_root { cwd } else { Path::new("/") };
    let mut plan = Plan::new(facts, linux, own, propagation);
    let mut new_root = None;
    if !host_root {
        if (facts.lookup)(root.path()) != Some(Kind::Directory) {
            return Err(CompileError::NoRoot(root.path().clone()));
        }
        let source = plan.sources.len() as u32;
        let path = text("root", root.path())?;
        plan.sources.push(Source {
            path: path.clone(),
            recursive: true,
            propagation: propagation.before & !libc::MS_REC,
            idmap: None,
        });
        new_root = Some(Step::NewRoot { path, source });
    }
    for mount in spec.mounts().iter().flatten() {
        plan.mount(mount)?;
    }
    let own = match host_root && cwd != Path::new("/") {
        true => Some(text("working directory", cwd)?),
        false => None,
    };
    let sources = Step::OpenSources {
        sources: plan.sources,
        own,
    };
    let has_sources = matches!(&sources, Step::OpenSources { sources, .. } if !sources.is_empty());
    let mut steps = Vec::new();
    steps.push(Step::Propagation {
        path: "/".to_owned(),
        flags: propagation.before,
    });
    if let Some(new_root) = new_root {
        steps.push(new_root);
    } else if plan.mirror_root {
        steps.push(Step::MirrorRoot {
            staging: text("staging directory", facts.staging)?,
        });
    }
    steps.extend(plan.steps);
    if !host_root {
        steps.extend(devices::steps(spec, linux)?);
        steps.push(Step::MakeDir {
            path: text("working directory", cwd)?,
            base: None,
            mode: 0o755,
        });
    }
    steps.extend(hooks::steps(spec));
    for path in linux.masked_paths().iter().flatten() {
        steps.push(Step::Mask { path: path.clone() });
    }
    if !host_root || plan.mirror_root {
        steps.push(Step::PivotRoot {});
    }
    if let (Some(socket), Some(process)) = (numbers.console, spec.process()) {
        steps.push(console(process, socket, true));
    }
    if let Some(flags) = propagation.after {
        steps.push(Step::Propagation {
            path: "/".to_owned(),
            flags,
        });
    }
    steps.extend(sysctls::steps(linux)?);
    steps.extend(plan.sealed.into_iter().map(|target| Step::Remount {
        target,
        top: Attributes {
            set: super::options::RDONLY,
            clear: 0,
        },
        all: Attributes::default(),
    }));
    for path in linux.readonly_paths().iter().flatten() {
        steps.push(Step::ReadOnly {
            path: path.clone(),
            recursive: true,
        });
    }
    if root.readonly() == Some(true) {
        steps.push(Step::ReadOnlyRoot {});
    }
    Ok(FileSystem {
        sources: has_sources.then_some(sources),
        steps,
    })
}

/// `shown`: at /dev/console.
pub fn console(process: &Process, socket: u32, shown: bool) -> Step {
    // More than fits is no size that a terminal has.
    let small = |n: u64| u16::try_from(n).ok();
    let size = process.console_size();
    Step::Console {
        socket,
        size: size.and_then(|size| Some((small(size.height())?, small(size.width())?))),
        uid: process.user().uid(),
        shown,
    }
}

/// How mounts travel between container and host: mount(2) flags.
#[derive(Clone, Copy)]
pub struct Propagation {
    /// While the container's mounts are made, all of them stay in the container.
    pub before: u64,
    /// What its root becomes at the end.
    after: Option<u64>,
    /// Volumes that are shared may be so with the host.
    pub shares: bool,
}

fn propagation(wanted: Option<&str>) -> Result<Propagation, CompileError> {
    const SLAVE: u64 = libc::MS_SLAVE | libc::MS_REC;
    const PRIVATE: u64 = libc::MS_PRIVATE | libc::MS_REC;
    let (before, after) = match wanted {
        None | Some("" | "slave" | "rslave") => (SLAVE, None),
        Some("private" | "rprivate") => (PRIVATE, None),
        Some("shared") => (SLAVE, Some(libc::MS_SHARED)),
        Some("rshared") => (SLAVE, Some(libc::MS_SHARED | libc::MS_REC)),
        Some("unbindable") => (SLAVE, Some(libc::MS_UNBINDABLE)),
        Some("runbindable") => (SLAVE, Some(libc::MS_UNBINDABLE | libc::MS_REC)),
        Some(other) => return Err(CompileError::UnknownPropagation(other.to_owned())),
    };
    Ok(Propagation {
        before,
        after,
        shares: after.is_some_and(|flags| flags & libc::MS_SHARED != 0),
    })
}
