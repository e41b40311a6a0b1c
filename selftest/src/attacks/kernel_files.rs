//! Files of the kernel that tell of the host, or change it.

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::trouble::Trouble;

pub const OF_AN_IMAGE: Attack = Attack {
    name: "kernel's files, from an image",
    cve: "",
    tries: "The container reads and opens for writing what the kernel shows of the host in /proc and /sys.",
    attempt: of_an_image,
};

pub const OF_A_TASK: Attack = Attack {
    name: "kernel's files, from a task",
    cve: "",
    tries: "The same from a task on the host's own files.",
    attempt: of_a_task,
};

/// Nothing is written: to open for writing is all it takes.
const LOOK: &str =
    "for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats \\
        /proc/timer_stats /proc/kmsg; do
        [ -r $f ] || continue
        [ -z \"$(timeout 5 dd if=$f bs=1 count=1 2>/dev/null | tr '\\0' x)\" ] || echo \"! read $f\"
    done
    for d in /sys/firmware /proc/acpi /proc/asound /proc/scsi; do
        [ -z \"$(ls $d 2>/dev/null)\" ] || echo \"! read $d\"
    done
    for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe \\
        /proc/sys/vm/panic_on_oom /proc/irq/default_smp_affinity /proc/bus/pci/00/00.0 \\
        /sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/uevent_helper \\
        /sys/module/kernel/parameters/panic /sys/kernel/security/apparmor/.load; do
        [ -e $f ] || continue
        (: >>$f) 2>/dev/null && echo \"! may write $f\"
    done
    true";

fn of_an_image(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    look(field, Bundle::image(field, walls)?)
}

fn of_a_task(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    look(field, Bundle::task(field, walls)?)
}

fn look(field: &Field, mut bundle: Bundle) -> Result<Verdict, Trouble> {
    bundle.script(LOOK);
    field.run(&bundle)?.ended()?.reached().map(Verdict::of)
}
