//! From a task's `rlimit_info` to the limits of its container. Pure.
//!
//! Source: spec/mesos-agent.md section 19.

use isolators::{Rlimit, RlimitResource};
use proto::v1;
use proto::v1::r_limit_info::r_limit::Type;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRlimit {
    #[error(
        "a resource limit has no type, or one that is not known: give one of RLMT_AS to RLMT_STACK"
    )]
    NoType,
    #[error("{name} is limited twice: name each resource once")]
    Twice { name: &'static str },
    #[error("{name} has only one of \"soft\" and \"hard\": give both, or none for no limit")]
    Half { name: &'static str },
    #[error("{name} has a soft limit of {soft}, above its hard limit of {hard}")]
    Inverted {
        name: &'static str,
        soft: u64,
        hard: u64,
    },
}

#[rustfmt::skip] // Two names of one thing share a row.
const RESOURCES: &[(Type, RlimitResource)] = &[
    (Type::RlmtAs, RlimitResource::RlimitAs),
    (Type::RlmtCore, RlimitResource::RlimitCore),
    (Type::RlmtCpu, RlimitResource::RlimitCpu),
    (Type::RlmtData, RlimitResource::RlimitData),
    (Type::RlmtFsize, RlimitResource::RlimitFsize),
    (Type::RlmtLocks, RlimitResource::RlimitLocks),
    (Type::RlmtMemlock, RlimitResource::RlimitMemlock),
    (Type::RlmtMsgqueue, RlimitResource::RlimitMsgqueue),
    (Type::RlmtNice, RlimitResource::RlimitNice),
    (Type::RlmtNofile, RlimitResource::RlimitNofile),
    (Type::RlmtNproc, RlimitResource::RlimitNproc),
    (Type::RlmtRss, RlimitResource::RlimitRss),
    (Type::RlmtRtprio, RlimitResource::RlimitRtprio),
    (Type::RlmtRttime, RlimitResource::RlimitRttime),
    (Type::RlmtSigpending, RlimitResource::RlimitSigpending),
    (Type::RlmtStack, RlimitResource::RlimitStack),
];

pub fn rlimits(info: Option<&v1::RLimitInfo>) -> Result<Vec<Rlimit>, BadRlimit> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for asked in info.iter().flat_map(|info| &info.rlimits) {
        let kind = asked.r#type();
        let name = kind.as_str_name();
        let row = RESOURCES.iter().find(|(known, _)| *known == kind);
        let (_, resource) = row.ok_or(BadRlimit::NoType)?;
        if limits.iter().any(|known| known.resource == *resource) {
            return Err(BadRlimit::Twice { name });
        }
        let (soft, hard) = match (asked.soft, asked.hard) {
            (None, None) => (u64::MAX, u64::MAX),
            (Some(soft), Some(hard)) if soft > hard => {
                return Err(BadRlimit::Inverted { name, soft, hard });
            }
            (Some(soft), Some(hard)) => (soft, hard),
            (Some(_), None) | (None, Some(_)) => return Err(BadRlimit::Half { name }),
        };
        limits.push(Rlimit {
            resource: *resource,
            soft,
            hard,
        });
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use proto::v1::r_limit_info::RLimit;

    use super::*;

    fn info(limits: &[(Type, Option<u64>, Option<u64>)]) -> v1::RLimitInfo {
        let one = |(kind, soft, hard): &(Type, Option<u64>, Option<u64>)| RLimit {
            r#type: Some(*kind as i32),
            soft: *soft,
            hard: *hard,
        };
        v1::RLimitInfo {
            rlimits: limits.iter().map(one).collect(),
        }
    }

    #[test]
    fn every_type_of_the_protocol_is_a_resource_of_the_kernel() {
        let all = (1..=16).map(|number| Type::try_from(number).unwrap());
        let limits: Vec<_> = all.map(|kind| (kind, Some(1), Some(2))).collect();
        let limits = rlimits(Some(&info(&limits))).unwrap();
        assert_eq!(limits.len(), RESOURCES.len());
        assert!(limits.iter().all(|l| (l.soft, l.hard) == (1, 2)));
        assert_eq!(rlimits(None), Ok(vec![]));
    }

    #[test]
    fn a_limit_without_numbers_is_none() {
        let unlimited = info(&[(Type::RlmtCore, None, None)]);
        let limit = rlimits(Some(&unlimited)).unwrap().remove(0);
        assert_eq!((limit.soft, limit.hard), (u64::MAX, u64::MAX));
    }

    #[test]
    fn senseless_limits_are_refused_by_name() {
        let name = "RLMT_NOFILE";
        let kind = Type::RlmtNofile;
        let (one, two) = (Some(1), Some(2));
        let table = [
            (vec![(Type::Unknown, one, one)], BadRlimit::NoType),
            (
                vec![(kind, one, one), (kind, two, two)],
                BadRlimit::Twice { name },
            ),
            (vec![(kind, one, None)], BadRlimit::Half { name }),
            (vec![(kind, None, one)], BadRlimit::Half { name }),
            (
                vec![(kind, two, one)],
                BadRlimit::Inverted {
                    name,
                    soft: 2,
                    hard: 1,
                },
            ),
        ];
        for (limits, wanted) in table {
            assert_eq!(rlimits(Some(&info(&limits))), Err(wanted));
        }
    }
}
