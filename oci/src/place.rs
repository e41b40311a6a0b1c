//! Which cgroup a process of exec goes to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use isolators::cgroups::{Below, Cgroup, Entry, Layout};

use crate::error::Error;
use crate::status;
use crate::store::Stored;

/// What --cgroup says, `[CONTROLLERS:]PATH` each, or the container's own. On v2 that may hold no
/// processes any more since the container has divided it; then where its first process is.
pub fn entry(stored: &Stored, asked: &[String]) -> Result<Entry, Error> {
    let cgroup = status::cgroup(stored)?;
    if asked.is_empty() {
        let first = match cgroup.takes_processes() {
            true => None,
            false => of_first(stored)?,
        };
        return Ok(first.unwrap_or(cgroup).entry()?);
    }
    let below = |(controller, path): (Option<String>, PathBuf)| Below {
        controllers: controller.into_iter().collect(),
        path,
    };
    let places: Vec<Below> = parse(asked)?.into_iter().map(below).collect();
    cgroup.entry_below(&places).map_err(Error::Place)
}

fn of_first(stored: &Stored) -> Result<Option<Cgroup>, Error> {
    let file = format!("/proc/{}/cgroup", stored.process.pid);
    // One that has just ended is found by who joins it.
    let path = on_v2(&fs::read(file).unwrap_or_default());
    // While it lives, nobody else has had its number.
    let path = path.filter(|_| stored.process.lives());
    let hierarchy = status::hierarchy()?;
    Ok(path.map(|path| Cgroup::at(&hierarchy, &path, Layout::Oci)))
}

/// Of proc_pid_cgroup(5). The container has named it, and can have named it anything.
pub fn on_v2(cgroups: &[u8]) -> Option<PathBuf> {
    let mut lines = cgroups.split(|byte| *byte == b'\n');
    let path = lines.find_map(|line| line.strip_prefix(b"0::"))?;
    Some(OsStr::from_bytes(path).into())
}

/// By the controller that they are for; without one for all.
pub type Places = BTreeMap<Option<String>, PathBuf>;

pub fn parse(asked: &[String]) -> Result<Places, Error> {
    let bad = |asked: &String, what| Error::BadFlag {
        flag: "--cgroup",
        value: asked.clone(),
        wanted: what,
    };
    let mut places = Places::new();
    for text in asked {
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) => (
                controllers.split(',').map(|c| Some(c.to_owned())).collect(),
                path,
            ),
            None => (vec![None], text.as_str()),
        };
        for controller in controllers {
            if controller.as_deref() == Some("") {
                return Err(bad(text, "a name of a controller is empty"));
            }
            if places.insert(controller, PathBuf::from(path)).is_some() {
                return Err(bad(text, "something is said of it before"));
            }
        }
    }
    match places.contains_key(&None) && places.len() > 1 {
        true => Err(bad(
            &asked.join(" "),
            "with several, each must name its controllers",
        )),
        false => Ok(places),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(asked: &[&str]) -> Option<Vec<(String, String)>> {
        let asked: Vec<String> = asked.iter().map(|text| (*text).to_owned()).collect();
        let places = parse(&asked).ok()?.into_iter();
        let shown = |(controller, path): (Option<String>, PathBuf)| {
            (controller.unwrap_or_default(), path.display().to_string())
        };
        Some(places.map(shown).collect())
    }

    #[test]
    fn a_place_is_for_all_controllers_or_for_those_it_names() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(places(&["a/b"]), Some(vec![pair("", "a/b")]));
        let wanted = vec![pair("cpu", "x"), pair("cpuacct", "x"), pair("memory", "y")];
        assert_eq!(places(&["memory:y", "cpu,cpuacct:x"]), Some(wanted));
        for bad in [
            &["a", "b"][..],
            &["a", "cpu:b"],
            &["cpu:a", "cpu:b"],
            &[":a"],
            &["cpu,:a"],
        ] {
            assert_eq!(places(bad), None, "{bad:?}");
        }
    }
}
