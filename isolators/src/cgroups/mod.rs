//! `cgroups/*`: the controllers' parts of the plan, and the cgroup itself as a host object.

mod cgroup;
mod cpu;
mod files;
mod hierarchy;
mod memory;
mod oom;
mod statistics;

pub use cgroup::{Cgroup, CgroupError, Entry};
pub(crate) use cpu::Cpu;
pub use hierarchy::{BadHierarchy, ControllerMount, Hierarchy, Version};
pub(crate) use memory::Memory;
pub use oom::{OomWatch, OutOfMemory, Percent, Pressure, PressureOf, Task, Usage, Victim};
pub use statistics::{Statistics, StatisticsError};
