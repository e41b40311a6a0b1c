//! One container's cgroup: made before its processes, removed after them.
//!
//! v1: `<mount>/<path>` in the hierarchies that its resources need. v2: `<mount>/<path>` holds the
//! limits, and the processes are in it or in its `leaf` (see [`Layout`]).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use failpoint::{Point, reach};
use oci_spec::runtime::LinuxResources;

use super::act;
use super::below::{self, Below};
use super::directory::{self, Made};
use super::error::CgroupError;
use super::files::{self, Files};
use super::hierarchy::{ALWAYS_V1, ControllerMount, Hierarchy, Version};
use super::members;
use super::plan::Plan;
use super::settings::Now;

#[derive(Debug, Clone)]
pub struct Cgroup {
    hierarchy: Arc<Hierarchy>,
    /// Below each mount.
    path: PathBuf,
    layout: Layout,
    /// While it is made: that of the container which this one is nested in.
    within: Option<Arc<Cgroup>>,
}

/// How much of a cgroup a container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// v1: one in the hierarchies that its resources need, because each costs time. v2: the processes
    /// are in its `leaf`, so that nested containers can lie beside that.
    Lean,
    /// As callers of OCI runtimes expect it. v1: one in every hierarchy, where they may look for
    /// statistics. v2: the processes are in the cgroup itself.
    Oci,
}

/// Below a container's, where those of the containers lie that are nested in it. Source:
/// spec/mesos-agent.md section 21.1.
pub(super) const NESTED: &str = "mesos";

/// How a new process gets into the cgroup.
#[derive(Debug)]
pub enum Entry {
    /// The process writes `0` to each of these itself.
    Tasks(Vec<OwnedFd>),
    /// For clone3(2) with CLONE_INTO_CGROUP.
    Directory(OwnedFd),
}

impl Cgroup {
    /// Prepares the subtree that all containers' cgroups lie in; once per start.
    pub fn prepare_root(hierarchy: &Hierarchy, root: &str) -> Result<(), CgroupError> {
        match hierarchy {
            Hierarchy::V1(mounts) => {
                let mut mounts = mounts.iter().filter(|mount| mount.is_always_used());
                mounts.try_for_each(|mount| Made::default().add(&mount.path.join(root)).map(drop))
            }
            Hierarchy::V2(mount) => {
                // A parent must hand each controller on before a child has its files.
                directory::hand_on_required(mount)?;
                Made::default().add(&mount.join(root))?;
                directory::hand_on_required(&mount.join(root))
            }
        }
    }

    /// Takes the subtree away when nothing is in it (else `Busy`): agents come and go, and leave
    /// nothing. A cgroup in it that is still empty may be another agent's next container, so it stays.
    pub fn remove_root(hierarchy: &Hierarchy, root: &str) -> Result<(), CgroupError> {
        let mut mounts = hierarchy.mounts();
        mounts.try_for_each(|mount| directory::remove_empty(&mount.join(root)))
    }

    /// Names the cgroup at `path` below each mount; it need not exist.
    pub fn at(hierarchy: &Arc<Hierarchy>, path: &Path, layout: Layout) -> Self {
        Self {
            hierarchy: hierarchy.clone(),
            path: path.strip_prefix("/").unwrap_or(path).to_owned(),
            layout,
            within: None,
        }
    }

    /// The same for one that exists, in the layout that it was made in.
    pub fn found(hierarchy: &Arc<Hierarchy>, path: &Path) -> Self {
        let mut found = Self::at(hierarchy, path, Layout::Lean);
        if let Hierarchy::V2(mount) = &**hierarchy
            && !mount.join(&found.path).join("leaf").exists()
        {
            found.layout = Layout::Oci;
        }
        found
    }

    /// Names that of a container which is nested in this one. It can only be made while this one is there, and
    /// goes with it.
    pub fn nest(&self, id: &str) -> Self {
        Self {
            hierarchy: self.hierarchy.clone(),
            path: self.path.join(NESTED).join(id),
            layout: Layout::Lean,
            within: Some(Arc::new(self.clone())),
        }
    }

    /// Of containers that are nested in this one.
    pub fn nested(&self) -> Vec<Self> {
        let mount = match &*self.hierarchy {
            Hierarchy::V1(mounts) => {
                let mut mounts = mounts.iter();
                let mount = mounts.find(|mount| mount.is_always_used());
                mount.map(|mount| mount.path.as_path())
            }
            Hierarchy::V2(mount) => Some(mount.as_path()),
        };
        let above = mount.map(|mount| mount.join(&self.path).join(NESTED));
        // Nearly always there is none.
        let names = above.and_then(|above| fs::read_dir(above).ok());
        let names = names.into_iter().flatten().flatten();
        let directories = names.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
        let found = directories.map(|entry| {
            let path = self.path.join(NESTED).join(entry.file_name());
            Self::found(&self.hierarchy, &path)
        });
        found.collect()
    }

    /// Below each mount of cgroups.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a new container's resources come to. Pure: nothing exists yet.
    pub fn plan(&self, resources: Option<&LinuxResources>) -> Result<Plan, CgroupError> {
        let plan = match resources {
            Some(resources) => Plan::of(resources, self.version(), &Now::default())?,
            None => Plan::default(),
        };
        Ok(match &*self.hierarchy {
            Hierarchy::V1(mounts) => plan.choose(mounts, self.layout),
            Hierarchy::V2(_) => plan,
        })
    }

    /// Makes the cgroup with its limits, but for those of devices on v2, which take bpf(2): see
    /// [`Plan::device_program`]. On error nothing of it is left.
    ///
    /// Errors: `NotEmpty` and `Frozen` when it was there before and cannot be a container's.
    pub fn create(&self, plan: &Plan) -> Result<Entry, CgroupError> {
        let mut made = Made::default();
        let created = self.make(plan, &mut made).and_then(|()| {
            reach(Point::CgroupUnlimited);
            let mut settings = plan.settings.iter();
            settings.try_for_each(|setting| act::set(self, setting))?;
            self.limit_devices(plan)?;
            self.enter(&plan.hierarchies)
        });
        created.inspect_err(|_| made.unmake())
    }

    fn make(&self, plan: &Plan, made: &mut Made) -> Result<(), CgroupError> {
        if let Some(above) = &self.within {
            let mut beyond = plan.controllers();
            // Those it has since it is there.
            beyond.retain(|controller| !ALWAYS_V1.contains(controller));
            above.extend(&beyond)?;
        }
        match &*self.hierarchy {
            Hierarchy::V1(_) => {
                for mount in &plan.hierarchies {
                    let directory = mount.path.join(&self.path);
                    if let (Some(_), Some(nest)) = (&self.within, directory.parent()) {
                        directory::make_nest(nest)?;
                    }
                    let is_new = self.add(&directory, made)?;
                    if mount.has("cpuset") {
                        directory::inherit_cpuset(&mount.path, &self.path)?;
                    }
                    self.check_found(&directory, is_new)?;
                }
                Ok(())
            }
            Hierarchy::V2(mount) => {
                let directory = mount.join(&self.path);
                let needed = plan.controllers();
                match (self.layout, &self.within, directory.parent()) {
                    (_, Some(_), Some(nest)) => directory::make_handing_nest(nest, &needed)?,
                    (Layout::Lean, ..) => directory::hand_on(mount, &self.path, &needed, made)?,
                    (Layout::Oci, ..) => directory::hand_on_all(mount, &self.path, made)?,
                }
                let is_new = self.add(&directory, made)?;
                if self.layout == Layout::Lean {
                    self.add(&directory.join("leaf"), made)?;
                }
                self.check_found(&directory, is_new)
            }
        }
    }

    /// Whether it is new.
    fn add(&self, directory: &Path, made: &mut Made) -> Result<bool, CgroupError> {
        match &self.within {
            Some(_) => made.add_within(directory),
            None => made.add(directory),
        }
    }

    /// What was there before may be somebody's.
    fn check_found(&self, directory: &Path, is_new: bool) -> Result<(), CgroupError> {
        if is_new {
            return Ok(());
        }
        let path = directory.to_owned();
        let holding = match self.version() {
            Version::V1 => path.clone(),
            Version::V2 => self.processes_directory(),
        };
        match act::pids(&holding.join("cgroup.procs")).len() {
            0 if self.is_frozen() => Err(CgroupError::Frozen { path }),
            0 => Ok(()),
            processes => Err(CgroupError::NotEmpty { path, processes }),
        }
    }

    /// v1: sets the list, and returns what leads back to the one before. v2 has none.
    pub(super) fn limit_devices(&self, plan: &Plan) -> Result<Vec<act::Write>, CgroupError> {
        match (&plan.devices, self.version()) {
            (Some(rules), Version::V1) => act::set_devices(&self.required_dir("devices")?, rules),
            (None, _) | (_, Version::V2) => Ok(Vec::new()),
        }
    }

    /// v2: its directory, which a device program is attached to.
    pub fn directory(&self) -> Option<PathBuf> {
        match &*self.hierarchy {
            Hierarchy::V1(_) => None,
            Hierarchy::V2(mount) => Some(mount.join(&self.path)),
        }
    }

    /// For one more process of a container that runs: into every cgroup that it has.
    pub fn entry(&self) -> Result<Entry, CgroupError> {
        match &*self.hierarchy {
            Hierarchy::V2(_) => self.enter(&[]),
            Hierarchy::V1(mounts) => {
                let mounts = mounts.iter();
                let has = |mount: &&ControllerMount| {
                    mount.is_always_used() || mount.path.join(&self.path).exists()
                };
                self.enter(mounts.filter(has))
            }
        }
    }

    /// The same into cgroups below those, which must exist.
    pub fn entry_below(&self, places: &[Below]) -> Result<Entry, CgroupError> {
        match &*self.hierarchy {
            Hierarchy::V2(mount) => {
                let below = below::of_v2(places)?;
                let path = mount.join(&self.path).join(below.unwrap_or(Path::new("")));
                Ok(Entry::Directory(open(&path, File::options().read(true))?))
            }
            Hierarchy::V1(mounts) => {
                let mut tasks = Vec::new();
                let places = below::of_v1(places, mounts)?;
                for (mount, below) in mounts.iter().zip(places) {
                    let own = mount.path.join(&self.path);
                    if own.exists() {
                        let file = own.join(below.unwrap_or(Path::new(""))).join("tasks");
                        tasks.push(open(&file, File::options().write(true))?);
                    }
                }
                Ok(Entry::Tasks(tasks))
            }
        }
    }

    fn enter<'a>(
        &self,
        hierarchies: impl IntoIterator<Item = &'a ControllerMount>,
    ) -> Result<Entry, CgroupError> {
        match self.version() {
            Version::V1 => {
                let tasks = hierarchies.into_iter().map(|mount| {
                    let file = mount.path.join(&self.path).join("tasks");
                    open(&file, File::options().write(true))
                });
                Ok(Entry::Tasks(tasks.collect::<Result<_, _>>()?))
            }
            Version::V2 => {
                let path = self.processes_directory();
                Ok(Entry::Directory(open(&path, File::options().read(true))?))
            }
        }
    }

    /// v2: a cgroup whose children have controllers holds no processes, and one that is gone neither.
    pub fn takes_processes(&self) -> bool {
        self.directory().is_none_or(|directory| {
            let handed_on = fs::read_to_string(directory.join("cgroup.subtree_control"));
            handed_on.is_ok_and(|controllers| controllers.trim().is_empty())
        })
    }

    /// SIGKILL to every process in it. Only for containers whose first process is unknown: killing
    /// that one ends its whole pid namespace at once.
    pub fn kill(&self) {
        match &*self.hierarchy {
            // A cgroup that is gone has nobody left to kill.
            Hierarchy::V2(mount) => {
                drop(fs::write(mount.join(&self.path).join("cgroup.kill"), "1"));
            }
            Hierarchy::V1(_) => {
                members::each(self, |process| {
                    // It may have ended by itself meanwhile.
                    let _ = members::kill(process);
                });
                self.let_die();
            }
        }
    }

    /// Pidfds of its processes, one after another: numbers alone may be those of others by now.
    pub fn for_each(&self, act: impl FnMut(&OwnedFd)) {
        members::each(self, act);
    }

    /// Host pids of the processes in it; empty when it does not exist.
    pub fn processes(&self) -> Vec<u32> {
        act::pids(&self.processes_directory().join("cgroup.procs"))
    }

    /// Where the processes are: on v1, in a hierarchy that every container is in.
    pub(super) fn processes_directory(&self) -> PathBuf {
        match (&*self.hierarchy, self.layout) {
            (Hierarchy::V1(mounts), _) => {
                let mount = mounts.iter().find(|mount| mount.is_always_used());
                mount.map_or(PathBuf::new(), |mount| mount.path.join(&self.path))
            }
            (Hierarchy::V2(mount), Layout::Lean) => mount.join(&self.path).join("leaf"),
            (Hierarchy::V2(mount), Layout::Oci) => mount.join(&self.path),
        }
    }

    /// Removing twice is not an error. `Busy` may pass: a process that was killed leaves its cgroup
    /// a moment later.
    pub fn remove(&self) -> Result<(), CgroupError> {
        if (self.version(), self.layout) == (Version::V2, Layout::Lean) {
            directory::remove(&self.processes_directory())?;
        }
        match &*self.hierarchy {
            Hierarchy::V2(mount) => directory::remove(&mount.join(&self.path)),
            Hierarchy::V1(mounts) => {
                // First what tells that the container has ended: see `extend`. Last what the kernel needs longest
                // to let go of, while the others would wait: it looks at every file system of the node for that.
                let told = self.processes_directory();
                let mut in_turn: Vec<_> = mounts.iter().collect();
                in_turn.sort_by_key(|mount| {
                    (mount.path.join(&self.path) != told, mount.has("memory"))
                });
                let mut in_turn = in_turn.into_iter();
                in_turn.try_for_each(|mount| directory::remove(&mount.path.join(&self.path)))
            }
        }
    }

    /// Gives a running container what it lacks of these controllers. One that has ended gets none: nobody would
    /// remove it.
    pub(super) fn extend(&self, needed: &BTreeSet<&str>) -> Result<(), CgroupError> {
        let mut made = Made::default();
        let extended = match &*self.hierarchy {
            Hierarchy::V2(mount) => directory::hand_on(mount, &self.path, needed, &mut made),
            Hierarchy::V1(mounts) => {
                // What every container is in, it lacks only when it has ended.
                let wanted = |m: &&ControllerMount| {
                    !m.is_always_used() && needed.iter().any(|controller| m.has(controller))
                };
                let mut wanted = mounts.iter().filter(wanted);
                wanted.try_for_each(|mount| self.extend_to(mount, &mut made))
            }
        };
        // Whoever removes the cgroup begins with this directory, and comes to those that are there before it goes.
        if extended.is_err() || !self.processes_directory().exists() {
            made.unmake();
        }
        extended
    }

    fn extend_to(&self, mount: &ControllerMount, made: &mut Made) -> Result<(), CgroupError> {
        let directory = mount.path.join(&self.path);
        if directory.exists() {
            return Ok(());
        }
        made.add(&directory)?;
        if mount.has("cpuset") {
            directory::inherit_cpuset(&mount.path, &self.path)?;
        }
        act::move_all(&self.processes_directory(), &directory)
    }

    /// v1: the frozen do not die before they wake.
    pub fn let_die(&self) {
        if self.version() == Version::V1 {
            // One that is not frozen, or gone, needs no help.
            let _ = self.thaw();
        }
    }

    pub(super) fn version(&self) -> Version {
        self.hierarchy.version()
    }

    /// As the kernel names it in its log, e.g. `/mesos/c1`.
    pub(super) fn name(&self) -> String {
        format!("/{}", self.path.display())
    }

    pub(super) fn files(&self) -> &'static Files {
        match self.version() {
            Version::V1 => &files::V1,
            Version::V2 => &files::V2,
        }
    }

    /// Where the files of one controller are, when the container has a cgroup there.
    pub(super) fn dir(&self, controller: &str) -> Option<PathBuf> {
        match &*self.hierarchy {
            Hierarchy::V1(mounts) => {
                let mount = mounts.iter().find(|mount| mount.has(controller))?;
                Some(mount.path.join(&self.path))
            }
            Hierarchy::V2(mount) => Some(mount.join(&self.path)),
        }
    }

    pub(super) fn required_dir<'a>(
        &self,
        controller: impl Into<Cow<'a, str>>,
    ) -> Result<PathBuf, CgroupError> {
        let controller = controller.into();
        self.dir(&controller)
            .ok_or_else(|| CgroupError::NoController {
                controller: controller.into_owned(),
            })
    }
}

fn open(path: &Path, options: &fs::OpenOptions) -> Result<OwnedFd, CgroupError> {
    match options.open(path) {
        Ok(file) => Ok(OwnedFd::from(file)),
        Err(source) => Err(CgroupError::Open {
            path: path.to_owned(),
            source,
        }),
    }
}
