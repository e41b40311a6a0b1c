//! bpf(2): programs that limit the devices of a cgroup. Linux 4.15.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// linux/bpf.h: commands, and what limits the devices of a cgroup.
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_PROG_QUERY: i32 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The beginning of `union bpf_attr` for each command; the kernel takes what is missing for zero.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
struct InfoByFd {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    prog_type: u32,
    id: u32,
}

/// bpf(2) with its attributes.
///
/// # Safety
/// `attributes` must be those of `command`, and what they point to must be as large as they say and
/// live as long as the call.
unsafe fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes no more of `attributes` than the size that it is told; the
    // caller vouches for the rest.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ret as i32)
}

/// Loads a program of type BPF_PROG_TYPE_CGROUP_DEVICE. Linux 4.15.
///
/// Errors: `EPERM` without CAP_SYS_ADMIN, `EINVAL` when the kernel's verifier refuses it, or the
/// kernel does not have the type.
pub fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut load = load(instructions);
    // SAFETY: `insns` points to as many instructions of 8 bytes as `insn_cnt` says, and `license` to a
    // text that ends with NUL; both outlive the call.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut load) }?;
    // SAFETY: the kernel has just made this descriptor for us; bpf(2) sets close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn load(instructions: &[u64]) -> Load {
    Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    }
}

/// Beside those that are attached already. Errors: `EINVAL` when this one is.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    attach_or_detach(BPF_PROG_ATTACH, cgroup, program, BPF_F_ALLOW_MULTI)
}

pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    attach_or_detach(BPF_PROG_DETACH, cgroup, program, 0)
}

fn attach_or_detach(
    command: i32,
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    attach_flags: u32,
) -> io::Result<()> {
    let mut attach = Attach {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags,
    };
    // SAFETY: these are the attributes of both commands, and they hold numbers only.
    unsafe { bpf(command, &mut attach) }.map(drop)
}

/// Ids of the programs that are attached to this very cgroup.
pub fn attached_device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // As many as the kernel lets one cgroup have.
    let mut ids = [0_u32; 64];
    let mut query = query(cgroup, &mut ids);
    // SAFETY: `prog_ids` points to `prog_cnt` numbers, which outlive the call.
    unsafe { bpf(BPF_PROG_QUERY, &mut query) }?;
    Ok(ids.into_iter().take(query.prog_cnt as usize).collect())
}

fn query(cgroup: BorrowedFd<'_>, ids: &mut [u32]) -> Query {
    Query {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        padding: 0,
    }
}

/// Errors: `ENOENT` once it is gone. Needs CAP_SYS_ADMIN.
pub fn program_by_id(prog_id: u32) -> io::Result<OwnedFd> {
    let mut by_id = ById {
        prog_id,
        next_id: 0,
        open_flags: 0,
    };
    // SAFETY: the attributes hold numbers only.
    let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut by_id) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = ProgramInfo::default();
    let mut by_fd = info_by_fd(program, &mut info);
    // SAFETY: `info` points to as many bytes as `info_len` says, and outlives the call.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut by_fd) }?;
    Ok(info.id)
}

fn info_by_fd(program: BorrowedFd<'_>, info: &mut ProgramInfo) -> InfoByFd {
    InfoByFd {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<ProgramInfo>() as u32,
        info: std::ptr::from_mut(info) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::mem::offset_of;
    use std::os::fd::AsFd as _;
    use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

    use super::*;

    /// linux/bpf.h
    #[test]
    fn attributes_lie_where_the_kernel_looks_for_them() {
        assert_eq!(
            (offset_of!(Load, insns), offset_of!(Load, license)),
            (8, 16)
        );
        assert_eq!((offset_of!(Load, log_buf), size_of::<Load>()), (32, 48));
        assert_eq!((offset_of!(Query, prog_ids), size_of::<Query>()), (16, 32));
        assert_eq!((offset_of!(InfoByFd, info), size_of::<InfoByFd>()), (8, 16));
        assert_eq!((size_of::<Attach>(), size_of::<ById>()), (16, 12));
        assert_eq!(offset_of!(ProgramInfo, id), 4);
    }

    #[test]
    fn the_kernel_finds_a_program_and_its_license() {
        let instructions: Vec<u64> = (0..100).collect();
        let load = load(&instructions);
        let insns = with_exposed_provenance::<u64>(load.insns as usize);
        // SAFETY: there are as many as `insn_cnt` says, and `instructions` lives.
        let read = unsafe { std::slice::from_raw_parts(insns, load.insn_cnt as usize) };
        assert_eq!(read, instructions);
        let license = with_exposed_provenance::<libc::c_char>(load.license as usize);
        // SAFETY: a constant that ends with NUL.
        let license = unsafe { CStr::from_ptr(license) };
        assert_eq!(license, c"Apache-2.0");
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let null = std::fs::File::open("/dev/null").expect("opens");
        let mut ids = [0_u32; 64];
        let query = query(null.as_fd(), &mut ids);
        let last = query.prog_cnt as usize - 1;
        let mut info = ProgramInfo::default();
        let by_fd = info_by_fd(null.as_fd(), &mut info);
        assert_eq!(by_fd.info_len as usize, size_of::<ProgramInfo>());
        // SAFETY: both point to as much as they say, which lives and which nobody else uses now.
        unsafe {
            let ids = with_exposed_provenance_mut::<u32>(query.prog_ids as usize);
            ids.add(last).write(7);
            let info = with_exposed_provenance_mut::<ProgramInfo>(by_fd.info as usize);
            (*info).id = 8;
        }
        assert_eq!((ids[63], info.id), (7, 8));
    }
}
