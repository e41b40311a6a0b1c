//! Users and groups, in numbers and in a hostile user database.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::running::Outcome;
use crate::trouble::{Trouble, cannot};

pub const NUMBERS: Attack = Attack {
    name: "users beyond 32 bits",
    cve: "CVE-2024-40635",
    tries: "A spec names users and groups that are negative, too large, or mean \"leave it as it is\" to \
            the kernel, so that the command stays root.",
    attempt: numbers,
};

pub const EXEC_USER: Attack = Attack {
    name: "users of exec",
    cve: "CVE-2026-30892",
    tries: "A command that joins a container is to run as users that parsers have taken for root.",
    attempt: exec_user,
};

pub const HOSTILE_PASSWD: Attack = Attack {
    name: "hostile user database",
    cve: "CVE-2026-46680",
    tries: "An image's /etc/passwd is a pipe, endless, a device, a link to the host, or maps numbers to root.",
    attempt: hostile_passwd,
};

const WHO: &str = "echo \"$(id -u) $(id -g)\"";

fn numbers(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let table = [
        json!(4_294_967_296_u64),
        json!(4_294_967_295_u64),
        json!(4_294_967_297_u64),
        json!(18_446_744_073_709_551_615_u64),
        json!(-1),
        json!(-4_294_967_296_i64),
        json!(0.5),
        json!("0"),
        json!("4294967296"),
    ];
    let mut reached = Vec::new();
    for number in table {
        let of_user = json!({"uid": number, "gid": 7});
        let of_group = json!({"uid": 7, "gid": number});
        let of_more = json!({"uid": 7, "gid": 7, "additionalGids": [number]});
        for (user, root) in [
            (of_user, "uid=0("),
            (of_group, "gid=0("),
            (of_more, "groups=0("),
        ] {
            let mut bundle = Bundle::image(field, walls)?;
            bundle.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
            bundle.write("etc/group", "root:x:0:\n")?;
            bundle.spec["process"]["user"] = match walls {
                Walls::Up => user.clone(),
                Walls::Down => json!({"uid": 0, "gid": 0}),
            };
            bundle.script("id");
            if let Outcome::Ended(ended) = field.run(&bundle)?
                && ended.text().contains(root)
            {
                reached.push(format!("became root as {user}"));
            }
        }
    }
    Ok(Verdict::of(reached))
}

/// What `-u` says, and who it is to be; `None`: nobody.
const USERS: &[(&str, Option<&str>)] = &[
    ("1", Some("1 0")),
    ("1:2", Some("1 2")),
    ("0:3", Some("0 3")),
    ("4294967294", Some("4294967294 0")),
    ("4294967295", None),
    ("1:4294967295", None),
    ("4294967296", None),
    ("1:4294967296", None),
    ("18446744073709551617", None),
    ("-1", None),
    ("+1", Some("1 0")),
    (" 1", None),
    ("1 ", None),
    ("0x1", None),
    ("1.5", None),
    ("1:", None),
    ("", None),
    ("toor", None),
];

fn exec_user(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let container = OciContainer::run(field, walls, |bundle| {
        bundle.write(
            "etc/passwd",
            "4294967296:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n+1:x:0:0::/:\n",
        )
    })?;
    let mut reached = Vec::new();
    for (user, wanted) in USERS {
        // With the walls down every user is root.
        let asked = if walls == Walls::Down { "0" } else { user };
        let flag = format!("--user={asked}");
        let done = container.oci(&["exec", &flag, "c", "/bin/sh", "-c", WHO])?;
        let done = done.ok_or(Trouble::Late(LIMIT.as_secs()))?;
        let who = done.0.then(|| done.1.trim().to_owned());
        let as_wanted = match (&who, wanted) {
            (None, None) => true,
            (Some(who), Some(wanted)) => who == wanted,
            // A user that is refused without need is no hole.
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        if !as_wanted {
            reached.push(format!("-u {user:?} ran as {}", who.unwrap_or_default()));
        }
    }
    container.end()?;
    Ok(Verdict::of(reached))
}

/// Puts a user database into an image.
type Fill = fn(&Bundle) -> Result<(), Trouble>;

fn hostile_passwd(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut reached = Vec::new();
    let fill: [(&str, Fill); 7] = [
        ("a pipe", |bundle| {
            mkfifo(
                &bundle.rootfs.join("etc/passwd"),
                Mode::from_bits_truncate(0o644),
            )
            .map_err(std::io::Error::from)
            .map_err(cannot("make a pipe"))
        }),
        ("a device", |bundle| bundle.link("etc/passwd", "/dev/zero")),
        ("a terminal", |bundle| bundle.link("etc/passwd", "/dev/tty")),
        ("memory", |bundle| {
            bundle.link("etc/passwd", "/proc/self/mem")
        }),
        ("endless", |bundle| {
            fs::File::create(bundle.rootfs.join("etc/passwd"))
                .and_then(|file| file.set_len(1 << 40))
                .map_err(cannot("make a large file"))
        }),
        ("one long line", |bundle| {
            bundle.write("etc/passwd", vec![b':'; 900_000])
        }),
        ("hostile", |bundle| {
            bundle.write(
                "etc/passwd",
                "\0\n7:x:0:0::/root\0/x:\nx:x:7:0::relative:\nx:x:7:7::/a\x1b[2J:\n",
            )
        }),
    ];
    for (what, fill) in fill {
        let container = OciContainer::run(field, walls, fill)?;
        // Programs of the container may read it as well, and wait for it: the shell's own words do not.
        let script = "while read -r n id _; do case $n in Uid: | Gid:) echo \"$n $id\" ;; esac; done \
                      </proc/self/status";
        let done = container.oci(&["exec", "--user=7", "c", "/bin/sh", "-c", script])?;
        match done {
            None => reached.push(format!("a user database that is {what} held exec up")),
            Some((true, said)) if said != "Uid: 7\nGid: 0\n" => {
                reached.push(format!(
                    "a user database that is {what} made {said:?} of user 7"
                ));
            }
            Some(_) => {}
        }
        container.end()?;
    }
    Ok(Verdict::of(reached))
}

/// A container that was made by the words of an OCI runtime.
struct OciContainer<'a> {
    field: &'a Field,
    root: std::path::PathBuf,
}

const LIMIT: Duration = Duration::from_secs(60);

impl<'a> OciContainer<'a> {
    fn run(
        field: &'a Field,
        walls: Walls,
        fill: impl FnOnce(&Bundle) -> Result<(), Trouble>,
    ) -> Result<Self, Trouble> {
        let mut bundle = Bundle::image(field, walls)?;
        fill(&bundle)?;
        bundle.args(&["/bin/sleep", "1000"]);
        bundle.hand_over()?;
        let text = bundle.spec.to_string();
        let directory = field.make_dir(&format!("bundle-{}", bundle.id))?;
        fs::write(directory.join("config.json"), text).map_err(cannot("write a bundle"))?;
        let root = field
            .config()
            .runtime_dir
            .join(format!("oci-{}", bundle.id));
        let container = Self { field, root };
        let place = format!("--bundle={}", directory.display());
        match container.oci(&["run", "--detach", &place, "c"])? {
            Some((true, _)) => Ok(container),
            Some((false, said)) => Err(Trouble::NotLaunched(said)),
            None => Err(Trouble::Late(LIMIT.as_secs())),
        }
    }

    fn end(self) -> Result<(), Trouble> {
        match self.oci(&["delete", "--force", "c"])? {
            Some((true, _)) => Ok(()),
            Some((false, said)) => Err(Trouble::Left(said)),
            None => Err(Trouble::Late(LIMIT.as_secs())),
        }
    }

    /// Whether it succeeded, and what it said; `None` when it did not end.
    fn oci(&self, words: &[&str]) -> Result<Option<(bool, String)>, Trouble> {
        let program = &self.field.settings().program;
        if !program.is_file() {
            return Err(Trouble::NoRuntime(program.clone()));
        }
        let output = self.field.output()?;
        let open = || fs::File::options().append(true).open(&output);
        let attempt = || cannot(format!("run {} oci", program.display()));
        let started = Instant::now();
        let mut child = Command::new(program)
            .arg("oci")
            .arg(format!("--root={}", self.root.display()))
            .args(words)
            .stdin(Stdio::null())
            .stdout(open().map_err(attempt())?)
            .stderr(open().map_err(attempt())?)
            .spawn()
            .map_err(attempt())?;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(attempt())? {
                break status;
            }
            if started.elapsed() > LIMIT {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = text(&output)?;
        Ok(Some((status.success(), said)))
    }
}

impl Drop for OciContainer<'_> {
    fn drop(&mut self) {
        // Where it is still there, the attack has failed before.
        if self.root.join("c").exists() {
            let _ = self.oci(&["delete", "--force", "c"]);
        }
    }
}

fn text(path: &Path) -> Result<String, Trouble> {
    let bytes = fs::read(path).map_err(cannot("read what a program said"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
