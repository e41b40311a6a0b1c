//! How the kernel runs the command: its personality, its place among other processes, its memory.

use init::{Scheduler, Scheduling};
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxIOPriority, LinuxPersonality, LinuxPersonalityDomain,
    LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler as OciScheduler,
};

use super::{CompileError, at, memory_policy};

pub fn of(process: &Process, linux: &Linux) -> Result<Scheduling, CompileError> {
    Ok(Scheduling {
        personality: linux.personality().as_ref().map(personality).transpose()?,
        io_priority: process
            .io_priority()
            .as_ref()
            .map(io_priority)
            .transpose()?,
        scheduler: process.scheduler().as_ref().map(scheduler).transpose()?,
        memory_policy: linux
            .memory_policy()
            .as_ref()
            .map(memory_policy::of)
            .transpose()?,
    })
}

/// personality(2).
fn personality(personality: &LinuxPersonality) -> Result<u64, CompileError> {
    if personality.flags().iter().flatten().next().is_some() {
        let unsupported = CompileError::Unsupported("flags of a personality");
        return Err(at("linux.personality.flags")(unsupported));
    }
    Ok(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

/// Class and level in the form of ioprio_set(2).
fn io_priority(priority: &LinuxIOPriority) -> Result<u32, CompileError> {
    const CLASS_SHIFT: u32 = 13;
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    // The kernel would take what is beyond for a hint.
    match u32::try_from(priority.priority()) {
        Ok(level @ 0..=7) => Ok(class << CLASS_SHIFT | level),
        _ => Err(CompileError::IoPriority(priority.priority())),
    }
}

/// Source: OCI runtime spec, config.md, "scheduler", and sched_setattr(2).
fn scheduler(asked: &OciScheduler) -> Result<Scheduler, CompileError> {
    use LinuxSchedulerPolicy as Policy;
    let policy = *asked.policy();
    let times = [asked.runtime(), asked.deadline(), asked.period()];
    let times = times.map(|time| time.unwrap_or(0));
    let real_time = matches!(policy, Policy::SchedFifo | Policy::SchedRr);
    if asked.priority().unwrap_or(0) != 0 && !real_time {
        return Err(CompileError::Scheduler(
            "a priority",
            "SCHED_FIFO and SCHED_RR",
        ));
    }
    if policy != Policy::SchedDeadline && times != [0; 3] {
        return Err(CompileError::Scheduler(
            "a runtime, deadline or period",
            "SCHED_DEADLINE",
        ));
    }
    let flags = asked.flags().iter().flatten().map(|flag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    });
    let [runtime, deadline, period] = times;
    Ok(Scheduler {
        policy: match policy {
            Policy::SchedOther => 0,
            Policy::SchedFifo => 1,
            Policy::SchedRr => 2,
            Policy::SchedBatch => 3,
            Policy::SchedIso => 4,
            Policy::SchedIdle => 5,
            Policy::SchedDeadline => 6,
        },
        flags: flags.fold(0, |all, flag| all | flag),
        nice: asked.nice().unwrap_or(0),
        priority: asked.priority().unwrap_or(0) as u32,
        runtime,
        deadline,
        period,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn planned(scheduler: Value) -> Result<Scheduler, String> {
        let scheduler = serde_json::from_value(scheduler).expect("a scheduler");
        super::scheduler(&scheduler).map_err(|error| error.to_string())
    }

    #[test]
    fn what_belongs_to_another_policy_is_refused() {
        let fifo = planned(
            json!({"policy": "SCHED_FIFO", "priority": 7, "flags": ["SCHED_RESET_ON_FORK"]}),
        );
        let fifo = fifo.expect("plans");
        assert_eq!((fifo.policy, fifo.priority, fifo.flags), (1, 7, 1));
        assert_eq!(
            planned(json!({"policy": "SCHED_BATCH", "priority": 7})).expect_err("refused"),
            "process.scheduler: a priority is for SCHED_FIFO and SCHED_RR only"
        );
        assert_eq!(
            planned(json!({"policy": "SCHED_OTHER", "runtime": 7})).expect_err("refused"),
            "process.scheduler: a runtime, deadline or period is for SCHED_DEADLINE only"
        );
    }
}
