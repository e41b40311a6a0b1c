//! Signals by name or number.

use nix::libc;
use nix::sys::signal::Signal;

use crate::error::Error;

/// `KILL`, `SIGKILL`, `sigkill`, `9`, `RTMIN+1`; 0 asks only whether the process is there.
pub fn parse(name: &str) -> Result<i32, Error> {
    let unknown = || Error::UnknownSignal(name.to_owned());
    if let Ok(number) = name.parse::<i32>() {
        return match number {
            0..=64 => Ok(number),
            _ => Err(unknown()),
        };
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(number) = realtime(bare) {
        return Ok(number);
    }
    let full = format!("SIG{bare}");
    let alias = match full.as_str() {
        "SIGPOLL" => "SIGIO",
        "SIGCLD" => "SIGCHLD",
        "SIGIOT" => "SIGABRT",
        other => other,
    };
    alias
        .parse::<Signal>()
        .map(|signal| signal as i32)
        .map_err(|_unknown| unknown())
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`.
fn realtime(name: &str) -> Option<i32> {
    let (from, rest) = match name.strip_prefix("RTMIN") {
        Some(rest) => (libc::SIGRTMIN(), rest),
        None => (libc::SIGRTMAX(), name.strip_prefix("RTMAX")?),
    };
    let offset = if rest.is_empty() {
        0
    } else {
        rest.parse::<i32>().ok()?
    };
    let number = from.checked_add(offset)?;
    (libc::SIGRTMIN()..=libc::SIGRTMAX())
        .contains(&number)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_many_names() {
        for name in ["9", "KILL", "SIGKILL", "kill", "SigKill"] {
            assert_eq!(parse(name).ok(), Some(9), "{name}");
        }
        assert_eq!(parse("0").ok(), Some(0));
        assert_eq!(parse("RTMIN+1").ok(), Some(35));
        assert_eq!(parse("SIGRTMAX-1").ok(), Some(63));
        for bad in ["", "SIG", "65", "-1", "NOPE", "RTMIN+99", "RTMIN-1"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
