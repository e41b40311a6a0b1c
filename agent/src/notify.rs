//! What the agent tells the service manager that started it: sd_notify(3), without its library.
//!
//! A message is lines of `NAME=value` in one datagram to the socket that `NOTIFY_SOCKET` names. It is
//! believed by systemd when it comes from the main process of a unit with `NotifyAccess=main`.

use std::env::VarError;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The manager reads one datagram at a time, and status lines are for people.
const LONGEST_STATUS: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// The start, or an upgrade, is over.
    Ready,
    /// An upgrade begins.
    Reloading,
    /// The end begins.
    Stopping,
    /// Still alive.
    Watchdog,
    /// From now on that process is the main one.
    MainPid(u32),
    /// What `systemctl status` shows.
    Status(&'a str),
}

/// Pure: the datagram that says `words`.
pub fn datagram(words: &[Word<'_>]) -> String {
    let lines = words.iter().map(|word| match word {
        Word::Ready => "READY=1\n".to_owned(),
        Word::Reloading => "RELOADING=1\n".to_owned(),
        Word::Stopping => "STOPPING=1\n".to_owned(),
        Word::Watchdog => "WATCHDOG=1\n".to_owned(),
        Word::MainPid(pid) => format!("MAINPID={pid}\n"),
        Word::Status(text) => format!("STATUS={}\n", one_line(text)),
    });
    lines.collect()
}

/// A line break in it would begin a word of its own.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(LONGEST_STATUS).collect()
}

#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error(
        "NOTIFY_SOCKET is {0:?}: it must be an absolute path, or @ and a name, as systemd sets it"
    )]
    Address(String),
    #[error("cannot open a socket to tell the service manager")]
    Open(#[source] io::Error),
    #[error("WATCHDOG_USEC is {0:?}: it must be a number of microseconds, as systemd sets it")]
    Watchdog(String),
}

/// The way to the service manager; none when there is nobody to tell.
#[derive(Debug)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// To whom `NOTIFY_SOCKET` says.
    pub fn from_environment() -> Result<Notifier, NotifyError> {
        match variable("NOTIFY_SOCKET") {
            Some(name) => Notifier::to(&name),
            None => Ok(Notifier { manager: None }),
        }
    }

    /// `@` stands for the NUL that abstract names begin with.
    pub fn to(name: &str) -> Result<Notifier, NotifyError> {
        let address = match (name.strip_prefix('@'), name.starts_with('/')) {
            (Some(rest), _) if !rest.is_empty() => SocketAddr::from_abstract_name(rest),
            (_, true) => SocketAddr::from_pathname(name),
            _ => return Err(NotifyError::Address(name.to_owned())),
        };
        let address = address.map_err(|_too_long| NotifyError::Address(name.to_owned()))?;
        let socket = UnixDatagram::unbound().map_err(NotifyError::Open)?;
        // A manager that does not read must not keep the agent from its work.
        socket.set_nonblocking(true).map_err(NotifyError::Open)?;
        Ok(Notifier {
            manager: Some((socket, address)),
        })
    }

    /// Whether somebody listens.
    pub fn is_on(&self) -> bool {
        self.manager.is_some()
    }

    /// Never waits. What cannot be said is told in the log: the agent does without a manager.
    pub fn tell(&self, words: &[Word<'_>]) {
        let Some((socket, address)) = &self.manager else {
            return;
        };
        if let Err(error) = socket.send_to_addr(datagram(words).as_bytes(), address) {
            tracing::warn!(%error, "cannot tell the service manager (NOTIFY_SOCKET)");
        }
    }
}

/// How long the service manager waits for a sign of life, by `WATCHDOG_USEC`; `None` when it does not.
/// `WATCHDOG_PID` is not looked at: after an upgrade in place the process is another than it says, and
/// the manager believes none but the main one.
pub fn watchdog() -> Result<Option<Duration>, NotifyError> {
    variable("WATCHDOG_USEC").map_or(Ok(None), |text| patience(&text))
}

fn patience(text: &str) -> Result<Option<Duration>, NotifyError> {
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(microseconds) => Ok(Some(Duration::from_micros(microseconds))),
        Err(_not_a_number) => Err(NotifyError::Watchdog(text.to_owned())),
    }
}

/// Of the environment; an empty one is none.
pub(crate) fn variable(name: &str) -> Option<String> {
    match std::env::var(name) {
        Ok(text) => Some(text).filter(|text| !text.is_empty()),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(text)) => Some(text.to_string_lossy().into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lines() {
        let table: [(&[Word<'_>], &str); 4] = [
            (&[], ""),
            (&[Word::Ready, Word::Status("up")], "READY=1\nSTATUS=up\n"),
            (
                &[Word::MainPid(42), Word::Reloading],
                "MAINPID=42\nRELOADING=1\n",
            ),
            (
                &[Word::Watchdog, Word::Stopping],
                "WATCHDOG=1\nSTOPPING=1\n",
            ),
        ];
        for (words, wanted) in table {
            assert_eq!(datagram(words), wanted);
        }
    }

    #[test]
    fn a_status_is_one_line_that_ends() {
        let text = format!("a\nMAINPID=1\n{}", "x".repeat(5000));
        let said = datagram(&[Word::Status(&text)]);
        assert_eq!(said.lines().count(), 1);
        assert!(said.starts_with("STATUS=a MAINPID=1 x"), "{said}");
        assert_eq!(said.len(), "STATUS=\n".len() + LONGEST_STATUS);
    }

    #[test]
    fn a_manager_is_told_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("longshore-test-{}", std::process::id());
        let by_name = SocketAddr::from_abstract_name(&name).unwrap();
        let managers = [
            (
                path.to_str().unwrap().to_owned(),
                UnixDatagram::bind(&path).unwrap(),
            ),
            (
                format!("@{name}"),
                UnixDatagram::bind_addr(&by_name).unwrap(),
            ),
        ];
        for (address, manager) in managers {
            Notifier::to(&address).unwrap().tell(&[Word::Ready]);
            let mut said = [0; 64];
            let length = manager.recv(&mut said).unwrap();
            assert_eq!(&said[..length], b"READY=1\n", "{address}");
        }
    }

    #[test]
    fn a_manager_that_has_gone_or_does_not_read_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let notifier = Notifier::to(path.to_str().unwrap()).unwrap();
        notifier.tell(&[Word::Ready]);
        let _deaf = UnixDatagram::bind(&path).unwrap();
        for _ in 0..10_000 {
            notifier.tell(&[Word::Watchdog]);
        }
    }

    #[test]
    fn what_systemd_would_not_set_is_refused_by_name() {
        for bad in ["", "@", "notify", "/".repeat(200).as_str()] {
            let error = Notifier::to(bad).unwrap_err().to_string();
            assert!(error.contains("NOTIFY_SOCKET"), "{error}");
        }
        assert_eq!(patience("0").unwrap(), None);
        assert_eq!(
            patience("1500000").unwrap(),
            Some(Duration::from_millis(1500))
        );
        for bad in ["-1", "1s", ""] {
            let error = patience(bad).unwrap_err().to_string();
            assert!(error.contains("WATCHDOG_USEC"), "{error}");
        }
    }
}
