//! From root in the container to the command: limits, user, capabilities, exec.

use std::ffi::CString;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use init::{
    Capabilities, Exec, Filter, Gate, HEAD, Hook, Preserved, Stage, Word, interpreter, passwd,
};

use crate::failure::{Failure, because};
use crate::procfs::Procfs;
use crate::root::Root;
use crate::sys::Arguments;
use crate::{Never, hooks, launcher, scheduling, sys};

/// Highest capability number that capset(2) can carry.
const CAPABILITIES: u64 = 64;

/// Lowering the score needs CAP_SYS_RESOURCE, so this comes before capabilities are dropped; and
/// before the steps, while the host's /proc is there.
pub fn set_oom_score(score: i32) -> Result<(), Failure> {
    Procfs::of_host()
        .and_then(|proc| proc.write("self/oom_score_adj", &score.to_string()))
        .map_err(because(format!("set oom_score_adj to {score}")))
}

/// Programs open /dev/stderr anew, which the kernel grants to whom the pipe behind it belongs. A file of the host
/// stays whose it is, and a terminal of the container's own has its owner already.
fn give_pipes(uid: u32) {
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        let stream = sys::inherited(stream);
        if sys::metadata(stream)
            .is_ok_and(|about| about.file_type().is_fifo() && about.uid() != uid)
        {
            // Not where a user namespace does not know whose it is; what is open can be written to all the same.
            let _ = sys::give_to(stream, uid);
        }
    }
}

/// `state`: of the container, for hooks. Returns only on failure.
pub fn exec(exec: &Exec, state: &str) -> Result<Never, Failure> {
    let with_home = exec.engine.then(|| with_home(exec)).flatten();
    let exec = with_home.as_ref().unwrap_or(exec);
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
    scheduling::apply(&exec.scheduling)?;
    if let Some(caps) = &exec.capabilities {
        drop_bounding(caps.bounding).map_err(because("drop capabilities from the bounding set"))?;
        // Else setuid would take the permitted set along with root.
        sys::prctl(libc::PR_SET_KEEPCAPS, [1, 0, 0, 0]).map_err(because("keep capabilities"))?;
    }
    // Engines give directories that only root may enter, and mean it.
    let entered = exec.engine && sys::chdir(&exec.cwd).is_ok();
    if exec.engine && exec.uid != 0 {
        give_pipes(exec.uid);
    }
    sys::become_user(exec.uid, exec.gid, &exec.groups).map_err(because(format!(
        "become user {} group {}",
        exec.uid, exec.gid
    )))?;
    // As the user, whose effective capabilities are empty at this moment: a directory closed to it
    // is an error here, not a surprise later.
    let chdir = match entered {
        true => Ok(()),
        false => sys::chdir(&exec.cwd),
    };
    chdir
        .and_then(|()| inside())
        .map_err(because(format!("enter working directory {}", exec.cwd)))
        .map_err(|failure| failure.at(Stage::WorkingDirectory {}))?;
    let until_filtered = exec.capabilities.map(|caps| until_filtered(exec, caps));
    if let Some(caps) = &until_filtered {
        set_capabilities(caps).map_err(because("set capabilities"))?;
    }
    sys::umask(exec.umask);
    if exec.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]).map_err(because("set no_new_privs"))?;
    }
    // A filter may forbid whatever it likes, memory included: all else is done before it.
    let attempt = format!("run {:?} in {}", exec.path, exec.cwd);
    let image = match Image::of(exec) {
        Ok(image) => image,
        Err(error) => return Err(because(attempt)(error).at(Stage::Exec {})),
    };
    let without = (image.missing_interpreter.as_ref())
        .map(|missing| because(format!("{attempt} with {missing}")));
    let failed = because(attempt);
    if exec.gate.is_some() || exec.seccomp.is_some() {
        // Said to who creates the container: who starts it later could not mend it. And a filter may
        // forbid to say anything.
        if let Err(error) = image.is_there() {
            return Err(failed(error).at(Stage::Exec {}));
        }
    }
    let hooks = match &exec.gate {
        Some(gate) => {
            wait_at(gate)?;
            hooks_of(gate, &exec.env)
        }
        None => Vec::new(),
    };
    // The filter is theirs, too, and may forbid what it takes to prepare them.
    let hooks = hooks::prepare("startContainer", hooks, state)?;
    hand_on(exec.preserved).map_err(because("hand descriptors on to the command"))?;
    sys::unblock_all_signals().map_err(because("unblock signals"))?;
    let at = sys::monotonic_nanoseconds();
    launcher::tell(&Word::AboutToExec { at }).map_err(because("write to the launcher"))?;
    if let Some(filter) = &exec.seccomp {
        install(filter)?;
    }
    if let Some(caps) = exec
        .capabilities
        .filter(|caps| Some(*caps) != until_filtered)
    {
        sys::set_capabilities(caps.effective, caps.permitted, caps.inheritable).map_err(
            because("give up the capability that installed the seccomp filter"),
        )?;
    }
    hooks.run()?;
    let error = image.run();
    Err(match without {
        Some(without) if error.raw_os_error() == Some(libc::ENOENT) => {
            without(error).at(Stage::Interpreter {})
        }
        _ => failed(error).at(Stage::Exec {}),
    })
}

/// Nobody answers the filter's questions before the launcher has handed on what they are asked with: until
/// it is sent there is no call but that one.
fn install(filter: &Filter) -> Result<(), Failure> {
    let word = Word::Listener {}.encode();
    let installed = sys::install_filter(&filter.instructions, filter.flags);
    let sent = match &installed {
        Ok(Some(listener)) => launcher::hand(&word, *listener),
        Ok(None) | Err(_) => Ok(()),
    };
    installed
        .map_err(because("install the seccomp filter"))
        .and(sent.map_err(because(
            "send the seccomp filter's listener to the launcher",
        )))
        .map_err(|failure| failure.at(Stage::Seccomp {}))
}

/// The command with the home directory of its user, where it was given none. An environment without
/// one is no reason to fail.
fn with_home(exec: &Exec) -> Option<Exec> {
    let given = exec
        .env
        .iter()
        .filter_map(|entry| entry.strip_prefix("HOME="));
    if given.clone().any(|home| !home.is_empty()) {
        return None;
    }
    let passwd = passwd().unwrap_or_default();
    let home = passwd::home(&passwd, exec.uid).unwrap_or_else(|| "/".to_owned());
    let mut exec = exec.clone();
    exec.env.retain(|entry| !entry.starts_with("HOME="));
    exec.env.push(format!("HOME={home}"));
    Some(exec)
}

/// A regular file of a sane size, or nothing: an image may put a pipe there, which would never end.
fn passwd() -> Option<String> {
    let root = Root::open("/").ok()?;
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = std::fs::File::from(root.open_at("/etc/passwd", flags).ok()?);
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > passwd::LONGEST as u64 {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(passwd::LONGEST as u64)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Until somebody starts the command, and hears on the connection how that goes.
fn wait_at(gate: &Gate) -> Result<(), Failure> {
    launcher::say(&Word::Ready {}).map_err(because("write to the launcher"))?;
    // It would ignore them as process 1, and cannot be told to end otherwise but by SIGKILL.
    const END: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    let signal = sys::wait_for_either(gate.listener as i32, &END);
    if let Some(signal) = signal.map_err(because("wait to be started"))? {
        sys::exit(128 + signal);
    }
    sys::accept(gate.listener as i32)
        .and_then(|connection| launcher::turn_to(&connection))
        .map_err(because("wait to be started"))
}

/// One without an environment has the command's.
fn hooks_of(gate: &Gate, env: &[String]) -> Vec<Hook> {
    let mut hooks = gate.hooks.clone();
    for hook in hooks.iter_mut().filter(|hook| hook.env.is_empty()) {
        env.clone_into(&mut hook.env);
    }
    hooks
}

/// Gives the last descriptors that we were started with the first numbers after the standard streams,
/// and nothing else to the command.
fn hand_on(preserved: Preserved) -> io::Result<()> {
    const FIRST: i32 = 3;
    let Preserved { first, count } = preserved;
    if count > 0 {
        launcher::give_up_record();
        launcher::move_above((first + count) as i32)?;
        // Upwards, so that none is overwritten before it has been copied.
        for n in 0..count as i32 {
            sys::duplicate_to(first as i32 + n, FIRST + n, false)?;
        }
    }
    sys::close_on_exec_from(FIRST as u32 + count);
    Ok(())
}

/// A path through /proc may lead to a directory that is not the container's (CVE-2024-21626).
fn inside() -> io::Result<()> {
    match sys::is_inside()? {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EXDEV)),
    }
}

/// What the command is to have, and what installing its filter takes where it does not give up new
/// privileges. seccomp(2).
fn until_filtered(exec: &Exec, caps: Capabilities) -> Capabilities {
    const SYS_ADMIN: u64 = 1 << 21;
    match exec.seccomp.is_some() && !exec.no_new_privileges {
        true => Capabilities {
            effective: caps.effective | SYS_ADMIN,
            permitted: caps.permitted | SYS_ADMIN,
            ..caps
        },
        false => caps,
    }
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

/// The program and its arguments as the kernel takes them.
struct Image {
    /// In the order to be tried: what execvpe(3) finds on the PATH of the container's environment.
    candidates: Vec<CString>,
    arguments: Arguments,
    /// What the program that is there names to run it, and is not.
    missing_interpreter: Option<String>,
}

impl Image {
    fn of(exec: &Exec) -> io::Result<Self> {
        let paths = candidates(exec);
        let candidates: io::Result<_> = paths.iter().map(|s| sys::c_string(s)).collect();
        Ok(Self {
            candidates: candidates?,
            arguments: Arguments::new(&exec.argv, &exec.env)?,
            missing_interpreter: missing_interpreter(&paths),
        })
    }

    /// Errors: those that the exec would have, as far as the file itself tells.
    fn is_there(&self) -> io::Result<()> {
        let mut worst = libc::ENOENT;
        for path in &self.candidates {
            match sys::is_executable(path) {
                Ok(()) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EACCES) => worst = libc::EACCES,
                Err(_missing) => {}
            }
        }
        Err(io::Error::from_raw_os_error(worst))
    }

    /// Returns only on failure.
    fn run(&self) -> io::Error {
        let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
        for candidate in &self.candidates {
            let error = sys::execve(candidate, &self.arguments);
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                // Found but not allowed: say that unless a later one runs.
                Some(libc::EACCES) => worst = error,
                _ => return error,
            }
        }
        worst
    }
}

/// Of the first program that is there. Looked up before the exec, after which a filter might forbid it.
fn missing_interpreter(candidates: &[String]) -> Option<String> {
    let mut head = Vec::with_capacity(HEAD);
    // Nobody waits for the other end of a pipe that an image has put there.
    let mut options = std::fs::File::options();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let mut files = candidates.iter().map(|path| options.open(path));
    let file = files.find_map(Result::ok)?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(HEAD as u64).read_to_end(&mut head).ok()?;
    interpreter(&head).filter(|named| !std::path::Path::new(named).exists())
}

fn candidates(exec: &Exec) -> Vec<String> {
    if exec.path.contains('/') {
        return vec![exec.path.clone()];
    }
    let path = exec
        .env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let directories = path.unwrap_or("/usr/bin:/bin").split(':');
    directories
        .map(|directory| if directory.is_empty() { "." } else { directory })
        .map(|directory| format!("{directory}/{}", exec.path))
        .collect()
}
