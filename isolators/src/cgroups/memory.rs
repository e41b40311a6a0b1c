//! `cgroups/mem`: memory that is protected, and the cap above which the kernel kills.
//!
//! Source: spec/mesos-agent.md section 21.3.

use oci_spec::runtime::LinuxMemoryBuilder;

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{Limit, Request, Share, Swap};

pub(crate) struct Memory;

/// Below this a shell hardly starts.
const MINIMUM: u64 = 32 << 20;

impl Isolator for Memory {
    fn name(&self) -> &'static str {
        "cgroups/mem"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        let soft = request.memory.request.max(MINIMUM);
        let hard = match request.memory.limit {
            Limit::Default => soft as i64,
            Limit::At(limit) => limit.max(MINIMUM) as i64,
            Limit::Unlimited | Limit::Parents => -1,
        };
        let mut memory = LinuxMemoryBuilder::default()
            .reservation(soft as i64)
            .limit(hard);
        if request.swap == Swap::Never && hard >= 0 {
            // OCI's limit of swap counts memory, too.
            memory = memory.swap(hard);
        }
        spec.memory = Some(memory.build()?);
        let own = (host.oom_score_adj != 0).then_some(0);
        let bursts = oom_score_adj(request.memory, host.total_memory);
        spec.oom_score_adj = request.priority.oom_score_adj.or(bursts).or(own);
        Ok(())
    }
}

/// A container that may take more than it asked for is the first to go when the host runs short:
/// the less it asked for, the sooner. 0 to 1000.
fn oom_score_adj(memory: Share<u64>, total: u64) -> Option<i32> {
    let bursts = match memory.limit {
        Limit::Default | Limit::Parents => false,
        Limit::At(limit) => memory.request < limit,
        Limit::Unlimited => true,
    };
    bursts.then(|| 1000 - (1000 * memory.request / total.max(1)).min(1000) as i32)
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxMemory;

    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};

    fn memory_of(request: &Request) -> LinuxMemory {
        let spec = plan(request, &host(Version::V2)).expect("plans");
        let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
        resources.and_then(|r| *r.memory()).expect("memory")
    }

    #[test]
    fn where_memory_is_limited_swap_can_be_kept_from_making_up_for_it() {
        let swap = |swap: Swap, limit: Limit<u64>| {
            let memory = Share {
                request: 64 * MB,
                limit,
            };
            let request = Request {
                memory,
                swap,
                ..request()
            };
            memory_of(&request).swap()
        };
        assert_eq!(swap(Swap::Unlimited, Limit::Default), None);
        assert_eq!(swap(Swap::Never, Limit::Default), Some(64 << 20));
        assert_eq!(swap(Swap::Never, Limit::At(80 * MB)), Some(80 << 20));
        assert_eq!(swap(Swap::Never, Limit::Unlimited), None);
    }

    fn planned(memory: Share<u64>) -> (Option<i64>, Option<i64>, Option<i32>) {
        let spec = plan(
            &Request {
                memory,
                ..request()
            },
            &host(Version::V2),
        )
        .expect("plans");
        let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
        let planned = resources.and_then(|r| *r.memory()).expect("memory");
        let score = spec.process().as_ref().and_then(|p| p.oom_score_adj());
        (planned.reservation(), planned.limit(), score)
    }

    const MB: u64 = 1 << 20;

    #[test]
    fn without_a_limit_the_request_is_the_limit() {
        let share = Share {
            request: 64 * MB,
            limit: Limit::Default,
        };
        assert_eq!(planned(share), (Some(64 << 20), Some(64 << 20), None));
    }

    #[test]
    fn no_container_gets_less_than_the_minimum() {
        let share = Share {
            request: 10 * MB,
            limit: Limit::Default,
        };
        assert_eq!(planned(share), (Some(32 << 20), Some(32 << 20), None));
    }

    #[test]
    fn what_protects_the_agent_does_not_protect_its_containers() {
        let protected = Host {
            oom_score_adj: -900,
            ..host(Version::V2)
        };
        let spec = plan(&request(), &protected).expect("plans");
        let score = spec.process().as_ref().and_then(|p| p.oom_score_adj());
        assert_eq!(score, Some(0));
    }

    #[test]
    fn a_score_that_is_asked_for_counts_instead() {
        let request = Request {
            memory: Share {
                request: 64 * MB,
                limit: Limit::Unlimited,
            },
            priority: crate::Priority {
                oom_score_adj: Some(-5),
                ..Default::default()
            },
            ..request()
        };
        let spec = plan(&request, &host(Version::V2)).expect("plans");
        let score = spec.process().as_ref().and_then(|p| p.oom_score_adj());
        assert_eq!(score, Some(-5));
    }

    #[test]
    fn bursting_raises_the_oom_score() {
        let share = Share {
            request: 2048 * MB,
            limit: Limit::Unlimited,
        };
        assert_eq!(planned(share), (Some(2 << 30), Some(-1), Some(750)));
        let share = Share {
            request: 64 * MB,
            limit: Limit::At(128 * MB),
        };
        assert_eq!(planned(share), (Some(64 << 20), Some(128 << 20), Some(993)));
    }
}
