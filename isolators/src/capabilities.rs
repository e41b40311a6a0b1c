//! `linux/capabilities`: what root may do inside.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

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

impl Isolator for Capabilities {
    fn name(&self) -> &'static str {
        "linux/capabilities"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        let bounding: HashSet<Capability> = DEFAULT.iter().copied().collect();
        // Another user than root loses them at the exec; before it, they would let it run what is
        // closed to it.
        let set = if request.user.uid == 0 {
            bounding.clone()
        } else {
            HashSet::new()
        };
        spec.capabilities = Some(
            LinuxCapabilitiesBuilder::default()
                .bounding(bounding)
                .effective(set.clone())
                .permitted(set)
                // Inheritable capabilities survive an exec of a file that asks for them: none.
                .inheritable(HashSet::new())
                .ambient(HashSet::new())
                .build()?,
        );
        Ok(())
    }
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

    #[test]
    fn every_default_capability_has_a_bit() {
        let set: HashSet<Capability> = DEFAULT.iter().copied().collect();
        assert_eq!(mask(&set).count_ones() as usize, DEFAULT.len());
    }
}
