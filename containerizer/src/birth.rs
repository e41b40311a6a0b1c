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
use crate::sys::{self, Spawned};

pub struct Birth<'a> {
    pub helper: &'a Helper,
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

/// Starts it. It works on by itself, and tells how on the line.
pub fn bear(birth: Birth<'_>) -> Result<(Spawned, Line), LaunchError> {
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
        exe: birth.helper.as_fd(),
        places: birth.helper.places(),
        name: c"longshore-init",
        descriptors: &descriptors,
        namespaces: birth.namespaces,
        cgroup: directory,
    });
    let spawned = spawned.map_err(|source| LaunchError::Spawn { source })?;
    if !forks {
        return Ok((spawned, line));
    }
    let of_container = child(&line);
    if of_container.is_err() {
        let _ = sys::pidfd_send_signal(&spawned.pidfd, libc::SIGKILL);
    }
    sys::wait(&spawned.pidfd);
    Ok((of_container?, line))
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
