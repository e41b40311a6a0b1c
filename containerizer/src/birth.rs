//! The birth of a process that is to be in a container: `init`, with its program and descriptors.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use init::{Program, Step, Word};
use isolators::cgroups::Entry;

use crate::error::LaunchError;
use crate::helper::{self, Helper};
use crate::launch::Stdio;
use crate::line::Line;
use crate::sys::{self, Spawned, Underway};

pub struct Birth<'a> {
    pub program: Program,
    pub stdio: &'a Stdio,
    /// Where the exit record goes, when there is to be one.
    pub status: Option<BorrowedFd<'a>>,
    pub entry: &'a Entry,
    /// What the program names by number, after the files of `entry`.
    pub more: &'a [BorrowedFd<'a>],
    /// clone3(2) flags.
    pub namespaces: u64,
}

/// A process that was started, and the line it tells on how it goes.
pub struct Born<'a> {
    pub process: Spawned,
    pub line: Line,
    pub way: Way<'a>,
}

/// Of a new process to its program: it ends when it is `init` that runs.
pub struct Way<'a>(Option<Underway<'a>>);

impl Way<'_> {
    /// Waits for that. On error the process has ended, and is to be reaped.
    pub fn end(self) -> Result<(), LaunchError> {
        let ended = self.0.map_or(Ok(()), Underway::wait);
        ended.map_err(|source| LaunchError::Spawn { source })
    }
}

impl Born<'_> {
    /// Waits until it is `init` that runs, and goes on by itself.
    pub fn grown(self) -> Result<(Spawned, Line), LaunchError> {
        let Self { process, line, way } = self;
        match way.end() {
            Ok(()) => Ok((process, line)),
            Err(error) => {
                sys::wait(&process.pidfd);
                Err(error)
            }
        }
    }
}

/// Starts it.
pub fn bear<'a>(helper: &'a Helper, birth: Birth<'_>) -> Result<Born<'a>, LaunchError> {
    let prepare = |attempt| move |source| LaunchError::Prepare { attempt, source };
    let (line, its_line) = Line::pair().map_err(prepare("make a pair of sockets"))?;
    let null = match (&birth.stdio.stdin, birth.status) {
        (Some(_), Some(_)) => None,
        _ => Some(null().map_err(prepare("open /dev/null"))?),
    };
    let null = null.as_ref().map(|null| null.as_fd());
    let stdin = birth.stdio.stdin.as_ref().map(|stdin| stdin.as_fd());
    let (stdin, status) = (stdin.or(null), birth.status.or(null));
    let (tasks, directory): (&[OwnedFd], _) = match birth.entry {
        Entry::Tasks(tasks) => (tasks, None),
        Entry::Directory(directory) => (&[], Some(directory.as_fd())),
    };
    let mut program = birth.program;
    let forks = (program.steps.iter()).any(|step| matches!(step, Step::Fork { .. }));
    program.descriptors = (init::fd::FIRST_CGROUP as usize + tasks.len() + birth.more.len()) as u32;
    let program = program_file(&program).map_err(prepare("store the program"))?;
    // In the order of `init::fd`.
    let own = [
        stdin,
        Some(birth.stdio.stdout.as_fd()),
        Some(birth.stdio.stderr.as_fd()),
        Some(program.as_fd()),
        Some(its_line.as_fd()),
        status,
    ];
    let descriptors: Vec<BorrowedFd<'_>> = (own.into_iter().flatten())
        .chain(tasks.iter().map(|fd| fd.as_fd()))
        .chain(birth.more.iter().copied())
        .collect();
    let spawned = sys::spawn(&sys::Spawn {
        exe: helper.as_fd(),
        places: helper.places(),
        name: c"longshore-init",
        descriptors: &descriptors,
        namespaces: birth.namespaces,
        cgroup: directory,
    });
    let (process, underway) = spawned.map_err(|source| LaunchError::Spawn { source })?;
    let born = Born {
        process,
        line,
        way: Way(Some(underway)),
    };
    if !forks {
        return Ok(born);
    }
    let (first, line) = born.grown()?;
    let of_container = child(&line);
    if of_container.is_err() {
        let _ = sys::pidfd_send_signal(&first.pidfd, libc::SIGKILL);
    }
    sys::wait(&first.pidfd);
    Ok(Born {
        process: of_container?,
        line,
        way: Way(None),
    })
}

/// The container's first process, which is a child of ours, though the one that was spawned made it.
fn child(line: &Line) -> Result<Spawned, LaunchError> {
    let lost = |source| LaunchError::Lost {
        attempt: "the container's first process died before it was in its namespaces",
        source,
    };
    match line.hear().map_err(lost)?.map(|said| said.word) {
        // Nobody but us reaps it, so the number is its own.
        Some(Word::Handed { pid }) => {
            let pidfd = sys::pidfd_open(pid).map_err(lost)?;
            Ok(Spawned { pid, pidfd })
        }
        Some(Word::Failed { report }) => Err(report.into()),
        Some(_) => Err(lost(io::ErrorKind::InvalidData.into())),
        None => Err(lost(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn null() -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open("/dev/null");
    file.map(OwnedFd::from)
}

fn program_file(program: &Program) -> io::Result<OwnedFd> {
    let memfd = helper::memfd(c"longshore-program", helper::Contents::Data)?;
    let mut file = File::from(memfd);
    file.write_all(&program.encode())?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}
