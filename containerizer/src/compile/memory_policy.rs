//! From which NUMA nodes the command gets memory.

use init::MemoryPolicy;
use oci_spec::runtime::{
    LinuxMemoryPolicy, MemoryPolicyFlagType as Flag, MemoryPolicyModeType as Mode,
};

use super::CompileError;

/// No kernel is built for more (CONFIG_NODES_SHIFT).
const MOST_NODES: usize = 1024;

/// Numbers of linux/mempolicy.h.
pub fn of(policy: &LinuxMemoryPolicy) -> Result<MemoryPolicy, CompileError> {
    let (mode, wants_nodes) = match policy.mode() {
        Mode::MpolDefault => (0, false),
        Mode::MpolPreferred => (1, true),
        Mode::MpolBind => (2, true),
        Mode::MpolInterleave => (3, true),
        Mode::MpolLocal => (4, false),
        Mode::MpolPreferredMany => (5, true),
        Mode::MpolWeightedInterleave => (6, true),
    };
    let flags = policy.flags().iter().flatten().map(|flag| match flag {
        Flag::MpolFNumaBalancing => 1 << 13,
        Flag::MpolFRelativeNodes => 1 << 14,
        Flag::MpolFStaticNodes => 1 << 15,
    });
    let list = policy.nodes().as_deref().unwrap_or_default();
    let nodes = nodes(list).ok_or_else(|| CompileError::MemoryNodes(list.to_owned()))?;
    let count: u32 = nodes.iter().map(|word| word.count_ones()).sum();
    if !wants_nodes && count > 0 {
        return Err(CompileError::NeedlessNodes(count));
    }
    Ok(MemoryPolicy {
        mode: flags.fold(mode, |all, flag| all | flag),
        nodes,
    })
}

/// `0-3,7` as bits. `None` for what is no list, or names a node that no machine has.
pub(super) fn nodes(list: &str) -> Option<Vec<u64>> {
    const BITS: usize = u64::BITS as usize;
    let mut words: Vec<u64> = Vec::new();
    for range in list
        .split(',')
        .map(str::trim)
        .filter(|_| !list.trim().is_empty())
    {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST_NODES {
            return None;
        }
        words.resize(words.len().max(last / BITS + 1), 0);
        for node in first..=last {
            *words.get_mut(node / BITS)? |= 1 << (node % BITS);
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn planned(policy: Value) -> Result<(u32, Vec<u64>), String> {
        let policy = serde_json::from_value(policy).expect("a memory policy");
        let planned = of(&policy).map_err(|error| error.to_string())?;
        Ok((planned.mode, planned.nodes))
    }

    #[test]
    fn nodes_are_bits_and_flags_are_part_of_the_mode() {
        let nodes = |list: &str| planned(json!({"mode": "MPOL_BIND", "nodes": list}));
        assert_eq!(nodes("0"), Ok((2, vec![1])));
        assert_eq!(nodes("0-2, 5"), Ok((2, vec![0b10_0111])));
        assert_eq!(nodes("63-64"), Ok((2, vec![1 << 63, 1])));
        assert_eq!(nodes(""), Ok((2, vec![])));
        let relative =
            json!({"mode": "MPOL_PREFERRED", "nodes": "1", "flags": ["MPOL_F_RELATIVE_NODES"]});
        assert_eq!(planned(relative), Ok((0x4001, vec![2])));
        assert_eq!(planned(json!({"mode": "MPOL_DEFAULT"})), Ok((0, vec![])));
    }

    #[test]
    fn nodes_that_cannot_be_are_refused() {
        for list in [
            "0-9876543210",
            "x",
            "3-1",
            "1,",
            "1024",
            "-1",
            "99999999999999999999",
        ] {
            assert_eq!(
                planned(json!({"mode": "MPOL_BIND", "nodes": list})),
                Err(format!(
                    "linux.memoryPolicy.nodes: invalid memory policy nodes {list:?}: write numbers and \
                     ranges below 1024, as in \"0-3,7\""
                ))
            );
        }
        assert_eq!(
            planned(json!({"mode": "MPOL_LOCAL", "nodes": "0-7"})),
            Err(
                "linux.memoryPolicy.nodes: invalid memory policy: mode requires 0 nodes but got 8"
                    .to_owned()
            )
        );
    }
}
