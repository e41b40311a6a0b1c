//! What the kernel calls the same thing in cgroup v1 and v2.

/// Names of control files, and of keys in those that have several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub memory_usage: &'static str,
    pub memory_limit: &'static str,
    pub memory_soft_limit: &'static str,
    /// Linux 5.19 on v2.
    pub memory_peak: &'static str,
    /// Holds the key `oom_kill`.
    pub memory_events: &'static str,
    /// Keys of `memory.stat`; v1 counts descendants only in the `total_` ones.
    pub rss: &'static str,
    pub cache: &'static str,
    pub mapped_file: &'static str,
    pub unevictable: &'static str,
    /// Key of `cpu.stat` for time lost to the quota, and how many nanoseconds its unit has.
    pub throttled: (&'static str, u64),
}

pub(super) const V1: Files = Files {
    memory_usage: "memory.usage_in_bytes",
    memory_limit: "memory.limit_in_bytes",
    memory_soft_limit: "memory.soft_limit_in_bytes",
    memory_peak: "memory.max_usage_in_bytes",
    memory_events: "memory.oom_control",
    rss: "total_rss",
    cache: "total_cache",
    mapped_file: "total_mapped_file",
    unevictable: "total_unevictable",
    throttled: ("throttled_time", 1),
};

pub(super) const V2: Files = Files {
    memory_usage: "memory.current",
    memory_limit: "memory.max",
    memory_soft_limit: "memory.low",
    memory_peak: "memory.peak",
    memory_events: "memory.events",
    rss: "anon",
    cache: "file",
    mapped_file: "file_mapped",
    unevictable: "unevictable",
    throttled: ("throttled_usec", 1000),
};
