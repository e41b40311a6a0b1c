//! `cgroups/blkio`: weight among neighbours on a disk, where one is asked for.

use oci_spec::runtime::LinuxBlockIoBuilder;

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

pub(crate) struct Io;

impl Isolator for Io {
    fn name(&self) -> &'static str {
        "cgroups/blkio"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        if let Some(weight) = request.priority.io_weight {
            spec.block_io = Some(LinuxBlockIoBuilder::default().weight(weight).build()?);
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
    use crate::request::Priority;

    #[test]
    fn a_weight_is_told_where_one_is_asked_for() {
        let planned = |io_weight| {
            let priority = Priority {
                io_weight,
                ..Default::default()
            };
            let request = Request {
                priority,
                ..request()
            };
            let spec = plan(&request, &host(Version::V1)).expect("plans");
            let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
            resources.and_then(|r| r.block_io().clone())
        };
        assert_eq!(planned(None), None);
        assert_eq!(planned(Some(300)).and_then(|it| it.weight()), Some(300));
    }
}
