//! `exec`: another process in a container.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use containerizer::{Entrance, Identity, Lines};
use oci_spec::runtime::{Process, Spec};
use serde_json::{Value, json};
use tracing::debug;

use crate::attend::{self, Signals};
use crate::config::{check_process, complete};
use crate::error::{Error, call, file, launching};
use crate::flags::Exec;
use crate::log::Log;
use crate::run::as_ours;
use crate::seccomp_agent::Agent;
use crate::state::State;
use crate::status::{self, Status};
use crate::store::Store;
use crate::terminal::{self, Terminal};
use crate::{caller, console, place};

pub fn exec(store: &Store, flags: &Exec, log: &Log) -> Result<ExitCode, Error> {
    let entry = store.find(&flags.id)?;
    let stored = entry.stored()?;
    match status::of(&entry, &stored) {
        Status::Stopped => return Err(Error::ExecStopped),
        Status::Paused if !flags.ignore_paused => return Err(Error::ExecPaused),
        Status::Created | Status::Running | Status::Paused => {}
    }
    let spec = entry.spec()?;
    let process = process(&spec, flags, log)?;
    let pidfd = stored
        .process
        .open()
        .map_err(call("open the container's process"))?;
    let terminal = process.terminal() == Some(true);
    let (console, ours) = match (&flags.console_socket, terminal, flags.detach) {
        (Some(path), true, true) => (Some((console::connect(path)?, Lines::Terminal)), None),
        (Some(_), _, _) => return Err(Error::NeedlessConsoleSocket),
        (None, true, true) => return Err(Error::NoConsoleSocket),
        (None, true, false) => {
            terminal::socket().map(|(ours, its)| (Some((its, Lines::Plain)), Some(ours)))?
        }
        (None, false, _) => (None, None),
    };
    let args = process.args().as_deref().unwrap_or_default();
    let program = args.first().map_or("", String::as_str);
    let agent = Agent::of(&spec)?;
    let hand_on = |pid, listener| agent.hand(&State::of(&entry, &stored), pid, listener);
    let signals = (!flags.detach).then(Signals::take).transpose()?;
    let (pid, child) = Entrance {
        spec: &spec,
        process: &process,
        entry: place::entry(&stored, &flags.cgroup)?,
        pidfd: &pidfd.ok_or(Error::ExecStopped)?,
        stdio: caller::stdio()?,
        console,
        preserved: caller::preserved(flags.preserve_fds)?,
    }
    .enter(&hand_on)
    .map_err(launching(program))?;
    debug!(
        pid,
        "the process has joined the container, and its command is executed"
    );
    if let Err(error) = tell(flags, pid) {
        // It can only be gone already.
        let _ = child.signal(nix::libc::SIGKILL);
        child.wait();
        return Err(error);
    }
    let Some(signals) = signals else {
        return Ok(ExitCode::SUCCESS);
    };
    let terminal = ours.as_ref().map(Terminal::receive).transpose()?;
    let ended = attend::until_end(&child, &signals, terminal.as_ref())?;
    Ok(as_ours(ended))
}

/// Who the process is, to those who asked.
fn tell(flags: &Exec, pid: u32) -> Result<(), Error> {
    if let Some(path) = &flags.pid_file {
        fs::write(path, pid.to_string()).map_err(file("write", path))?;
    }
    let Some(process) = Identity::of(pid) else {
        // A child that has not been waited for has a number.
        return Ok(());
    };
    console::send_pidfd(flags.pidfd_socket.as_deref(), process)
}

/// As a file describes it, or like the container's own but for what is asked.
fn process(spec: &Spec, flags: &Exec, log: &Log) -> Result<Process, Error> {
    let (process, warnings) = match &flags.process {
        Some(path) => parse(&fs::read_to_string(path).map_err(file("read", path))?, path)?,
        None => checked(like_own(spec, flags)?, Path::new("process"))?,
    };
    warnings.iter().for_each(|warning| log.warning(warning));
    Ok(process)
}

/// With what is ignored in it.
pub fn parse(text: &str, path: &Path) -> Result<(Process, Vec<String>), Error> {
    let value = serde_json::from_str(text).map_err(|source| Error::BadConfig {
        path: path.to_owned(),
        at: ".".to_owned(),
        source,
    })?;
    checked(value, path)
}

fn checked(mut value: Value, path: &Path) -> Result<(Process, Vec<String>), Error> {
    let mut warnings = Vec::new();
    crate::config::remove_nulls(&mut value);
    if let Some(members) = value.as_object_mut() {
        complete(members, &mut warnings);
    }
    let parsed = serde_path_to_error::deserialize(value);
    let process = parsed.map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        Error::BadConfig {
            path: path.to_owned(),
            at: error.path().to_string(),
            source: error.into_inner(),
        }
    })?;
    check_process(&process)?;
    Ok((process, warnings))
}

fn like_own(spec: &Spec, flags: &Exec) -> Result<Value, Error> {
    let own = spec.process().as_ref();
    let mut process = serde_json::to_value(own).map_err(call("copy the container's process"))?;
    process["args"] = json!(flags.command);
    process["terminal"] = json!(flags.tty);
    if let Some(cwd) = &flags.cwd {
        process["cwd"] = json!(cwd);
    }
    if let Some(user) = &flags.user {
        process["user"] = parse_user(user)?;
    }
    if !flags.additional_gids.is_empty() {
        process["user"]["additionalGids"] = json!(flags.additional_gids);
    }
    if flags.no_new_privs {
        process["noNewPrivileges"] = json!(true);
    }
    for (name, value) in [
        ("apparmorProfile", &flags.apparmor),
        ("selinuxLabel", &flags.process_label),
    ] {
        if let Some(value) = value {
            process[name] = json!(value);
        }
    }
    if let Some(env) = process.get_mut("env").and_then(Value::as_array_mut) {
        env.extend(flags.env.iter().map(|entry| json!(entry)));
    } else if !flags.env.is_empty() {
        process["env"] = json!(flags.env);
    }
    add_capabilities(&mut process, &flags.cap);
    Ok(process)
}

/// `UID[:GID]`, in numbers: names would be the container's to say.
pub fn parse_user(text: &str) -> Result<Value, Error> {
    let bad = || Error::BadUser(text.to_owned());
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| text.parse::<u32>().map_err(|_bad| bad());
    Ok(json!({"uid": number(uid)?, "gid": number(gid)?}))
}

/// To what it may have; and to what its children inherit, where the container has anything like it.
fn add_capabilities(process: &mut Value, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let inherits = process["capabilities"]["inheritable"].is_array();
    let mut sets = vec!["bounding", "effective", "permitted"];
    if inherits {
        sets.extend(["inheritable", "ambient"]);
    }
    for set in sets {
        let known = &mut process["capabilities"][set];
        let mut all: Vec<Value> = known.as_array().cloned().unwrap_or_default();
        for name in names.iter().map(|name| json!(name.to_ascii_uppercase())) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        *known = json!(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers() {
        let user = |text| parse_user(text).ok();
        assert_eq!(user("7"), Some(json!({"uid": 7, "gid": 0})));
        assert_eq!(user("7:8"), Some(json!({"uid": 7, "gid": 8})));
        for bad in ["", "root", "7:", ":7", "4294967296", "-1", "7:8:9"] {
            assert_eq!(user(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_capability_is_inherited_only_where_some_are() {
        let mut process = json!({"capabilities": {"bounding": ["CAP_KILL"]}});
        add_capabilities(&mut process, &["cap_chown".to_owned()]);
        let sets = &process["capabilities"];
        assert_eq!(sets["bounding"], json!(["CAP_KILL", "CAP_CHOWN"]));
        assert_eq!(sets["permitted"], json!(["CAP_CHOWN"]));
        assert_eq!(sets["ambient"], Value::Null);
        process["capabilities"]["inheritable"] = json!([]);
        add_capabilities(&mut process, &["CAP_CHOWN".to_owned()]);
        assert_eq!(process["capabilities"]["ambient"], json!(["CAP_CHOWN"]));
    }
}
