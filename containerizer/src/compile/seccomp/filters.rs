//! Filters of the profiles that were used last: nearly all containers of an agent share one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use oci_spec::runtime::LinuxSeccomp;

use super::abi::Abi;
use super::{Compiled, SeccompError, compile};

/// Profiles remembered; an agent seldom has more than a few.
const REMEMBERED: usize = 8;

/// Latest first.
#[derive(Debug, Default)]
pub struct Filters(Mutex<VecDeque<(LinuxSeccomp, Arc<Compiled>)>>);

impl Filters {
    /// The profile as a program for this machine.
    pub fn of(&self, profile: &LinuxSeccomp) -> Result<Arc<Compiled>, SeccompError> {
        // No panic leaves it half changed.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = known.iter().position(|(of, _)| of == profile) {
            known.swap(0, at);
            return Ok(known[0].1.clone());
        }
        let compiled = Arc::new(compile(profile, Abi::NATIVE)?);
        tracing::debug!("seccomp filter flags: {}", compiled.flags);
        if !compiled.unknown.is_empty() {
            let names = compiled.unknown.join(" ");
            tracing::info!(
                names,
                "a seccomp profile names calls that no known machine has: skipped"
            );
        }
        known.truncate(REMEMBERED - 1);
        known.push_front((profile.clone(), compiled.clone()));
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_compiled_once_and_many_are_forgotten() {
        let profile = |errno| {
            let mut profile = LinuxSeccomp::default();
            profile.set_default_action(oci_spec::runtime::LinuxSeccompAction::ScmpActErrno);
            profile.set_default_errno_ret(Some(errno));
            profile
        };
        let filters = Filters::default();
        let first = filters.of(&profile(1)).expect("compiles");
        let again = filters.of(&profile(1)).expect("compiles");
        assert!(Arc::ptr_eq(&first, &again));
        for errno in 2..100 {
            filters.of(&profile(errno)).expect("compiles");
        }
        let known = filters.0.lock().expect("not poisoned").len();
        assert_eq!(known, REMEMBERED);
    }
}
