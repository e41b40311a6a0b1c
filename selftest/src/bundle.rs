//! What a hostile container is made of: a spec, and a root file system where it has one of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::attack::Walls;
use crate::field::Field;
use crate::machine_code::Program;
use crate::running::finishing;
use crate::trouble::{Trouble, cannot};

pub struct Bundle {
    pub id: String,
    /// `/` for a task, which has the host's.
    pub rootfs: PathBuf,
    pub spec: Value,
}

impl Bundle {
    /// A container as images are run: a root file system of its own, with all else as a task has it.
    pub fn image(field: &Field, walls: Walls) -> Result<Self, Trouble> {
        let mut spec = field.plan("true")?;
        let id = id(&spec);
        let rootfs = field.make_dir(&format!("rootfs-{id}"))?;
        for directory in ["proc", "sys", "dev", "tmp", "etc", "vol", "root"] {
            field.make_dir(&format!("rootfs-{id}/{directory}"))?;
        }
        let bound = field.settings().toolbox.put_into(&rootfs)?;
        spec["root"] = json!({"path": rootfs, "readonly": false});
        spec["process"]["cwd"] = json!("/");
        spec["process"]["env"] = json!(["PATH=/bin:/sbin:/usr/bin:/usr/sbin"]);
        spec["mounts"] = mounts();
        let namespaces = spec["linux"]["namespaces"].as_array_mut();
        if let Some(namespaces) = namespaces {
            namespaces.push(json!({"type": "network"}));
        }
        let mut bundle = Self { id, rootfs, spec };
        for name in bound {
            field.make_dir(&format!("rootfs-{}/{name}", bundle.id))?;
            let host = Path::new("/").join(name);
            // Whoever owns them, they can be read; and not every file system can show other owners.
            bundle.push(&host, &format!("/{name}"), &["rbind", "rro"]);
        }
        bundle.surround(walls);
        Ok(bundle)
    }

    /// A container as tasks are run: on the host's files.
    pub fn task(field: &Field, walls: Walls) -> Result<Self, Trouble> {
        let spec = field.plan("true")?;
        let mut bundle = Self {
            id: id(&spec),
            rootfs: PathBuf::from("/"),
            spec,
        };
        bundle.surround(walls);
        Ok(bundle)
    }

    fn surround(&mut self, walls: Walls) {
        match walls {
            Walls::Up => {}
            Walls::Down => self.open(),
        }
    }

    /// Takes away all that a spec can.
    fn open(&mut self) {
        let process = &mut self.spec["process"];
        process["noNewPrivileges"] = json!(false);
        remove(process, "capabilities");
        let linux = &mut self.spec["linux"];
        remove(linux, "seccomp");
        remove(linux, "uidMappings");
        remove(linux, "gidMappings");
        if let Some(namespaces) = linux["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != "user");
        }
        linux["maskedPaths"] = json!([]);
        linux["readonlyPaths"] = json!([]);
        remove(&mut linux["resources"], "devices");
        for mount in self.spec["mounts"].as_array_mut().into_iter().flatten() {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| !["ro", "nodev", "idmap"].iter().any(|it| option == it));
            }
        }
    }

    /// As an operator would let a task have it.
    pub fn grant(&mut self, capability: &str) {
        for set in ["bounding", "permitted", "effective"] {
            if let Some(set) = self.spec["process"]["capabilities"][set].as_array_mut() {
                set.push(json!(capability));
            }
        }
    }

    pub fn script(&mut self, text: &str) {
        self.args(&["/bin/sh", "-c", &finishing(text)]);
    }

    pub fn args(&mut self, args: &[&str]) {
        self.spec["process"]["args"] = json!(args);
    }

    /// Runs it instead of a script.
    pub fn program(&mut self, program: &Program) -> Result<(), Trouble> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.rootfs.join("hostile");
        fs::write(&path, program.to_elf())
            .and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(0o755)))
            .map_err(cannot("write a hostile program"))?;
        self.args(&["/hostile"]);
        Ok(())
    }

    /// A volume, as tasks get theirs.
    pub fn bind(&mut self, source: &Path, target: &str, options: &[&str]) {
        self.push(source, target, &self.with_owners(options));
    }

    fn push(&mut self, source: &Path, target: &str, options: &[&str]) {
        let mount = json!({
            "destination": target, "type": "bind", "source": source, "options": options,
        });
        if let Some(mounts) = self.spec["mounts"].as_array_mut() {
            mounts.push(mount);
        }
    }

    /// Mounts a volume first, so that other mounts come to lie on it.
    pub fn bind_first(&mut self, source: &Path, target: &str) {
        let options = self.with_owners(&["rbind", "rw"]);
        let mount = json!({
            "destination": target, "type": "bind", "source": source, "options": options,
        });
        if let Some(mounts) = self.spec["mounts"].as_array_mut() {
            mounts.insert(0, mount);
        }
    }

    /// In a user namespace the host's root is nobody, but the owner of the container's volumes.
    fn with_owners<'a>(&self, options: &[&'a str]) -> Vec<&'a str> {
        let idmap = self.first_id().map(|_id| "idmap");
        options.iter().copied().chain(idmap).collect()
    }

    /// Of the host, where it has a user namespace.
    fn first_id(&self) -> Option<u32> {
        let map = self.spec["linux"]["uidMappings"].get(0)?;
        map["hostID"].as_u64()?.try_into().ok()
    }

    /// Makes its root file system its own, as engines prepare one for a user namespace.
    pub fn hand_over(&self) -> Result<(), Trouble> {
        match self.first_id() {
            Some(id) if self.rootfs != Path::new("/") => own(&self.rootfs, id)
                .map_err(cannot(format!("give {} to {id}", self.rootfs.display()))),
            _ => Ok(()),
        }
    }

    /// Leaves out what is mounted at `target` and below.
    pub fn leave_out(&mut self, target: &str) {
        if let Some(mounts) = self.spec["mounts"].as_array_mut() {
            mounts.retain(|mount| {
                let destination = mount["destination"].as_str().unwrap_or_default();
                !Path::new(destination).starts_with(target)
            });
        }
    }

    /// Puts a link where the root file system has something else.
    pub fn link(&self, name: &str, target: impl AsRef<Path>) -> Result<(), Trouble> {
        let path = self.rootfs.join(name);
        let attempt = || format!("link {}", path.display());
        let removed = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_missing) => Ok(()),
        };
        removed
            .and_then(|()| std::os::unix::fs::symlink(target, &path))
            .map_err(cannot(attempt()))
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<(), Trouble> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.rootfs.join(name);
        fs::write(&path, contents)
            .and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(0o755)))
            .map_err(cannot(format!("write {}", path.display())))
    }
}

/// All of it, links not followed.
fn own(path: &Path, id: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(id), Some(id))?;
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?;
    entries.try_for_each(|entry| own(&entry?.path(), id))
}

fn remove(object: &mut Value, name: &str) {
    if let Some(members) = object.as_object_mut() {
        members.remove(name);
    }
}

/// The last component of the cgroup that was planned.
fn id(spec: &Value) -> String {
    let path = spec["linux"]["cgroupsPath"].as_str().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// As engines ask for them.
fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": destination, "type": kind, "source": kind, "options": options})
    };
    json!([
        mount("/proc", "proc", "nosuid,noexec,nodev"),
        mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount(
            "/dev/pts",
            "devpts",
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "nosuid,noexec,nodev,mode=1777,size=65536k"
        ),
        mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "nosuid,noexec,nodev,relatime,ro"
        ),
    ])
}
