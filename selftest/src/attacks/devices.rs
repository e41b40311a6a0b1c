//! Devices of the host.

use std::fs;

use isolators::{Device, DeviceKind};

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::trouble::{Trouble, cannot};

pub const MADE: Attack = Attack {
    name: "devices of the host made and opened",
    cve: "",
    tries: "The container makes nodes of the host's disks, memory and kernel log, and opens them.",
    attempt: made,
};

pub const OF_A_TASK: Attack = Attack {
    name: "devices of the host opened by a task",
    cve: "",
    tries: "A task on the host's own files opens the host's disks, memory and kernel log.",
    attempt: of_a_task,
};

/// Type, major, minor. The kernel's log is there on every host.
const OTHERS: &[(char, u32, u32)] = &[
    ('c', 1, 1),
    ('c', 1, 4),
    ('c', 1, 11),
    ('c', 10, 229),
    ('b', 7, 0),
];

/// The disks and their partitions. proc_partitions(5).
fn disks() -> Result<Vec<(char, u32, u32)>, Trouble> {
    let list = fs::read_to_string("/proc/partitions").map_err(cannot("list the host's disks"))?;
    let numbers = list.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        Some((
            'b',
            fields.next()?.parse().ok()?,
            fields.next()?.parse().ok()?,
        ))
    });
    Ok(numbers.collect())
}

/// A function of the shell that tries to read a device, but for those that the operator lets every task
/// read.
fn open(field: &Field) -> String {
    let allowed = field.settings().devices.iter().filter(|it| it.read);
    let allowed: String = allowed
        .map(
            |Device {
                 kind, major, minor, ..
             }| match kind {
                DeviceKind::Block => format!("b:{major:x}:{minor:x} "),
                DeviceKind::Char => format!("c:{major:x}:{minor:x} "),
            },
        )
        .collect();
    format!(
        "open() {{
            kind=c; [ ! -b $1 ] || kind=b
            case \" {allowed}\" in *\" $kind:$(stat -c %t:%T $1) \"*) return;; esac
            timeout 5 sh -c ': <$0' $1 2>/dev/null && echo \"! opened $1 ($2)\"
        }}"
    )
}

fn made(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut script = format!("{}\n", open(field));
    for (kind, major, minor) in disks()?.into_iter().chain(OTHERS.iter().copied()) {
        for directory in ["/tmp", "/dev", "/dev/shm"] {
            let path = format!("{directory}/{kind}-{major}-{minor}");
            script.push_str(&format!(
                "mknod {path} {kind} {major} {minor} 2>/dev/null && open {path} {kind}:{major}:{minor}\n"
            ));
        }
    }
    script.push_str("true");
    let mut bundle = Bundle::image(field, walls)?;
    bundle.script(&script);
    field.run(&bundle)?.ended()?.reached().map(Verdict::of)
}

fn of_a_task(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    // By the names that the host has for them.
    let script = format!(
        "{}
        for f in /dev/mem /dev/port /dev/kmsg /dev/fuse /dev/kvm /dev/loop-control /dev/mapper/control \\
            /dev/vfio/vfio /dev/vhost-net; do
            [ ! -c $f ] || open $f char
        done
        while read -r major minor _ name; do
            [ ! -b /dev/$name ] || open /dev/$name block
        done </proc/partitions
        d=$(pwd)
        mknod $d/kmsg c 1 11 2>/dev/null && open $d/kmsg made
        rm -f $d/kmsg
        true",
        open(field)
    );
    let mut bundle = Bundle::task(field, walls)?;
    bundle.script(&script);
    field.run(&bundle)?.ended()?.reached().map(Verdict::of)
}
