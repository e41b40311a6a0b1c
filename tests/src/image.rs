//! Images, built of busybox, and a registry that has them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::serve;

/// Applets that an image of ours has.
const APPLETS: &[&str] = &[
    "sh", "cat", "cp", "echo", "id", "ls", "mount", "nc", "pwd", "rm", "sleep", "test", "touch",
    "env", "mkdir", "stat", "grep", "date", "tr",
];

/// A registry of this process, which everybody may pull from.
#[derive(Debug)]
pub struct Registry {
    directory: tempfile::TempDir,
    /// `127.0.0.1:port`.
    pub host: String,
}

/// A layer in the making: a directory.
#[derive(Debug)]
pub struct Layer(tempfile::TempDir);

impl Default for Layer {
    fn default() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), open).unwrap();
        Layer(directory)
    }
}

impl Layer {
    /// Enough for a shell.
    pub fn busybox() -> Layer {
        let layer = Layer::default();
        let bin = layer.0.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        layer
            .directory("tmp", 0o1777)
            .file(
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1235:App:/home/app:/bin/sh\n",
            )
            .file("etc/group", "root:x:0:\nextra:x:77:app\n")
    }

    /// Python, of this host, where it is Debian's.
    pub fn python() -> Layer {
        let layer = Layer::default();
        let copy = "set -e; cd /; python=$(readlink -f /usr/bin/python3); lib=usr/lib/$(basename $python); \
                    { echo $python; ldd $python | grep -o '/[^ ]*'; find $lib \
                      \\( -name dist-packages -o -name test -o -name __pycache__ \\) -prune -o -type f -print; } | \
                    sed 's,^/,,' | tar -chf - -T - | tar -C \"$0\" -xf -; \
                    ln -s $(basename $python) \"$0\"/usr/bin/python3";
        let mut shell = Command::new("sh");
        let done = shell.args(["-c", copy]).arg(layer.0.path()).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
        layer
    }

    pub fn program(self, path: &str, content: &str) -> Layer {
        let layer = self.file(path, content);
        let all = fs::Permissions::from_mode(0o755);
        fs::set_permissions(layer.0.path().join(path), all).unwrap();
        layer
    }

    /// With all that is in another one.
    pub fn with(self, other: &Layer) -> Layer {
        let mut copy = Command::new("cp");
        let done = copy
            .arg("-a")
            .arg(other.0.path().join("."))
            .arg(self.0.path());
        assert!(done.status().unwrap().success());
        self
    }

    pub fn file(self, path: &str, content: &str) -> Layer {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn link(self, path: &str, target: &str) -> Layer {
        symlink(target, self.0.path().join(path)).unwrap();
        self
    }

    pub fn directory(self, path: &str, mode: u32) -> Layer {
        let path = self.0.path().join(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn tar(&self) -> Vec<u8> {
        let mut tar = Command::new("busybox");
        let tar = tar
            .args(["tar", "-C"])
            .arg(self.0.path())
            .args(["-cf", "-", "."]);
        let done = tar.stderr(Stdio::inherit()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        done.stdout
    }
}

impl Registry {
    pub async fn start() -> Registry {
        let directory = tempfile::tempdir().unwrap();
        let port = serve::directory(directory.path().to_owned()).await;
        let host = format!("127.0.0.1:{port}");
        Registry { directory, host }
    }

    /// One that wants to be told `authorization`, as HTTP's header has it.
    pub async fn start_private(authorization: &str) -> Registry {
        let directory = tempfile::tempdir().unwrap();
        let port = serve::to_whom(directory.path().to_owned(), authorization).await;
        let host = format!("127.0.0.1:{port}");
        Registry { directory, host }
    }

    /// The lowest layer first. `config`: how it runs. Gives its name.
    pub fn push(&self, name: &str, layers: &[Layer], config: Value) -> String {
        let repository = self.directory.path().join("v2").join(name);
        fs::create_dir_all(repository.join("blobs")).unwrap();
        fs::create_dir_all(repository.join("manifests")).unwrap();
        let blob = |media_type: &str, content: &[u8]| {
            let digest = digest(content);
            fs::write(repository.join("blobs").join(&digest), content).unwrap();
            json!({"mediaType": media_type, "digest": digest, "size": content.len()})
        };
        let layers: Vec<_> = (layers.iter())
            .map(|layer| blob("application/vnd.oci.image.layer.v1.tar", &layer.tar()))
            .collect();
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer["digest"].clone()).collect();
        let config = json!({
            "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2, "layers": layers,
            "config": blob("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        });
        fs::write(repository.join("manifests/latest"), manifest.to_string()).unwrap();
        format!("{}/{name}", self.host)
    }

    /// What is in the repository, to be spoilt.
    pub fn path(&self, below: &str) -> std::path::PathBuf {
        self.directory.path().join("v2").join(Path::new(below))
    }
}

/// Credentials as users pack them: a docker.tar.gz below `place`, of what Docker's config.json is to say.
pub fn packed(place: &Path, config: &Value) -> std::path::PathBuf {
    let home = place.join("home");
    fs::create_dir_all(home.join(".docker")).unwrap();
    fs::write(home.join(".docker/config.json"), config.to_string()).unwrap();
    let packed = place.join("docker.tar.gz");
    let mut tar = Command::new("tar");
    let done = tar
        .arg("-C")
        .arg(&home)
        .arg("-czf")
        .arg(&packed)
        .arg(".docker");
    assert!(done.status().unwrap().success());
    packed
}

fn digest(content: &[u8]) -> String {
    let mut sum = Command::new("busybox");
    let sum = sum
        .arg("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut sum = sum.spawn().unwrap();
    sum.stdin.take().unwrap().write_all(content).unwrap();
    let output = sum.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha256:{}", text.split(' ').next().unwrap())
}
