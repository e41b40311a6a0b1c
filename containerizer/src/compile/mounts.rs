//! The container's mounts.

use std::path::{Component, Path, PathBuf};

use init::mount_attributes::RDONLY;
use init::{IdMap, Idmap, Maps, Mount, Origin, Owners, Source, Step, Unsaid};
use oci_spec::runtime::{Linux, LinuxNamespaceType, Mount as OciMount, Spec};

use super::filesystem::Propagation;
use super::options::{self, Options};
use super::view::{Kind, MountPoint, View};
use super::{CompileError, Facts, namespaces, overlay, text};

pub struct Plan<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) linux: &'a Linux,
    /// Below this directory, mount points may be made on the host: a rootfs, or the sandbox.
    own: &'a Path,
    /// The host's path of the container's root.
    root: &'a Path,
    /// Later steps lack rights on the host that the first ones have, or see other files.
    leaves: bool,
    propagation: Propagation,
    pub(super) view: View<'a>,
    pub sources: Vec<Source>,
    /// Of user namespaces that idmapped mounts name by their place.
    pub maps: Vec<Maps>,
    /// Mount points must be made in the host's root itself.
    pub mirror_root: bool,
    pub steps: Vec<Step>,
    /// Mounts that become read-only once everything in them is made.
    pub sealed: Vec<String>,
    /// Detached mounts that were made with the container's namespaces, by their types, until they are
    /// used.
    made: Vec<(&'static str, u32)>,
}

impl<'a> Plan<'a> {
    pub fn new(
        facts: &'a Facts<'a>,
        (spec, linux): (&'a Spec, &'a Linux),
        (root, own): (&'a Path, &'a Path),
        propagation: Propagation,
    ) -> Self {
        let numbers = facts.attached.numbers(facts.cgroup_files);
        let made = [("sysfs", numbers.sysfs), ("mqueue", numbers.mqueue)];
        let made = made.into_iter();
        Self {
            facts,
            linux,
            own,
            root,
            leaves: namespaces::forks(spec, linux)
                || namespaces::joins(linux, LinuxNamespaceType::Mount)
                || facts.attached.cradle,
            propagation,
            view: View::new(facts.lookup),
            sources: Vec::new(),
            maps: Vec::new(),
            mirror_root: false,
            steps: Vec::new(),
            sealed: Vec::new(),
            made: (made.filter_map(|(fstype, number)| Some((fstype, number?)))).collect(),
        }
    }

    /// Its links are its own, too.
    fn has_own_root(&self) -> bool {
        self.own == Path::new("/")
    }

    /// Not the host's, which our mounts would hide things in.
    fn has_root_elsewhere(&self) -> bool {
        self.root != Path::new("/")
    }

    /// What a path of the host is in the container's root.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(self.root).ok()?;
        (self.has_root_elsewhere()).then(|| Path::new("/").join(inside))
    }

    pub fn mount(&mut self, mount: &OciMount) -> Result<(), CompileError> {
        let target = self.target(mount)?;
        let options = options::parse(mount.options().as_deref().unwrap_or_default());
        if options.remount {
            self.steps.push(Step::Remount {
                target: text("mount destination", &target)?,
                top: options.top,
                all: options.all,
            });
            return Ok(());
        }
        let is_bind = options.bind || mount.typ().as_deref() == Some("bind");
        if options::is_idmapped(mount) && !is_bind {
            return Err(CompileError::BadIdmap(target));
        }
        match mount.typ().as_deref().unwrap_or("none") {
            _ if options.bind => self.bind(mount, &target, &options),
            "bind" => self.bind(mount, &target, &options),
            "none" | "" => Err(CompileError::NoType(target)),
            "cgroup" | "cgroup2" => self.cgroups(mount, &target, options),
            fstype => self.file_system(fstype, mount, &target, options),
        }
    }

    fn target(&self, mount: &OciMount) -> Result<PathBuf, CompileError> {
        let target = mount.destination();
        if target.components().any(|part| part == Component::ParentDir) {
            return Err(CompileError::BadDestination(target.clone()));
        }
        if !target.is_absolute() {
            tracing::warn!(
                destination = %target.display(),
                "a mount's destination should be an absolute path: it is taken to be relative to /"
            );
        }
        // Also without "." and doubled slashes.
        let mut target: PathBuf = Path::new("/").join(target).components().collect();
        if self.has_own_root() {
            // As runc: some name their mount points as the host sees them.
            target = self.inside(&target).unwrap_or(target);
            refuse_in_proc(mount, &target)?;
            let remounts = mount
                .options()
                .iter()
                .flatten()
                .any(|option| option == "remount");
            if target == Path::new("/") && !remounts {
                return Err(CompileError::OverRoot);
            }
        }
        Ok(target)
    }

    pub(super) fn bind(
        &mut self,
        mount: &OciMount,
        target: &Path,
        options: &Options,
    ) -> Result<(), CompileError> {
        let source = mount
            .source()
            .as_ref()
            .ok_or_else(|| CompileError::NoSource(target.to_owned()))?;
        let inside = self.inside(source);
        if inside.is_none() {
            self.point_for(source, target)?;
        }
        let shared = options
            .propagation
            .is_some_and(|flags| flags & libc::MS_SHARED != 0);
        let bound = Source {
            path: text("volume source", inside.as_ref().unwrap_or(source))?,
            recursive: options.recursive,
            propagation: match shared && self.propagation.shares {
                true => 0,
                false => self.propagation.before & !libc::MS_REC,
            },
            idmap: self.idmap(mount, target)?,
        };
        let path = text("mount destination", target)?;
        let origin = match inside {
            Some(_) => Origin::Root { source: bound },
            None => self.origin(bound),
        };
        self.steps.push(Step::Bind {
            origin,
            target: path.clone(),
            top: options.top,
            unsaid: self.unsaid(options),
            all: options.all,
        });
        self.propagate(path, options);
        self.view.add_bind(target, source, !options.is_read_only());
        Ok(())
    }

    /// The kernel lists mounts in the order of their making, which is to be that of the spec: so what can
    /// wait is bound when its turn comes. What shares mounts with the host cannot, as ours are slaves then.
    pub(super) fn origin(&mut self, source: Source) -> Origin {
        if self.has_root_elsewhere() && !self.leaves && source.propagation != 0 {
            return Origin::Host { source };
        }
        let index = self.sources.len() as u32;
        self.sources.push(source);
        Origin::Opened { source: index }
    }

    /// Somewhere to mount what the host has at `source`.
    fn point_for(&mut self, source: &Path, target: &Path) -> Result<(), CompileError> {
        let kind = (self.facts.lookup)(source)
            .ok_or_else(|| CompileError::MissingSource(source.to_owned()))?;
        let there = self.mount_point(target, kind)?;
        if there != kind {
            return Err(CompileError::KindMismatch {
                mount_source: source.to_owned(),
                source_kind: kind,
                target: target.to_owned(),
                target_kind: there,
            });
        }
        Ok(())
    }

    /// Engines expect mount(8)'s way. Tasks keep what the host has closed.
    fn unsaid(&self, options: &Options) -> Unsaid {
        match options.named && self.facts.attached.engine {
            false => Unsaid::Keep {},
            true if namespaces::has(self.linux, LinuxNamespaceType::User) => Unsaid::KeepLocked {},
            true => Unsaid::Clear {},
        }
    }

    /// As runc: terminals then belong to the group of who opens them.
    fn without_unknown_group(&self, mut options: Options) -> Options {
        let Some(maps) = namespaces::container_maps(self.linux) else {
            return options;
        };
        let known = |gid: u32| {
            let holds = |map: &IdMap| gid.checked_sub(map.inside).is_some_and(|n| n < map.count);
            maps.gids.iter().any(holds)
        };
        options.data.retain(|(key, value)| {
            let gid = value.as_ref().and_then(|value| value.parse().ok());
            key != "gid" || gid.is_none_or(known)
        });
        options
    }

    /// Whose what root writes is, on the host.
    pub(super) fn owners(&self, idmap: Idmap) -> Result<Owners, CompileError> {
        let root = |maps: &[IdMap]| {
            let map = maps.iter().find(|map| map.inside == 0);
            map.map(|map| map.outside)
        };
        let maps = self.maps.get(idmap.namespace as usize);
        let root = maps.and_then(|maps| Some((root(&maps.uids)?, root(&maps.gids)?)));
        let (uid, gid) = root.ok_or_else(|| CompileError::BadIdmap("/".into()))?;
        Ok(Owners {
            namespace: idmap.namespace,
            uid,
            gid,
        })
    }

    pub(super) fn idmap(
        &mut self,
        mount: &OciMount,
        target: &Path,
    ) -> Result<Option<Idmap>, CompileError> {
        if !options::is_idmapped(mount) {
            return Ok(None);
        }
        let maps = match (mount.uid_mappings(), mount.gid_mappings()) {
            (Some(uids), Some(gids)) => Some(Maps {
                uids: namespaces::id_maps(uids),
                gids: namespaces::id_maps(gids),
            }),
            (None, None) => namespaces::container_maps(self.linux),
            _ => None,
        };
        let maps = maps.ok_or_else(|| CompileError::BadIdmap(target.to_owned()))?;
        let options = mount.options().as_deref().unwrap_or_default();
        let known = self.maps.iter().position(|known| *known == maps);
        let namespace = known.unwrap_or(self.maps.len());
        if known.is_none() {
            self.maps.push(maps);
        }
        Ok(Some(Idmap {
            namespace: namespace as u32,
            recursive: options.iter().any(|option| option == "ridmap"),
        }))
    }

    pub(super) fn file_system(
        &mut self,
        fstype: &str,
        mount: &OciMount,
        target: &Path,
        options: Options,
    ) -> Result<(), CompileError> {
        self.mount_point(target, Kind::Directory)?;
        let path = text("mount destination", target)?;
        let source = mount
            .source()
            .as_ref()
            .map(|s| text("mount source", s))
            .transpose()?;
        let options = match fstype {
            "devpts" => self.without_unknown_group(options),
            _ => options,
        };
        let propagation = Options {
            propagation: options.propagation,
            ..Options::default()
        };
        let mut attributes = options.top.set | options.all.set;
        // Later mounts and devices may need names in it.
        if attributes & RDONLY != 0 && (fstype == "tmpfs" || target == Path::new("/dev")) {
            attributes &= !RDONLY;
            self.sealed.push(path.clone());
        }
        let source = source.unwrap_or_else(|| fstype.to_owned());
        let is_plain = source == fstype && options.data.is_empty();
        let made = (self.made.iter()).position(|(known, _)| is_plain && *known == fstype);
        let made = made.map(|at| self.made.remove(at).1);
        self.steps.push(Step::Mount {
            mount: Mount {
                fstype: fstype.to_owned(),
                source,
                made,
                target: path.clone(),
                options: options.data,
                attributes,
                copy_up: fstype == "tmpfs" && options.copy_up,
            },
        });
        self.propagate(path, &propagation);
        self.view.add_fresh(target);
        Ok(())
    }

    /// Makes sure that there is something to mount on, and says what: `kind`, where it is made.
    pub(super) fn mount_point(&mut self, target: &Path, kind: Kind) -> Result<Kind, CompileError> {
        let base = if self.has_own_root() {
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
}

/// Whether a container of this spec may begin where there is nothing of the host's: all that it is made of
/// can be taken hold of before.
pub fn takes_cradle(spec: &Spec) -> bool {
    let root = spec.root().as_ref();
    let own_root = root.is_some_and(|root| root.path() != Path::new("/"));
    let own_mounts = namespaces::clone_flags(spec) & libc::CLONE_NEWNS as u64 != 0;
    let of_kernel = |mount: &OciMount| {
        let options = options::parse(mount.options().as_deref().unwrap_or_default());
        let fstype = mount.typ().as_deref().unwrap_or("none");
        options.bind || fstype == "bind" || OF_KERNEL.contains(&fstype) && !options.copy_up
    };
    // Hooks are programs of the host.
    own_root
        && own_mounts
        && spec.hooks().is_none()
        && (spec.mounts().iter().flatten())
            // It is made before.
            .skip(overlay::of_root(spec).iter().len())
            .all(of_kernel)
}

/// File systems that are made of nothing. Others may be of a device or of directories, which are found by
/// their paths.
const OF_KERNEL: &[&str] = &[
    "cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs",
];

/// Programs believe what they read below /proc. As runc, only files of which others make a view for
/// the container may be bound there, and /proc itself only from another procfs.
fn refuse_in_proc(mount: &OciMount, target: &Path) -> Result<(), CompileError> {
    let allowed = match target.strip_prefix("/proc") {
        Err(_elsewhere) => true,
        Ok(inside) if inside.as_os_str().is_empty() => {
            let source = mount.source().as_ref();
            mount.typ().as_deref() == Some("proc")
                || source.is_some_and(|source| source.starts_with("/proc"))
        }
        Ok(inside) => IN_PROC.iter().any(|file| inside == Path::new(file)),
    };
    match allowed {
        true => Ok(()),
        false => Err(CompileError::InProc(target.to_owned())),
    }
}

const IN_PROC: &[&str] = &[
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];
