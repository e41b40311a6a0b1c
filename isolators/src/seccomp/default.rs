//! Our own profile: calls that ordinary programs make, each group for a reason. What is in no group is
//! answered "not permitted".
//!
//! Left out are calls that change the host (modules, clocks, swap, reboot), that reach other
//! containers or the kernel's own stores (keys, handles of files), that undo a container's walls
//! (mounts, namespaces), and large parts of the kernel that few programs need and many attacks were
//! built on (bpf, io_uring, userfaultfd, performance events). With the capability that the kernel
//! itself asks for, those that have one are let through.

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccompAction as Action, LinuxSeccompOperator as Op,
};

use super::machine::Kernel;
use super::profile::{Answer, Arg, Condition, Machines, Profile, Rule};

#[rustfmt::skip] // A paragraph a group reads better than one name a line.
const FILES: &[&str] = &[
    "access", "chdir", "chmod", "chown", "chown32", "close", "close_range", "copy_file_range", "creat",
    "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate",
    "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64",
    "fdatasync", "fgetxattr", "file_getattr", "file_setattr", "flistxattr", "flock", "fremovexattr",
    "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
    "ftruncate64", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "getxattrat", "ioctl",
    "lchown", "lchown32", "lgetxattr", "link", "linkat", "listxattr", "listxattrat", "llistxattr",
    "_llseek", "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "mkdir", "mkdirat", "mknod",
    "mknodat", "name_to_handle_at", "newfstatat", "open", "openat", "openat2", "pread64", "preadv",
    "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat",
    "readv", "removexattr", "removexattrat", "rename", "renameat", "renameat2", "rmdir", "sendfile",
    "sendfile64", "setxattr", "setxattrat", "splice", "stat", "stat64", "statfs", "statfs64", "statx",
    "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "truncate64",
    "umask", "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64", "utimes", "vmsplice",
    "write", "writev",
];

/// What the container's own mounts are, not how to change them.
const MOUNTS: &[&str] = &["listmount", "statmount"];

#[rustfmt::skip]
const EVENTS: &[&str] = &[
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd", "eventfd2", "fanotify_mark", "inotify_add_watch", "inotify_init", "inotify_init1",
    "inotify_rm_watch", "_newselect", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64", "pselect6",
    "pselect6_time64", "select", "signalfd", "signalfd4",
];

/// The old way of asynchronous input and output, which databases use.
#[rustfmt::skip]
const ASYNCHRONOUS: &[&str] = &[
    "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
    "io_submit",
];

/// On a socket that is there; `socket` itself has a rule of its own. Not i386's `socketcall`, which
/// hides its arguments behind a pointer: it would make any socket. Kernels since 4.3 have these for
/// i386, too.
#[rustfmt::skip]
const SOCKETS: &[&str] = &[
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "sendmmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown", "socketpair",
];

#[rustfmt::skip]
const MEMORY: &[&str] = &[
    "brk", "cachestat", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret",
    "mincore", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mremap", "mseal", "msync",
    "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
    "remap_file_pages",
];

#[rustfmt::skip]
const PROCESSES: &[&str] = &[
    "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "getpgid", "getpgrp",
    "getpid", "getppid", "getpriority", "getrlimit", "getrusage", "getsid", "gettid", "ioprio_get",
    "ioprio_set", "kill", "nice", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64",
    "process_mrelease", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "setpgid", "setpriority", "setrlimit", "setsid", "tgkill",
    "times", "tkill", "ugetrlimit", "vfork", "wait4", "waitid", "waitpid",
];

#[rustfmt::skip]
const THREADS: &[&str] = &[
    "arch_prctl", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake",
    "get_robust_list", "get_thread_area", "getcpu", "modify_ldt", "rseq", "set_robust_list",
    "set_thread_area", "set_tid_address",
];

#[rustfmt::skip]
const SIGNALS: &[&str] = &[
    "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
    "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo", "sigaction", "sigaltstack", "signal", "sigpending", "sigprocmask",
    "sigreturn", "sigsuspend",
];

/// To read clocks and to wait, and `adjtimex` to read how good a clock is: setting one takes a
/// capability.
#[rustfmt::skip]
const TIME: &[&str] = &[
    "adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64",
    "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer",
    "gettimeofday", "nanosleep", "setitimer", "time", "timer_create", "timer_delete",
    "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64",
    "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
    "timerfd_settime64",
];

#[rustfmt::skip]
const USERS: &[&str] = &[
    "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32",
    "getresgid", "getresgid32", "getresuid", "getresuid32", "getuid", "getuid32", "setfsgid",
    "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32",
    "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid",
    "setreuid32", "setuid", "setuid32",
];

/// System V and POSIX, in the container's own namespace; i386 has one call for all of the former.
#[rustfmt::skip]
const IPC: &[&str] = &[
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
    "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
    "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt",
    "shmget",
];

/// What the host is, as every program may know.
const HOST: &[&str] = &["getrandom", "sysinfo", "uname"];

/// To give up rights of one's own.
#[rustfmt::skip]
const CONFINEMENT: &[&str] = &[
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lsm_get_self_attr",
    "lsm_list_modules", "lsm_set_self_attr", "seccomp",
];

/// Made by code that the kernel itself puts into a program that is being traced: a refusal would end
/// the program.
const PROBES: &[&str] = &["uprobe", "uretprobe"];

/// Other names and additions of ARM.
#[rustfmt::skip]
const ARM: &[&str] = &[
    "arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "recv", "send", "set_tls",
    "sync_file_range2",
];

const ALWAYS: &[&[&str]] = &[
    FILES,
    MOUNTS,
    EVENTS,
    ASYNCHRONOUS,
    SOCKETS,
    MEMORY,
    PROCESSES,
    THREADS,
    SIGNALS,
    TIME,
    USERS,
    IPC,
    HOST,
    CONFINEMENT,
    PROBES,
    ARM,
];

/// Let through to whoever may have the capability; the kernel then asks for it itself.
#[rustfmt::skip]
const WITH_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::Bpf, &["bpf"]),
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (Capability::Perfmon, &["perf_event_open"]),
    (Capability::SysAdmin, &[
        "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
        "lookup_dcookie", "mount", "mount_setattr", "move_mount", "open_tree", "open_tree_attr",
        "perf_event_open", "pivot_root", "quotactl", "quotactl_fd", "setdomainname", "sethostname",
        "setns", "syslog", "umount", "umount2", "unshare",
    ]),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "finit_module", "init_module"]),
    (Capability::SysNice, &[
        "get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy",
        "set_mempolicy_home_node",
    ]),
    (Capability::SysPacct, &["acct"]),
    (Capability::SysPtrace, &[
        "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    ]),
    (Capability::SysRawio, &["ioperm", "iopl"]),
    (Capability::SysTime, &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::Syslog, &["syslog"]),
];

/// Before Linux 4.8 a tracer could change a call after the filter had looked at it.
const TRACING: &[&str] = &["process_vm_readv", "process_vm_writev", "ptrace"];
const TRACING_IS_SAFE: Kernel = Kernel { major: 4, minor: 8 };

/// Every CLONE_NEW* flag that clone(2) takes.
const NAMESPACES: u64 = 0x7e02_0000;

/// The number of AF_ALG, the kernel's cryptography. Families above it (virtual machines, among others)
/// are for few, and have had more than their share of faults.
const FIRST_RARE_FAMILY: u64 = 38;

/// Of personality(2): Linux, with 32 bits, with versions like 2.6.40, both; and to ask.
const PERSONALITIES: &[u64] = &[0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

impl Profile {
    /// What containers get that ask for nothing else.
    pub fn builtin() -> Profile {
        let mut rules: Vec<Rule> = ALWAYS.iter().map(|names| allow(names, vec![])).collect();
        rules.extend(WITH_CAPABILITY.iter().map(|(capability, names)| Rule {
            includes: Condition::capability(*capability),
            ..allow(names, vec![])
        }));
        rules.push(Rule {
            includes: Condition::kernel(TRACING_IS_SAFE),
            ..allow(TRACING, vec![])
        });
        let rare = arg(Op::ScmpCmpLt, FIRST_RARE_FAMILY, None);
        rules.push(allow(&["socket"], vec![rare]));
        let own = |persona: &u64| arg(Op::ScmpCmpEq, *persona, None);
        rules.extend(
            PERSONALITIES
                .iter()
                .map(own)
                .map(|arg| allow(&["personality"], vec![arg])),
        );
        let none = arg(Op::ScmpCmpMaskedEq, NAMESPACES, Some(0));
        rules.push(allow(&["clone"], vec![none]));
        // Its flags lie behind a pointer, out of a filter's sight. C libraries then use clone.
        rules.push(Rule {
            answer: errno(ENOSYS),
            excludes: Condition::capability(Capability::SysAdmin),
            ..allow(&["clone3"], vec![])
        });
        Profile {
            default: errno(EPERM),
            machines: Machines::ByNative(vec![
                (Arch::ScmpArchX86_64, vec![Arch::ScmpArchX86]),
                (Arch::ScmpArchAarch64, vec![Arch::ScmpArchArm]),
            ]),
            flags: Vec::new(),
            rules,
        }
    }
}

fn allow(names: &[&str], args: Vec<Arg>) -> Rule {
    Rule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        answer: Answer {
            action: Action::ScmpActAllow,
            errno: None,
        },
        args,
        includes: Condition::default(),
        excludes: Condition::default(),
    }
}

fn errno(number: u32) -> Answer {
    Answer {
        action: Action::ScmpActErrno,
        errno: Some(number),
    }
}

/// All of these compare a call's first argument.
fn arg(op: Op, value: u64, value_two: Option<u64>) -> Arg {
    Arg {
        index: 0,
        op,
        value,
        value_two,
    }
}
