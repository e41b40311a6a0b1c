//! `network`: whose links a container sees. One with a network of its own gets that from who connects it with
//! others; what its programs look up there is in files of its own.

mod protocols;
mod traffic;

use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, MountBuilder};

pub use protocols::ProtocolCounters;
pub use traffic::{Counters, Traffic};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

/// Whose network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    #[default]
    Hosts,
    Own {
        /// Files of the host that are shown instead of the container's: hosts(5), resolv.conf(5) …
        files: Vec<File>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub source: PathBuf,
    pub target: PathBuf,
}

pub(crate) struct Connection;

impl Isolator for Connection {
    fn name(&self) -> &'static str {
        "network"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        let Network::Own { files } = &request.network else {
            return Ok(());
        };
        let namespace = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
        spec.namespaces.push(namespace.build()?);
        for File { source, target } in files {
            // Everybody may read them, so also in a user namespace they need not be seen as its own.
            let mount = MountBuilder::default()
                .destination(target)
                .typ("bind")
                .source(source)
                .options(["bind", "ro"].map(str::to_owned).to_vec());
            spec.mounts.push(mount.build()?);
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
    fn a_network_of_its_own_comes_with_files_of_its_own() {
        let file = File {
            source: "/run/agent/network/c1/hosts".into(),
            target: "/etc/hosts".into(),
        };
        let own = Request {
            network: Network::Own { files: vec![file] },
            ..request()
        };
        let spec = plan(&own, &host(Version::V2)).expect("plans");
        let mounts = spec.mounts().clone().expect("mounts");
        let hosts = mounts
            .iter()
            .find(|mount| mount.destination().ends_with("etc/hosts"));
        let source = hosts.and_then(|mount| mount.source().clone());
        assert_eq!(source, Some("/run/agent/network/c1/hosts".into()));
        let linux = spec.linux().clone().expect("a linux section");
        let kinds = linux.namespaces().clone().unwrap_or_default();
        assert!(
            kinds
                .iter()
                .any(|kind| kind.typ() == LinuxNamespaceType::Network)
        );
    }
}
