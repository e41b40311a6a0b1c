//! The programs that a hostile container has: a shell and what it calls.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::trouble::{Trouble, cannot};

/// Where the shell comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolbox {
    /// A static busybox of the host, copied.
    Busybox(PathBuf),
    /// The host's own programs, bound read-only, where it has no busybox.
    Host,
}

/// What scripts call, beside what a shell has built in.
#[rustfmt::skip]
const APPLETS: &[&str] = &[
    "sh", "cat", "chmod", "chroot", "dd", "echo", "grep", "head", "id", "kill", "ln", "ls", "mkdir", "mknod",
    "mount", "mv", "nsenter", "pwd", "readlink", "rm", "sed", "sleep", "stat", "timeout", "touch", "tr",
    "true", "umount", "uname", "unshare", "wc",
];

/// What the host's programs consist of.
const HOSTS: &[&str] = &["bin", "sbin", "lib", "lib64", "usr"];

impl Toolbox {
    /// Looks for a static busybox where distributions put one.
    pub fn find() -> Self {
        let places = ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"];
        let names = ["busybox", "busybox.static", "busybox-static"];
        let found = places
            .iter()
            .flat_map(|place| names.iter().map(move |name| Path::new(place).join(name)))
            .find(|path| is_static(path).unwrap_or(false));
        found.map_or(Self::Host, Self::Busybox)
    }

    /// Fills a root file system. Returns the directories of the host to be bound there.
    pub fn put_into(&self, rootfs: &Path) -> Result<Vec<&'static str>, Trouble> {
        match self {
            Self::Busybox(path) => copy(path, rootfs)
                .map(|()| Vec::new())
                .map_err(cannot(format!("copy {}", path.display()))),
            Self::Host => name(rootfs).map_err(cannot("name the host's programs")),
        }
    }
}

fn copy(busybox: &Path, rootfs: &Path) -> io::Result<()> {
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(busybox, bin.join("busybox"))?;
    fs::set_permissions(bin.join("busybox"), PermissionsExt::from_mode(0o755))?;
    APPLETS
        .iter()
        .try_for_each(|applet| symlink("busybox", bin.join(applet)))
}

fn name(rootfs: &Path) -> io::Result<Vec<&'static str>> {
    let mut bound = Vec::new();
    for name in HOSTS {
        let ours = Path::new("/").join(name);
        match fs::read_link(&ours) {
            Ok(target) => symlink(target, rootfs.join(name))?,
            Err(_) if ours.is_dir() => bound.push(*name),
            Err(_) => {}
        }
    }
    Ok(bound)
}

/// An ELF file that names no interpreter. elf(5).
fn is_static(path: &Path) -> io::Result<bool> {
    const PT_INTERP: [u8; 4] = 3_u32.to_ne_bytes();
    const HEADER: usize = 56;
    let mut head = Vec::new();
    fs::File::open(path)?.take(4096).read_to_end(&mut head)?;
    let field = |at: usize| {
        head.get(at..at + 2)
            .map(|two| u16::from_ne_bytes([two[0], two[1]]))
    };
    let (Some(size), Some(count), true) = (field(54), field(56), head.starts_with(b"\x7fELF\x02"))
    else {
        return Ok(false);
    };
    let headers = head
        .get(64..)
        .unwrap_or_default()
        .chunks(usize::from(size).max(1));
    let mut headers = headers
        .take(usize::from(count))
        .filter(|header| header.len() >= HEADER.min(8));
    Ok(!headers.any(|header| header.starts_with(&PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        assert!(!is_static(&std::env::current_exe().expect("a path")).expect("reads"));
        assert!(!is_static(Path::new("/etc/passwd")).expect("reads"));
        assert!(is_static(Path::new("/no/such/file")).is_err());
    }
}
