//! Starting a process in new namespaces: clone3(2), then execveat(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use syscalls::{Errno, Sysno, syscall1, syscall3, syscall5};

use crate::places::{Places, Taken};

/// What a new process shall be.
pub struct Spawn<'a, 'p> {
    /// The program: an open file, run by execveat(2).
    pub exe: BorrowedFd<'a>,
    pub places: &'p Places,
    /// The only argument, its name.
    pub name: &'static CStr,
    /// Descriptors and the numbers they get, in ascending order of numbers from 0 without gaps.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// CLONE_NEW* flags.
    pub namespaces: u64,
    /// A cgroup v2 directory that the process starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

pub struct Spawned {
    /// In our pid namespace.
    pub pid: u32,
    pub pidfd: OwnedFd,
}

/// A process on the way to its exec. Until then it works on our memory, which is kept here.
#[must_use = "whether it has come to run its program is not known yet"]
pub struct Underway<'a> {
    /// Not a `Box`, which may count on being the only way to what is in it whenever it is moved.
    child: Arc<Child>,
    _stack: Vec<u128>,
    /// Where its descriptors are until it has taken them.
    _places: Taken<'a>,
}

/// What the child works on.
struct Child {
    exe: RawFd,
    name: &'static CStr,
    /// Numbers above all targets, so that no move hits one that is still needed.
    sources: Vec<RawFd>,
    /// Above all sources, and `exe`.
    end: RawFd,
    /// 0 once the child needs none of this any more: the kernel sets it then. CLONE_CHILD_CLEARTID.
    at_work: AtomicU32,
    /// Set by the child when something fails.
    errno: AtomicI32,
}

const STACK: usize = 32 * 1024;

/// Starts a process that shares nothing with this one but, until its exec, the memory: so the cost does
/// not grow with the size of the agent; nor with the number of its open descriptors. Nor does anybody wait
/// as with vfork(2): who is woken by an exec takes the place of the process on its processor.
///
/// Errors: those of clone3(2), e.g. `EPERM` without CAP_SYS_ADMIN.
pub fn spawn<'p>(spawn: &Spawn<'_, 'p>) -> io::Result<(Spawned, Underway<'p>)> {
    let all = [spawn.descriptors, &[spawn.exe]].concat();
    let taken = spawn.places.take(&all)?;
    let mut sources: Vec<RawFd> = taken.numbers().collect();
    let end = sources.iter().max().map_or(0, |last| last + 1);
    let exe = sources.pop().unwrap_or_default();
    let child = Arc::new(Child {
        exe,
        name: spawn.name,
        sources,
        end,
        at_work: AtomicU32::new(1),
        errno: AtomicI32::new(0),
    });
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let mut pidfd: RawFd = -1;
    let args = arguments(spawn, &child, &mut stack, &mut pidfd);
    // A signal handler of ours must not run in the child, on our memory.
    let old = block_signals();
    // SAFETY: `args` names a pidfd slot that outlives the call, and a stack and a word that are, like
    // `child` and all it points to, kept by the `Underway` until the word is 0.
    let ret = unsafe { clone3(&args, child_main, Arc::as_ptr(&child)) };
    restore_signals(&old);
    if ret < 0 {
        return Err(io::Error::from_raw_os_error(-ret as i32));
    }
    let underway = Underway {
        child,
        _stack: stack,
        _places: taken,
    };
    if !SHARES_MEMORY {
        // In its own copy, which nobody sees.
        underway.child.at_work.store(0, Ordering::Relaxed);
    }
    // SAFETY: with CLONE_PIDFD a successful clone3 stored a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = ret as u32;
    Ok((Spawned { pid, pidfd }, underway))
}

impl Underway<'_> {
    /// Waits until the program runs. Errors: those of execveat(2); the process has ended then, and is to
    /// be reaped.
    pub fn wait(self) -> io::Result<()> {
        self.child.wait();
        match self.child.errno.load(Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.child.wait();
    }
}

impl Child {
    fn wait(&self) {
        // What the child has written before is seen after.
        while self.at_work.load(Ordering::Acquire) != 0 {
            let at_work = self.at_work.as_ptr();
            let forever = std::ptr::null::<libc::timespec>();
            // SAFETY: the word outlives the call; the kernel only reads it. A failure means that it has
            // changed, or a signal.
            unsafe { libc::syscall(libc::SYS_futex, at_work, libc::FUTEX_WAIT, 1, forever) };
        }
    }
}

/// Of a `child` on `stack`, that is told by `pidfd`.
fn arguments(
    spawn: &Spawn<'_, '_>,
    child: &Child,
    stack: &mut [u128],
    pidfd: &mut RawFd,
) -> libc::clone_args {
    // SAFETY: an all-zero clone_args asks for nothing.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let shared = libc::CLONE_VM | libc::CLONE_FILES;
    args.flags =
        spawn.namespaces | (libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID | shared) as u64;
    args.pidfd = std::ptr::from_mut(pidfd) as u64;
    args.child_tid = child.at_work.as_ptr() as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.as_mut_ptr() as u64;
    args.stack_size = size_of_val(stack) as u64;
    if let Some(cgroup) = spawn.cgroup {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    args
}

/// clone3(2), where the child runs `entry(child)` on the stack in `args`. Returns the pid or a
/// negated errno.
///
/// # Safety
/// `args` must be valid for clone3 with CLONE_VM, its stack unused and large enough for `entry`, which
/// must not return; the stack and `child` must stay valid until the child has exec'ed or ended.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    args: *const libc::clone_args,
    entry: extern "C" fn(*const Child) -> !,
    child: *const Child,
) -> i64 {
    let ret: i64;
    // SAFETY: the parent's path only makes the call. The child's path never comes back: it has a
    // stack of its own, aligned for a call, and `entry` does not return.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r8",
            "and rsp, -16",
            "call r9",
            "ud2",
            "2:",
            // Any register could be the one that marks the end of the stack.
            in("r8") child,
            in("r9") entry,
            inlateout("rax") libc::SYS_clone3 => ret,
            in("rdi") args,
            in("rsi") size_of::<libc::clone_args>(),
            out("rcx") _,
            out("r11") _,
        );
    }
    ret
}

/// Whether `clone3` does as it is told.
const SHARES_MEMORY: bool = cfg!(target_arch = "x86_64");

/// The same for processors without assembly here: a copy of the address space instead of sharing it.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn clone3(
    args: *const libc::clone_args,
    entry: extern "C" fn(*const Child) -> !,
    child: *const Child,
) -> i64 {
    // SAFETY: without CLONE_VM the child returns here on its own copy of this very stack.
    unsafe {
        let mut args = *args;
        // Until it has exec'ed, its descriptors are those that lie in our places.
        args.flags &= !(libc::CLONE_VM as u64);
        args.flags |= libc::CLONE_VFORK as u64;
        (args.stack, args.stack_size) = (0, 0);
        match libc::syscall(libc::SYS_clone3, &args, size_of::<libc::clone_args>()) {
            -1 => -i64::from(
                io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EIO),
            ),
            0 => entry(child),
            pid => pid,
        }
    }
}

/// Between clone and exec: only system calls, on data prepared by the parent, whose thread runs on. Not
/// by the C library, whose `errno` would be that thread's.
extern "C" fn child_main(child: *const Child) -> ! {
    // SAFETY: the parent keeps `child` and everything it points to alive until we have exec'ed or ended;
    // both arrays below end with null.
    unsafe {
        let child = &*child;
        let Err(error) = exec(child);
        child.errno.store(error.into_raw(), Ordering::Relaxed);
        let _ = syscall1(Sysno::exit_group, 127);
        std::hint::unreachable_unchecked()
    }
}

/// # Safety
/// As for `child_main`, which alone calls it.
unsafe fn exec(child: &Child) -> Result<std::convert::Infallible, Errno> {
    // SAFETY: numbers, and pointers that the caller answers for.
    unsafe {
        // Until here the table of descriptors is that of our parent: it must not be changed before.
        let unshare = libc::CLOSE_RANGE_UNSHARE as usize;
        syscall3(
            Sysno::close_range,
            child.end as usize,
            u32::MAX as usize,
            unshare,
        )?;
        for (target, source) in child.sources.iter().enumerate() {
            // Not dup2: a source is never its own target, and dup3 clears close-on-exec.
            syscall3(Sysno::dup3, *source as usize, target, 0)?;
        }
        let argv = [child.name.as_ptr(), std::ptr::null()];
        let envp: [*const libc::c_char; 1] = [std::ptr::null()];
        syscall5(
            Sysno::execveat,
            child.exe as usize,
            c"".as_ptr() as usize,
            argv.as_ptr() as usize,
            envp.as_ptr() as usize,
            libc::AT_EMPTY_PATH as usize,
        )?;
        std::hint::unreachable_unchecked()
    }
}

fn block_signals() -> libc::sigset_t {
    let mut old = std::mem::MaybeUninit::uninit();
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset and pthread_sigmask initialise the sets they are given.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        old.assume_init()
    }
}

fn restore_signals(old: &libc::sigset_t) {
    // SAFETY: `old` is a set that pthread_sigmask itself gave out.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old, std::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::ptr::with_exposed_provenance_mut;

    use super::*;

    #[test]
    fn the_kernel_finds_what_it_writes_to_wherever_the_child_is_kept() {
        let null = File::open("/dev/null").expect("opens");
        let places = Places::reserve().expect("places");
        let spawn = Spawn {
            exe: null.as_fd(),
            places: &places,
            name: c"x",
            descriptors: &[],
            namespaces: libc::CLONE_NEWNS as u64,
            cgroup: Some(null.as_fd()),
        };
        let child = Arc::new(Child {
            exe: 0,
            name: spawn.name,
            sources: Vec::new(),
            end: 0,
            at_work: AtomicU32::new(1),
            errno: AtomicI32::new(0),
        });
        let (mut stack, mut pidfd) = (vec![0_u128; 4], -1);
        let args = arguments(&spawn, &child, &mut stack, &mut pidfd);
        assert_eq!(args.cgroup, null.as_raw_fd() as u64);
        assert!(args.flags & libc::CLONE_NEWNS as u64 != 0 && args.flags > 1 << 32);
        let seen = Arc::as_ptr(&child);
        let underway = Underway {
            child,
            _stack: stack,
            _places: places.take(&[]).expect("places"),
        };
        let top = with_exposed_provenance_mut::<u8>((args.stack + args.stack_size) as usize);
        let told = with_exposed_provenance_mut::<RawFd>(args.pidfd as usize);
        let at_work = with_exposed_provenance_mut::<u32>(args.child_tid as usize);
        // SAFETY: all of it lives, and nobody else uses it now. The stack is used from its top on.
        unsafe {
            top.sub(1).write(1);
            told.write(7);
            (*seen).errno.store(libc::ENOENT, Ordering::Relaxed);
            at_work.write(0);
        }
        assert_eq!((underway._stack[3].to_ne_bytes()[15], pidfd), (1, 7));
        let error = underway.wait().expect_err("it has failed");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
