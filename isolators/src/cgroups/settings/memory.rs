//! `memory`: the cap, what is protected, and swap.
//!
//! OCI's `swap` is the limit of memory and swap together, as in cgroup v1; v2 limits swap alone.
//! As in runc, 0 is the same as nothing, and -1 is no limit.

use oci_spec::runtime::LinuxMemory;

use super::{BadResources, Setting, or_max};
use crate::cgroups::Version;

/// What is set, and used, now. Bytes; `None`: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cgroups) struct Usage {
    pub limit: Option<u64>,
    /// v1.
    pub with_swap: Option<u64>,
    pub used: u64,
}

pub(super) fn settings(
    memory: &LinuxMemory,
    version: Version,
    now: &Usage,
) -> Result<Vec<Setting>, BadResources> {
    match version {
        Version::V1 => match (given(memory.swap()), given(memory.limit())) {
            (Some(swap @ 1..), Some(limit @ 1..)) if swap < limit => {
                let limit = limit.unsigned_abs();
                Err(BadResources::SwapBelowMemory { swap, limit })
            }
            _ => Ok(v1(memory, now)),
        },
        Version::V2 => v2(memory, now),
    }
}

fn given(limit: Option<i64>) -> Option<i64> {
    limit.filter(|limit| *limit != 0)
}

fn v1(memory: &LinuxMemory, now: &Usage) -> Vec<Setting> {
    const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";
    let bytes = |file, limit: i64| Setting::new("memory", file, limit.max(-1));
    let wanted = given(memory.limit());
    let limit = wanted.map(|limit| bytes("memory.limit_in_bytes", limit));
    let swap = match (given(memory.swap()), wanted) {
        (Some(swap), _) => Some(bytes(WITH_SWAP, swap)),
        // No limit of memory means none of memory and swap together.
        (None, Some(..0)) => Some(bytes(WITH_SWAP, -1).where_it_exists()),
        (None, _) => None,
    };
    // At every moment the limit must not be above that with swap.
    let swap_first = match (wanted, now.with_swap) {
        (_, None) | (None, _) => false,
        (Some(limit), Some(with_swap)) => {
            u64::try_from(limit).is_ok_and(|l| l > with_swap) || limit < 0
        }
    };
    let (first, second) = if swap_first {
        (swap, limit)
    } else {
        (limit, swap)
    };
    let mut settings: Vec<_> = first.into_iter().chain(second).collect();
    if let Some(soft) = given(memory.reservation()) {
        settings.push(bytes("memory.soft_limit_in_bytes", soft));
    }
    if let Some(kernel) = given(memory.kernel()) {
        settings.push(bytes("memory.kmem.limit_in_bytes", kernel));
    }
    if let Some(tcp) = given(memory.kernel_tcp()) {
        settings.push(bytes("memory.kmem.tcp.limit_in_bytes", tcp));
    }
    if let Some(swappiness) = memory.swappiness() {
        settings.push(Setting::new("memory", "memory.swappiness", swappiness));
    }
    if let Some(disabled) = memory.disable_oom_killer() {
        let value = u8::from(disabled);
        let setting = Setting::new("memory", "memory.oom_control", value);
        settings.push(if disabled {
            setting
        } else {
            setting.where_it_exists()
        });
    }
    if memory.use_hierarchy() == Some(true) {
        // All cgroups of newer kernels are hierarchical; some have no file for it any more.
        settings.push(Setting::new("memory", "memory.use_hierarchy", 1).where_it_exists());
    }
    settings
}

fn v2(memory: &LinuxMemory, now: &Usage) -> Result<Vec<Setting>, BadResources> {
    refuse_on_v2(memory)?;
    let limit = given(memory.limit());
    if let Some(limit) = limit.filter(|_| memory.check_before_update() == Some(true))
        && u64::try_from(limit).is_ok_and(|limit| limit < now.used)
    {
        let usage = now.used;
        return Err(BadResources::LessThanUsed { limit, usage });
    }
    let mut settings = Vec::new();
    // Before the limit: what does not fit below that may have to go there.
    if let Some(swap) = swap_alone(memory.swap(), limit, now.limit)? {
        let setting = Setting::new("memory", "memory.swap.max", &swap);
        // A kernel without swap has none to limit.
        let harmless = swap == "max" || swap == "0";
        settings.push(if harmless {
            setting.where_it_exists()
        } else {
            setting
        });
    }
    if let Some(limit) = limit {
        settings.push(Setting::new("memory", "memory.max", or_max(limit)));
    }
    if let Some(low) = given(memory.reservation()) {
        settings.push(Setting::new("memory", "memory.low", or_max(low)));
    }
    Ok(settings)
}

fn swap_alone(
    swap: Option<i64>,
    limit: Option<i64>,
    limit_now: Option<u64>,
) -> Result<Option<String>, BadResources> {
    let swap = match (given(swap), limit) {
        (Some(swap), _) => swap,
        (None, Some(..0)) => -1,
        (None, _) => return Ok(None),
    };
    let Ok(total) = u64::try_from(swap) else {
        return Ok(Some("max".to_owned()));
    };
    let limit = limit.map_or(limit_now, |limit| u64::try_from(limit).ok());
    let limit = limit.ok_or(BadResources::SwapWithoutMemory)?;
    match total.checked_sub(limit) {
        Some(alone) => Ok(Some(alone.to_string())),
        None => Err(BadResources::SwapBelowMemory { swap, limit }),
    }
}

fn refuse_on_v2(memory: &LinuxMemory) -> Result<(), BadResources> {
    let kernel = given(memory.kernel());
    let table = [
        (
            kernel.is_some(),
            "memory.kernel",
            "limit of kernel memory alone",
        ),
        (
            given(memory.kernel_tcp()).is_some(),
            "memory.kernelTCP",
            "limit of TCP memory alone",
        ),
        (
            memory.swappiness().is_some(),
            "memory.swappiness",
            "swappiness of a cgroup",
        ),
        (
            memory.disable_oom_killer() == Some(true),
            "memory.disableOOMKiller",
            "way to disable the OOM killer",
        ),
    ];
    match table.into_iter().find(|(asked, ..)| *asked) {
        Some((_, what, missing)) => Err(BadResources::NotOnV2 { what, missing }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{hold, written};
    use super::super::{BadResources, Now};
    use super::Usage;
    use crate::cgroups::Version;

    #[test]
    fn v1_has_a_file_for_each_field() {
        let all = json!({"memory": {
            "limit": 100, "reservation": 50, "swap": 200, "kernel": 70, "kernelTCP": 60,
            "swappiness": 0, "disableOOMKiller": true, "useHierarchy": true,
        }});
        hold(
            Version::V1,
            &[
                (
                    all,
                    &[
                        ("memory.limit_in_bytes", "100"),
                        ("memory.memsw.limit_in_bytes", "200"),
                        ("memory.soft_limit_in_bytes", "50"),
                        ("memory.kmem.limit_in_bytes", "70"),
                        ("memory.kmem.tcp.limit_in_bytes", "60"),
                        ("memory.swappiness", "0"),
                        ("memory.oom_control", "1"),
                        ("memory.use_hierarchy", "1"),
                    ],
                ),
                (
                    json!({"memory": {"limit": -1, "reservation": 0}}),
                    &[
                        ("memory.limit_in_bytes", "-1"),
                        ("memory.memsw.limit_in_bytes", "-1"),
                    ],
                ),
            ],
        );
    }

    #[test]
    fn v2_limits_swap_alone() {
        let table = [
            (json!({"limit": 100, "swap": 250, "reservation": 50}), "150"),
            (json!({"limit": 100, "swap": 100}), "0"),
            (json!({"limit": 100, "swap": -1}), "max"),
            (json!({"limit": -1}), "max"),
        ];
        for (memory, swap) in table {
            let found = written(json!({ "memory": memory }), Version::V2, &Now::default());
            let found = found.expect("can be set");
            assert_eq!(found[0], ("memory.swap.max".to_owned(), swap.to_owned()));
        }
        hold(
            Version::V2,
            &[(
                json!({"memory": {"limit": 100, "reservation": 50, "disableOOMKiller": false}}),
                &[("memory.max", "100"), ("memory.low", "50")],
            )],
        );
    }

    fn refused(memory: serde_json::Value, now: Usage) -> BadResources {
        let now = Now {
            memory: now,
            ..Now::default()
        };
        let found = written(json!({ "memory": memory }), Version::V2, &now);
        found.expect_err("refused")
    }

    #[test]
    fn what_v2_cannot_do_is_refused() {
        let error = refused(json!({"swappiness": 5}), Usage::default());
        assert_eq!(
            error.to_string(),
            "linux.resources.memory.swappiness cannot be set on this host: cgroup v2 has no swappiness \
             of a cgroup"
        );
        let error = refused(json!({"swap": 5}), Usage::default());
        assert_eq!(error, BadResources::SwapWithoutMemory);
        let error = refused(json!({"limit": 6, "swap": 5}), Usage::default());
        assert_eq!(error, BadResources::SwapBelowMemory { swap: 5, limit: 6 });
        let used = Usage {
            used: 7,
            ..Usage::default()
        };
        let error = refused(json!({"limit": 6, "checkBeforeUpdate": true}), used);
        assert_eq!(error, BadResources::LessThanUsed { limit: 6, usage: 7 });
    }

    #[test]
    fn the_limit_is_never_above_that_with_swap() {
        let limits = [1_i64, 5, 10, -1];
        let real = |limit: i64| u64::try_from(limit).ok();
        let above = |limit: Option<u64>, swap: Option<u64>| match (limit, swap) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(limit), Some(swap)) => limit > swap,
        };
        for (old, old_swap) in limits.iter().flat_map(|l| limits.map(|s| (*l, s))) {
            for (new, new_swap) in limits.iter().flat_map(|l| limits.map(|s| (*l, s))) {
                if above(real(old), real(old_swap)) || above(real(new), real(new_swap)) {
                    continue;
                }
                let memory = Usage {
                    limit: real(old),
                    with_swap: real(old_swap),
                    used: 0,
                };
                let now = Now {
                    memory,
                    ..Now::default()
                };
                let asked = json!({"memory": {"limit": new, "swap": new_swap}});
                let (mut limit, mut swap) = (real(old), real(old_swap));
                for (file, value) in written(asked, Version::V1, &now).expect("can be set") {
                    let value = real(value.parse().expect("a number"));
                    if file == "memory.limit_in_bytes" {
                        limit = value;
                    } else {
                        swap = value;
                    }
                    assert!(
                        !above(limit, swap),
                        "{old} {old_swap} to {new} {new_swap}: {file}"
                    );
                }
            }
        }
    }
}
