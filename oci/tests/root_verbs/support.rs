//! A bundle with busybox as its root file system, and a runtime with a root of its own.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// One container of a name that no other test has; it is deleted at the end.
pub struct Bundle {
    directory: TempDir,
    pub id: String,
}

/// What one call said.
#[derive(Debug)]
pub struct Said {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

#[expect(clippy::unwrap_used, reason = "a test without its bundle ends here")]
impl Bundle {
    /// Its command is a script for busybox' shell.
    pub fn new(name: &str, script: &str) -> Self {
        // Below /var: /tmp itself may be mounted by other tests.
        let directory = tempfile::Builder::new()
            .prefix("longshore-")
            .tempdir_in("/var/tmp")
            .unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let id = format!("longshore-test-{}-{name}", std::process::id());
        let bundle = Self { directory, id };
        bundle.unpack();
        assert!(bundle.call(&["spec"]).succeeded());
        bundle.set("process/terminal", json!(false));
        bundle.set("process/args", json!(["sh", "-c", script]));
        bundle.set("linux/resources", json!({}));
        bundle
    }

    fn unpack(&self) {
        let root = self.path("rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy(busybox(), root.join("bin/busybox")).unwrap();
        for applet in ["sh", "sleep", "cat", "tail", "true"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A part of the spec, named by its keys.
    pub fn set(&self, keys: &str, value: Value) {
        let path = self.path("config.json");
        let mut spec: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let place = keys.split('/').fold(&mut spec, |at, key| &mut at[key]);
        *place = value;
        fs::write(path, spec.to_string()).unwrap();
    }

    pub fn add_mount(&self, mount: Value) {
        let path = self.path("config.json");
        let spec: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut mounts = spec["mounts"].as_array().unwrap().clone();
        mounts.push(mount);
        self.set("mounts", json!(mounts));
    }

    /// In the bundle, with the root of this test.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(runtime());
        command
            .arg("--root")
            .arg(self.path("state"))
            .args(words)
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// Its output goes to files: what a container inherits would keep a pipe open.
    pub fn call(&self, words: &[&str]) -> Said {
        let (out, err) = (self.path("out"), self.path("err"));
        let status = self
            .command(words)
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .status()
            .unwrap();
        Said {
            status: status.code(),
            stdout: fs::read_to_string(out).unwrap(),
            stderr: fs::read_to_string(err).unwrap(),
        }
    }

    /// The same where it must succeed.
    pub fn output(&self, words: &[&str]) -> String {
        let said = self.call(words);
        assert!(said.succeeded(), "{words:?}: {said:?}");
        said.stdout
    }

    pub fn run_detached(&self) {
        self.output(&["run", "-d", &self.id]);
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.output(&["state", &self.id])).unwrap()
    }

    pub fn until_status(&self, status: &str) {
        until(status, || self.state()["status"] == status);
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let said = self.call(&["delete", "-f", &self.id]);
        // A test that has failed shall say its own reason.
        assert!(said.succeeded() || std::thread::panicking(), "{said:?}");
    }
}

impl Said {
    pub fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// Failed, with these words.
    #[track_caller]
    pub fn refuses(&self, words: &str) {
        assert!(!self.succeeded() && self.stderr.contains(words), "{self:?}");
    }
}

/// Of the hierarchy that has this controller.
pub fn cgroup_directory(id: &str, controller: &str) -> PathBuf {
    let mounts = Path::new("/sys/fs/cgroup");
    match mounts.join("cgroup.controllers").exists() {
        true => mounts.join(id),
        false => mounts.join(controller).join(id),
    }
}

/// What a control file says: `v1` begins with its controller.
#[expect(clippy::unwrap_used, reason = "it must be there")]
pub fn cgroup_file(id: &str, v1: &str, v2: &str) -> String {
    let (controller, file) = v1.split_once('/').unwrap();
    let directory = cgroup_directory(id, controller);
    let path = match directory.join(file).exists() {
        true => directory.join(file),
        false => directory.join(v2),
    };
    fs::read_to_string(path).unwrap().trim().to_owned()
}

/// Waits long: a guest may be slow.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Built by Cargo with the tests.
#[expect(clippy::unwrap_used, reason = "without it nothing can be tested")]
fn runtime() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("examples/runtime");
    assert!(
        built.is_file(),
        "no {}: run `cargo build -p oci --examples`",
        built.display()
    );
    built
}

fn busybox() -> PathBuf {
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let found = places.into_iter().find(|place| place.is_file());
    let Some(found) = found else {
        panic!("no busybox: install busybox-static")
    };
    found.to_owned()
}
