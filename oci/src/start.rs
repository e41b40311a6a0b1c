//! `start`: the command of a container that was created.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};

use containerizer::hooks::Kind;
use containerizer::{Gate, LaunchError};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use crate::create::program;
use crate::delete;
use crate::error::{Error, call, file, launching};
use crate::hooks;
use crate::seccomp_agent::Agent;
use crate::state::State;
use crate::status::{self, Status};
use crate::store::{Entry, Store};

pub fn start(store: &Store, id: &str) -> Result<(), Error> {
    let entry = store.find(id)?;
    let stored = entry.stored()?;
    match status::of(&entry, &stored) {
        Status::Created => {}
        Status::Running => return Err(Error::StartRunning),
        Status::Paused => return Err(Error::StartPaused),
        Status::Stopped => return Err(Error::StartStopped),
    }
    let spec = entry.spec()?;
    let agent = Agent::of(&spec)?;
    let connection = knock(&entry)?;
    // From now on it is running, and nobody else can start it.
    fs::remove_file(entry.gate()).map_err(file("remove", entry.gate()))?;
    let hand_on = |listener| {
        let state = State::as_told(&entry, &stored, Status::Created.name());
        agent.hand(&state, stored.process.pid, listener)
    };
    let started = Gate::start(connection).wait(&hand_on);
    let started = started.inspect_err(|failed| {
        if matches!(failed, LaunchError::Agent(_)) {
            delete::end(&stored);
        }
    });
    started.map_err(launching(program(&spec)))?;
    let state = State::as_told(&entry, &stored, Status::Running.name()).to_json()?;
    hooks::run(&spec, Kind::Poststart, &state).inspect_err(|_failed| delete::end(&stored))
}

/// Listens where the container will wait. Through a descriptor of the directory, since a socket's path
/// must be short.
pub fn gate(entry: &Entry) -> Result<OwnedFd, Error> {
    let (socket, address, _directory) = socket_and_address(entry)?;
    bind(socket.as_raw_fd(), &address)
        .map_err(call("bind the socket that starts the container"))?;
    listen(&socket, Backlog::MAXALLOWABLE)
        .map_err(call("listen on the socket that starts the container"))?;
    Ok(socket)
}

fn knock(entry: &Entry) -> Result<OwnedFd, Error> {
    let (socket, address, _directory) = socket_and_address(entry)?;
    connect(socket.as_raw_fd(), &address).map_err(call("reach the container that is to start"))?;
    Ok(socket)
}

fn socket_and_address(entry: &Entry) -> Result<(OwnedFd, UnixAddr, fs::File), Error> {
    let directory = fs::File::open(entry.directory()).map_err(file("open", entry.directory()))?;
    let path = format!("/proc/self/fd/{}/start", directory.as_raw_fd());
    let address = UnixAddr::new(path.as_str()).map_err(call("name a socket"))?;
    let socket = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    Ok((socket.map_err(call("make a socket"))?, address, directory))
}
