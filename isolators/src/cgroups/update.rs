//! Changing the limits of a container that runs.

use std::fs;
use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::act::{self, Write};
use super::cgroup::Cgroup;
use super::error::CgroupError;
use super::hierarchy::Version;
use super::plan::Plan;
use super::settings::{Bandwidth, Now, Usage};
use super::statistics::{limit, number};

/// What a change has done, so that it can be taken back.
#[derive(Debug, Default)]
#[must_use]
pub struct Changed {
    back: Vec<Write>,
    program: Option<Vec<u64>>,
}

impl Cgroup {
    /// Sets what the resources name and leaves the rest as it is. When the kernel refuses a value, what
    /// was changed before it is changed back. The devices of v2 are the caller's part: see
    /// [`Changed::device_program`].
    pub fn update(&self, resources: &LinuxResources) -> Result<Changed, CgroupError> {
        let plan = Plan::of(resources, self.version(), &self.now(resources))?;
        self.extend(&plan.controllers())?;
        let mut changed = Changed::default();
        match self.carry_out(&plan, &mut changed) {
            Ok(()) => {
                changed.program = plan.device_program().map(<[u64]>::to_vec);
                Ok(changed)
            }
            Err(first) => Err(changed.take_back(first)),
        }
    }

    fn carry_out(&self, plan: &Plan, changed: &mut Changed) -> Result<(), CgroupError> {
        for setting in &plan.settings {
            changed.back.extend(act::change(self, setting)?);
        }
        // Last, because a list is long and the values before it are refused more often. `Changed` goes
        // from the last to the first.
        let back = self.limit_devices(plan)?;
        changed.back.extend(back.into_iter().rev());
        Ok(())
    }

    /// Looks up only what the resources make interesting.
    fn now(&self, resources: &LinuxResources) -> Now {
        let mut now = Now::default();
        if let (Some(dir), true) = (self.dir("cpu"), resources.cpu().is_some()) {
            now.cpu = bandwidth(&dir, self.version());
            let realtime = number(&dir, "cpu.rt_period_us");
            now.realtime_period = realtime.unwrap_or(now.realtime_period);
        }
        if let (Some(dir), true) = (self.dir("memory"), resources.memory().is_some()) {
            now.memory = Usage {
                limit: limit(&dir, self.files().memory_limit),
                with_swap: limit(&dir, "memory.memsw.limit_in_bytes"),
                used: number(&dir, self.files().memory_usage).unwrap_or(0),
            };
        }
        now
    }
}

/// A file that cannot be read is taken for that of a new cgroup.
fn bandwidth(dir: &Path, version: Version) -> Bandwidth {
    let default = Bandwidth::default();
    match version {
        Version::V1 => Bandwidth {
            // -1, no limit, is no such number.
            quota: number(dir, "cpu.cfs_quota_us"),
            period: number(dir, "cpu.cfs_period_us").unwrap_or(default.period),
        },
        Version::V2 => cpu_max(&fs::read_to_string(dir.join("cpu.max")).unwrap_or_default()),
    }
}

/// `max 100000`, or a quota instead of the first word. Both are microseconds.
pub(super) fn cpu_max(text: &str) -> Bandwidth {
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
    Bandwidth {
        quota: numbers.next().flatten(),
        period: (numbers.next().flatten()).unwrap_or(Bandwidth::default().period),
    }
}

impl Changed {
    /// v2: what is to take the place of the program for devices, as [`Plan::device_program`].
    pub fn device_program(&self) -> Option<&[u64]> {
        self.program.as_deref()
    }

    /// Changes back what was changed because of what went wrong, and says so when that fails, too.
    fn take_back(self, first: CgroupError) -> CgroupError {
        let also = self.back();
        if also.is_empty() {
            return first;
        }
        let first = Box::new(first);
        CgroupError::HalfWay { first, also }
    }

    /// Changes everything back. Returns what could not be, each as a sentence.
    pub fn back(self) -> Vec<String> {
        let writes = self.back.iter().rev();
        let failed = writes.filter_map(|write| act::write(&write.file, &write.value).err());
        failed.map(|error| error.to_string()).collect()
    }
}
