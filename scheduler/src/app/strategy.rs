//! How instances are sized, replaced, given up and chosen for killing.

/// Bounds of a rolling replacement, as shares of the wanted instances, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpgradeStrategy {
    pub minimum_health_capacity: f64,
    pub maximum_over_capacity: f64,
}

impl UpgradeStrategy {
    /// All old instances stay until as many new ones are healthy.
    pub const DEFAULT: UpgradeStrategy = UpgradeStrategy {
        minimum_health_capacity: 1.0,
        maximum_over_capacity: 1.0,
    };
    /// An instance that is bound to its volume has to go before its successor can come.
    pub const RESIDENT: UpgradeStrategy = UpgradeStrategy {
        minimum_health_capacity: 0.5,
        maximum_over_capacity: 0.0,
    };
    /// At most one instance at any time.
    pub const SINGLE_INSTANCE: UpgradeStrategy = UpgradeStrategy {
        minimum_health_capacity: 0.0,
        maximum_over_capacity: 0.0,
    };
}

/// What happens to instances on an agent that is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreachableStrategy {
    /// Wait for ever.
    Disabled,
    /// Seconds of unreachability until a replacement is launched, and until the instance is
    /// forgotten; the first never exceeds the second.
    Replace {
        inactive_after_seconds: u32,
        expunge_after_seconds: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillSelection {
    YoungestFirst,
    OldestFirst,
}

/// What a custom executor needs beside the task: cores and MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExecutorResources {
    pub cpus: f64,
    pub mem: f64,
    pub disk: f64,
}

/// How far an instance may burst beyond its request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResourceLimits {
    pub cpus: Option<Limit>,
    pub mem: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    At(f64),
    Unlimited,
}
