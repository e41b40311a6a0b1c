//! What a container may use. Pure.
//!
//! Source: spec/mesos-agent.md section 24.

use engine::Resources;
use isolators::{Limit, Share};

/// Microseconds.
const PERIOD: u64 = 100_000;

/// Microseconds; the kernel takes no less.
const SMALLEST_QUOTA: i64 = 1000;

/// Engines refuse to start with much less.
const SMALLEST_MEMORY: u64 = 32 << 20;

/// How the operator holds tasks to their processors and their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strictness {
    /// To what they ask for, where they name no limit.
    pub caps_cpus: bool,
    pub swaps: bool,
    pub pids: Option<u64>,
}

pub fn resources(cpus: Share<f64>, memory: Share<u64>, strictness: Strictness) -> Resources {
    let capped = match cpus.limit {
        Limit::At(limit) => quota(limit),
        Limit::Unlimited | Limit::Parents => None,
        Limit::Default if strictness.caps_cpus => quota(cpus.request),
        Limit::Default => None,
    };
    let bytes = |bytes: u64| i64::try_from(bytes.max(SMALLEST_MEMORY)).unwrap_or(i64::MAX);
    let limit = match memory.limit {
        Limit::At(limit) => Some(bytes(limit)),
        Limit::Default => Some(bytes(memory.request)),
        Limit::Unlimited | Limit::Parents => None,
    };
    Resources {
        cpu_shares: Some(((1024.0 * cpus.request) as u64).clamp(2, 262_144)),
        cpu_period: capped.map(|(period, _)| period),
        cpu_quota: capped.map(|(_, quota)| quota),
        memory: limit,
        memory_reservation: Some(bytes(memory.request)),
        memory_swap: limit.filter(|_| !strictness.swaps),
        pids_limit: strictness.pids.and_then(|pids| pids.try_into().ok()),
        ..Resources::default()
    }
}

/// Period and quota of that many processors.
pub fn quota(cpus: f64) -> Option<(u64, i64)> {
    let quota = (cpus * PERIOD as f64) as i64;
    (cpus.is_finite() && cpus > 0.0).then(|| (PERIOD, quota.max(SMALLEST_QUOTA)))
}

/// One that may take more than it asks for goes first when the host runs short: the less it asks for, the
/// sooner. `total`: bytes of the host.
pub fn oom_score_adj(memory: Share<u64>, total: u64) -> i64 {
    let bursts = match memory.limit {
        Limit::Default | Limit::Parents => false,
        Limit::At(limit) => memory.request < limit,
        Limit::Unlimited => true,
    };
    let share = (1000 * memory.request / total.max(1)).min(1000);
    match bursts {
        true => 1000 - share as i64,
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Strictness = Strictness {
        caps_cpus: false,
        swaps: true,
        pids: None,
    };

    fn share<T>(request: T, limit: Limit<T>) -> Share<T> {
        Share { request, limit }
    }

    #[test]
    fn a_task_has_its_shares_and_its_memory_and_no_cap_on_processors_that_nobody_asked_for() {
        let found = resources(
            share(0.5, Limit::Default),
            share(64 << 20, Limit::Default),
            PLAIN,
        );
        let wanted = Resources {
            cpu_shares: Some(512),
            memory: Some(64 << 20),
            memory_reservation: Some(64 << 20),
            ..Resources::default()
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn limits_count_before_what_the_operator_says() {
        let strict = Strictness {
            caps_cpus: true,
            swaps: false,
            pids: Some(100),
        };
        let found = resources(
            share(0.001, Limit::At(2.0)),
            share(1 << 20, Limit::At(128 << 20)),
            strict,
        );
        assert_eq!(found.cpu_shares, Some(2));
        assert_eq!(
            (found.cpu_period, found.cpu_quota),
            (Some(100_000), Some(200_000))
        );
        assert_eq!(
            (found.memory, found.memory_reservation),
            (Some(128 << 20), Some(32 << 20))
        );
        assert_eq!(
            (found.memory_swap, found.pids_limit),
            (Some(128 << 20), Some(100))
        );
        let found = resources(
            share(1.0, Limit::Unlimited),
            share(64 << 20, Limit::Unlimited),
            strict,
        );
        assert_eq!(
            (found.cpu_quota, found.memory, found.memory_swap),
            (None, None, None)
        );
    }

    #[test]
    fn who_may_take_more_than_it_asks_for_goes_first() {
        let total = 1 << 30;
        assert_eq!(oom_score_adj(share(512 << 20, Limit::Default), total), 0);
        assert_eq!(
            oom_score_adj(share(512 << 20, Limit::Unlimited), total),
            500
        );
        assert_eq!(oom_score_adj(share(0, Limit::At(1)), total), 1000);
    }
}
