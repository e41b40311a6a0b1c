//! `cgroups/*`: the controllers' parts of the plan, and the cgroup itself as a host object.

mod act;
mod below;
mod cgroup;
mod cpu;
mod details;
mod device_io;
mod devices;
mod directory;
mod error;
mod files;
pub mod found;
mod freeze;
mod hierarchy;
mod io;
mod members;
mod memory;
mod oom;
mod opened;
mod pids;
mod place;
mod plan;
mod pressure;
mod pressure_level;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod settings;
mod statistics;
mod update;

pub use below::Below;
pub use cgroup::{Cgroup, Entry, Layout};
pub(crate) use cpu::Cpu;
pub use details::{Details, Usage};
pub use device_io::{Amount, DeviceIo};
pub use devices::BadRule;
pub(crate) use devices::Devices;
pub use error::CgroupError;
pub use hierarchy::{BadHierarchy, ControllerMount, Hierarchy, Version};
pub(crate) use io::Io;
pub(crate) use memory::Memory;
pub use oom::{
    MemoryPressure, MemoryUsage, OomWatch, OutOfMemory, Percent, PressureOf, Task, Victim,
};
pub(crate) use pids::Pids;
pub use place::resolve;
pub use plan::Plan;
pub use pressure::{Pressure, Pressures, Stall};
pub use pressure_level::{PressureCounts, PressureLevels};
pub use settings::BadResources;
pub use statistics::{Statistics, StatisticsError};
pub use update::Changed;
