//! System calls that no container should be able to make.

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::machine_code::{Arg, Door, KNOWN, Program};
use crate::trouble::Trouble;

pub const FORBIDDEN: Attack = Attack {
    name: "forbidden system calls",
    cve: "CVE-2022-0185, CVE-2022-2639, CVE-2023-2598",
    tries: "The container makes the calls that the kernel's worst holes were reached by, as root.",
    attempt: forbidden,
};

pub const OTHER_DOORS: Attack = Attack {
    name: "forbidden system calls by other doors",
    cve: "",
    tries: "The same calls by the numbers of i386 and x32.",
    attempt: other_doors,
};

/// Each with arguments that the kernel would refuse, but in other words: nothing happens where a filter
/// lets it through.
#[rustfmt::skip] // A call a row.
const CALLS: &[(&str, i64, &[u64])] = &[
    ("bpf", libc::SYS_bpf, &[u64::MAX >> 32, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, &[0, 0, 0, 0, u64::MAX]),
    ("userfaultfd", libc::SYS_userfaultfd, &[u64::MAX]),
    ("io_uring_setup", libc::SYS_io_uring_setup, &[0, 0]),
    ("io_uring_enter", libc::SYS_io_uring_enter, &[u64::MAX, 0, 0, 0, 0, 0]),
    ("io_uring_register", libc::SYS_io_uring_register, &[u64::MAX, 0, 0, 0]),
    ("add_key", libc::SYS_add_key, &[0, 0, 0, 0, 0]),
    ("request_key", libc::SYS_request_key, &[0, 0, 0, 0]),
    ("keyctl", libc::SYS_keyctl, &[u64::MAX >> 32, 0, 0, 0, 0]),
    ("kexec_load", libc::SYS_kexec_load, &[0, 0, 0, u64::MAX]),
    ("kexec_file_load", libc::SYS_kexec_file_load, &[u64::MAX, u64::MAX, 0, 0, u64::MAX]),
    ("init_module", libc::SYS_init_module, &[0, 0, 0]),
    ("finit_module", libc::SYS_finit_module, &[u64::MAX, 0, 0]),
    ("delete_module", libc::SYS_delete_module, &[0, 0]),
    ("reboot", libc::SYS_reboot, &[0, 0, 0, 0]),
    ("swapon", libc::SYS_swapon, &[0, 0]),
    ("swapoff", libc::SYS_swapoff, &[0]),
    ("mount", libc::SYS_mount, &[0, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, &[0, u64::MAX]),
    ("pivot_root", libc::SYS_pivot_root, &[0, 0]),
    ("fsopen", libc::SYS_fsopen, &[0, u64::MAX]),
    ("fsconfig", libc::SYS_fsconfig, &[u64::MAX, u64::MAX, 0, 0, 0]),
    ("fsmount", libc::SYS_fsmount, &[u64::MAX, u64::MAX, 0]),
    ("fspick", libc::SYS_fspick, &[u64::MAX, 0, u64::MAX]),
    ("open_tree", libc::SYS_open_tree, &[u64::MAX, 0, u64::MAX]),
    ("move_mount", libc::SYS_move_mount, &[u64::MAX, 0, u64::MAX, 0, u64::MAX]),
    ("mount_setattr", libc::SYS_mount_setattr, &[u64::MAX, 0, u64::MAX, 0, 0]),
    ("unshare", libc::SYS_unshare, &[libc::CLONE_NEWUSER as u64 | 1]),
    ("setns", libc::SYS_setns, &[u64::MAX, 0]),
    ("sethostname", libc::SYS_sethostname, &[0, u64::MAX]),
    ("setdomainname", libc::SYS_setdomainname, &[0, u64::MAX]),
    ("settimeofday", libc::SYS_settimeofday, &[1, 1]),
    ("clock_settime", libc::SYS_clock_settime, &[u64::MAX, 0]),
    ("acct", libc::SYS_acct, &[1]),
    ("quotactl", libc::SYS_quotactl, &[u64::MAX, 0, 0, 0]),
    ("syslog", libc::SYS_syslog, &[u64::MAX, 0, 0]),
    ("fanotify_init", libc::SYS_fanotify_init, &[u64::MAX, u64::MAX]),
    ("process_madvise", libc::SYS_process_madvise, &[u64::MAX, 0, 0, 0, u64::MAX]),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, &[u64::MAX, 0, u64::MAX]),
    ("kcmp", libc::SYS_kcmp, &[0, 0, u64::MAX, 0, 0]),
    ("move_pages", libc::SYS_move_pages, &[0, 0, 0, 0, 0, u64::MAX]),
    ("clone3", libc::SYS_clone3, &[0, 0]),
];

/// With some of the kernel's own protocols that had their share of holes.
#[rustfmt::skip]
const SOCKETS: &[(&str, u64)] = &[
    ("a socket of AF_ALG", 38), ("a socket of AF_VSOCK", 40), ("a socket of AF_XDP", 44),
];

fn forbidden(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let mut program = Program::default();
    for (_, number, args) in CALLS {
        program.call(*number, args.iter().copied().map(Arg::Number).collect());
    }
    for (_, family) in SOCKETS {
        let args = [*family, libc::SOCK_DGRAM as u64, 0].map(Arg::Number);
        program.call(libc::SYS_socket, args.to_vec());
    }
    let names = CALLS
        .iter()
        .map(|call| call.0)
        .chain(SOCKETS.iter().map(|s| s.0));
    let names: Vec<&str> = names.collect();
    match tried(field, walls, &program, &names)? {
        Some(reached) => Ok(Verdict::of(reached)),
        None => Err(Trouble::CutShort("nothing".to_owned())),
    }
}

/// Numbers of i386, whose tables the kernel keeps apart.
#[rustfmt::skip]
const I386: &[(&str, u64)] = &[
    ("i386 mount", 21), ("i386 umount2", 52), ("i386 reboot", 88), ("i386 socketcall", 102),
    ("i386 init_module", 128), ("i386 pivot_root", 217), ("i386 kexec_load", 283), ("i386 add_key", 286),
    ("i386 keyctl", 288), ("i386 unshare", 310), ("i386 setns", 346), ("i386 bpf", 357),
    ("i386 userfaultfd", 374), ("i386 io_uring_setup", 425), ("i386 fsopen", 430), ("i386 clone3", 435),
];

/// With bit 30 a number is one of x32.
const X32: u64 = 0x4000_0000;

fn other_doors(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    if cfg!(not(target_arch = "x86_64")) {
        return Ok(Verdict::NotApplicable(
            "this machine has no other doors".to_owned(),
        ));
    }
    // No flags, no pointers: the kernel would answer in other words than the filter.
    let args = [u64::MAX >> 32, 0, 0, 0, 0].map(Arg::Number).to_vec();
    let mut x32 = Program::default();
    for (_, number, args) in CALLS {
        let args = args.iter().copied().map(Arg::Number).collect();
        x32.call_by(Door::Native, *number as u64 | X32, args);
    }
    let names: Vec<String> = CALLS.iter().map(|call| format!("x32 {}", call.0)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut reached = tried(field, walls, &x32, &names)?.unwrap_or_default();
    let mut i386 = Program::default();
    for (_, number) in I386 {
        i386.call_by(Door::Interrupt, *number, args.clone());
    }
    let names: Vec<&str> = I386.iter().map(|call| call.0).collect();
    reached.extend(tried(field, walls, &i386, &names)?.unwrap_or_default());
    Ok(Verdict::of(reached))
}

/// Which calls were answered by the kernel, and not by a filter. `None`: the program was killed for it,
/// by the filter or by a kernel that lacks the door.
fn tried(
    field: &Field,
    walls: Walls,
    program: &Program,
    names: &[&str],
) -> Result<Option<Vec<String>>, Trouble> {
    if !KNOWN {
        return Ok(Some(Vec::new()));
    }
    let mut bundle = Bundle::image(field, walls)?;
    bundle.program(program)?;
    let ended = field.run(&bundle)?.ended()?;
    let Some(results) = program.results(&ended.output) else {
        return Ok(None);
    };
    let refused = [libc::EPERM, libc::ENOSYS].map(|errno| -i64::from(errno));
    let let_through = names
        .iter()
        .zip(results)
        .filter(|(_, result)| !refused.contains(result));
    Ok(Some(
        let_through
            .map(|(name, result)| format!("{name} was let through ({result})"))
            .collect(),
    ))
}
