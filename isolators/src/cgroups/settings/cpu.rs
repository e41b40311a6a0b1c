//! `cpu`: weight, quota, burst, and real-time scheduling.
//!
//! As in runc, 0 is the same as nothing, but for `burst` and `idle`.

use oci_spec::runtime::LinuxCpu;

use super::{BadResources, Now, Setting};
use crate::cgroups::Version;

/// Microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cgroups) struct Bandwidth {
    /// `None`: no limit.
    pub quota: Option<u64>,
    pub period: u64,
}

impl Default for Bandwidth {
    /// The kernel's, for a new cgroup.
    fn default() -> Self {
        Self {
            quota: None,
            period: 100_000,
        }
    }
}

pub(super) fn settings(
    cpu: &LinuxCpu,
    version: Version,
    now: &Now,
) -> Result<Vec<Setting>, BadResources> {
    let mut settings = weight(cpu, version);
    settings.extend(bandwidth(cpu, version, &now.cpu));
    settings.extend(realtime(cpu, version, now.realtime_period)?);
    Ok(settings)
}

fn weight(cpu: &LinuxCpu, version: Version) -> Vec<Setting> {
    let shares = cpu.shares().filter(|shares| *shares > 0);
    let weight = shares.map(|shares| match version {
        Version::V1 => Setting::new("cpu", "cpu.shares", shares),
        Version::V2 => Setting::new("cpu", "cpu.weight", weight_of(shares)),
    });
    let idle = cpu.idle().map(|idle| Setting::new("cpu", "cpu.idle", idle));
    // The kernel refuses a weight for an idle group.
    let (first, second) = if cpu.idle() == Some(0) {
        (idle, weight)
    } else {
        (weight, idle)
    };
    first.into_iter().chain(second).collect()
}

/// From v1 shares, 2 to 262144, to a weight of v2, 1 to 10000, such that the defaults of both, 1024
/// and 100, are the same. As runc does it since 1.4, and crun since 1.23; the line between the ends
/// that both drew before made 39 of 1024.
fn weight_of(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

fn bandwidth(cpu: &LinuxCpu, version: Version, now: &Bandwidth) -> Vec<Setting> {
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period > 0);
    let limit = match version {
        Version::V1 => limit_v1(quota, period, now),
        Version::V2 => limit_v2(quota, period, now),
    };
    let burst = cpu.burst().map(|burst| match version {
        Version::V1 => Setting::new("cpu", "cpu.cfs_burst_us", burst),
        Version::V2 => Setting::new("cpu", "cpu.max.burst", burst),
    });
    // At every moment the burst must not be above the quota. (What the burst is now cannot be asked:
    // before Linux 6.10, v2 tells a thousandth of it.)
    let fits_already = |burst| now.quota.is_none_or(|quota| burst <= quota);
    if cpu.burst().is_some_and(fits_already) {
        burst.into_iter().chain(limit).collect()
    } else {
        limit.into_iter().chain(burst).collect()
    }
}

/// The share of time, quota / period, is never above both the old and the new one: a parent may allow
/// no more.
fn limit_v1(quota: Option<i64>, period: Option<u64>, now: &Bandwidth) -> Vec<Setting> {
    let longer = period.is_some_and(|period| period > now.period);
    let quota = quota.map(|quota| Setting::new("cpu", "cpu.cfs_quota_us", quota.max(-1)));
    let period = period.map(|period| Setting::new("cpu", "cpu.cfs_period_us", period));
    let (first, second) = if longer {
        (period, quota)
    } else {
        (quota, period)
    };
    first.into_iter().chain(second).collect()
}

fn limit_v2(quota: Option<i64>, period: Option<u64>, now: &Bandwidth) -> Vec<Setting> {
    if quota.is_none() && period.is_none() {
        return Vec::new();
    }
    let quota = match quota {
        Some(quota) => u64::try_from(quota).ok(),
        None => now.quota,
    };
    let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
    let period = period.unwrap_or(now.period);
    vec![Setting::new("cpu", "cpu.max", format!("{quota} {period}"))]
}

fn realtime(
    cpu: &LinuxCpu,
    version: Version,
    period_now: u64,
) -> Result<Vec<Setting>, BadResources> {
    let runtime = cpu.realtime_runtime().filter(|runtime| *runtime != 0);
    let period = cpu.realtime_period().filter(|period| *period > 0);
    if version == Version::V2 && (runtime.is_some() || period.is_some()) {
        return Err(BadResources::NotOnV2 {
            what: "cpu.realtimeRuntime and realtimePeriod",
            missing: "limits of real-time scheduling",
        });
    }
    let longer = period.is_some_and(|period| period > period_now);
    let runtime = runtime.map(|runtime| Setting::new("cpu", "cpu.rt_runtime_us", runtime));
    let period = period.map(|period| Setting::new("cpu", "cpu.rt_period_us", period));
    let (first, second) = if longer {
        (period, runtime)
    } else {
        (runtime, period)
    };
    Ok(first.into_iter().chain(second).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{hold, written};
    use super::*;

    #[test]
    fn v1_has_a_file_for_each_field() {
        hold(
            Version::V1,
            &[
                (
                    json!({"cpu": {
                        "shares": 4096, "quota": 5000, "period": 10000, "burst": 2000, "idle": 1,
                        "realtimeRuntime": 950, "realtimePeriod": 1000,
                    }}),
                    &[
                        ("cpu.shares", "4096"),
                        ("cpu.idle", "1"),
                        ("cpu.cfs_burst_us", "2000"),
                        ("cpu.cfs_quota_us", "5000"),
                        ("cpu.cfs_period_us", "10000"),
                        ("cpu.rt_runtime_us", "950"),
                        ("cpu.rt_period_us", "1000"),
                    ],
                ),
                (
                    json!({"cpu": {"shares": 0, "quota": -1, "period": 0, "burst": 0}}),
                    &[("cpu.cfs_burst_us", "0"), ("cpu.cfs_quota_us", "-1")],
                ),
            ],
        );
    }

    #[test]
    fn v2_has_quota_and_period_in_one() {
        hold(
            Version::V2,
            &[
                (
                    json!({"cpu": {"shares": 1024, "quota": 5000, "period": 10000, "burst": 2000}}),
                    &[
                        ("cpu.weight", "100"),
                        ("cpu.max.burst", "2000"),
                        ("cpu.max", "5000 10000"),
                    ],
                ),
                (json!({"cpu": {"quota": -1}}), &[("cpu.max", "max 100000")]),
                (
                    json!({"cpu": {"shares": 2, "idle": 0}}),
                    &[("cpu.idle", "0"), ("cpu.weight", "1")],
                ),
            ],
        );
        let realtime = json!({"cpu": {"realtimeRuntime": 5}});
        let error = written(realtime, Version::V2, &Now::default()).expect_err("refused");
        assert!(
            error
                .to_string()
                .contains("cgroup v2 has no limits of real-time scheduling")
        );
    }

    #[test]
    fn on_v2_what_is_not_given_stays() {
        let cpu = Bandwidth {
            quota: Some(7000),
            period: 20_000,
        };
        let now = Now {
            cpu,
            ..Now::default()
        };
        let max = |cpu| written(json!({ "cpu": cpu }), Version::V2, &now).expect("can be set");
        assert_eq!(max(json!({"period": 30_000}))[0].1, "7000 30000");
        assert_eq!(max(json!({"quota": 3000}))[0].1, "3000 20000");
    }

    #[test]
    fn the_defaults_and_the_ends_of_both_scales_meet() {
        let table = [
            (1, 1),
            (2, 1),
            (100, 17),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ];
        for (shares, weight) in table {
            assert_eq!(weight_of(shares), weight, "{shares}");
        }
    }

    #[derive(Debug, Clone, PartialEq)]
    struct State {
        limit: Bandwidth,
        burst: u64,
    }

    impl State {
        fn share(&self) -> f64 {
            let quota = self.limit.quota.unwrap_or(0);
            quota as f64 / self.limit.period as f64
        }

        /// The kernel's rules for a cgroup below a parent that allows a certain share of time.
        fn is_allowed(&self, share: f64) -> bool {
            self.share() <= share && self.limit.quota.is_none_or(|quota| self.burst <= quota)
        }
    }

    fn states() -> Vec<State> {
        let quotas = [None, Some(1000), Some(5000), Some(20_000)];
        let limits = quotas.map(|quota| [10_000, 40_000].map(|period| Bandwidth { quota, period }));
        let states = limits.iter().flatten().flat_map(|limit| {
            [0, 1000, 5000].map(|burst| State {
                limit: limit.clone(),
                burst,
            })
        });
        states.filter(|state| state.is_allowed(f64::MAX)).collect()
    }

    #[test]
    fn no_change_passes_through_a_state_that_the_kernel_refuses() {
        let states = states();
        for (old, new) in states
            .iter()
            .flat_map(|o| states.iter().map(move |n| (o, n)))
        {
            let allowed = old.share().max(new.share());
            let now = Now {
                cpu: old.limit.clone(),
                ..Now::default()
            };
            let quota = new.limit.quota.map_or(-1, |quota| quota as i64);
            let asked = json!({"quota": quota, "period": new.limit.period, "burst": new.burst});
            let mut at = old.clone();
            for (file, value) in
                written(json!({ "cpu": asked }), Version::V1, &now).expect("can be set")
            {
                match file.as_str() {
                    "cpu.cfs_quota_us" => at.limit.quota = value.parse().ok(),
                    "cpu.cfs_period_us" => at.limit.period = value.parse().expect("a number"),
                    _ => at.burst = value.parse().expect("a number"),
                }
                assert!(at.is_allowed(allowed), "{old:?} to {new:?} by {at:?}");
            }
            assert_eq!(&at, new);
        }
    }
}
