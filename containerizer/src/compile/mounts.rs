//! The container's file system: its root, its mounts, its devices, and what is hidden from it.

use std::path::{Component, Path};

use init::{Mount, Step};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount as OciMount, Process, Spec};

use super::options::{self, Options};
use super::view::{Kind, MountPoint, View};
use super::{CompileError, Facts, Numbers, hooks, text};

pub fn steps(
    spec: &Spec,
    linux: &Linux,
    facts: &Facts<'_>,
    numbers: &Numbers,
) -> Result<Vec<Step>, CompileError> {
    let root = spec
        .root()
        .as_ref()
        .ok_or(CompileError::Missing("\"root\" section"))?;
    let host_root = root.path() == Path::new("/");
    let cwd = spec
        .process()
        .as_ref()
        .map_or(Path::new("/"), |process| process.cwd());
    let mut plan = Plan {
        facts,
        own: if host_root { cwd } else { Path::new("/") },
        view: View::new(facts.lookup),
        sources: Vec::new(),
        mirror_root: false,
        steps: Vec::new(),
    };
    for mount in spec.mounts().iter().flatten() {
        plan.mount(mount)?;
    }
    if !host_root {
        plan.devices(linux)?;
    }
    let (sources, mounts, mirror_root) = (plan.sources, plan.steps, plan.mirror_root);
    let new_root = !host_root || mirror_root;

    let mut steps = vec![Step::Propagation {
        path: "/".to_owned(),
        flags: propagation(linux.rootfs_propagation().as_deref()),
    }];
    if !sources.is_empty() {
        let own = match host_root && cwd != Path::new("/") {
            true => Some(text("working directory", cwd)?),
            false => None,
        };
        steps.push(Step::OpenSources { sources, own });
    }
    if !host_root {
        steps.push(Step::NewRoot {
            path: text("root", root.path())?,
        });
    } else if mirror_root {
        steps.push(Step::MirrorRoot {
            staging: text("staging directory", facts.staging)?,
        });
    }
    steps.extend(mounts);
    steps.extend(hooks::steps(spec));
    if new_root {
        steps.push(Step::PivotRoot {});
    }
    if let (Some(socket), Some(process)) = (numbers.console, spec.process()) {
        steps.push(console(process, socket, true));
    }
    for (name, value) in linux.sysctl().iter().flatten() {
        steps.push(Step::Sysctl {
            name: name.clone(),
            value: value.clone(),
        });
    }
    for path in linux.readonly_paths().iter().flatten() {
        steps.push(Step::ReadOnly {
            path: path.clone(),
            recursive: true,
        });
    }
    for path in linux.masked_paths().iter().flatten() {
        steps.push(Step::Mask { path: path.clone() });
    }
    if root.readonly() == Some(true) {
        steps.push(Step::ReadOnlyRoot {});
    }
    Ok(steps)
}

struct Plan<'a> {
    facts: &'a Facts<'a>,
    /// Below this directory, mount points may be made on the host: a rootfs, or the sandbox.
    own: &'a Path,
    view: View<'a>,
    sources: Vec<(String, bool)>,
    mirror_root: bool,
    steps: Vec<Step>,
}

impl Plan<'_> {
    fn mount(&mut self, mount: &OciMount) -> Result<(), CompileError> {
        let target = mount.destination();
        let climbs = target.components().any(|part| part == Component::ParentDir);
        if !target.is_absolute() || climbs {
            return Err(CompileError::BadDestination(target.clone()));
        }
        let options = options::parse(mount.options().as_deref().unwrap_or_default());
        let fstype = mount
            .typ()
            .as_deref()
            .unwrap_or(if options.bind { "bind" } else { "none" });
        match fstype {
            _ if options.bind => self.bind(mount, &options),
            "bind" => self.bind(mount, &options),
            "cgroup" if !self.facts.cgroup_v1_mounts.is_empty() => self.cgroup_v1(target, &options),
            "cgroup" => self.file_system("cgroup2", mount, options),
            fstype => self.file_system(fstype, mount, options),
        }
    }

    fn bind(&mut self, mount: &OciMount, options: &Options) -> Result<(), CompileError> {
        let target = mount.destination();
        let source = mount
            .source()
            .as_ref()
            .ok_or_else(|| CompileError::NoSource(target.clone()))?;
        let kind = (self.facts.lookup)(source)
            .ok_or_else(|| CompileError::MissingSource(source.clone()))?;
        let there = self.mount_point(target, kind)?;
        if there != kind {
            return Err(CompileError::KindMismatch {
                mount_source: source.clone(),
                source_kind: kind,
                target: target.clone(),
                target_kind: there,
            });
        }
        let index = self.sources.len() as u32;
        self.sources
            .push((text("volume source", source)?, options.recursive));
        let path = text("mount destination", target)?;
        self.steps.push(Step::Bind {
            source: index,
            target: path.clone(),
            recursive: options.recursive_attributes,
            set: options.set,
            clear: options.clear,
        });
        self.propagate(path, options);
        self.view.add_bind(target, source, !options.is_read_only());
        Ok(())
    }

    fn file_system(
        &mut self,
        fstype: &str,
        mount: &OciMount,
        options: Options,
    ) -> Result<(), CompileError> {
        let target = mount.destination();
        self.mount_point(target, Kind::Directory)?;
        let path = text("mount destination", target)?;
        let source = mount
            .source()
            .as_ref()
            .map(|s| text("mount source", s))
            .transpose()?;
        let propagation = Options {
            propagation: options.propagation,
            ..Options::default()
        };
        self.steps.push(Step::Mount {
            mount: Mount {
                fstype: fstype.to_owned(),
                source: source.unwrap_or_else(|| fstype.to_owned()),
                target: path.clone(),
                options: options.data,
                attributes: options.set,
            },
        });
        self.propagate(path, &propagation);
        self.view.add_fresh(target);
        Ok(())
    }

    /// One directory per hierarchy, as on the host; the cgroup namespace makes each begin at the
    /// container's own cgroup.
    fn cgroup_v1(&mut self, target: &Path, options: &Options) -> Result<(), CompileError> {
        self.mount_point(target, Kind::Directory)?;
        let base = text("mount destination", target)?;
        let mount = |fstype: &str, target: String, options: Vec<(String, Option<String>)>, set| {
            let source = fstype.to_owned();
            let fstype = fstype.to_owned();
            Step::Mount {
                mount: Mount {
                    fstype,
                    source,
                    target,
                    options,
                    attributes: set,
                },
            }
        };
        let writable = options.set & !options::RDONLY;
        let mode = vec![("mode".to_owned(), Some("755".to_owned()))];
        self.steps
            .push(mount("tmpfs", base.clone(), mode, writable));
        for hierarchy in self.facts.cgroup_v1_mounts {
            let Some(name) = hierarchy.path.file_name() else {
                continue;
            };
            let path = format!("{base}/{}", name.to_string_lossy());
            let controllers = hierarchy
                .controllers
                .iter()
                .map(|c| (c.clone(), None))
                .collect();
            self.steps.push(Step::MakeDir {
                path: path.clone(),
                base: None,
                mode: 0o755,
            });
            self.steps
                .push(mount("cgroup", path, controllers, options.set));
        }
        if options.set != writable {
            self.steps.push(Step::ReadOnly {
                path: base,
                recursive: true,
            });
        }
        self.view.add_fresh(target);
        Ok(())
    }

    /// Makes sure that there is something to mount on, and says what: `kind`, where it is made.
    fn mount_point(&mut self, target: &Path, kind: Kind) -> Result<Kind, CompileError> {
        let base = if self.own == Path::new("/") {
            // A root file system of its own: its links are its own, too.
            None
        } else {
            match self.view.mount_point(target, self.own) {
                MountPoint::Exists(there) => return Ok(there),
                MountPoint::Make { base } => Some(base),
                MountPoint::MakeIn { rebuild } => {
                    if rebuild == Path::new("/") {
                        self.mirror_root = true;
                    } else {
                        let path = text("directory", &rebuild)?;
                        self.steps.push(Step::Mirror { path });
                    }
                    self.view.add_mirror(&rebuild);
                    Some(rebuild)
                }
            }
        };
        let base = base.map(|base| text("directory", &base)).transpose()?;
        let path = text("mount destination", target)?;
        self.steps.push(match kind {
            Kind::Directory => Step::MakeDir {
                path,
                base,
                mode: 0o755,
            },
            Kind::File => Step::MakeFile { path, base },
        });
        Ok(kind)
    }

    fn propagate(&mut self, target: String, options: &Options) {
        if let Some(flags) = options.propagation {
            self.steps.push(Step::Propagate { target, flags });
        }
    }

    fn devices(&mut self, linux: &Linux) -> Result<(), CompileError> {
        for (path, major, minor) in DEVICES {
            let (path, major, minor) = ((*path).to_owned(), *major, *minor);
            let mode = libc::S_IFCHR | 0o666;
            self.steps.push(Step::Device {
                path,
                mode,
                major,
                minor,
                uid: 0,
                gid: 0,
            });
        }
        for (path, to) in DEVICE_LINKS {
            let (path, to) = ((*path).to_owned(), (*to).to_owned());
            self.steps.push(Step::Symlink { path, to });
        }
        for device in linux.devices().iter().flatten() {
            self.steps.push(device_step(device)?);
        }
        Ok(())
    }
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

fn device_step(device: &LinuxDevice) -> Result<Step, CompileError> {
    let kind = match device.typ() {
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => return Err(CompileError::Unsupported("a device of type \"a\"")),
    };
    Ok(Step::Device {
        path: text("device", device.path())?,
        mode: kind | device.file_mode().unwrap_or(0o666),
        major: device.major() as u32,
        minor: device.minor() as u32,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// Every container has these (OCI runtime spec, "Default Devices").
const DEVICES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Never shared: mounts of the container must not travel to the host.
fn propagation(wanted: Option<&str>) -> u64 {
    match wanted {
        Some("private" | "rprivate") => libc::MS_PRIVATE | libc::MS_REC,
        _ => libc::MS_SLAVE | libc::MS_REC,
    }
}
