//! `cgroups/pids`: how many processes and threads a container may have.

use oci_spec::runtime::LinuxPidsBuilder;

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

pub(crate) struct Pids;

/// Its first process is ours, and counts, too.
const OURS: u64 = 1;

impl Isolator for Pids {
    fn name(&self) -> &'static str {
        "cgroups/pids"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        if let Some(limit) = request.pids {
            // More than the kernel can count is no limit.
            let limit = i64::try_from(limit.saturating_add(OURS)).unwrap_or(-1);
            spec.pids = Some(LinuxPidsBuilder::default().limit(limit).build()?);
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
    fn a_limit_leaves_room_for_our_own_process() {
        let planned = |pids| {
            let request = Request { pids, ..request() };
            let spec = plan(&request, &host(Version::V2)).expect("plans");
            let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
            resources.and_then(|r| *r.pids()).map(|pids| pids.limit())
        };
        assert_eq!(planned(None), None);
        assert_eq!(planned(Some(20)), Some(21));
        assert_eq!(planned(Some(u64::MAX)), Some(-1));
    }
}
