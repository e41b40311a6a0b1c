//! Where a rotation can be interrupted: tests let the process die at each.

/// After which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    CopyEmpty,
    Copied,
    Begun,
    FirstBlockHollow,
    Hollow,
    TakenOut,
    Named,
}

#[cfg(not(test))]
pub fn reach(_point: Point) {}

#[cfg(test)]
pub use tests::reach;

#[cfg(test)]
pub mod tests {
    use super::Point;

    pub const ALL: &[Point] = &[
        Point::CopyEmpty,
        Point::Copied,
        Point::Begun,
        Point::FirstBlockHollow,
        Point::Hollow,
        Point::TakenOut,
        Point::Named,
    ];

    /// Set for a process that is to die.
    pub const DIE_AT: &str = "LONGSHORE_TEST_DIE_AT";

    pub fn reach(point: Point) {
        if std::env::var(DIE_AT).is_ok_and(|name| name == format!("{point:?}")) {
            // As SIGKILL would: nothing is dropped, nothing is flushed.
            std::process::abort();
        }
    }
}
