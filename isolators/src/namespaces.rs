//! `namespaces`: a view of processes, mounts, names and cgroups of the container's own; of users, too,
//! when it asks for that.

use oci_spec::runtime::{
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceBuilder, LinuxNamespaceType,
};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{IdRange, PidNamespace, Request, User};

pub(crate) struct Namespaces;

const OWN: &[LinuxNamespaceType] = &[
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Cgroup,
];

/// Its user must be among them, under the same number.
fn own_ids(user: &User, ids: IdRange) -> Result<LinuxIdMapping, PlanError> {
    let all = [user.uid, user.gid]
        .into_iter()
        .chain(user.groups.iter().copied());
    if let Some(beyond) = all.max().filter(|id| *id >= ids.count) {
        return Err(PlanError::UserBeyondIds {
            user: user.name.clone(),
            beyond,
            count: ids.count,
        });
    }
    let mapping = LinuxIdMappingBuilder::default()
        .container_id(0_u32)
        .host_id(ids.first)
        .size(ids.count);
    Ok(mapping.build()?)
}

impl Isolator for Namespaces {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        match (request.pid_namespace, request.user_namespace) {
            (PidNamespace::Own, _) => {
                let pids = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Pid);
                spec.namespaces.push(pids.build()?);
            }
            (PidNamespace::Hosts, None) => {}
            (PidNamespace::Hosts, Some(_)) => return Err(PlanError::ProcOfTheHost),
        }
        for kind in OWN {
            spec.namespaces
                .push(LinuxNamespaceBuilder::default().typ(*kind).build()?);
        }
        if let Some(ids) = request.user_namespace {
            let user = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::User);
            spec.namespaces.push(user.build()?);
            spec.id_mappings.push(own_ids(&request.user, ids)?);
        }
        spec.hostname.clone_from(&request.hostname);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};

    fn own(count: u32) -> Request {
        let ids = IdRange {
            first: 300_000,
            count,
        };
        Request {
            user_namespace: Some(ids),
            ..request()
        }
    }

    #[test]
    fn a_user_namespace_has_its_ids_and_the_sandbox_is_seen_through_them() {
        let spec = plan(&own(65536), &host(Version::V2)).expect("plans");
        let linux = spec.linux().clone().expect("a linux section");
        for mappings in [linux.uid_mappings(), linux.gid_mappings()] {
            let mapping = mappings.as_ref().expect("maps")[0];
            let (inside, outside) = (mapping.container_id(), mapping.host_id());
            assert_eq!((inside, outside, mapping.size()), (0, 300_000, 65536));
        }
        let mounts = spec.mounts().clone().expect("mounts");
        let sandbox = mounts
            .iter()
            .find(|mount| mount.destination().ends_with("sandbox"));
        let options = sandbox.and_then(|sandbox| sandbox.options().clone());
        assert_eq!(options.expect("options"), ["rbind", "rw", "idmap"]);
    }

    #[test]
    fn processes_of_the_host_are_seen_by_who_is_known_to_it() {
        let hosts = |user_namespace| Request {
            pid_namespace: PidNamespace::Hosts,
            ..Request {
                user_namespace,
                ..request()
            }
        };
        let spec = plan(&hosts(None), &host(Version::V2)).expect("plans");
        let linux = spec.linux().clone().expect("a linux section");
        let kinds: Vec<_> = (linux.namespaces().iter().flatten())
            .map(|namespace| namespace.typ())
            .collect();
        assert!(!kinds.contains(&LinuxNamespaceType::Pid), "{kinds:?}");
        let error = plan(&hosts(own(65536).user_namespace), &host(Version::V2));
        let error = error.expect_err("refused").to_string();
        assert!(error.contains("a user namespace of its own"), "{error}");
    }

    #[test]
    fn a_user_that_its_namespace_does_not_know_is_refused() {
        let error = plan(&own(5), &host(Version::V2)).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "user daemon has the id 5, which a user namespace of 5 ids does not know: let another user \
             run it, or the host's user namespace"
        );
    }
}
