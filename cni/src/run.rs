//! One run of a plugin, within bounds.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

/// Of a plugin's answer, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Between two looks at whether one of an earlier process has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// What is kept of its complaints: the last of them.
const COMPLAINTS: usize = 4096;

#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// The end of it.
    pub stderr: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    #[error("it cannot be watched")]
    Watch(#[source] io::Error),
    #[error("it was killed: it had not ended after {limit:?} (--network_cni_timeout)")]
    Slow { limit: Duration },
    #[error("it was killed: it printed more than {LONGEST_ANSWER} bytes")]
    Talkative,
}

/// Blocks until it has ended, at most for `limit`. What it has started in its process group ends with it. What it
/// is told is in `stdin`, a file: it need not be read at all, and nobody waits for that.
pub fn run(
    program: &Path,
    environment: &[(&str, String)],
    stdin: File,
    limit: Duration,
) -> Result<Output, RunError> {
    let deadline = Instant::now() + limit;
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Nothing is done between fork and exec: so the process is born without a copy of our memory.
        .process_group(0);
    let mut group = Group(command.spawn().map_err(RunError::Start)?);
    let heard = group.hear(deadline, limit);
    // In this order: before it is reaped, its number is nobody else's.
    let status = group.end().map_err(RunError::Watch)?;
    let (stdout, stderr) = heard?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// For nobody else.
pub fn memory(input: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"cni", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

/// With a lock, which is held until all have ended that have the file open: so whoever comes after us can tell
/// whether a plugin that we have started is still there.
pub fn locked(path: &Path, input: &[u8]) -> io::Result<File> {
    let mut options = File::options();
    let options = options.create(true).truncate(true).read(true).write(true);
    let mut file = options.open(path)?;
    // Who has it is something that a plugin left behind, and that nobody waits for.
    let _ = file.try_lock();
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

/// Whether all of those have ended by then.
pub fn is_outlasted(path: &Path, deadline: Instant) -> bool {
    let Ok(file) = File::open(path) else {
        return true;
    };
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}

struct Group(Child);

impl Group {
    fn hear(&mut self, deadline: Instant, limit: Duration) -> Result<(Vec<u8>, Vec<u8>), RunError> {
        let end = pidfd(&self.0).map_err(RunError::Watch)?;
        let mut stdout = self.0.stdout.take().map(Stream::new);
        let mut stderr = self.0.stderr.take().map(Stream::new);
        for stream in stdout
            .iter()
            .map(Stream::fd)
            .chain(stderr.iter().map(Stream::fd))
        {
            fcntl(stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(|errno| RunError::Watch(errno.into()))?;
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RunError::Slow { limit });
            }
            let open = |stream: &Stream<_>| stream.is_open;
            let out = stdout.as_ref().filter(|it| open(it)).map(Stream::fd);
            let complaints = stderr.as_ref().filter(|it| it.is_open).map(Stream::fd);
            let has_ended = wait(end.as_fd(), out, complaints, left).map_err(RunError::Watch)?;
            if let Some(stream) = &mut stdout {
                stream.read().map_err(RunError::Watch)?;
                if stream.heard.len() > LONGEST_ANSWER {
                    return Err(RunError::Talkative);
                }
            }
            if let Some(stream) = &mut stderr {
                stream.read().map_err(RunError::Watch)?;
                let excess = stream.heard.len().saturating_sub(COMPLAINTS);
                stream.heard.drain(..excess);
            }
            // What it wrote before is read now; others may hold the pipes for ever.
            if has_ended {
                let heard = |stream: Option<Vec<u8>>| stream.unwrap_or_default();
                return Ok((
                    heard(stdout.map(|it| it.heard)),
                    heard(stderr.map(|it| it.heard)),
                ));
            }
        }
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        // None may be left.
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        self.0.wait()
    }
}

struct Stream<T> {
    pipe: T,
    heard: Vec<u8>,
    is_open: bool,
}

impl<T: Read + std::os::fd::AsFd> Stream<T> {
    fn new(pipe: T) -> Self {
        Self {
            pipe,
            heard: Vec::new(),
            is_open: true,
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// What is there, or enough to be too much.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        while self.is_open && self.heard.len() <= LONGEST_ANSWER {
            match self.pipe.read(&mut buffer) {
                Ok(0) => self.is_open = false,
                Ok(length) => self
                    .heard
                    .extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(child.id() as i32);
    let pid = pid.ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Until something is to be read, or it has ended: whether it has.
fn wait(
    end: BorrowedFd<'_>,
    out: Option<BorrowedFd<'_>>,
    complaints: Option<BorrowedFd<'_>>,
    left: Duration,
) -> io::Result<bool> {
    let streams = out.into_iter().chain(complaints);
    let all = std::iter::once(end).chain(streams);
    let mut fds: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    // Not less than there is: nobody is to look again and again meanwhile.
    let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, left) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(fds.first().and_then(PollFd::any).unwrap_or_default())
}
