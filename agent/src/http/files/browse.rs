//! `/files/browse`: what is in a directory.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{Gid, Group, Uid, User};
use serde_json::{Value, json};

use super::{Failure, Tree};

/// Most entries of one answer. A task may make any number of files.
const MOST: usize = 10_000;

/// What is in a directory: all of it, or the first in order of name, and always the task's logs.
#[derive(Debug)]
pub struct Listing {
    pub entries: Value,
    /// What was left out, as a sentence.
    pub cut: Option<String>,
}

pub fn browse(tree: &Tree, path: &str) -> Result<Listing, Failure> {
    let found = tree.find(path)?;
    let fail = |errno: Errno| match errno {
        Errno::ENOTDIR => Failure::NotADirectory(path.to_owned()),
        errno => Failure::Io {
            path: path.to_owned(),
            source: errno.into(),
        },
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = Dir::openat(&found, ".", flags, Mode::empty()).map_err(fail)?;
    let mut names = Names::default();
    for entry in directory.iter() {
        names.add(entry.map_err(fail)?.file_name());
    }
    let cut = names.cut();
    let shown = path.trim_end_matches('/');
    let mut owners = Owners::default();
    let entry = |name: CString| {
        // What vanished meanwhile, or cannot be looked at, is skipped.
        let mut stat = fstatat(&found, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        if let Some(length) = length_of_log(tree, path, &name) {
            stat.st_size = length;
        }
        let path = format!("{shown}/{}", name.to_string_lossy());
        Some(describe(&path, &stat, &mut owners))
    };
    Ok(Listing {
        entries: names.sorted().filter_map(entry).collect(),
        cut,
    })
}

/// Without what a log has given back at its beginning.
fn length_of_log(tree: &Tree, above: &str, name: &CStr) -> Option<i64> {
    let log = tree.log(&format!("{above}/{}", name.to_str().ok()?))?;
    let bounds = log.bounds().ok()??;
    i64::try_from(bounds.end - bounds.start).ok()
}

/// The first names of a directory, however many it has.
#[derive(Default)]
struct Names {
    first: BTreeSet<CString>,
    logs: BTreeSet<CString>,
    total: u64,
}

impl Names {
    fn add(&mut self, name: &CStr) {
        let kept = match name.to_bytes() {
            b"." | b".." => return,
            b"stdout" | b"stderr" => &mut self.logs,
            _ => &mut self.first,
        };
        self.total += 1;
        kept.insert(name.to_owned());
        if self.first.len() > MOST {
            self.first.pop_last();
        }
    }

    fn cut(&self) -> Option<String> {
        let shown = (self.first.len() + self.logs.len()) as u64;
        (shown < self.total).then(|| {
            format!(
                "{shown} of {} entries, the first in order of name; others are read and downloaded \
                 by their paths",
                self.total
            )
        })
    }

    fn sorted(mut self) -> impl Iterator<Item = CString> {
        self.first.append(&mut self.logs);
        self.first.into_iter()
    }
}

fn describe(path: &str, stat: &FileStat, owners: &mut Owners) -> Value {
    json!({
        "path": path,
        "nlink": stat.st_nlink,
        "size": stat.st_size,
        "mtime": stat.st_mtime as f64,
        "mode": mode(stat.st_mode),
        "uid": owners.user(stat.st_uid),
        "gid": owners.group(stat.st_gid),
    })
}

/// Names of users and groups, each looked up once; a number that has none stands for itself.
#[derive(Default)]
struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    fn user(&mut self, uid: u32) -> String {
        let look_up = || {
            User::from_uid(Uid::from_raw(uid))
                .ok()
                .flatten()
                .map(|user| user.name)
        };
        let name = self.users.entry(uid);
        name.or_insert_with(|| look_up().unwrap_or_else(|| uid.to_string()))
            .clone()
    }

    fn group(&mut self, gid: u32) -> String {
        let look_up = || {
            Group::from_gid(Gid::from_raw(gid))
                .ok()
                .flatten()
                .map(|g| g.name)
        };
        let name = self.groups.entry(gid);
        name.or_insert_with(|| look_up().unwrap_or_else(|| gid.to_string()))
            .clone()
    }
}

/// As `ls -l` shows it: ten characters, the type first.
fn mode(bits: u32) -> String {
    let kind = match SFlag::from_bits_truncate(bits & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => 'd',
        SFlag::S_IFLNK => 'l',
        SFlag::S_IFCHR => 'c',
        SFlag::S_IFBLK => 'b',
        SFlag::S_IFIFO => 'p',
        SFlag::S_IFSOCK => 's',
        _ => '-',
    };
    let mut text = String::from(kind);
    for (shift, special, set) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let is = |bit: u32| bits >> shift & bit != 0;
        text.push(if is(4) { 'r' } else { '-' });
        text.push(if is(2) { 'w' } else { '-' });
        text.push(match (is(1), bits & special != 0) {
            (true, true) => set,
            (false, true) => set.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::tree;
    use super::*;

    #[test]
    fn a_directory_lists_sorted_and_says_what_each_entry_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stdout"), "12").unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let listed = browse(&tree(dir.path()), "/box/.").unwrap();
        assert_eq!(listed.cut, None);
        let listed = listed.entries;
        let paths: Vec<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|e| &e["path"])
            .collect();
        assert_eq!(paths, ["/box/./data", "/box/./stdout"]);
        assert_eq!(listed[1]["size"], 2);
        assert!(listed[0]["mode"].as_str().unwrap().starts_with('d'));
    }

    #[test]
    fn of_a_huge_directory_the_first_entries_and_the_logs_are_listed() {
        let mut names = Names::default();
        for n in (0..30_000).rev() {
            names.add(&CString::new(format!("{n:05}")).unwrap());
        }
        names.add(c"stdout");
        let cut = names.cut().unwrap();
        assert!(cut.starts_with("10001 of 30001 entries"), "{cut}");
        let shown: Vec<_> = names.sorted().collect();
        assert_eq!(
            (shown[0].as_c_str(), shown[MOST - 1].as_c_str()),
            (c"00000", c"09999")
        );
        assert_eq!(shown[MOST].as_c_str(), c"stdout");
    }

    #[test]
    fn a_mode_reads_as_ls_shows_it() {
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o041_777), "drwxrwxrwt");
        assert_eq!(mode(0o104_755), "-rwsr-xr-x");
        assert_eq!(mode(0o102_644), "-rw-r-Sr--");
    }
}
