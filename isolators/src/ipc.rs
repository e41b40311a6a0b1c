//! `namespaces/ipc`: what the container's processes share with others, and /dev/shm.
//!
//! Source: spec/mesos-agent.md section 19.

use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, MountBuilder};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{self, Access, Request};
use crate::volumes::bind;

pub(crate) struct Ipc;

impl Isolator for Ipc {
    fn name(&self) -> &'static str {
        "namespaces/ipc"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        if request.ipc != request::Ipc::Hosts {
            let namespace = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Ipc);
            spec.namespaces.push(namespace.build()?);
        }
        let shm_size = match request.ipc {
            request::Ipc::Private { shm_size } => Some(shm_size),
            // It has nothing of the host's.
            request::Ipc::OwnNamespace if request.root.is_some() => Some(None),
            request::Ipc::OwnNamespace | request::Ipc::Hosts => None,
        };
        if request.ipc == request::Ipc::Hosts && request.root.is_some() {
            let shm = Path::new("/dev/shm");
            spec.mounts
                .push(bind(shm, shm, Access::ReadWrite, request)?);
        }
        if let Some(shm_size) = shm_size {
            // Not noexec: some programs map code from there.
            let options = ["nosuid", "nodev", "mode=1777"].map(str::to_owned);
            let size = shm_size.map(|bytes| format!("size={bytes}"));
            let shm = MountBuilder::default()
                .destination("/dev/shm")
                .typ("tmpfs")
                .source("shm")
                .options(options.into_iter().chain(size).collect::<Vec<_>>());
            spec.mounts.push(shm.build()?);
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

    /// Whether it has a namespace of its own, and the options of its own /dev/shm.
    fn planned(ipc: request::Ipc) -> (bool, Option<String>) {
        let request = Request { ipc, ..request() };
        let spec = plan(&request, &host(Version::V2)).expect("plans");
        let namespaces = spec.linux().as_ref().and_then(|l| l.namespaces().clone());
        let mut kinds = namespaces.into_iter().flatten().map(|one| one.typ());
        let own = kinds.any(|kind| kind == LinuxNamespaceType::Ipc);
        let mounts = spec.mounts().clone().unwrap_or_default();
        let shm = mounts
            .iter()
            .find(|mount| mount.destination().ends_with("shm"));
        let options = shm.map(|shm| shm.options().clone().unwrap_or_default().join(","));
        (own, options)
    }

    #[test]
    fn a_container_shares_what_it_is_asked_to_and_no_more() {
        let private = |shm_size| request::Ipc::Private { shm_size };
        let options = |more: &str| Some(format!("nosuid,nodev,mode=1777{more}"));
        let table = [
            (request::Ipc::OwnNamespace, (true, None)),
            (private(None), (true, options(""))),
            (private(Some(4096)), (true, options(",size=4096"))),
            (request::Ipc::Hosts, (false, None)),
        ];
        for (asked, wanted) in table {
            assert_eq!(planned(asked), wanted, "{asked:?}");
        }
    }
}
