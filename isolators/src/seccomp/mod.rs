//! `linux/seccomp`: which system calls a container may make.

mod default;
mod json;
mod load;
mod machine;
mod parse;
mod profile;

use std::collections::HashSet;

pub use load::LoadError;
pub use machine::{Kernel, Machine};
pub use parse::BadProfile;
pub use profile::{Answer, Arg, Condition, Machines, Profile, Rule};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{self, Request};

pub(crate) struct Seccomp;

/// Where a spec says that a container runs without a filter on purpose: OCI has no word for it but
/// silence.
pub const ANNOTATION: &str = "longshore.seccomp";

impl Isolator for Seccomp {
    fn name(&self) -> &'static str {
        "linux/seccomp"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        let profile = match &request.seccomp {
            request::Seccomp::Default => &host.seccomp,
            request::Seccomp::Profile(profile) => profile,
            request::Seccomp::Unconfined => {
                let unconfined = (ANNOTATION.to_owned(), "unconfined".to_owned());
                spec.annotations.extend([unconfined]);
                return Ok(());
            }
        };
        let none = HashSet::new();
        let capabilities = spec.capabilities.as_ref();
        let bounding = capabilities.and_then(|sets| sets.bounding().as_ref());
        spec.seccomp = Some(profile.resolve(&host.machine, bounding.unwrap_or(&none))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxSeccompAction;

    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};

    #[test]
    fn a_container_without_wishes_gets_the_hosts_profile() {
        let spec = plan(&request(), &host(Version::V2)).expect("plans");
        let seccomp = spec.linux().as_ref().and_then(|l| l.seccomp().clone());
        let seccomp = seccomp.expect("a profile");
        assert_eq!(seccomp.default_action(), LinuxSeccompAction::ScmpActErrno);
        assert_eq!(spec.annotations().clone().unwrap_or_default().len(), 0);
    }

    #[test]
    fn a_container_gets_the_profile_it_asks_for() {
        let mut own = Profile::builtin();
        own.default.action = LinuxSeccompAction::ScmpActKillProcess;
        own.default.errno = None;
        let request = Request {
            seccomp: request::Seccomp::Profile(own),
            ..request()
        };
        let spec = plan(&request, &host(Version::V2)).expect("plans");
        let seccomp = spec.linux().as_ref().and_then(|l| l.seccomp().clone());
        let action = seccomp.map(|seccomp| seccomp.default_action());
        assert_eq!(action, Some(LinuxSeccompAction::ScmpActKillProcess));
    }

    #[test]
    fn a_spec_says_that_its_container_is_unconfined() {
        let request = Request {
            seccomp: request::Seccomp::Unconfined,
            ..request()
        };
        let spec = plan(&request, &host(Version::V2)).expect("plans");
        assert!(spec.linux().as_ref().is_some_and(|l| l.seccomp().is_none()));
        let annotations = spec.annotations().clone().unwrap_or_default();
        assert_eq!(annotations[ANNOTATION], "unconfined");
    }
}
