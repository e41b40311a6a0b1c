use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;

fn name(file: &str) -> PathBuf {
    fs::read_link(file).expect("a namespace")
}

fn taken<T>(take: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match take() {
            Some(taken) => return taken,
            None if Instant::now() > deadline => panic!("none is made"),
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[test]
fn root_each_network_is_taken_once_and_we_stay_in_ours() {
    let ours = name("/proc/self/ns/net");
    let ahead = Ahead::default();
    let seen: Vec<_> = (0..6)
        .map(|_| {
            let network = taken(|| ahead.network());
            let name = name(&format!("/proc/self/fd/{}", network.namespace.as_raw_fd()));
            // Kept, so that its number cannot be given to another.
            (name, network)
        })
        .collect();
    for (at, (name, _)) in seen.iter().enumerate() {
        assert!(*name != ours && seen[..at].iter().all(|(other, _)| other != name));
    }
    assert_eq!(name("/proc/self/ns/net"), ours);
}

#[test]
fn root_each_ipc_namespace_is_taken_once_and_its_queues_are_its_own() {
    let ours = name("/proc/self/ns/ipc");
    let ahead = Ahead::default();
    let seen = [(); 6].map(|()| {
        let ipc = taken(|| ahead.ipc());
        let name = name(&format!("/proc/self/fd/{}", ipc.namespace.as_raw_fd()));
        let queues = format!("/proc/self/fd/{}", ipc.mqueue.as_raw_fd());
        let before = fs::read_dir(&queues).expect("is read").count();
        fs::write(format!("{queues}/{}", std::process::id()), "").expect("a queue is made");
        let after = fs::read_dir(&queues).expect("is read").count();
        (name, before, after, ipc)
    });
    for (at, (name, before, after, _)) in seen.iter().enumerate() {
        assert!(*name != ours && seen[..at].iter().all(|(other, ..)| other != name));
        assert_eq!((*before, *after), (0, 1));
    }
    assert_eq!(name("/proc/self/ns/ipc"), ours);
}

fn dev(size: &str) -> Recipe {
    let option = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let name = |name: &str| name.to_owned();
    Recipe {
        fstype: name("tmpfs"),
        source: name("tmpfs"),
        options: vec![option("mode", "750"), option("size", size)],
        entries: vec![
            Entry::Directory {
                name: name("shm"),
                mode: 0o777,
            },
            Entry::Device {
                name: name("null"),
                mode: libc::S_IFCHR | 0o666,
                major: 1,
                minor: 3,
                uid: 1,
                gid: 2,
            },
            Entry::Link {
                name: name("fd"),
                to: name("/proc/self/fd"),
            },
        ],
    }
}

#[test]
fn root_a_file_system_is_ready_once_it_was_asked_for_twice_and_is_nobody_elses() {
    use std::os::unix::fs::MetadataExt as _;
    let ahead = Ahead::default();
    let recipe = dev("64k");
    assert!(ahead.mount(&recipe).is_none());
    let trees = [(); 4].map(|()| taken(|| ahead.mount(&recipe)));
    let mut file_systems: Vec<u64> = Vec::new();
    for tree in &trees {
        let at = format!("/proc/self/fd/{}", tree.as_raw_fd());
        let look = |name: &str| fs::symlink_metadata(format!("{at}/{name}")).expect("is there");
        file_systems.push(look(".").dev());
        assert_eq!(look(".").mode() & 0o7777, 0o750);
        assert_eq!(look("shm").mode(), libc::S_IFDIR | 0o777);
        let null = look("null");
        assert_eq!(
            (null.mode(), null.uid(), null.gid()),
            (libc::S_IFCHR | 0o666, 1, 2)
        );
        assert_eq!(null.rdev(), libc::makedev(1, 3));
        let link = fs::read_link(format!("{at}/fd")).expect("a link");
        assert_eq!(link, PathBuf::from("/proc/self/fd"));
        assert_eq!(fs::read_dir(&at).expect("is read").count(), 3);
    }
    file_systems.dedup();
    assert_eq!(file_systems.len(), 4);
}

#[test]
fn root_what_cannot_be_made_is_not_there_and_keeps_nobody_from_the_rest() {
    let ahead = Ahead::default();
    let bad = dev("much");
    let good = dev("8k");
    assert!(ahead.mount(&bad).is_none() && ahead.mount(&bad).is_none());
    assert!(ahead.mount(&good).is_none());
    drop(taken(|| ahead.mount(&good)));
    assert!(ahead.mount(&bad).is_none());
}

#[test]
fn root_what_is_asked_for_once_is_not_made() {
    let ahead = Ahead::default();
    for size in 1..100 {
        assert!(ahead.mount(&dev(&format!("{size}m"))).is_none());
    }
    drop(taken(|| ahead.network()));
    assert!(ahead.mount(&dev("99m")).is_none());
}
