//! Project quotas of ext4 and XFS: quotactl_fd(2), and the project of an inode by ioctl_xfs_fsgetxattr(2).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

const PRJQUOTA: i32 = 2;

// Source: linux/quota.h, linux/dqblk_xfs.h, linux/fs.h.
const Q_GETQUOTA: i32 = 0x80_0007;
const Q_SETQUOTA: i32 = 0x80_0008;
const Q_GETNEXTQUOTA: i32 = 0x80_0009;
const Q_XGETQSTAT: i32 = ((b'X' as i32) << 8) + 5;
const QIF_LIMITS: u32 = 1 | 4;
const FS_QUOTA_PDQ_ACCT: u16 = 1 << 4;
const FS_QUOTA_PDQ_ENFD: u16 = 1 << 5;
const FS_XFLAG_PROJINHERIT: u32 = 0x200;
const FS_IOC_FSGETXATTR: libc::Ioctl = libc::_IOR::<Attributes>(b'X' as u32, 31);
const FS_IOC_FSSETXATTR: libc::Ioctl = libc::_IOW::<Attributes>(b'X' as u32, 32);

/// What limits are counted in.
pub const QUOTA_BLOCK: u64 = 1024;

/// struct fsxattr.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// struct if_nextdqblk: struct if_dqblk and an id.
#[repr(C)]
#[derive(Default)]
struct Block {
    hard: u64,
    soft: u64,
    bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    inodes: u64,
    grace: u64,
    grace_inodes: u64,
    valid: u32,
    id: u32,
}

/// struct fs_quota_stat, as far as it is looked at.
#[repr(C)]
struct State {
    version: i8,
    flags: u16,
    rest: [u64; 12],
}

/// Whether a file system counts by project, and whether it holds to limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counting {
    pub counts: bool,
    pub enforces: bool,
}

/// What a project uses and may use, in bytes and in inodes; a limit of 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProjectUse {
    pub project: u32,
    pub bytes: u64,
    pub limit: u64,
    pub inodes: u64,
    pub inode_limit: u64,
}

/// Errors: `ENOSYS` and `EINVAL` where it counts nothing. Linux 5.14.
pub fn project_counting(file: BorrowedFd<'_>) -> io::Result<Counting> {
    let mut state = State {
        version: 0,
        flags: 0,
        rest: [0; 12],
    };
    // SAFETY: `State` is not smaller than struct fs_quota_stat, which Q_XGETQSTAT fills.
    unsafe { quotactl(file, Q_XGETQSTAT, 0, (&raw mut state).cast()) }?;
    Ok(Counting {
        counts: state.flags & FS_QUOTA_PDQ_ACCT != 0,
        enforces: state.flags & FS_QUOTA_PDQ_ENFD != 0,
    })
}

/// Errors: `ENOENT` on XFS for a project that nothing was ever of; `EPERM` without CAP_SYS_ADMIN.
pub fn project_use(file: BorrowedFd<'_>, project: u32) -> io::Result<ProjectUse> {
    let mut block = Block {
        id: project,
        ..Block::default()
    };
    // SAFETY: `Block` begins with the struct if_dqblk that Q_GETQUOTA fills.
    unsafe { quotactl(file, Q_GETQUOTA, project, (&raw mut block).cast()) }?;
    Ok(block.told())
}

/// The first project from `project` on that has a limit or a use. Errors: `ENOENT` when there is none.
pub fn next_project_use(file: BorrowedFd<'_>, project: u32) -> io::Result<ProjectUse> {
    let mut block = Block::default();
    // SAFETY: `Block` is the struct if_nextdqblk that Q_GETNEXTQUOTA fills.
    unsafe { quotactl(file, Q_GETNEXTQUOTA, project, (&raw mut block).cast()) }?;
    Ok(block.told())
}

/// `blocks` of `QUOTA_BLOCK`, 0 of either for no limit.
pub fn set_project_limit(
    file: BorrowedFd<'_>,
    project: u32,
    blocks: u64,
    inodes: u64,
) -> io::Result<()> {
    let mut block = Block {
        hard: blocks,
        soft: blocks,
        hard_inodes: inodes,
        soft_inodes: inodes,
        valid: QIF_LIMITS,
        ..Block::default()
    };
    // SAFETY: Q_SETQUOTA reads the struct if_dqblk that `Block` begins with.
    unsafe { quotactl(file, Q_SETQUOTA, project, (&raw mut block).cast()) }
}

/// The project that `file` counts for. Errors: `ENOTTY` and `EOPNOTSUPP` where files have none.
pub fn project_of(file: BorrowedFd<'_>) -> io::Result<u32> {
    attributes(file).map(|attributes| attributes.project)
}

/// From now on `file` counts for `project`, and what is made in it if it is a directory: ext4 refuses to pass
/// on that of anything else. Errors: `EOPNOTSUPP`; `EDQUOT` where that has no room for it.
pub fn set_project(file: BorrowedFd<'_>, project: u32, is_directory: bool) -> io::Result<()> {
    let mut attributes = attributes(file)?;
    attributes.project = project;
    if is_directory {
        attributes.flags |= FS_XFLAG_PROJINHERIT;
    }
    set(file, &attributes)
}

/// What is made in a directory, or moved there, keeps its own project from now on.
pub fn stop_inheriting_project(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = attributes(file)?;
    if attributes.flags & FS_XFLAG_PROJINHERIT == 0 {
        return Ok(());
    }
    attributes.flags &= !FS_XFLAG_PROJINHERIT;
    set(file, &attributes)
}

fn attributes(file: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: FS_IOC_FSGETXATTR fills a struct fsxattr, which `Attributes` is.
    let got = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FSGETXATTR, &raw mut attributes) };
    done(got).map(|()| attributes)
}

fn set(file: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    let attributes: *const Attributes = attributes;
    // SAFETY: FS_IOC_FSSETXATTR reads a struct fsxattr, which `Attributes` is.
    let set = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FSSETXATTR, attributes) };
    done(set)
}

/// # Safety
/// `argument` must point to what `command` reads or fills.
unsafe fn quotactl(
    file: BorrowedFd<'_>,
    command: i32,
    project: u32,
    argument: *mut libc::c_void,
) -> io::Result<()> {
    let number = libc::SYS_quotactl_fd;
    let command = (command << 8) | PRJQUOTA;
    // SAFETY: the descriptor is open for the call, and the caller answers for `argument`.
    let ret = unsafe { libc::syscall(number, file.as_raw_fd(), command, project, argument) };
    done(ret as i32)
}

fn done(ret: i32) -> io::Result<()> {
    match ret {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

impl Block {
    fn told(&self) -> ProjectUse {
        ProjectUse {
            project: self.id,
            bytes: self.bytes,
            limit: self.hard.saturating_mul(QUOTA_BLOCK),
            inodes: self.inodes,
            inode_limit: self.hard_inodes,
        }
    }
}
