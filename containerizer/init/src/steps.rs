//! Carries out the steps of a program, in order, until one fails.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use init::mount_attributes::{NOEXEC, NOSUID};
use init::{Attributes, Origin, Rlimit, Stage, Step, Unsaid, Word, fd};

use crate::console::{self, Kept};
use crate::failure::{Failure, because};
use crate::masks::Masks;
use crate::procfs::Procfs;
use crate::root::{self, Root};
use crate::sources::Sources;
use crate::{attributes, fork, hooks, launcher, mounts, sys};

struct Container {
    root: Root,
    sources: Sources,
    /// What the launcher last told of the container, for hooks.
    state: String,
    masks: Masks,
    /// There are paths to hide.
    hides: bool,
    /// The directory that the last step made.
    made: Option<String>,
    /// Others see what is mounted for the container.
    shared: bool,
    /// The host's: once the container's own root is in place, no path leads there.
    proc: Option<Procfs>,
    terminal: Option<Kept>,
}

/// What is left of the steps for what comes after them.
pub struct Done {
    /// The container's, as the launcher last told it.
    pub state: String,
    /// Of a command that is watched over.
    pub terminal: Option<Kept>,
}

pub fn carry_out(steps: Vec<Step>) -> Result<Done, Failure> {
    let root = Root::open("/").map_err(because("open /"))?;
    let writes = steps.iter().any(|step| matches!(step, Step::Sysctl { .. }));
    let proc = writes.then(Procfs::of_host).transpose();
    let mut container = Container {
        root,
        sources: Sources::default(),
        state: String::new(),
        masks: Masks::default(),
        hides: steps.iter().any(|step| matches!(step, Step::Mask { .. })),
        made: None,
        shared: false,
        proc: proc.map_err(because("open /proc"))?,
        terminal: None,
    };
    let done = steps.into_iter().try_for_each(|step| container.step(step));
    if done.is_err() && container.shared {
        // The failure is what must be told.
        let _ = sys::fchdir(container.root.as_fd()).and_then(|()| sys::detach("."));
    }
    done.map(|()| Done {
        state: container.state,
        terminal: container.terminal,
    })
}

impl Container {
    fn step(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::EnterCgroups { count } => enter_cgroups(count),
            Step::Unshare { flags } => {
                sys::unshare(flags).map_err(because(format!("unshare namespaces {flags:#x}")))
            }
            Step::ForgetGroups {} => {
                sys::set_groups(&[]).map_err(because("leave the groups of the host"))
            }
            Step::Fork {
                flags,
                maps,
                becomes_root,
            } => {
                fork::into_namespaces(flags, maps.as_ref(), becomes_root)?;
                // The one we had is of another mount namespace now.
                self.root = Root::open("/").map_err(because("open /"))?;
                Ok(())
            }
            Step::RaiseLimits { limits } => limits.iter().try_for_each(raise_limit),
            Step::TimeNamespace { offsets } => time_namespace(&offsets),
            Step::SetNamespace { path, flag } => self
                .join(&path, flag)
                .map_err(because(format!("join namespace {path}"))),
            Step::Join { pidfd, flags } => {
                let joined = sys::setns(sys::inherited(pidfd as i32), flags);
                sys::close(pidfd as i32);
                // With its mount namespace comes another root.
                joined
                    .and_then(|()| Root::open("/"))
                    .map(|root| self.root = root)
                    .map_err(because("join the container's namespaces"))
            }
            Step::Hostname { name } => {
                sys::set_hostname(&name).map_err(because(format!("set hostname {name:?}")))
            }
            Step::Domainname { name } => {
                sys::set_domainname(&name).map_err(because(format!("set domain name {name:?}")))
            }
            Step::LoopbackUp {} => {
                sys::loopback_up().map_err(because("bring up the loopback interface"))
            }
            Step::Propagation { path, flags } => sys::mount(None, &path, flags)
                .map_err(because(format!("set mount propagation of {path}"))),
            Step::Cradle { namespace } => self.cradle(namespace as i32),
            Step::NewRoot {
                path,
                source,
                on,
                shared,
            } => self.new_root(&path, source, &on, shared),
            Step::MirrorRoot { staging } => self.mirror_root(&staging),
            Step::Mirror { path } => self.mirror(&path),
            Step::MakeDir { path, base, mode } => {
                let made = self.root.make_dir(&path, base.as_deref(), mode);
                let made = made
                    .map_err(because(format!("make directory {path} in the container")))
                    .map_err(|failure| failure.at(Stage::Mount {}))?;
                self.made = made.then_some(path);
                Ok(())
            }
            Step::MakeFile { path, base } => {
                let made = self.root.make_file(&path, base.as_deref());
                made.map_err(because(format!("make file {path} in the container")))
            }
            Step::Mount { mount } => {
                let target = self.mount_point(&mount.target)?;
                let is_new = self.made.take().as_ref() == Some(&mount.target);
                let tree = mounts::create(&mount, target.as_fd(), is_new)?;
                attach(&tree, &target, &mount.target)
            }
            Step::OpenSources { sources, own, maps } => {
                (self.sources).open(&self.root, &sources, own.as_deref(), &maps)
            }
            Step::OpenOverlay {
                base,
                mount,
                owners,
            } => self.sources.open_overlay(&base, &mount, owners),
            Step::Bind {
                origin,
                target,
                top,
                unsaid,
                all,
            } => self.bind(&origin, &target, &top, unsaid, &all),
            Step::Remount { target, top, all } => (self.root.mount_point(&target))
                .and_then(|at| mounts::set_attributes(at.as_fd(), &top, &all))
                .map_err(because(format!(
                    "set mount options of {target} in the container"
                ))),
            Step::Propagate { target, flags } => (self.root.resolve(&target))
                .and_then(|at| {
                    let recursive = flags & libc::MS_REC != 0;
                    sys::mount_setattr(at.as_fd(), 0, 0, flags & !libc::MS_REC, recursive)
                })
                .map_err(because(format!(
                    "set mount propagation of {target} in the container"
                ))),
            Step::Device {
                path,
                mode,
                major,
                minor,
                uid,
                gid,
            } => {
                let device = libc::makedev(major, minor);
                self.device(&path, mode, device, uid, gid)
            }
            Step::Symlink { path, to, replace } => (self.root.place(&path))
                .and_then(|(parent, name)| link(parent.as_fd(), name, &to, replace))
                .map_err(because(format!("make link {path} in the container"))),
            Step::PivotRoot {} => self.pivot_root(),
            Step::ChangeRoot {} => self.change_root(),
            Step::Mask { path } => self.mask(&path),
            // The root is a mount of its own already.
            Step::ReadOnlyRoot {} => mounts::set_read_only(self.root.as_fd(), false)
                .map_err(because("make the container's root read-only")),
            Step::ReadOnly { path, recursive } => self.read_only(&path, recursive),
            Step::HandMounts {} => {
                hand_mounts();
                Ok(())
            }
            Step::Await { awaited } => {
                self.state = launcher::wait_for(awaited)?;
                Ok(())
            }
            Step::Hooks { kind, hooks } => {
                // What they name relatively is the container's.
                sys::fchdir(self.root.as_fd()).map_err(because("enter the container's root"))?;
                hooks::prepare(&kind, hooks, &self.state)?.run()
            }
            Step::Console { socket, terminal } => {
                let socket = socket.map(|socket| socket as i32);
                let made = console::make(&self.root, socket, &terminal);
                socket.into_iter().for_each(sys::close);
                self.terminal = made.map_err(because(
                    "make the container's terminal (has it a devpts at /dev/pts?)",
                ))?;
                Ok(())
            }
            Step::Sysctl { path, value } => self.sysctl(&path, &value),
        }
    }

    fn join(&mut self, path: &str, flag: u32) -> io::Result<()> {
        sys::setns(File::open(path)?.as_fd(), flag)?;
        if flag == libc::CLONE_NEWNS as u32 {
            // With it comes another root.
            self.root = Root::open("/")?;
        }
        Ok(())
    }

    fn cradle(&mut self, namespace: i32) -> Result<(), Failure> {
        let mounts = libc::CLONE_NEWNS as u32;
        if self.hides {
            (self.masks.prepare()).map_err(because("bind /dev/null of the host"))?;
        }
        let entered = sys::setns(sys::inherited(namespace), mounts);
        sys::close(namespace);
        entered
            .and_then(|()| sys::unshare(mounts))
            .and_then(|()| sys::openat2(root::cwd(), "/", libc::O_PATH | libc::O_DIRECTORY, 0))
            .map(|nothing| self.masks.hide_by(nothing))
            .map_err(because("enter an empty mount namespace"))
    }

    /// pivot_root(2) wants a mount point: binding the directory to itself makes it one.
    fn new_root(&mut self, path: &str, source: u32, on: &str, shared: bool) -> Result<(), Failure> {
        let tree = self.sources.take(source);
        let at = place_of_host(on);
        tree.and_then(|tree| {
            sys::move_mount(tree.as_fd(), at?.as_fd(), "")?;
            self.root = Root::foreign(tree);
            self.shared = shared;
            if shared {
                // On a shared mount it has become one, and ours would go on from there.
                sys::mount_setattr(self.root.as_fd(), 0, 0, libc::MS_PRIVATE, true)?;
            }
            Ok(())
        })
        .map_err(because(format!("use {path} as the container's root")))
    }

    fn mirror_root(&mut self, staging: &str) -> Result<(), Failure> {
        let directory = self.root.open_at("/", libc::O_RDONLY | libc::O_DIRECTORY);
        let staged = directory.and_then(|directory| {
            let target = place_of_host(staging)?;
            mounts::mirror(directory, target.as_fd())
        });
        let staged = staged.map(|tmpfs| self.root = Root::of_host(tmpfs));
        staged.map_err(because(format!(
            "rebuild / on {staging} out of bind mounts"
        )))
    }

    fn mirror(&mut self, path: &str) -> Result<(), Failure> {
        (self.root.open_at(path, libc::O_RDONLY | libc::O_DIRECTORY))
            .and_then(|directory| {
                let target = self.root.resolve(path)?;
                mounts::mirror(directory, target.as_fd()).map(drop)
            })
            .map_err(because(format!("rebuild {path} out of bind mounts")))
    }

    fn mount_point(&self, target: &str) -> Result<OwnedFd, Failure> {
        let found = self.root.mount_point(target);
        found
            .map_err(because(format!("mount on {target} in the container")))
            .map_err(|failure| failure.at(Stage::Mount {}))
    }

    fn bind(
        &mut self,
        origin: &Origin,
        target: &str,
        top: &Attributes,
        unsaid: Unsaid,
        all: &Attributes,
    ) -> Result<(), Failure> {
        let tree = self.sources.find(&self.root, origin)?;
        attributes::of_bind(&tree, top, unsaid)
            .and_then(|top| mounts::set_attributes(tree.as_fd(), &top, all))
            .map_err(because(format!("set mount options of {target}")))
            .map_err(|failure| failure.at(Stage::Mount {}))?;
        if matches!(origin, Origin::Root { .. }) {
            self.make_like(&tree, target)
                .map_err(because(format!("make {target} in the container")))?;
        }
        let at = self.mount_point(target)?;
        attach(&tree, &at, target)
    }

    fn make_like(&self, tree: &OwnedFd, target: &str) -> io::Result<()> {
        match is_directory(tree)? {
            true => self.root.make_dir(target, None, 0o755).map(drop),
            false => self.root.make_file(target, None),
        }
    }

    fn device(
        &self,
        path: &str,
        mode: u32,
        device: u64,
        uid: u32,
        gid: u32,
    ) -> Result<(), Failure> {
        let made = (self.root.place(path)).and_then(|(parent, name)| {
            match sys::mknodat(parent.as_fd(), name, mode, device) {
                Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {
                    let found =
                        sys::openat2(parent.as_fd(), name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
                    let found = sys::metadata(found.as_fd())?;
                    let kind = mode & libc::S_IFMT;
                    let same = found.mode() & libc::S_IFMT == kind
                        && (kind == libc::S_IFIFO || found.rdev() == device);
                    return if same { Ok(()) } else { Err(e) };
                }
                // Not to root of a user namespace, who gets the host's.
                Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
                    return bind_device(path, mode, device, parent.as_fd(), name);
                }
                made => made?,
            }
            sys::chownat(parent.as_fd(), name, uid, gid)
        });
        made.map_err(because(format!("make device {path} in the container")))
    }

    fn sysctl(&self, path: &str, value: &str) -> Result<(), Failure> {
        let proc = self.proc.as_ref().ok_or_else(not_opened);
        proc.and_then(|proc| proc.write(&format!("sys/{path}"), value))
            .map_err(because(format!("set sysctl {path} to {value:?}")))
    }

    fn pivot_root(&mut self) -> Result<(), Failure> {
        sys::fchdir(self.root.as_fd())
            .and_then(|()| sys::pivot_root_here())
            // The host's files are still reachable through the old root, stacked on ".".
            .and_then(|()| sys::detach("."))
            .and_then(|()| sys::chdir("/"))
            .and_then(|()| Root::open("/"))
            .map(|root| self.root = root)
            .map_err(because("pivot into the container's root"))
    }

    fn change_root(&mut self) -> Result<(), Failure> {
        sys::fchdir(self.root.as_fd())
            .and_then(|()| sys::change_root_here())
            .and_then(|()| sys::chdir("/"))
            .and_then(|()| Root::open("/"))
            .map(|root| self.root = root)
            .map_err(because("change into the container's root"))
    }

    fn mask(&mut self, path: &str) -> Result<(), Failure> {
        let found = self.root.find_reachable(path);
        let masked = found.and_then(|found| match found {
            None => Ok(()),
            Some(at) => self.masks.hide(&at),
        });
        masked.map_err(because(format!("mask {path} in the container")))
    }

    fn read_only(&self, path: &str, recursive: bool) -> Result<(), Failure> {
        let done = self
            .root
            .find_reachable(path)
            .and_then(|found| match found {
                None => Ok(()),
                Some(at) => mounts::read_only(at.as_fd(), recursive),
            });
        done.map_err(because(format!("make {path} read-only in the container")))
    }
}

/// Where the container's root is to hang until it is `/`. To root of a user namespace the way there may
/// be closed; then any other place does as well.
fn place_of_host(path: &str) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match sys::openat2(root::cwd(), path, flags, 0) {
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            sys::openat2(root::cwd(), "/", flags, 0)
        }
        found => found,
    }
}

/// What the host has at the same path, if that is the device.
fn bind_device(
    path: &str,
    mode: u32,
    device: u64,
    parent: BorrowedFd<'_>,
    name: &str,
) -> io::Result<()> {
    let found = sys::openat2(root::cwd(), path, libc::O_PATH, 0)?;
    let about = sys::metadata(found.as_fd())?;
    if about.mode() & libc::S_IFMT != mode & libc::S_IFMT || about.rdev() != device {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let tree = sys::clone_tree(found.as_raw_fd(), "", false)?;
    sys::mount_setattr(tree.as_fd(), NOSUID | NOEXEC, 0, 0, false)?;
    sys::mknodat(parent, name, libc::S_IFREG | 0o644, 0)?;
    let at = sys::openat2(parent, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    sys::move_mount(tree.as_fd(), at.as_fd(), "")
}

fn raise_limit(limit: &Rlimit) -> Result<(), Failure> {
    let Rlimit { resource, hard, .. } = *limit;
    sys::hard_rlimit(resource)
        .and_then(|now| match hard > now {
            true => sys::set_rlimit(resource, now, hard),
            false => Ok(()),
        })
        .map_err(because(format!(
            "raise resource limit {resource} to {hard}"
        )))
        .map_err(|failure| failure.at(Stage::Limits {}))
}

/// time_namespaces(7): only children are born in it, so this process joins it in a second step.
fn time_namespace(offsets: &str) -> Result<(), Failure> {
    const CLONE_NEWTIME: u32 = 0x80;
    let proc = Procfs::of_host().map_err(because("open /proc"))?;
    sys::unshare(CLONE_NEWTIME).map_err(because("make a time namespace (Linux 5.6)"))?;
    if !offsets.is_empty() {
        proc.write("self/timens_offsets", offsets)
            .map_err(because(format!("set time offsets {offsets:?}")))?;
    }
    proc.own_namespace("time_for_children")
        .and_then(|namespace| sys::setns(namespace.as_fd(), CLONE_NEWTIME))
        .map_err(because("enter a time namespace"))
}

fn attach(tree: &OwnedFd, at: &OwnedFd, target: &str) -> Result<(), Failure> {
    sys::move_mount(tree.as_fd(), at.as_fd(), "")
        .map_err(because(format!("mount on {target} in the container")))
}

fn link(parent: BorrowedFd<'_>, name: &str, to: &str, replace: bool) -> io::Result<()> {
    match sys::symlinkat(to, parent, name) {
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) && replace => {
            sys::unlinkat(parent, name)?;
            sys::symlinkat(to, parent, name)
        }
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        made => made,
    }
}

fn enter_cgroups(count: u32) -> Result<(), Failure> {
    for n in 0..count {
        let tasks = fd::FIRST_CGROUP + n as i32;
        sys::write(tasks, b"0").map_err(because("enter the container's cgroup"))?;
        sys::close(tasks);
    }
    Ok(())
}

fn hand_mounts() {
    if let Ok(namespace) = sys::own_mount_namespace() {
        // Who does not hear of it does without.
        let _ = launcher::hand(&Word::Mounts {}.encode(), namespace.as_raw_fd());
    }
}

fn is_directory(at: &OwnedFd) -> std::io::Result<bool> {
    Ok(sys::metadata(at.as_fd())?.is_dir())
}

fn not_opened() -> std::io::Error {
    std::io::Error::from_raw_os_error(libc::EBADF)
}
