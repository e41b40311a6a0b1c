//! `cgroups/cpu`: weight among neighbours, and a quota where one is asked for.
//!
//! Source: spec/mesos-agent.md section 21.2.

use oci_spec::runtime::LinuxCpuBuilder;

use super::Version;
use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{Limit, Request, Share};

pub(crate) struct Cpu;

/// Microseconds.
const PERIOD: u64 = 100_000;
const MINIMUM_QUOTA: u64 = 1000;

impl Isolator for Cpu {
    fn name(&self) -> &'static str {
        "cgroups/cpu"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        let mut cpu = LinuxCpuBuilder::default();
        let shared = request.priority.cpu_shares;
        let shared = shared.map_or(request.cpus.request, |shares| shares as f64 / 1024.0);
        match host.cgroups {
            Version::V1 => cpu = cpu.shares(shares(shared)),
            Version::V2 => {
                spec.unified
                    .insert("cpu.weight".to_owned(), weight(shared).to_string());
            }
        }
        match quota(request.cpus, host.cfs_by_default) {
            None => {}
            Some(Quota::Unlimited) => cpu = cpu.quota(-1).period(PERIOD),
            Some(Quota::Microseconds(quota)) => cpu = cpu.quota(quota as i64).period(PERIOD),
        }
        if let Some(cpus) = &request.cpuset.cpus {
            cpu = cpu.cpus(cpus.as_str());
        }
        if let Some(mems) = &request.cpuset.mems {
            cpu = cpu.mems(mems.as_str());
        }
        spec.cpu = Some(cpu.build()?);
        Ok(())
    }
}

enum Quota {
    Unlimited,
    /// Of cpu time in each period.
    Microseconds(u64),
}

fn quota(cpus: Share<f64>, cfs_by_default: bool) -> Option<Quota> {
    let of = |cpus: f64| Quota::Microseconds(((cpus * PERIOD as f64) as u64).max(MINIMUM_QUOTA));
    match cpus.limit {
        Limit::At(limit) => Some(of(limit)),
        Limit::Unlimited | Limit::Parents => Some(Quota::Unlimited),
        Limit::Default => cfs_by_default.then(|| of(cpus.request)),
    }
}

/// 2 to 262144: `cpu.shares` of cgroup v1.
fn shares(cpus: f64) -> u64 {
    ((1024.0 * cpus) as u64).clamp(2, 262_144)
}

/// 1 to 10000: `cpu.weight` of cgroup v2.
fn weight(cpus: f64) -> u64 {
    ((100.0 * cpus) as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};
    use crate::request::Priority;

    #[test]
    fn weights_follow_the_request_and_stay_in_the_kernels_range() {
        assert_eq!([0.0, 0.5, 4.0, 1e9].map(shares), [2, 512, 4096, 262_144]);
        assert_eq!([0.0, 0.5, 4.0, 1e9].map(weight), [1, 50, 400, 10_000]);
    }

    #[test]
    fn shares_that_are_asked_for_count_instead() {
        let request = Request {
            priority: Priority {
                cpu_shares: Some(2048),
                ..Default::default()
            },
            ..request()
        };
        let v1 = plan(&request, &host(Version::V1)).expect("plans");
        let resources = v1.linux().as_ref().and_then(|l| l.resources().clone());
        let cpu = resources.and_then(|r| r.cpu().clone()).expect("cpu");
        assert_eq!(cpu.shares(), Some(2048));
        let v2 = plan(&request, &host(Version::V2)).expect("plans");
        let resources = v2.linux().as_ref().and_then(|l| l.resources().clone());
        let unified = resources.and_then(|r| r.unified().clone()).expect("files");
        assert_eq!(unified["cpu.weight"], "200");
    }

    fn planned(limit: Limit<f64>, cfs_by_default: bool) -> (Option<i64>, Option<u64>) {
        let request = Request {
            cpus: Share {
                request: 0.5,
                limit,
            },
            ..request()
        };
        let host = Host {
            cfs_by_default,
            ..host(Version::V1)
        };
        let spec = plan(&request, &host).expect("plans");
        let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
        let cpu = resources.and_then(|r| r.cpu().clone()).expect("cpu");
        (cpu.quota(), cpu.shares())
    }

    #[test]
    fn a_quota_is_set_only_when_asked_for() {
        assert_eq!(planned(Limit::Default, false), (None, Some(512)));
        assert_eq!(planned(Limit::Default, true), (Some(50_000), Some(512)));
        assert_eq!(planned(Limit::At(2.0), false), (Some(200_000), Some(512)));
        assert_eq!(planned(Limit::At(0.0001), false), (Some(1000), Some(512)));
        assert_eq!(planned(Limit::Unlimited, true), (Some(-1), Some(512)));
    }
}
