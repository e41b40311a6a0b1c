//! Docker's daemon, with directories of its own, in the network of this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::percentiles::Percentiles;
use super::place::{Place, said};

/// For a daemon that starts, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "longshore-bench";

pub struct Docker {
    daemon: Child,
    socket: PathBuf,
}

pub struct Container {
    pub place: Place,
    pub ip: String,
}

impl Docker {
    /// With an image of busybox. `None` when there is no daemon.
    pub fn start(directory: &Path) -> Option<Self> {
        let at = |name: &str| directory.join(name);
        let log = fs::File::create(at("dockerd.log")).unwrap();
        let daemon = Command::new("dockerd")
            .arg("--data-root")
            .arg(at("docker"))
            .arg("--exec-root")
            .arg(at("docker-run"))
            .arg("--pidfile")
            .arg(at("docker.pid"))
            .arg(format!("--host=unix://{}", at("docker.sock").display()))
            .arg("--storage-driver=vfs")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let docker = Self {
            daemon: daemon.ok()?,
            socket: at("docker.sock"),
        };
        let deadline = Instant::now() + PATIENCE;
        while said(docker.command().arg("info")).is_none() {
            if Instant::now() > deadline {
                println!("{}", fs::read_to_string(at("dockerd.log")).unwrap());
                return None;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let image = at("image");
        fs::create_dir_all(image.join("bin")).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"];
        let busybox = busybox.iter().find(|it| Path::new(it).exists()).unwrap();
        for applet in ["sleep", "true"] {
            fs::copy(busybox, image.join("bin").join(applet)).unwrap();
        }
        let archive = at("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&image).arg("-cf").arg(&archive).arg(".");
        said(&mut tar).unwrap();
        said(docker.command().arg("import").arg(&archive).arg("box")).unwrap();
        Some(docker)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("-H")
            .arg(format!("unix://{}", self.socket.display()));
        command
    }

    /// From the command to its end, `/bin/true`.
    pub fn runs(&self, with_network: bool, rounds: usize) -> Percentiles {
        let network: &[&str] = match with_network {
            true => &["-p", "9001:80"],
            false => &["--network", "none"],
        };
        let run = || {
            let mut command = self.command();
            command
                .args(["run", "--rm"])
                .args(network)
                .args(["box", "true"]);
            let begun = Instant::now();
            said(&mut command).unwrap();
            begun.elapsed()
        };
        run();
        Percentiles::of((0..rounds).map(|_| run()).collect())
    }

    /// One that stays.
    pub fn container(&self) -> Container {
        let run = ["run", "-d", "--name", NAME, "box", "sleep", "1000"];
        said(self.command().args(run)).unwrap();
        let inspect =
            |format: &str| said(self.command().args(["inspect", "-f", format, NAME])).unwrap();
        Container {
            place: Place::of(&inspect("{{.State.Pid}}")),
            ip: inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"),
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = said(self.command().args(["rm", "-f", NAME]));
        let _ = said(Command::new("kill").arg(self.daemon.id().to_string()));
        let _ = self.daemon.wait();
    }
}
