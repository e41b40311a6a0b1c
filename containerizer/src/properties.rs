//! What holds of every spec, profile and record that is read here. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../fuzz/hold.rs"]
mod hold;

use std::time::Duration;

use isolators::KernelLog;

use crate::compile::properties as compile;
use crate::death::KernelWord;
use crate::death::kernel::word;
use crate::death::look::{first, uptime};
use crate::identity::{Identity, Stat};
use crate::timings::Timings;
use crate::total_memory;

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[
    ("kernel_word", a_kernels_word),
    ("memory_nodes", compile::memory_nodes),
    ("mount_options", compile::mount_options),
    ("processes", processes),
    ("records", records),
    ("seccomp", compile::seccomp::a_chosen_profile),
    ("seccomp_json", compile::seccomp::a_profile_in_json),
    ("spec", compile::a_spec),
    ("spec_edits", compile::an_edited_spec),
];

/// What is told of a process stands in a line of the log.
fn a_kernels_word(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let records: String = (text.lines().zip(1..))
        .map(|(line, n)| format!("5,{n},{n}000000,-;{line}\n"))
        .collect();
    let log = KernelLog::parse(&records);
    for pid in [0, 1, 123, 13109, 13110] {
        let said = word(&log, pid, Duration::ZERO);
        assert!(said.is_none() || text.contains(&pid.to_string()));
        if let Some(KernelWord::Fault(fault)) = said {
            assert!(text.contains(fault.what.trim_start_matches("segfault at 0x")));
            assert!(fault.object.is_none_or(|object| text.contains(&object)));
        }
    }
}

/// What the kernel tells of processes and of the node: no name of a process changes what is read of it,
/// and each number stands there.
fn processes(bytes: &[u8]) {
    let fields = b") S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0\n";
    let named = Stat::parse(&[b"7 (", bytes, fields].concat());
    assert_eq!(named, Stat::parse(&[b"7 (sh", &fields[..]].concat()));
    assert!(named.is_some());
    // A name in what is no process' may only hide it.
    let _ = Stat::parse(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Some(child) = first(&text) {
        assert!(text.contains(&child.to_string()));
    }
    let up = uptime(&text);
    assert!(up.is_zero() || text.contains(|digit: char| digit.is_ascii_digit()));
    let memory = total_memory(&text);
    assert!(memory == 0 || text.contains("MemTotal:") && memory >= 1024);
}

/// What an agent has written the next one reads, and what it understands it would write again.
fn records(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(timings) = Timings::parse(&text) {
        assert_eq!(Timings::parse(&timings.to_string()), Some(timings));
    }
    if let Ok(identity) = Identity::parse(&text) {
        assert_eq!(identity.to_string(), text);
    }
}

#[test]
fn what_holds_of_every_text_holds_of_seeds_and_what_is_near_them() {
    hold::all("containerizer", ALL);
}
