//! What roles mean for resources: allocation, reservations and fairness.

use proto::resources::{BadResources, Resources};
use proto::v1;

/// Whether what is reserved for `reserved` may go to `role`: to the role itself and to those below.
pub fn may_use_reservation(role: &str, reserved: &str) -> bool {
    role == reserved || proto::ids::is_strict_subrole(role, reserved)
}

/// `a/b/c` gives `a`, `a/b`, `a/b/c`.
pub fn lineage(role: &str) -> impl Iterator<Item = &str> {
    role.match_indices('/')
        .map(|(end, _)| &role[..end])
        .chain([role])
}

/// The resources of a message, without the mark of the role that they are allocated to.
pub fn unallocated(wire: &[v1::Resource]) -> Result<Resources, BadResources> {
    Resources::from_protos(wire).map(|resources| resources.unallocate())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_may_use_a_reservation_and_others_may_not() {
        assert!(may_use_reservation("eng/web", "eng"));
        assert!(!may_use_reservation("engine", "eng"));
        assert!(!may_use_reservation("eng", "eng/web"));
    }

    #[test]
    fn a_lineage_begins_with_the_oldest() {
        assert_eq!(lineage("a/b/c").collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
    }
}
