//! `linux/capabilities`: what root may do inside.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{CapabilitySets, Request};

pub(crate) struct Capabilities;

/// What Docker grants by default: enough for daemons that start as root, nothing that reaches the
/// host.
const DEFAULT: &[Capability] = &[
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Of a container that names none.
pub fn default_capabilities() -> HashSet<Capability> {
    DEFAULT.iter().copied().collect()
}

impl Isolator for Capabilities {
    fn name(&self) -> &'static str {
        "linux/capabilities"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        let is_root = request.user.uid == 0;
        let Sets {
            bounding,
            effective,
            kept,
        } = sets(&request.capabilities, is_root)?;
        spec.capabilities = Some(
            LinuxCapabilitiesBuilder::default()
                .bounding(bounding)
                .effective(effective.clone())
                .permitted(effective)
                .inheritable(kept.clone())
                .ambient(kept)
                .build()?,
        );
        Ok(())
    }
}

struct Sets {
    bounding: HashSet<Capability>,
    effective: HashSet<Capability>,
    /// Over the exec of a program that knows nothing of capabilities.
    kept: HashSet<Capability>,
}

fn sets(asked: &CapabilitySets, is_root: bool) -> Result<Sets, PlanError> {
    let bounding = asked.bounding.clone().or_else(|| asked.effective.clone());
    let bounding = bounding.unwrap_or_else(default_capabilities);
    let effective = match &asked.effective {
        Some(effective) => effective.clone(),
        None if is_root => bounding.clone(),
        // Another user loses them at the exec; before it, they would let it run what is closed to
        // it.
        None => HashSet::new(),
    };
    let beyond = effective.difference(&bounding).map(|c| format!("CAP_{c}"));
    if let Some(beyond) = beyond.min() {
        return Err(PlanError::CapabilityBeyondBounds(beyond));
    }
    // Root has its bounding set anew at each exec, and so needs none that is kept: an inheritable
    // one would go on to files that ask for it.
    let kept = match (&asked.effective, is_root) {
        (Some(effective), false) => effective.clone(),
        (Some(_), true) | (None, _) => HashSet::new(),
    };
    Ok(Sets {
        bounding,
        effective,
        kept,
    })
}

/// The kernel's form of a set: bit n for capability n of capabilities(7). Names that the caps crate
/// does not know are left out, which grants less.
pub fn mask(set: &HashSet<Capability>) -> u64 {
    let bit = |capability: &Capability| {
        let name = format!("CAP_{capability}");
        name.parse::<caps::Capability>()
            .map_or(0, |known| known.bitmask())
    };
    set.iter().map(bit).fold(0, |all, one| all | one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_kernels_numbers() {
        let set = HashSet::from([
            Capability::Chown,
            Capability::NetBindService,
            Capability::Setfcap,
        ]);
        assert_eq!(mask(&set), 1 | 1 << 10 | 1 << 31);
    }

    fn masks(
        effective: Option<&[Capability]>,
        bounding: Option<&[Capability]>,
        is_root: bool,
    ) -> Option<[u64; 3]> {
        let set = |list: &[Capability]| list.iter().copied().collect::<HashSet<_>>();
        let asked = CapabilitySets {
            effective: effective.map(set),
            bounding: bounding.map(set),
        };
        let sets = sets(&asked, is_root).ok()?;
        Some([&sets.bounding, &sets.effective, &sets.kept].map(mask))
    }

    #[test]
    fn what_is_asked_for_comes_instead_of_the_default() {
        use Capability::{Chown, NetAdmin};
        let default = mask(&DEFAULT.iter().copied().collect());
        let (chown, both) = (1, 1 | 1 << 12);
        assert_eq!(masks(None, None, true), Some([default, default, 0]));
        assert_eq!(masks(None, None, false), Some([default, 0, 0]));
        assert_eq!(masks(Some(&[Chown]), None, true), Some([chown, chown, 0]));
        // Another user keeps what it was given.
        assert_eq!(
            masks(Some(&[Chown]), Some(&[Chown, NetAdmin]), false),
            Some([both, chown, chown])
        );
        assert_eq!(masks(None, Some(&[Chown]), true), Some([chown, chown, 0]));
        assert_eq!(masks(None, Some(&[Chown]), false), Some([chown, 0, 0]));
        assert_eq!(masks(Some(&[]), None, true), Some([0, 0, 0]));
        assert_eq!(masks(Some(&[NetAdmin]), Some(&[Chown]), true), None);
    }

    #[test]
    fn every_default_capability_has_a_bit() {
        let set: HashSet<Capability> = DEFAULT.iter().copied().collect();
        assert_eq!(mask(&set).count_ones() as usize, DEFAULT.len());
    }
}
