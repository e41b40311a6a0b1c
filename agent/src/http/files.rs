//! The files API: sandboxes under their virtual paths.
//!
//! What a task put into its sandbox is not trusted: every path below one is resolved by the kernel
//! with `RESOLVE_BENEATH` and used through the descriptor only.
//! Source: spec/mesos-agent.md sections 4.3 and 7.4.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{Uid, User};
use serde_json::{Value, json};

use super::blocking;
use super::reply::Failure;

/// Most bytes in one answer to a read.
const PAGES: u64 = 16 * 4096;

/// A directory of the host and a path it has in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    pub virtual_path: PathBuf,
    pub real: PathBuf,
}

/// All that can be browsed.
#[derive(Debug, Clone, Default)]
pub struct Tree(Vec<Attached>);

impl Tree {
    /// Of two entries with one virtual path the first counts: live runs come before completed ones.
    pub fn new(attached: Vec<Attached>) -> Tree {
        Tree(attached)
    }

    pub fn debug(&self) -> Value {
        let pair = |a: &Attached| (a.virtual_path.display().to_string(), json!(a.real));
        // Backwards, so that the first of a name is the one that stays.
        Value::Object(self.0.iter().rev().map(pair).collect())
    }

    /// Opens what `path` names, for looking at only: no file is opened for real before it is known
    /// to be one.
    fn find(&self, path: &str) -> Result<OwnedFd, Failure> {
        let missing = || Failure::NoSuchFile(path.to_owned());
        let split = |a: &Attached| {
            let below = Path::new(path)
                .strip_prefix(&a.virtual_path)
                .ok()?
                .to_owned();
            Some((a.real.clone(), below))
        };
        let (real, below) = self.0.iter().find_map(split).ok_or_else(missing)?;
        let fail = |errno: Errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR => missing(),
            Errno::EXDEV | Errno::ELOOP => Failure::Escape(path.to_owned()),
            Errno::EACCES | Errno::EPERM => Failure::Forbidden(path.to_owned()),
            errno => Failure::Io {
                path: path.to_owned(),
                source: errno.into(),
            },
        };
        let root = File::open(&real).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => Failure::Io {
                path: path.to_owned(),
                source: error,
            },
        })?;
        let below = if below.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            below
        };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&root, &below, how).map_err(fail)
    }

    fn open_file(&self, path: &str) -> Result<(File, Metadata), Failure> {
        let found = self.find(path)?;
        let fail = |source| Failure::Io {
            path: path.to_owned(),
            source,
        };
        // The link in /proc leads to the very thing that was found, whatever its name is by now.
        let link = format!("/proc/self/fd/{}", found.as_raw_fd());
        let metadata = fs::metadata(&link).map_err(fail)?;
        if metadata.is_dir() {
            return Err(Failure::IsDirectory(path.to_owned()));
        }
        if !metadata.is_file() {
            return Err(Failure::NotAFile(path.to_owned()));
        }
        Ok((File::open(&link).map_err(fail)?, metadata))
    }
}

pub fn browse(tree: &Tree, path: &str) -> Result<Value, Failure> {
    let found = tree.find(path)?;
    let fail = |errno: Errno| match errno {
        Errno::ENOTDIR => Failure::NoSuchFile(path.to_owned()),
        errno => Failure::Io {
            path: path.to_owned(),
            source: errno.into(),
        },
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = Dir::openat(&found, ".", flags, Mode::empty()).map_err(fail)?;
    let mut names = Vec::new();
    for entry in directory.iter() {
        let name = entry.map_err(fail)?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    let shown = path.trim_end_matches('/');
    let mut owners = Owners::default();
    let entry = |name: std::ffi::CString| {
        // What vanished meanwhile, or cannot be looked at, is skipped.
        let stat = fstatat(&found, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        let path = format!("{shown}/{}", name.to_string_lossy());
        Some(describe(&path, &stat, &mut owners))
    };
    Ok(names.into_iter().filter_map(entry).collect())
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
        use nix::unistd::{Gid, Group};
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

/// `offset` `None` asks for the size only; `length` `None` for as much as one answer holds.
pub fn read(
    tree: &Tree,
    path: &str,
    offset: Option<u64>,
    length: Option<u64>,
) -> Result<Value, Failure> {
    let (file, metadata) = tree.open_file(path)?;
    let Some(offset) = offset else {
        return Ok(json!({"offset": metadata.size(), "data": ""}));
    };
    let wanted = length.unwrap_or(PAGES).min(PAGES);
    let fail = |source| Failure::Io {
        path: path.to_owned(),
        source,
    };
    let mut data = vec![0; usize::try_from(wanted).unwrap_or(0)];
    let mut filled = 0;
    while filled < data.len() {
        match file.read_at(&mut data[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
    data.truncate(filled);
    Ok(json!({"offset": offset, "data": text(&data)}))
}

/// Bytes as text. Clients go on at `offset` plus the bytes they got, so a character that is cut in
/// two at the end is left for the next read; bytes that are no text at all are shown as `?`, one
/// each, which keeps the count.
fn text(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len());
    for chunk in data.utf8_chunks() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        let reaches_end = text.len() + invalid.len() == data.len();
        let is_cut = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
        if reaches_end && is_cut && !text.is_empty() {
            break;
        }
        text.extend(invalid.iter().map(|_| '?'));
    }
    text
}

pub async fn download(tree: Tree, path: String) -> Result<Response, Failure> {
    let name = path.rsplit('/').next().unwrap_or("").to_owned();
    let (file, metadata) = blocking(move || tree.open_file(&path)).await?;
    // As long as it is now: a log may grow while it is sent.
    let size = metadata.size();
    let body = Body::from_stream(chunks(tokio::fs::File::from_std(file), size));
    // The name is the task's: nothing of it may end the quotes or the header.
    let safe = |c: char| {
        if c.is_ascii_graphic() && !matches!(c, '"' | '\\') {
            c
        } else {
            '_'
        }
    };
    let disposition = format!(
        "attachment; filename={}",
        name.chars().map(safe).collect::<String>()
    );
    let headers = [
        (CONTENT_TYPE, content_type(&name).to_owned()),
        (CONTENT_DISPOSITION, disposition),
        (CONTENT_LENGTH, size.to_string()),
    ];
    Ok((headers, body).into_response())
}

fn chunks(
    file: tokio::fs::File,
    size: u64,
) -> impl futures_util::Stream<Item = io::Result<bytes::Bytes>> {
    use tokio::io::AsyncReadExt as _;
    futures_util::stream::try_unfold(file.take(size), |mut file| async move {
        let mut chunk = bytes::BytesMut::with_capacity(PAGES as usize);
        let n = file.read_buf(&mut chunk).await?;
        Ok((n > 0).then(|| (chunk.freeze(), file)))
    })
}

fn content_type(name: &str) -> &'static str {
    const TYPES: &[(&str, &str)] = &[
        ("txt", "text/plain"),
        ("log", "text/plain"),
        ("html", "text/html"),
        ("css", "text/css"),
        ("js", "text/javascript"),
        ("json", "application/json"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("gif", "image/gif"),
        ("svg", "image/svg+xml"),
        ("gz", "application/gzip"),
        ("tgz", "application/gzip"),
        ("tar", "application/x-tar"),
        ("zip", "application/zip"),
    ];
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = TYPES.iter().find(|(known, _)| *known == extension);
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(real: &Path) -> Tree {
        Tree::new(vec![Attached {
            virtual_path: "/box".into(),
            real: real.to_owned(),
        }])
    }

    fn size_of(tree: &Tree, path: &str) -> Result<Value, Failure> {
        read(tree, path, None, None)
    }

    #[test]
    fn a_read_without_an_offset_tells_the_size() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), "12345").unwrap();
        let tree = tree(dir.path());
        assert_eq!(
            size_of(&tree, "/box/log").unwrap(),
            json!({"offset": 5, "data": ""})
        );
        let past = read(&tree, "/box/log", Some(9), None).unwrap();
        assert_eq!(past, json!({"offset": 9, "data": ""}));
        let none = read(&tree, "/box/log", Some(0), Some(0)).unwrap();
        assert_eq!(none["data"], "");
    }

    #[test]
    fn one_answer_holds_at_most_16_pages() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), vec![b'x'; 100_000]).unwrap();
        let read = read(&tree(dir.path()), "/box/log", Some(10), Some(90_000)).unwrap();
        assert_eq!(read["data"].as_str().unwrap().len(), 65_536);
    }

    #[test]
    fn nothing_leads_out_of_a_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("sandbox");
        fs::create_dir(&inside).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        symlink("../secret", inside.join("relative")).unwrap();
        symlink("/etc/passwd", inside.join("absolute")).unwrap();
        symlink("..", inside.join("parent")).unwrap();
        let tree = tree(&inside);
        for path in [
            "../secret",
            "relative",
            "absolute",
            "parent/secret",
            "a/../../secret",
        ] {
            let path = format!("/box/{path}");
            let failure = size_of(&tree, &path).unwrap_err();
            let refused =
                matches!(failure, Failure::Escape(_)) || matches!(failure, Failure::NoSuchFile(_));
            assert!(refused, "{path}: {failure}");
        }
        assert!(matches!(
            size_of(&tree, "/box/absolute"),
            Err(Failure::Escape(_))
        ));
        assert!(matches!(
            browse(&tree, "/box/parent"),
            Err(Failure::Escape(_))
        ));
        assert!(matches!(
            size_of(&tree, "/boxes/x"),
            Err(Failure::NoSuchFile(_))
        ));
    }

    #[test]
    fn links_inside_a_sandbox_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log.1"), "1").unwrap();
        symlink("log.1", dir.path().join("log")).unwrap();
        let read = read(&tree(dir.path()), "/box/log", Some(0), None).unwrap();
        assert_eq!(read["data"], "1");
    }

    #[test]
    fn only_plain_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("pipe"), Mode::S_IRWXU).unwrap();
        let tree = tree(dir.path());
        assert!(matches!(
            size_of(&tree, "/box/pipe"),
            Err(Failure::NotAFile(_))
        ));
        assert!(matches!(
            size_of(&tree, "/box"),
            Err(Failure::IsDirectory(_))
        ));
        assert!(matches!(
            browse(&tree, "/box/pipe"),
            Err(Failure::NoSuchFile(_))
        ));
    }

    #[test]
    fn a_directory_lists_sorted_and_says_what_each_entry_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stdout"), "12").unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let listed = browse(&tree(dir.path()), "/box/.").unwrap();
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
    fn a_mode_reads_as_ls_shows_it() {
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o041_777), "drwxrwxrwt");
        assert_eq!(mode(0o104_755), "-rwsr-xr-x");
        assert_eq!(mode(0o102_644), "-rw-r-Sr--");
    }

    #[test]
    fn text_that_is_cut_or_is_none_keeps_its_length() {
        let euro = "a€".as_bytes();
        assert_eq!(text(euro), "a€");
        assert_eq!(text(&euro[..3]), "a", "the rest comes with the next read");
        assert_eq!(
            text(&euro[1..2]),
            "?",
            "nothing else is there: do not stand still"
        );
        assert_eq!(text(b"a\xff\xfeb"), "a??b");
    }
}
