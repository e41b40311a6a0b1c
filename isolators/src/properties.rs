//! What holds of every text that is read here, whatever its bytes. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../fuzz/hold.rs"]
mod hold;

use crate::cgroups::properties as cgroups;
use crate::network::Traffic;
use crate::seccomp::{Kernel, Machine, Profile};
use crate::{ContainerId, KernelLog};

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[
    ("cgroup_files", cgroups::files),
    ("container_id", a_container_id),
    ("devices_list", cgroups::a_list_of_devices),
    ("devices_rules", cgroups::rules_of_devices),
    ("kernel_log", a_kernel_log),
    ("mountinfo", cgroups::a_mountinfo),
    ("network_links", links),
    ("oom_report", cgroups::an_oom_report),
    ("resources", cgroups::resources),
    ("seccomp_profile", a_seccomp_profile),
];

/// It is one component of a path, and of the cgroup's.
fn a_container_id(bytes: &[u8]) {
    use std::path::{Component, Path};
    let text = String::from_utf8_lossy(bytes).into_owned();
    let root = Path::new("/root");
    if let Ok(id) = ContainerId::try_from(text.clone()) {
        assert_eq!(id.as_str(), text);
        let components: Vec<_> = Path::new(&text).components().collect();
        assert!(matches!(components[..], [Component::Normal(_)]));
        assert_eq!(crate::cgroups::resolve(None, root, &text), root.join(&text));
    }
    let climbs = crate::cgroups::resolve(Some(Path::new(&text)), root, "id");
    assert!(climbs.is_absolute());
    assert!(climbs.components().all(|part| part != Component::ParentDir));
}

/// No line of it is told of that is not the kernel's own, as the first number says.
fn a_kernel_log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let log = KernelLog::parse(&text);
    let own = |line: &&str| {
        let priority = line.split([',', ';']).next();
        priority
            .and_then(|number| number.parse::<u32>().ok())
            .is_some_and(|number| number < 8)
    };
    assert!(log.lines().len() <= text.lines().filter(own).count());
    for line in log.lines() {
        assert!(text.contains(&line.text) && !line.text.contains('\n'));
    }
}

/// Each line counts by itself: no name of a link hides another or is counted for one.
fn links(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(Traffic::parse);
    let sum = lines.fold(Traffic::default(), Traffic::and);
    assert_eq!(Traffic::parse(&text), sum);
    // What the kernel lets a link be called.
    let name: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '/')
        .collect();
    let line = format!("{name}: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0");
    let alone = Traffic::parse(&line);
    let counted = (alone.received.bytes, alone.sent.dropped);
    assert_eq!(
        counted,
        if name == "lo" { (0, 0) } else { (1, 8) },
        "{name:?}"
    );
}

/// A profile that is read can be had for every machine, and has no more rules there than it says.
fn a_seccomp_profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(profile) = text.parse::<Profile>() else {
        return;
    };
    for release in ["", "4.8.0", "6.12.0-1-amd64"] {
        let machine = Machine::here(release);
        let none = profile.resolve(&machine, &[].into()).expect("resolves");
        assert!(none.syscalls().iter().flatten().count() <= profile.rules.len());
    }
    let _ = Kernel::parse(text);
}

#[test]
fn what_holds_of_every_text_holds_of_seeds_and_what_is_near_them() {
    hold::all("isolators", ALL);
}
