use init::{Exec, Preserved, Scheduling, Then};

use super::*;

fn mount(target: &str, fstype: &str, options: &[&str]) -> Step {
    Step::Mount {
        mount: Mount {
            fstype: fstype.to_owned(),
            source: fstype.to_owned(),
            target: target.to_owned(),
            options: options
                .iter()
                .map(|key| ((*key).to_owned(), None))
                .collect(),
            attributes: 0,
            copy_up: false,
            made: None,
        },
    }
}

fn dir(path: &str) -> Step {
    Step::MakeDir {
        path: path.to_owned(),
        base: None,
        mode: 0o755,
    }
}

fn file(path: &str) -> Step {
    Step::MakeFile {
        path: path.to_owned(),
        base: None,
    }
}

fn device(path: &str) -> Step {
    Step::Device {
        path: path.to_owned(),
        mode: libc::S_IFCHR,
        major: 1,
        minor: 3,
        uid: 0,
        gid: 0,
    }
}

fn link(path: &str) -> Step {
    Step::Symlink {
        path: path.to_owned(),
        to: "x".to_owned(),
        replace: false,
    }
}

fn program(steps: Vec<Step>) -> Program {
    Program {
        steps,
        exec: Exec {
            path: String::new(),
            argv: vec![],
            env: vec![],
            cwd: String::new(),
            uid: 0,
            gid: 0,
            groups: vec![],
            umask: 0,
            rlimits: vec![],
            scheduling: Scheduling::default(),
            capabilities: None,
            no_new_privileges: false,
            oom_score_adj: None,
            terminal: false,
            seccomp: None,
            gate: None,
            preserved: Preserved::default(),
            engine: false,
        },
        then: Then::Become {},
        descriptors: 0,
    }
}

fn name(entry: &Entry) -> &str {
    match entry {
        Entry::Directory { name, .. } | Entry::Device { name, .. } | Entry::Link { name, .. } => {
            name
        }
    }
}

/// What is wanted, as `type: names`, and the steps that are left when all of it is made, those of
/// mounts with their numbers.
fn planned(steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
    let mut program = program(steps);
    let wanted = wanted(&program);
    let shown = wanted.iter().map(|wanted| {
        let names: Vec<_> = wanted.recipe.entries.iter().map(name).collect();
        format!("{}: {}", wanted.recipe.fstype, names.join(" "))
    });
    let shown = shown.collect();
    let numbered: Vec<_> = wanted.into_iter().zip(20..).collect();
    use_made(&mut program, &numbered);
    let left = program.steps.iter().map(|step| {
        let made = match step {
            Step::Mount { mount } => mount.made.map(|n| format!("={n}")),
            _ => None,
        };
        format!("{}{}", path(step).unwrap_or("?"), made.unwrap_or_default())
    });
    (shown, left.collect())
}

#[test]
fn a_dev_is_made_with_all_that_is_in_it() {
    let (wanted, left) = planned(vec![
        dir("/proc"),
        mount("/proc", "proc", &[]),
        dir("/dev"),
        mount("/dev", "tmpfs", &["mode"]),
        dir("/dev/pts"),
        mount("/dev/pts", "devpts", &[]),
        dir("/dev/shm"),
        mount("/dev/shm", "tmpfs", &["mode", "size"]),
        device("/dev/null"),
        link("/dev/fd"),
        dir("/work"),
    ]);
    assert_eq!(wanted, ["tmpfs: fd null pts shm", "devpts: ", "tmpfs: "]);
    let expected = [
        "/proc",
        "/proc",
        "/dev",
        "/dev=20",
        "/dev/pts=21",
        "/dev/shm=22",
        "/work",
    ];
    assert_eq!(left, expected);
}

#[test]
fn what_more_than_one_step_touches_is_left_to_init() {
    let steps = vec![
        mount("/dev", "tmpfs", &["mode"]),
        // Bound over: the file is made first.
        file("/dev/null"),
        device("/dev/null"),
        device("/dev/zero"),
        device("/dev/zero"),
        link("/dev/fd"),
        file("/dev/fd/x"),
        dir("/dev/net/deep"),
        device("/dev/net/tun"),
    ];
    let (wanted, left) = planned(steps.clone());
    assert_eq!(wanted, ["tmpfs: "]);
    assert_eq!(left.len(), steps.len());
}

#[test]
fn a_mode_that_comes_from_the_mount_point_stays_what_it_is() {
    let (wanted, left) = planned(vec![
        mount("/dev", "tmpfs", &["mode"]),
        dir("/dev/shm"),
        mount("/dev/shm", "tmpfs", &["size"]),
        mount("/tmp", "tmpfs", &[]),
    ]);
    assert_eq!(wanted, ["tmpfs: "]);
    assert_eq!(left, ["/dev=20", "/dev/shm", "/dev/shm", "/tmp"]);
}

#[test]
fn what_another_mount_hides_is_not_filled() {
    for hiding in ["/", "/dev"] {
        let (wanted, left) = planned(vec![
            mount("/dev", "tmpfs", &["mode"]),
            mount(hiding, "ext4", &[]),
            device("/dev/null"),
        ]);
        assert_eq!(wanted, ["tmpfs: "]);
        assert_eq!(left, ["/dev=20", hiding, "/dev/null"]);
    }
}

#[test]
fn what_is_made_already_or_of_a_container_alone_is_not_wanted() {
    let mut made = mount("/dev", "tmpfs", &["mode"]);
    let mut copied = mount("/etc", "tmpfs", &["mode"]);
    if let (Step::Mount { mount: made }, Step::Mount { mount: copied }) = (&mut made, &mut copied) {
        made.made = Some(9);
        copied.copy_up = true;
    }
    let (wanted, left) = planned(vec![made, copied, mount("/q", "mqueue", &[])]);
    assert_eq!(wanted, [] as [String; 0]);
    assert_eq!(left, ["/dev=9", "/etc", "/q"]);
}
