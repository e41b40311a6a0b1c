//! What the hierarchy of roles means for reservations and fairness.

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
    fn lineage_goes_from_the_root_down() {
        assert_eq!(lineage("a/b/c").collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
    }
}
