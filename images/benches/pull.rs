//! An image of 500 MB from a registry, against `podman pull`, and `skopeo copy` with `umoci unpack`: the same
//! image from the same docker-registry, in turn, each into an empty place. Then what an image adds to the start of
//! a container, and what a hundred containers of one take on the disk.
//!
//! `cargo bench -p images --bench pull`, as root, with docker-registry and skopeo; podman and umoci are compared
//! with where they are. PULL_MEGABYTES and PULL_ROUNDS make it smaller.

#![expect(clippy::print_stdout, reason = "a bench is for reading")]
#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use images::{
    Credentials, Digest, Held, Ids, Image, Name, Provisioner, Pull, Reference, Registries, Rootfs,
    Settings, Stack, Store, When,
};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use serde_json::json;

const LAYERS: usize = 6;
/// Of each layer.
const FILES: usize = 400;
const INSTANCES: usize = 100;

fn main() {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == "child") {
        std::process::exit(images::unpack_child_main(arguments.into_iter().skip(2)));
    }
    let work = tempfile::tempdir_in("/var/tmp").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let megabytes = number("PULL_MEGABYTES", 500);
    let (_registry, name) = registry(work.path(), megabytes);
    runtime.block_on(pulls(work.path(), &name, megabytes));
    runtime.block_on(starts(work.path(), &name));
}

fn number(name: &str, usual: usize) -> usize {
    let said = std::env::var(name).ok();
    said.map_or(usual, |said| said.parse().unwrap())
}

/// Ends with the bench.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Debian's, with the image in it; and what that is called there.
fn registry(work: &Path, megabytes: usize) -> (Server, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
        work.join("registry").display()
    );
    let file = work.join("registry.yml");
    fs::write(&file, config).unwrap();
    let mut server = Command::new("docker-registry");
    let server = server.arg("serve").arg(&file).stdin(Stdio::null());
    let server = server.stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(server.spawn().unwrap());
    while TcpStream::connect(&address).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let layout = work.join("layout");
    image(&layout, megabytes << 20);
    let name = format!("{address}/big:1");
    let (from, to) = (
        format!("oci:{}:1", layout.display()),
        format!("docker://{name}"),
    );
    let copy = [
        "--insecure-policy",
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
    ];
    run("skopeo", &[&copy[..], &[&from, &to]].concat());
    fs::remove_dir_all(&layout).unwrap();
    (server, name)
}

/// Half of each file's bytes cannot be compressed, as of programs and their data together.
fn image(layout: &Path, bytes: usize) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |content: &[u8], kind: &str| {
        let digest = Digest::of(content);
        fs::write(blobs.join(&digest.as_str()[7..]), content).unwrap();
        json!({"mediaType": kind, "digest": digest, "size": content.len()})
    };
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    let mut random = File::open("/dev/urandom").unwrap();
    for layer in 0..LAYERS {
        let mut tar = tar::Builder::new(Vec::new());
        for file in 0..FILES {
            let size = bytes / LAYERS / FILES;
            let mut content = vec![b'x'; size];
            random.read_exact(&mut content[..size / 2]).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(size as u64);
            let name = format!("usr/lib/{layer}/{}/{file}", file % 20);
            tar.append_data(&mut header, name, &content[..]).unwrap();
        }
        let plain = tar.into_inner().unwrap();
        diff_ids.push(Digest::of(&plain));
        let usual = flate2::Compression::default();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), usual);
        packed.write_all(&plain).unwrap();
        let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
        layers.push(put(&packed.finish().unwrap(), kind));
    }
    let machine = match cfg!(target_arch = "aarch64") {
        true => "arm64",
        false => "amd64",
    };
    let config = json!({
        "os": "linux", "architecture": machine, "config": {"Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let kind = "application/vnd.oci.image.config.v1+json";
    let config = put(config.to_string().as_bytes(), kind);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
    let mut entry = put(manifest.to_string().as_bytes(), kind);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    let version = r#"{"imageLayoutVersion": "1.0.0"}"#;
    fs::write(layout.join("oci-layout"), version).unwrap();
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {said}");
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    found.is_ok_and(|found| found.status.success())
}

async fn pull(directory: &Path, name: &str) -> (Arc<Store>, Image, Held) {
    let own = std::env::current_exe().unwrap();
    let helper = [own.to_str().unwrap(), "child"].map(str::to_owned);
    let store = Store::open(directory.to_owned(), helper.to_vec()).unwrap();
    let store = Arc::new(store);
    let reference: Reference = name.parse().unwrap();
    let registries = Registries::new(Settings::default()).unwrap();
    let pull = Pull {
        registries: &registries,
        image: &Name::from(reference),
        credentials: &Credentials::default(),
        when: When::Missing,
        progress: &|_| {},
    };
    let (image, held) = store.pull(&pull).await.unwrap();
    (store, image, held)
}

fn p50(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

async fn pulls(work: &Path, name: &str, megabytes: usize) {
    let rounds = number("PULL_ROUNDS", 3);
    println!(
        "pull and unpack {megabytes} MB in {LAYERS} layers of {FILES} files, p50 of {rounds} in turn"
    );
    let others = ["podman", "umoci"].into_iter().filter(|it| is_there(it));
    let others: Vec<_> = others.collect();
    let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); others.len()]);
    let place = work.join("place");
    for _ in 0..rounds {
        let begun = Instant::now();
        drop(pull(&place, name).await);
        ours.push(begun.elapsed());
        fs::remove_dir_all(&place).unwrap();
        for (other, taken) in others.iter().zip(&mut theirs) {
            fs::create_dir(&place).unwrap();
            taken.push(peer(other, &place, name));
            clear(&place);
        }
    }
    let ours = p50(ours).as_secs_f64();
    println!("  longshore                     {ours:6.2} s");
    for (other, taken) in others.iter().zip(theirs) {
        let what = match *other {
            "podman" => "podman pull",
            _ => "skopeo copy and umoci unpack",
        };
        let taken = p50(taken).as_secs_f64();
        let times = taken / ours;
        println!("  {what:28}  {taken:6.2} s, {times:.2} times as long");
    }
}

fn peer(other: &str, place: &Path, name: &str) -> Duration {
    let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let begun = Instant::now();
    if other == "podman" {
        let (root, runs, tmp) = (path("root"), path("run"), path("tmp"));
        let places = ["--root", &root, "--runroot", &runs, "--tmpdir", &tmp];
        let pull = [
            "--storage-driver",
            "overlay",
            "pull",
            "--quiet",
            "--tls-verify=false",
            name,
        ];
        run("podman", &[places, pull].concat());
    } else {
        let (from, layout) = (format!("docker://{name}"), format!("{}:1", path("layout")));
        let to = format!("oci:{layout}");
        let copy = [
            "--insecure-policy",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
        ];
        run("skopeo", &[&copy[..], &[&from, &to]].concat());
        run(
            "umoci",
            &["raw", "unpack", "--image", &layout, &path("rootfs")],
        );
    }
    begun.elapsed()
}

/// Podman leaves its place mounted on itself.
fn clear(place: &Path) {
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounted.lines().filter_map(|line| line.split(' ').nth(4));
    let points = points.map(PathBuf::from);
    let mut points: Vec<_> = points.filter(|point| point.starts_with(place)).collect();
    points.sort();
    for point in points.iter().rev() {
        run("umount", &[point.to_str().unwrap()]);
    }
    fs::remove_dir_all(place).unwrap();
}

async fn starts(work: &Path, name: &str) {
    let (store, image, held) = pull(&work.join("store"), name).await;
    let size = used(&work.join("store"));
    let provisioner = Provisioner::open(work, store, None).unwrap();
    let (mut made, mut gone) = (Vec::new(), Vec::new());
    let name = |instance: usize| format!("c{instance}");
    for instance in 0..INSTANCES {
        let begun = Instant::now();
        let found = provisioner.provision(&name(instance), &image, Ids::Hosts, &held);
        if let Rootfs::Stack(stack) = &found.unwrap().rootfs {
            let stacked = stacked(stack);
            made.push(begun.elapsed());
            drop(stacked);
        }
    }
    let all = used(&work.join("containers"));
    for instance in 0..INSTANCES {
        let begun = Instant::now();
        fs::remove_dir_all(provisioner.directory(&name(instance))).unwrap();
        gone.push(begun.elapsed());
    }
    println!("what a present image adds to a container, p50 of {INSTANCES}");
    let milliseconds = |all| p50(all).as_secs_f64() * 1e3;
    match made.is_empty() {
        true => println!("  the kernel cannot stack layers here"),
        false => println!(
            "  files made and stacked        {:6.2} ms",
            milliseconds(made)
        ),
    }
    println!(
        "  taken away at its end         {:6.2} ms",
        milliseconds(gone)
    );
    println!(
        "  the image takes {:.1} MB, and {INSTANCES} containers of it {:.1} MB more",
        size as f64 / 1e6,
        all as f64 / 1e6
    );
}

/// As the first process of a container does it.
fn stacked(stack: &Stack) -> OwnedFd {
    let directory = stack.upper.parent().unwrap();
    std::env::set_current_dir(directory).unwrap();
    let short = |path: &Path| {
        let short = path.strip_prefix(directory).unwrap();
        short.to_str().unwrap().to_owned()
    };
    let lower: Vec<_> = stack.lower.iter().map(|it| short(it)).collect();
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_set_string(&context, "lowerdir", lower.join(":")).unwrap();
    fsconfig_set_string(&context, "upperdir", short(&stack.upper)).unwrap();
    fsconfig_set_string(&context, "workdir", short(&stack.work)).unwrap();
    fsconfig_create(&context).unwrap();
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    fsmount(&context, flags, MountAttrFlags::empty()).unwrap()
}

/// Bytes on the disk.
fn used(directory: &Path) -> u64 {
    let mut bytes = fs::symlink_metadata(directory).unwrap().blocks() * 512;
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        bytes += match entry.file_type().unwrap().is_dir() {
            true => used(&entry.path()),
            false => entry.metadata().unwrap().blocks() * 512,
        };
    }
    bytes
}
