//! The act: writes settings into control files, and takes them back.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::cgroup::Cgroup;
use super::devices::{List, Rule};
use super::error::CgroupError;
use super::settings::{BadResources, Choice, Setting, WithoutFile};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub file: PathBuf,
    pub value: String,
}

/// Not fs::write, for which a control file that does not exist is one that it may not create.
pub(super) fn write(file: &Path, value: &str) -> Result<(), CgroupError> {
    let opened = File::options().write(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| refused(file, value, source))
}

fn refused(file: &Path, value: &str, source: io::Error) -> CgroupError {
    CgroupError::Write {
        file: file.to_owned(),
        value: value.to_owned(),
        source,
    }
}

pub(super) fn read(file: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(file).map_err(|source| CgroupError::Read {
        path: file.to_owned(),
        source,
    })
}

pub(super) fn set(cgroup: &Cgroup, setting: &Setting) -> Result<(), CgroupError> {
    set_at(&cgroup.required_dir(&*setting.controller)?, setting, |_| {}).map(drop)
}

/// The same where something was set before: returns what leads back to that.
pub(super) fn change(cgroup: &Cgroup, setting: &Setting) -> Result<Option<Write>, CgroupError> {
    let mut before = None;
    let written = set_at(
        &cgroup.required_dir(&*setting.controller)?,
        setting,
        |file| {
            // Some can only be written, and do not last.
            before = fs::read_to_string(file).ok();
        },
    )?;
    Ok(written.and_then(|(file, choice)| {
        let value = restoring(&before?, choice, setting.removal.as_deref());
        Some(Write { file, value })
    }))
}

fn set_at<'a>(
    directory: &Path,
    setting: &'a Setting,
    mut look: impl FnMut(&Path),
) -> Result<Option<(PathBuf, &'a Choice)>, CgroupError> {
    let mut absent = None;
    for choice in &setting.choices {
        let file = directory.join(&*choice.file);
        look(&file);
        match write(&file, &choice.value) {
            Ok(()) => return Ok(Some((file, choice))),
            Err(CgroupError::Write { source, .. })
                if source.kind() == io::ErrorKind::NotFound && !file.exists() =>
            {
                absent.get_or_insert((file, choice));
            }
            Err(error) => return Err(error),
        }
    }
    match absent.filter(|_| setting.without_file == WithoutFile::Refuse) {
        None => Ok(None),
        Some((file, choice)) => Err(CgroupError::NoFile {
            file,
            value: choice.value.clone(),
            controller: setting.controller.to_string(),
        }),
    }
}

/// What makes a file say again what it said before the choice was written to it.
pub(super) fn restoring(before: &str, choice: &Choice, removal: Option<&str>) -> String {
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    if let Some(removal) = removal {
        let wanted = key(&choice.value);
        let line = before.lines().find(|line| key(line) == wanted);
        return line.unwrap_or(removal).to_owned();
    }
    let first = before.lines().next().unwrap_or_default();
    // This one tells more than it takes.
    let value = first.strip_prefix("oom_kill_disable ").unwrap_or(first);
    // Nothing at all would not be written.
    if value.is_empty() { "\n" } else { value }.to_owned()
}

/// v1. Returns what leads back to the list before.
pub(super) fn set_devices(directory: &Path, rules: &[Rule]) -> Result<Vec<Write>, CgroupError> {
    let wanted = List::of(rules).map_err(BadResources::from)?;
    let file = directory.join("devices.list");
    let Some(now) = List::parse(&read(&file)?) else {
        let source = io::ErrorKind::InvalidData.into();
        return Err(CgroupError::Read { path: file, source });
    };
    write_lines(directory, &now.writes_to(&wanted))?;
    let back = wanted.writes_to(&now).into_iter();
    Ok(back
        .map(|(name, value)| Write {
            file: directory.join(name),
            value,
        })
        .collect())
}

/// Each file is opened once for lines that follow each other: a launch waits for this.
fn write_lines(directory: &Path, lines: &[(&'static str, String)]) -> Result<(), CgroupError> {
    for of_file in lines.chunk_by(|(one, _), (next, _)| one == next) {
        let name = of_file.first().map_or("", |(name, _)| name);
        let path = directory.join(name);
        let mut opened = File::options().write(true).open(&path);
        for (_, line) in of_file {
            let file = opened.as_mut().map_err(|e| io::Error::from(e.kind()));
            let written = file.and_then(|file| file.write_all(line.as_bytes()));
            written.map_err(|source| refused(&path, line, source))?;
        }
    }
    Ok(())
}

/// Host pids in a `cgroup.procs`; none when it does not exist.
pub(super) fn pids(file: &Path) -> Vec<u32> {
    listed(&fs::read_to_string(file).unwrap_or_default())
}

pub(super) fn listed(procs: &str) -> Vec<u32> {
    procs.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Moves every process, those that it forks meanwhile included.
pub(super) fn move_all(from: &Path, to: &Path) -> Result<(), CgroupError> {
    // Each round is for the children of the one before.
    const ROUNDS: usize = 100;
    let members = |directory: &Path| pids(&directory.join("cgroup.procs"));
    let file = to.join("cgroup.procs");
    for _ in 0..ROUNDS {
        let there: BTreeSet<_> = members(to).into_iter().collect();
        let left: Vec<_> = members(from)
            .into_iter()
            .filter(|pid| !there.contains(pid))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        for pid in left {
            // A write takes its time, and with many of them a number may have gone to somebody else.
            if !members(from).contains(&pid) {
                continue;
            }
            match write(&file, &pid.to_string()) {
                // It has ended.
                Err(CgroupError::Write { source, .. })
                    if source.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => {}
                written => written?,
            }
        }
    }
    Err(CgroupError::Restless {
        path: from.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_what_it_said_before() {
        let table = [
            ("100\n", "5", None, "100"),
            ("50000 100000\n", "max 100000", None, "50000 100000"),
            ("\n", "0-1", None, "\n"),
            ("oom_kill_disable 0\nunder_oom 0\n", "1", None, "0"),
            ("default 100\n8:0 200\n", "500", None, "default 100"),
            (
                "default 100\n8:0 200\n",
                "8:0 5",
                Some("8:0 default"),
                "8:0 200",
            ),
            ("default 100\n", "8:0 5", Some("8:0 default"), "8:0 default"),
            ("", "8:0 5", Some("8:0 0"), "8:0 0"),
            ("18:0 7\n", "8:0 5", Some("8:0 0"), "8:0 0"),
        ];
        for (before, value, removal, wanted) in table {
            let choice = Choice {
                file: "f".into(),
                value: value.to_owned(),
            };
            assert_eq!(
                restoring(before, &choice, removal),
                wanted,
                "{before:?} {value:?}"
            );
        }
    }
}
