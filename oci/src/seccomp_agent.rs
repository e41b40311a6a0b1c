//! The seccomp agent of a spec: the program that is asked about system calls (SCMP_ACT_NOTIFY).
//!
//! Source: OCI runtime spec, config-linux.md, "The Container Process State".

use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use oci_spec::runtime::{SECCOMP_FD_NAME, Spec};
use serde_json::json;

use crate::error::Error;
use crate::state::State;

/// Connected to it, before anything depends on it. `None`: the spec has nobody asked.
pub struct Agent(Option<Connection>);

struct Connection {
    socket: UnixStream,
    metadata: Option<String>,
}

impl Agent {
    pub fn of(spec: &Spec) -> Result<Self, Error> {
        let linux = spec.linux().as_ref();
        let profile = linux.and_then(|linux| linux.seccomp().as_ref());
        let Some(profile) = profile.filter(|profile| containerizer::notifies(profile)) else {
            return Ok(Self(None));
        };
        // Without one the profile is refused, where it is compiled.
        let path = profile.listener_path().clone().unwrap_or_default();
        if path.as_os_str().is_empty() {
            return Ok(Self(None));
        }
        match UnixStream::connect(&path) {
            Ok(socket) => Ok(Self(Some(Connection {
                socket,
                metadata: profile.listener_metadata().clone(),
            }))),
            Err(source) => Err(Error::SeccompAgent { path, source }),
        }
    }

    /// `pid`: the process whose calls the listener tells of.
    pub fn hand(&self, state: &State, pid: u32, listener: OwnedFd) -> io::Result<()> {
        let connection = self.0.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let told = json!({
            "ociVersion": &state.oci_version,
            "fds": [SECCOMP_FD_NAME],
            "pid": pid,
            "metadata": &connection.metadata,
            "state": state,
        });
        connection.send(told.to_string().as_bytes(), &listener)
    }
}

impl Connection {
    fn send(&self, text: &[u8], listener: &OwnedFd) -> io::Result<()> {
        let descriptors = [listener.as_raw_fd()];
        let with = [ControlMessage::ScmRights(&descriptors)];
        let parts = [IoSlice::new(text)];
        let to = self.socket.as_raw_fd();
        let sent = sendmsg::<()>(to, &parts, &with, MsgFlags::MSG_NOSIGNAL, None)?;
        // A stream may take a long text in pieces; the descriptor went with the first.
        let rest = text.get(sent..).unwrap_or_default();
        (&self.socket).write_all(rest)
    }
}
