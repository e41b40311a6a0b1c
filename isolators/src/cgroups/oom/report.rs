//! What the kernel writes when it kills for memory:
//!
//! ```text
//! tail invoked oom-killer: gfp_mask=…
//! memory: usage 65536kB, limit 65536kB, failcnt 57
//! Memory cgroup stats for /mesos/c1:
//! anon 66629632
//! …
//! Tasks state (memory values in pages):
//! [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
//! [  25077]     0 25077    16765    16482   176128        0             0 tail
//! oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/mesos/c1,task_memcg=/mesos/c1,task=tail,pid=25077,uid=0
//! ```
//!
//! Lines of others may lie between any two of them, and the oldest may be gone.

use super::{MemoryUsage, Task, Victim};
use crate::kernel_log::{KernelLog, Line};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub victim: Victim,
    /// Of the container, largest first. Empty when memory ran out elsewhere: others would be listed.
    pub tasks: Vec<Task>,
    pub usage: Option<MemoryUsage>,
}

/// So many processes are told of.
const TOP: usize = 5;

/// Of 15 bytes, each of which may be written as `\xNN`.
const NAME: usize = 60;

const KILL: &str = "oom-kill:";
const TASKS: &str = "Tasks state (memory values in pages):";
const STATS: &str = "Memory cgroup stats for ";

/// The last one about a victim in `cgroup`. `page` is the size of a page in bytes.
pub fn last(log: &KernelLog, cgroup: &str, page: u64) -> Option<Report> {
    let lines = log.lines();
    let (end, kill) = lines
        .iter()
        .enumerate()
        .rev()
        .find_map(|(n, line)| Some((n, kill(&line.text, cgroup)?)))?;
    let begin = lines[..end].iter().rposition(|l| l.text.starts_with(KILL));
    let lines = &lines[begin.map_or(0, |n| n + 1)..end];
    let lines = if kill.is_own { lines } else { &[] };
    Some(Report {
        victim: kill.victim,
        tasks: tasks(lines, page),
        usage: usage(lines, cgroup),
    })
}

struct Kill {
    victim: Victim,
    /// It was the container that had no more memory.
    is_own: bool,
}

/// `…,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=N,uid=N`, without the first for the whole host.
fn kill(line: &str, cgroup: &str) -> Option<Kill> {
    let record = line.strip_prefix(KILL)?;
    let (head, uid) = record.rsplit_once(",uid=")?;
    uid.trim().parse::<u32>().ok()?;
    let (head, pid) = head.rsplit_once(",pid=")?;
    // A task's name may hold commas, so the keys are looked for from both ends.
    let (head, name) = head.split_once(",task=")?;
    let (head, path) = head.split_once("task_memcg=")?;
    let limited = head.split_once("oom_memcg=");
    let limited = limited.map(|(_, path)| path.trim_end_matches(','));
    is_within(path, cgroup).then_some(())?;
    Some(Kill {
        victim: Victim {
            pid: pid.parse().ok()?,
            name: name.chars().take(NAME).collect(),
        },
        is_own: limited.is_some_and(|path| is_within(path, cgroup)),
    })
}

fn is_within(path: &str, cgroup: &str) -> bool {
    let rest = path.strip_prefix(cgroup);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn tasks(lines: &[Line], page: u64) -> Vec<Task> {
    let Some(begin) = lines.iter().position(|line| line.text == TASKS) else {
        return Vec::new();
    };
    let mut lines = lines[begin + 1..].iter().map(|line| line.text.as_str());
    let Some(columns) = lines.find_map(columns) else {
        return Vec::new();
    };
    let mut tasks: Vec<Task> = lines.filter_map(|line| task(line, columns, page)).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.rss));
    tasks.truncate(TOP);
    tasks
}

/// Where the table has what is wanted of it: releases of the kernel differ.
#[derive(Clone, Copy)]
struct Columns {
    rss: usize,
    name: usize,
}

fn columns(line: &str) -> Option<Columns> {
    let (pid, names) = line.strip_prefix('[')?.split_once(']')?;
    (pid.trim() == "pid").then_some(())?;
    let at = |wanted: &str| names.split_whitespace().position(|name| name == wanted);
    Some(Columns {
        rss: at("rss")?,
        name: at("name")?,
    })
}

fn task(line: &str, columns: Columns, page: u64) -> Option<Task> {
    let (pid, mut rest) = line.strip_prefix('[')?.split_once(']')?;
    let mut rss = None;
    for column in 0..columns.name {
        // Numbers all of them, which tells a row from what others wrote in between.
        let (number, after) = rest.trim_start().split_once(' ')?;
        let number: i64 = number.parse().ok()?;
        if column == columns.rss {
            rss = u64::try_from(number).ok();
        }
        rest = after;
    }
    Some(Task {
        pid: pid.trim().parse().ok()?,
        name: rest.chars().take(NAME).collect(),
        rss: rss?.saturating_mul(page),
    })
}

/// v1 counts descendants only in the keys that begin with `total_`.
fn usage(lines: &[Line], cgroup: &str) -> Option<MemoryUsage> {
    let is_own = |line: &Line| {
        let path = line.text.strip_prefix(STATS);
        let path = path.and_then(|path| path.strip_suffix(':'));
        path.is_some_and(|path| is_within(path, cgroup))
    };
    let lines = &lines[lines.iter().position(is_own)? + 1..];
    let values: Vec<_> = lines.iter().flat_map(|line| values(&line.text)).collect();
    let key = |key: &str| {
        let found = values.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| *value)
    };
    let either = |v1: &str, v2: &str| key(v1).or_else(|| key(v2));
    Some(MemoryUsage {
        anonymous: either("total_rss", "anon")?,
        shared: either("total_shmem", "shmem").unwrap_or(0),
    })
}

/// Of `NAME NUMBER`, or of many such lines in one, as older kernels (6.1) write them: the log has their
/// ends as `\x0a` then, and may have cut off the last.
fn values(text: &str) -> Vec<(&str, u64)> {
    let mut pieces: Vec<&str> = text.split("\\x0a").collect();
    if pieces.len() > 1 {
        pieces.pop();
    }
    // Names may have such ends in them, but do not look like that throughout.
    let values: Option<Vec<_>> = pieces.into_iter().map(value).collect();
    values.unwrap_or_default()
}

fn value(piece: &str) -> Option<(&str, u64)> {
    let (name, value) = piece.split_once(' ')?;
    Some((name, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Linux 6.18, cgroup v1.
    const V1: &str = "\
tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
memory: usage 65536kB, limit 65536kB, failcnt 57
Memory cgroup stats for /mesos/c1:
cache 1000
rss 2
shmem 0
total_rss 66629632
total_shmem 4096
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[  25074]     0 25074      330      163        0        0       163    40960        0             0 longshore-init
[  25075]     0 25075      985      695       64      631         0    45056        0         -1000 bash
eth0: link becomes ready
[  25077]     0 25077    16765    16482    16160      322         0   176128        0             0 a tail, ok
oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/mesos/c1,task_memcg=/mesos/c1,task=a tail, ok,pid=25077,uid=0
";

    /// Linux 6.1, cgroup v2.
    const V2: &str = "\
Memory cgroup stats for /mesos/c10:
anon 5000\\x0afile 0\\x0ashmem 7000\\x0apgfau
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[    301]     1   301      100        9    40960        0             0 dd
oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=leaf,mems_allowed=0,oom_memcg=/mesos/c10,task_memcg=/mesos/c10/leaf,task=dd,pid=301,uid=1
";

    fn log(text: &str) -> KernelLog {
        let records = text.lines().map(|line| format!("6,1,1,-;{line}\n"));
        KernelLog::parse(&records.collect::<String>())
    }

    fn told(text: &str, cgroup: &str) -> Option<Report> {
        last(&log(text), cgroup, 4096)
    }

    fn task(pid: u32, name: &str, pages: u64) -> Task {
        Task {
            pid,
            name: name.to_owned(),
            rss: pages * 4096,
        }
    }

    #[test]
    fn victim_tasks_and_usage_are_read_from_the_kernels_report() {
        let victim = |pid, name: &str| Victim {
            pid,
            name: name.to_owned(),
        };
        let both = format!("{V1}{V2}");
        assert_eq!(
            told(&both, "/mesos/c1").expect("a report"),
            Report {
                victim: victim(25077, "a tail, ok"),
                tasks: vec![
                    task(25077, "a tail, ok", 16482),
                    task(25075, "bash", 695),
                    task(25074, "longshore-init", 163),
                ],
                usage: Some(MemoryUsage {
                    anonymous: 66_629_632,
                    shared: 4096,
                }),
            }
        );
        assert_eq!(
            told(&both, "/mesos/c10").expect("a report"),
            Report {
                victim: victim(301, "dd"),
                tasks: vec![task(301, "dd", 9)],
                usage: Some(MemoryUsage {
                    anonymous: 5000,
                    shared: 7000,
                }),
            }
        );
    }

    #[test]
    fn usage_is_not_taken_from_a_name() {
        let name = "x[9]: segfault at 0 ip 0 sp 0 error 4 in y\\x0aanon 1\\x0ashmem 9\\x0az[0+0]";
        let text = V2.replace("anon 5000", &format!("{name}\nanon 5000"));
        let usage = told(&text, "/mesos/c10").and_then(|report| report.usage);
        let shared = usage.map(|usage| usage.shared);
        assert_eq!(shared, Some(7000));
    }

    #[test]
    fn another_containers_report_is_not_ours() {
        assert_eq!(told(V1, "/mesos/c"), None);
        assert_eq!(told(V1, "/mesos/c10"), None);
    }

    #[test]
    fn who_else_used_memory_when_the_host_ran_out_is_not_told() {
        for elsewhere in ["oom_memcg=/mesos,", "global_oom,"] {
            let text = V1.replace("oom_memcg=/mesos/c1,", elsewhere);
            let report = told(&text, "/mesos/c1").expect("a report");
            assert_eq!(report.victim.pid, 25077);
            assert_eq!((report.tasks, report.usage), (vec![], None));
        }
    }

    #[test]
    fn a_report_whose_beginning_is_gone_still_has_its_victim() {
        let (_, end) = V1.split_once("Tasks state").expect("a table");
        let report = told(end, "/mesos/c1").expect("a report");
        assert_eq!((report.tasks.len(), report.usage), (0, None));
        // Nor is the table of the one before taken for its own.
        let report = told(&format!("{V2}{end}"), "/mesos/c1").expect("a report");
        assert_eq!((report.tasks.len(), report.usage), (0, None));
    }

    #[test]
    fn only_the_largest_are_told() {
        let row = |pid: u64| format!("[ {pid} ] 0 1 1 {pid} 1 0 0 worker\n");
        let rows: String = (1..100).map(row).collect();
        let text = V2.replace("[    301]", &format!("{rows}[    301]"));
        let report = told(&text, "/mesos/c10").expect("a report");
        let pids: Vec<u32> = report.tasks.iter().map(|task| task.pid).collect();
        assert_eq!(pids, [99, 98, 97, 96, 95]);
    }

    /// Pieces of reports, in an order that no kernel writes.
    fn shuffled() -> impl Strategy<Value = String> {
        let pieces: Vec<String> = format!("{V1}{V2}").lines().map(str::to_owned).collect();
        let piece = prop_oneof![
            4 => proptest::sample::select(pieces),
            1 => "[^\n]{0,60}",
            1 => "\\[ *[0-9a-z]{0,12} *\\]( *-?[0-9]{0,22}){0,12} [^\n]{0,20}",
            1 => "oom-kill:([a-z_]{0,8}=?[/a-z0-9]{0,9},?){0,6}",
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join("\n"))
    }

    /// What a process may call itself, as the log shows it.
    fn name() -> impl Strategy<Value = String> {
        let tricky = [
            ",pid=",
            ",uid=",
            ",task=",
            "7",
            "[7]",
            " ",
            "\\x0a",
            "oom-kill:",
            "/",
            "anon",
        ];
        let part = prop_oneof![proptest::sample::select(tricky.to_vec()), Just("x")];
        let name = proptest::collection::vec(part, 1..6).prop_map(|parts| parts.concat());
        name.prop_map(|name| name.chars().take(15).collect())
    }

    proptest! {
        #[test]
        fn no_name_of_a_process_speaks_for_another(name in name()) {
            let text = V1.replace("a tail, ok", &name);
            let report = told(&text, "/mesos/c1").expect("a report");
            prop_assert_eq!(&report.victim, &Victim { pid: 25077, name: name.clone() });
            prop_assert_eq!(report.tasks.len(), 3);
            prop_assert_eq!(&report.tasks[0], &task(25077, &name, 16482));
            prop_assert_eq!(told(&text, "/mesos/c2"), None);
        }

        #[test]
        fn no_text_makes_it_fail_or_tell_more_than_a_few(text in shuffled()) {
            for cgroup in ["/mesos/c1", "/mesos/c10", "/", ""] {
                if let Some(report) = told(&text, cgroup) {
                    prop_assert!(report.tasks.len() <= TOP);
                    prop_assert!(report.tasks.is_sorted_by_key(|task| std::cmp::Reverse(task.rss)));
                    for task in report.tasks {
                        prop_assert!(text.contains(&task.name) && task.name.len() <= 4 * NAME);
                    }
                }
            }
        }
    }
}
