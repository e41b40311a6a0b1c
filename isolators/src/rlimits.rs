//! `posix/rlimits`: resource limits of the command's process.

use oci_spec::runtime::{PosixRlimitBuilder, PosixRlimitType};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{Request, Rlimit};

pub(crate) struct Rlimits;

impl Isolator for Rlimits {
    fn name(&self) -> &'static str {
        "posix/rlimits"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        let open_files = PosixRlimitType::RlimitNofile;
        let is_asked = request.rlimits.iter().any(|l| l.resource == open_files);
        // The agent raised its own; what it had before is what everybody on this host has.
        let of_host = host.open_files.filter(|_| !is_asked);
        let of_host = of_host.map(|(soft, hard)| Rlimit {
            resource: open_files,
            soft,
            hard,
        });
        for limit in of_host.iter().chain(&request.rlimits) {
            let limit = PosixRlimitBuilder::default()
                .typ(limit.resource)
                .soft(limit.soft)
                .hard(limit.hard);
            spec.rlimits.push(limit.build()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};

    #[test]
    fn what_is_asked_for_comes_instead_of_the_hosts() {
        let limit = |resource, soft| Rlimit {
            resource,
            soft,
            hard: u64::MAX,
        };
        let asked = vec![
            limit(PosixRlimitType::RlimitCore, 0),
            limit(PosixRlimitType::RlimitNofile, 7),
        ];
        let planned = |rlimits| {
            let request = Request {
                rlimits,
                ..request()
            };
            let spec = plan(&request, &host(Version::V2)).expect("plans");
            let process = spec.process().clone().expect("a process");
            let limits = process.rlimits().clone().unwrap_or_default();
            limits
                .iter()
                .map(|l| (l.typ(), l.soft()))
                .collect::<Vec<_>>()
        };
        use PosixRlimitType::{RlimitCore, RlimitNofile};
        assert_eq!(planned(vec![]), [(RlimitNofile, 1024)]);
        assert_eq!(planned(asked), [(RlimitCore, 0), (RlimitNofile, 7)]);
    }
}
