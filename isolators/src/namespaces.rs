//! `namespaces`: a view of processes, mounts, IPC, names and cgroups of the container's own.

use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

pub(crate) struct Namespaces;

/// The network stays the host's: a task without networks of its own shares the agent's.
const OWN: &[LinuxNamespaceType] = &[
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Cgroup,
];

impl Isolator for Namespaces {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        for kind in OWN {
            spec.namespaces
                .push(LinuxNamespaceBuilder::default().typ(*kind).build()?);
        }
        spec.hostname.clone_from(&request.hostname);
        Ok(())
    }
}
