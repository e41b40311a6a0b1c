//! Decides what becomes of a task by what its sandbox takes of the disk. Pure.
//!
//! Source: spec/mesos-agent.md sections 2 and 22.

use std::time::Duration;

use containerizer::project_quota::ProjectLimit;
use proto::v1;

use super::measure::Measured;

/// What the flags say of quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Otherwise use is only told.
    pub enforces: bool,
    /// A task is killed also where the file system itself holds to limits.
    pub kills: bool,
    /// Beyond its quota, which a task may use before the file system stops it and it is killed.
    pub headroom: u64,
    pub interval: Duration,
    /// That each sandbox may have, where the file system holds to that.
    pub inodes: Option<u64>,
}

/// Who holds a sandbox to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    FileSystem,
    /// By a kill.
    Agent,
}

/// A task took more than it may.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Overrun {
    #[prost(uint64, tag = "1")]
    pub used: u64,
    #[prost(uint64, tag = "2")]
    pub limit: u64,
    /// Where most of it is; as words.
    #[prost(string, tag = "3")]
    pub largest: String,
}

impl Policy {
    /// At which the file system refuses more to a task that may use `quota`.
    pub fn hard_limit(&self, quota: Option<u64>) -> ProjectLimit {
        let quota = quota.filter(|_| self.enforces);
        ProjectLimit {
            bytes: quota.map(|quota| match self.kills {
                true => quota.saturating_add(self.headroom),
                false => quota,
            }),
            inodes: self.inodes,
        }
    }

    /// Whether a task that may use `quota` is to be killed for using that much.
    pub fn is_over(&self, quota: Option<u64>, holder: Holder, used: u64) -> bool {
        let kills = match holder {
            Holder::Agent => self.enforces,
            Holder::FileSystem => self.enforces && self.kills,
        };
        kills && quota.is_some_and(|quota| used > quota)
    }

    /// The same by a whole look at its sandbox. What cannot be counted counts as too much: it would be
    /// the place to hide.
    pub fn judge(
        &self,
        quota: Option<u64>,
        holder: Holder,
        measured: &Measured,
    ) -> Option<Overrun> {
        let limit = quota?;
        let hides = holder == Holder::Agent && self.enforces && measured.too_deep;
        (hides || self.is_over(quota, holder, measured.bytes)).then(|| Overrun {
            used: measured.bytes,
            limit,
            largest: largest(measured),
        })
    }
}

fn largest(measured: &Measured) -> String {
    let one = |(name, bytes): &(String, u64)| format!("{name} ({})", amount(*bytes));
    let names: Vec<_> = measured.largest.iter().map(one).collect();
    let names = names.join(", ");
    match measured.too_deep {
        true => format!("{names}; its directories are nested too deeply to count all of it"),
        false => names,
    }
}

/// In megabytes, or in kilobytes where those would say nothing.
pub fn amount(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{}KB", bytes.div_ceil(1 << 10)),
        _ => format!("{}MB", bytes.div_ceil(1 << 20)),
    }
}

/// Bytes that a task asks for on the disk that sandboxes are on: not of volumes and not of other disks.
/// `None` for none, which is a task that has not thought of it.
pub fn quota(resources: &[v1::Resource]) -> Option<u64> {
    let is_sandboxes = |resource: &&v1::Resource| {
        let disk = resource.disk.as_ref();
        resource.name == "disk"
            && disk.is_none_or(|disk| {
                disk.source.is_none() && disk.volume.is_none() && disk.persistence.is_none()
            })
    };
    let scalars = resources
        .iter()
        .filter(is_sandboxes)
        .filter_map(|resource| resource.scalar.as_ref());
    let megabytes: f64 = scalars.map(|scalar| scalar.value).sum();
    let bytes = (megabytes * f64::from(1 << 20)) as u64;
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proto::resources::Resources;

    use super::*;

    const MB: u64 = 1 << 20;

    fn policy(enforces: bool, kills: bool) -> Policy {
        Policy {
            enforces,
            kills,
            headroom: 10 * MB,
            interval: Duration::from_secs(15),
            inodes: Some(100),
        }
    }

    #[test]
    fn who_is_killed_and_where_the_file_system_stops() {
        use Holder::{Agent, FileSystem};
        #[rustfmt::skip] // A case a row: enforces, kills; the hard limit; killed by either holder.
        let table = [
            (false, false, None, false, false),
            (false, true, None, false, false),
            (true, false, Some(64 * MB), true, false),
            (true, true, Some(74 * MB), true, true),
        ];
        for (enforces, kills, bytes, by_agent, by_file_system) in table {
            let policy = policy(enforces, kills);
            let quota = Some(64 * MB);
            let inodes = Some(100);
            let hard = |bytes| ProjectLimit { bytes, inodes };
            assert_eq!(policy.hard_limit(quota), hard(bytes));
            assert_eq!(policy.is_over(quota, Agent, 64 * MB + 1), by_agent);
            assert_eq!(
                policy.is_over(quota, FileSystem, 64 * MB + 1),
                by_file_system
            );
            for holder in [Agent, FileSystem] {
                assert!(!policy.is_over(quota, holder, 64 * MB));
                assert!(!policy.is_over(None, holder, u64::MAX));
            }
            assert_eq!(policy.hard_limit(None), hard(None));
        }
    }

    #[test]
    fn an_overrun_tells_where_most_of_it_is() {
        let measured = Measured {
            bytes: 70 * MB,
            largest: vec![("cache/x".into(), 60 * MB), (".".into(), 5000)],
            ..Measured::default()
        };
        let overrun = policy(true, false).judge(Some(64 * MB), Holder::Agent, &measured);
        let overrun = overrun.unwrap();
        assert_eq!((overrun.used, overrun.limit), (70 * MB, 64 * MB));
        assert_eq!(overrun.largest, "cache/x (60MB), . (5KB)");
    }

    #[test]
    fn what_cannot_be_counted_is_too_much_where_the_agent_must_count() {
        let measured = Measured {
            bytes: MB,
            too_deep: true,
            ..Measured::default()
        };
        let judge = |enforces, holder| {
            let policy = policy(enforces, false);
            policy.judge(Some(64 * MB), holder, &measured).is_some()
        };
        assert!(judge(true, Holder::Agent));
        assert!(!judge(true, Holder::FileSystem));
        assert!(!judge(false, Holder::Agent));
    }

    #[test]
    fn the_quota_is_the_disk_that_the_sandbox_is_on() {
        let ask = |text: &str| quota(&Resources::parse(text, "*").unwrap().to_protos());
        assert_eq!(ask("cpus:1;disk:64"), Some(64 * MB));
        assert_eq!(ask("cpus:1"), None);
        let elsewhere = r#"[
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 32}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 1000},
             "disk": {"source": {"type": "PATH", "path": {"root": "/d"}}}}]"#;
        assert_eq!(ask(elsewhere), Some(32 * MB));
    }
}
