//! From root in the container to the command: limits, user, capabilities, exec.

use std::ffi::CString;
use std::io::{self, Read as _};

use init::{ABOUT_TO_EXEC, Capabilities, Exec, HEAD, Stage, fd, interpreter};

use crate::failure::{Failure, because};
use crate::{Never, sys};

/// Highest capability number that capset(2) can carry.
const CAPABILITIES: u64 = 64;

/// Lowering the score needs CAP_SYS_RESOURCE, so this comes before capabilities are dropped; and
/// before the steps, while the host's /proc is there.
pub fn set_oom_score(score: i32) -> Result<(), Failure> {
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
        .map_err(because(format!("set oom_score_adj to {score}")))
}

/// Returns only on failure.
pub fn exec(exec: &Exec) -> Result<Never, Failure> {
    sys::setsid();
    if exec.terminal {
        sys::control_by_stdin().map_err(because("be controlled by the terminal at stdin"))?;
    }
    match sys::join_new_session_keyring() {
        // A kernel without keys has none to share.
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {}
        joined => joined.map_err(because("leave the agent's session keyring"))?,
    }
    for limit in &exec.rlimits {
        let (soft, hard) = (limit.soft, limit.hard);
        sys::set_rlimit(limit.resource, soft, hard)
            .map_err(because(format!(
                "set resource limit {} to {soft} (hard {hard})",
                limit.resource
            )))
            .map_err(|failure| failure.at(Stage::Limits {}))?;
    }
    if let Some(caps) = &exec.capabilities {
        drop_bounding(caps.bounding).map_err(because("drop capabilities from the bounding set"))?;
        // Else setuid would take the permitted set along with root.
        sys::prctl(libc::PR_SET_KEEPCAPS, [1, 0, 0, 0]).map_err(because("keep capabilities"))?;
    }
    sys::become_user(exec.uid, exec.gid, &exec.groups).map_err(because(format!(
        "become user {} group {}",
        exec.uid, exec.gid
    )))?;
    // As the user, whose effective capabilities are empty at this moment: a directory closed to it
    // is an error here, not a surprise later.
    sys::chdir(&exec.cwd)
        .map_err(because(format!("enter working directory {}", exec.cwd)))
        .map_err(|failure| failure.at(Stage::WorkingDirectory {}))?;
    if let Some(caps) = &exec.capabilities {
        set_capabilities(caps).map_err(because("set capabilities"))?;
    }
    sys::umask(exec.umask);
    if exec.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]).map_err(because("set no_new_privs"))?;
    }
    sys::unblock_all_signals().map_err(because("unblock signals"))?;
    sys::write(fd::REPORT, &[ABOUT_TO_EXEC]).map_err(because("write to the launcher"))?;
    let (found, error) = exec_on_path(exec);
    let attempt = format!("run {:?} in {}", exec.path, exec.cwd);
    let is_missing = error.raw_os_error() == Some(libc::ENOENT);
    let found = found.filter(|_| is_missing);
    Err(match found.as_deref().and_then(missing_interpreter) {
        Some(missing) => {
            because(format!("{attempt} with {missing}"))(error).at(Stage::Interpreter {})
        }
        None => because(attempt)(error).at(Stage::Exec {}),
    })
}

/// Of a program that is there and yet "does not exist".
fn missing_interpreter(program: &str) -> Option<String> {
    let mut head = Vec::new();
    let file = std::fs::File::open(program).ok()?;
    file.take(HEAD as u64).read_to_end(&mut head).ok()?;
    interpreter(&head).filter(|named| !std::path::Path::new(named).exists())
}

fn drop_bounding(keep: u64) -> io::Result<()> {
    for capability in (0..CAPABILITIES).filter(|n| keep & (1 << n) == 0) {
        match sys::prctl(libc::PR_CAPBSET_DROP, [capability, 0, 0, 0]) {
            // Past the last capability this kernel knows.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

fn set_capabilities(caps: &Capabilities) -> io::Result<()> {
    sys::set_capabilities(caps.effective, caps.permitted, caps.inheritable)?;
    for capability in (0..CAPABILITIES).filter(|n| caps.ambient & (1 << n) != 0) {
        let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
        sys::prctl(libc::PR_CAP_AMBIENT, [raise, capability, 0, 0])?;
    }
    Ok(())
}

/// execvpe(3) with the PATH of the container's environment; returns only on failure, with the program
/// that was found and could not be run.
fn exec_on_path(exec: &Exec) -> (Option<String>, io::Error) {
    match exec_candidates(exec) {
        Ok(failure) => failure,
        Err(error) => (None, error),
    }
}

fn exec_candidates(exec: &Exec) -> Result<(Option<String>, io::Error), io::Error> {
    let strings = |list: &[String]| -> io::Result<Vec<CString>> {
        list.iter().map(|s| sys::c_string(s)).collect()
    };
    let argv = strings(&exec.argv)?;
    let env = strings(&exec.env)?;
    if exec.path.contains('/') {
        let error = sys::execve(&sys::c_string(&exec.path)?, &argv, &env);
        return Ok((Some(exec.path.clone()), error));
    }
    let path = exec
        .env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    let mut found = None;
    for directory in path.unwrap_or("/usr/bin:/bin").split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{}", exec.path);
        let error = sys::execve(&sys::c_string(&candidate)?, &argv, &env);
        match error.raw_os_error() {
            Some(libc::ENOENT) if std::path::Path::new(&candidate).exists() => {
                found = Some(candidate);
            }
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // Found but not allowed: say that unless a later one runs.
            Some(libc::EACCES) => worst = error,
            _ => return Ok((Some(candidate), error)),
        }
    }
    Ok((found, worst))
}
