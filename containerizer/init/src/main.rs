//! The first process of a container.
//!
//! It is started by execveat(2) from a sealed memfd, in new namespaces, with the descriptors of
//! [`init::fd`]. It reads its program, carries it out, and either becomes the command or watches
//! over it. It has one thread, no async runtime, and keeps next to no memory while it waits.
#![no_main]

mod attributes;
mod bounds;
mod confine;
mod console;
mod copy_up;
mod exec;
mod failure;
mod fork;
mod hooks;
mod launcher;
mod masks;
mod memory;
mod mounts;
mod procfs;
mod root;
mod scheduling;
mod shown;
mod sources;
mod steps;
mod supervise;
mod sys;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{FromRawFd as _, OwnedFd};

use failure::{Failure, because};
use init::{Program, Stage, Then, Word, fd};

/// The C entry point: Rust's own would install a signal stack and handlers that process 1 of a
/// container must not have.
// SAFETY: the name is the one the C start-up code calls, and no other object defines it.
#[unsafe(no_mangle)]
pub extern "C" fn main(
    _argc: libc::c_int,
    _argv: *const *const libc::c_char,
    _envp: *const *const libc::c_char,
) -> libc::c_int {
    match run() {
        Ok(never) => match never {},
        Err(failure) => {
            launcher::report(failure);
            1
        }
    }
}

enum Never {}

fn run() -> Result<Never, Failure> {
    let program = read_program()?;
    // It would be named after the memfd it was started from.
    sys::set_name(c"longshore-init");
    close_strangers(program.descriptors);
    // The launcher may be started from somewhere that is bound to few; cgroups say which it may use. Where
    // the kernel has none to say it with, nothing is lost.
    let _ = sys::use_all_processors();
    // Nobody in the container may read this process' memory or follow its descriptors.
    sys::set_dumpable(false).map_err(because("become undumpable"))?;
    sys::block_all_signals().map_err(because("block signals"))?;
    sys::reset_signal_handlers();
    sys::umask(0);
    if let Some(score) = program.exec.oom_score_adj {
        exec::set_oom_score(score)?;
    }
    let Program {
        steps, exec, then, ..
    } = program;
    let steps::Done { state, terminal } = steps::carry_out(steps)?;
    if !then.supervises() {
        // Nobody writes an exit record.
        launcher::give_up_record();
        sys::close(fd::STATUS);
    }
    let bounds = match then {
        Then::Become {} => return exec::exec(&exec, &state),
        Then::Hand {} => return hand(&exec, &state),
        Then::Supervise {} => Some((0, 0)),
        Then::Bound { stdout, stderr } => Some((stdout, stderr)),
        Then::Attend {} => None,
    };
    // A command that may trace others begins when nothing more is gained by taking us over.
    let (confined, unconfined) = match exec.may_trace() {
        true => {
            let (read, held) = sys::pipe().map_err(because("make a pipe"))?;
            (Some(read), Some(held))
        }
        false => (None, None),
    };
    match sys::fork().map_err(because("fork the command"))? {
        None => {
            drop(unconfined);
            if let Some(confined) = confined {
                until_closed(confined)?;
            }
            exec::exec(&exec, &state)
        }
        Some(child) => {
            drop((state, exec, confined));
            memory::give_back();
            match bounds {
                Some(bounds) => supervise::until_end(child, terminal, bounds, unconfined),
                None => supervise::attend(child, unconfined),
            }
        }
    }
}

/// By the process that was forked from.
fn until_closed(read: OwnedFd) -> Result<(), Failure> {
    let read = File::from(read).read(&mut [0]);
    read.map(drop)
        .map_err(because("wait for the first process"))
}

/// The command as a child of our parent. It waits for our end, so that its number is told before anything
/// that it says itself.
fn hand(exec: &init::Exec, state: &str) -> Result<Never, Failure> {
    let (ended, held) = sys::pipe().map_err(because("make a pipe"))?;
    match sys::fork_sister().map_err(because("fork the command"))? {
        None => {
            drop(held);
            until_closed(ended)?;
            exec::exec(exec, state)
        }
        Some(child) => {
            let told = launcher::say(&Word::Handed { pid: child as u32 });
            told.map_err(because("write to the launcher"))?;
            sys::exit(0)
        }
    }
}

fn read_program() -> Result<Program, Failure> {
    // SAFETY: the containerizer put the program at this number and nothing else here owns it.
    let mut file = unsafe { File::from_raw_fd(fd::PROGRAM) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(because("read the program"))?;
    Program::decode(&bytes).map_err(|_bad| Failure {
        attempt: "understand the program (agent and init are of different builds)".to_owned(),
        errno: libc::EBADMSG,
        stage: Stage::Setup {},
    })
}

/// Closes every descriptor that is not ours, whoever forgot to mark it close-on-exec, and keeps ours
/// from the command.
fn close_strangers(descriptors: u32) {
    sys::close_from(descriptors);
    // Those of the command, if any, are given to it at the exec.
    sys::close_on_exec_from(fd::LINE as u32);
}
