//! A Docker Engine of a test's own, in a network namespace where its bridge is nobody else's.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::apps::Task;
use crate::cluster::Cluster;
use crate::image::Layer;
use crate::{eventually, host, program};

/// Of busybox, and known to the engine from the beginning.
pub const IMAGE: &str = "longshore-test:1";

/// Ends with its containers when it is dropped.
#[derive(Debug)]
pub struct Engine {
    directory: tempfile::TempDir,
    cgroups_root: String,
    /// Of the daemon, beside those that all have.
    flags: Vec<String>,
    daemon: Option<Child>,
    registry: Option<Child>,
}

impl Engine {
    /// `name` is unique among the tests of one program.
    pub async fn start(name: &str) -> Engine {
        Self::new(name).up().await
    }

    /// The same, with `longshore oci` for what starts its containers: runc gives a privileged one rights that the
    /// root of some hosts has not.
    pub async fn start_with_our_runtime(name: &str) -> Engine {
        let mut engine = Self::new(name);
        // Engines give their runtime no first word.
        let runtime = engine.path("longshore-oci");
        std::os::unix::fs::symlink(program::longshore(), &runtime).unwrap();
        let known = format!("--add-runtime=longshore={}", runtime.display());
        engine.flags = vec![known, "--default-runtime=longshore".to_owned()];
        engine.up().await
    }

    fn new(name: &str) -> Engine {
        let directory = tempfile::Builder::new()
            .prefix("longshore-docker-")
            .tempdir_in("/var/tmp")
            .unwrap();
        Engine {
            directory,
            cgroups_root: format!("longshore-docker-{}-{name}", std::process::id()),
            flags: Vec::new(),
            daemon: None,
            registry: None,
        }
    }

    async fn up(mut self) -> Engine {
        self.begin().await;
        self.import(IMAGE, &Layer::busybox(), &[]);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// Once more, after `kill`: containers go on meanwhile.
    pub async fn begin(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("dockerd.log"))
            .unwrap();
        let shown = |path: PathBuf| path.display().to_string();
        // Of a daemon that was killed. Where nobody takes leave of orphans, the second is still somebody's.
        for pid in ["docker.pid", "exec/containerd/containerd.pid"] {
            let _none = std::fs::remove_file(self.path(pid));
        }
        let daemon = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"])
            .args(["dockerd", "--data-root", &shown(self.path("data"))])
            .args(["--exec-root", &shown(self.path("exec"))])
            .args(["--pidfile", &shown(self.path("docker.pid"))])
            .args(["--host", &format!("unix://{}", shown(self.socket()))])
            .args(["--cgroup-parent", &format!("/{}", self.cgroups_root)])
            .args(["--iptables=false", "--ip6tables=false", "--live-restore"])
            .args(["--storage-driver", "vfs"])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let answers = || async {
            let said = self.docker(&["version"]);
            said.status
                .success()
                .then_some(())
                .ok_or_else(|| self.log())
        };
        eventually("the Docker Engine answers", answers).await;
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("dockerd.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.join("\n")
    }

    /// `changes`: in the words of a Dockerfile.
    pub fn import(&self, name: &str, layer: &Layer, changes: &[&str]) {
        let changes = changes.iter().flat_map(|it| ["--change", it]);
        let words = ["import"].into_iter().chain(changes).chain(["-", name]);
        let mut import = self
            .command(&words.collect::<Vec<_>>())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = import.stdin.take().unwrap();
        stdin.write_all(&layer.tar()).unwrap();
        drop(stdin);
        assert!(import.wait().unwrap().success());
    }

    /// What is said at a port of the network that the engine takes for the host's.
    pub fn page(&self, port: u16) -> Result<String, String> {
        let daemon = self.daemon.as_ref().unwrap().id().to_string();
        let url = format!("http://127.0.0.1:{port}/");
        let mut wget = Command::new("nsenter");
        let wget = wget.args([
            "--target", &daemon, "--net", "busybox", "wget", "-qO-", &url,
        ]);
        let said = wget.output().unwrap();
        match said.status.success() {
            true => Ok(String::from_utf8_lossy(&said.stdout).into_owned()),
            false => Err(format!("{said:?}")),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .args(words)
            .env("DOCKER_CONFIG", self.path("client"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A registry beside it, which lets `user` in by `password`, and the engine's image there, which the engine
    /// itself has no more. Returns the image's name.
    pub async fn registry(&mut self, user: &str, password: &str) -> String {
        let made = Command::new("htpasswd")
            .args(["-Bbn", user, password])
            .output();
        std::fs::write(self.path("htpasswd"), made.unwrap().stdout).unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {0}}}}}\nhttp: {{addr: \"127.0.0.1:5000\"}}\n\
             auth: {{htpasswd: {{realm: test, path: {1}}}}}\n",
            self.path("registry").display(),
            self.path("htpasswd").display()
        );
        std::fs::write(self.path("registry.yml"), config).unwrap();
        let daemon = self.daemon.as_ref().unwrap().id().to_string();
        let log = std::fs::File::create(self.path("registry.log")).unwrap();
        let registry = Command::new("nsenter")
            .args(["--target", &daemon, "--net", "docker-registry", "serve"])
            .arg(self.path("registry.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.registry = Some(registry.unwrap());
        let image = "127.0.0.1:5000/private:1".to_owned();
        eventually("the registry lets one in", || async {
            let login = [
                "login",
                "--username",
                user,
                "--password",
                password,
                "127.0.0.1:5000",
            ];
            let said = self.docker(&login);
            said.status
                .success()
                .then_some(())
                .ok_or(format!("{said:?}"))
        })
        .await;
        self.says(&["tag", IMAGE, &image]);
        self.says(&["push", &image]);
        self.says(&["rmi", &image]);
        image
    }

    /// What it tells of a container.
    pub fn inspected(&self, container: &str) -> Value {
        let told: Value = serde_json::from_str(&self.says(&["inspect", container])).unwrap();
        told[0].clone()
    }

    /// What the client knows of registries, as a Docker config.json.
    pub fn config(&self) -> PathBuf {
        self.path("client/config.json")
    }

    /// The client that comes with it.
    pub fn docker(&self, words: &[&str]) -> std::process::Output {
        self.command(words).output().unwrap()
    }

    /// What that says, of what goes well.
    pub fn says(&self, words: &[&str]) -> String {
        let said = self.docker(words);
        assert!(said.status.success(), "{words:?}: {said:?}");
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().unwrap();
        kill(Pid::from_raw(daemon.id().try_into().unwrap()), signal).unwrap();
    }

    /// The daemon alone, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ended = daemon.kill();
            daemon.wait().unwrap();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut registry) = self.registry.take() {
            let _ended = registry.kill();
            let _ended = registry.wait();
        }
        if self.daemon.is_some() {
            self.signal(Signal::SIGCONT);
            let all = self.docker(&["ps", "--all", "--quiet"]);
            let all = String::from_utf8_lossy(&all.stdout).into_owned();
            let all: Vec<_> = all.split_whitespace().collect();
            if !all.is_empty() {
                self.docker(&[&["rm", "--force", "--volumes"], &all[..]].concat());
            }
            self.signal(Signal::SIGTERM);
            if let Some(mut daemon) = self.daemon.take() {
                let _ended = daemon.wait();
            }
        }
        host::remove_all(&self.cgroups_root);
        kill_all(self.directory.path());
        unmount_all(self.directory.path());
    }
}

impl Cluster {
    /// The engine's name of the container of a task.
    pub async fn container(&self, task: &Task) -> String {
        let sandbox = self.agents[0].sandbox(&task.id).await.unwrap();
        let id = Path::new(&sandbox).file_name().unwrap().to_str().unwrap();
        format!("mesos-{id}")
    }

    /// One agent that uses the engine, and runs natively what that cannot.
    pub async fn start_with_engine(engine: &Engine, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::start(1).await;
        cluster.agents[0].kill();
        let socket = format!("--docker_socket={}", engine.socket().display());
        for flag in [&["--containerizers=docker,mesos", &socket], flags].concat() {
            cluster.agents[0].add_argument(flag.to_owned());
        }
        cluster.agents[0].start().await;
        cluster.registered(1).await;
        cluster
    }
}

/// What a daemon that was killed has left: each names the directory.
fn kill_all(directory: &Path) {
    let directory = directory.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(directory) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn unmount_all(directory: &Path) {
    let mut mounts = host::mounts(directory);
    mounts.sort();
    for mount in mounts.into_iter().rev() {
        let _busy = nix::mount::umount2(&mount, nix::mount::MntFlags::MNT_DETACH);
    }
}
