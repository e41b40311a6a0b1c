//! `events`: what a container uses, again and again, and when its memory runs out.

pub mod duration;
mod statistics;

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use isolators::cgroups::{Cgroup, OomWatch};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, call};
use crate::flags::Events;
use crate::status::{self, Status};
use crate::store::Store;

pub fn events(store: &Store, flags: &Events) -> Result<(), Error> {
    let entry = store.find(&flags.id)?;
    let stored = entry.stored()?;
    let gone = || Error::IdNotRunning(flags.id.clone());
    if status::of(&entry, &stored) == Status::Stopped {
        return Err(gone());
    }
    let watched = Watched {
        id: &flags.id,
        cgroup: status::cgroup(&stored)?,
    };
    if flags.stats {
        return watched.tell_use();
    }
    let interval = duration::parse(&flags.interval).ok_or_else(|| Error::BadFlag {
        flag: "--interval",
        value: flags.interval.clone(),
        wanted: "give a duration above 0, like 5s or 1m30s or 100ms",
    })?;
    let process = stored
        .process
        .open()
        .map_err(call("open the container's process"))?;
    watched.until_end(&process.ok_or_else(gone)?, interval)
}

struct Watched<'a> {
    id: &'a str,
    cgroup: Cgroup,
}

/// Members in the order that readers expect.
#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: Value,
}

/// Which of the two has happened.
struct Ready {
    ended: bool,
    memory: bool,
}

impl Watched<'_> {
    fn until_end(&self, process: &OwnedFd, interval: Duration) -> Result<(), Error> {
        let watch = self.cgroup.watch_oom()?;
        let mut kills = self.cgroup.oom_kills();
        let mut due = Instant::now() + interval;
        loop {
            let ready = wait(process, watch.as_ref(), due)?;
            let known = std::mem::replace(&mut kills, self.cgroup.oom_kills());
            let is_before_kill = matches!(watch, Some(OomWatch::BeforeKill(_))) && !ready.ended;
            if ready.memory && (kills > known || is_before_kill) {
                self.tell("oom", Value::Null)?;
            }
            if ready.ended {
                return Ok(());
            }
            if Instant::now() >= due {
                due += interval;
                match self.tell_use() {
                    // It is just being deleted.
                    Err(Error::Statistics(_)) => {}
                    told => told?,
                }
            }
        }
    }

    fn tell_use(&self) -> Result<(), Error> {
        self.tell("stats", statistics::data(&self.cgroup.details()?))
    }

    fn tell(&self, r#type: &'static str, data: Value) -> Result<(), Error> {
        let id = self.id;
        let line = serde_json::to_string(&Line { r#type, id, data });
        let line = line.map_err(call("write an event as JSON"))?;
        writeln!(io::stdout(), "{line}").map_err(call("write to stdout"))
    }
}

fn wait(process: &OwnedFd, watch: Option<&OomWatch>, due: Instant) -> Result<Ready, Error> {
    let watch = watch.map(|watch| match watch {
        OomWatch::BeforeKill(event) | OomWatch::AfterEvent(event) => event.as_fd(),
    });
    let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut waiting: Vec<PollFd<'_>> = (std::iter::once(process.as_fd()).chain(watch))
        .map(readable)
        .collect();
    // Rounded up: to wake too early would be to wake again and again.
    let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut waiting, timeout) {
        Err(Errno::EINTR) => {}
        polled => drop(polled.map_err(call("wait for events"))?),
    }
    let is_ready = |at: usize| waiting.get(at).is_some_and(|fd| fd.any() == Some(true));
    let memory = is_ready(1);
    if let (Some(event), true) = (watch, memory) {
        drain(event)?;
    }
    Ok(Ready {
        ended: is_ready(0),
        memory,
    })
}

/// What was read is not told of again.
fn drain(event: BorrowedFd<'_>) -> Result<(), Error> {
    let mut buffer = [0; 4096];
    match nix::unistd::read(event, &mut buffer) {
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
        Err(error) => Err(call("read an event")(error)),
    }
}
