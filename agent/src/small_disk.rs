//! A small disk that tests fill.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What tmpfs(5) gives out at once, in bytes.
const PAGE: u64 = 4096;

/// A file system in memory, in the place of a directory.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn mount(place: &Path) -> SmallDisk {
        fs::create_dir_all(place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m,mode=755", "small"]);
        assert!(mount.arg(place).status().unwrap().success());
        SmallDisk(place.to_owned())
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// To the last byte, also those that somebody gives back meanwhile.
    pub fn fill(&self) {
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true);
        let mut ballast = options.open(self.ballast()).unwrap();
        let probe = self.0.join("probe");
        loop {
            while let Ok(1..) = ballast.write(&[1; PAGE as usize]) {}
            let written = fs::write(&probe, "x");
            fs::remove_file(&probe).unwrap();
            if let Err(full) = written {
                return assert_eq!(full.kind(), io::ErrorKind::StorageFull);
            }
        }
    }

    /// For so many pages.
    pub fn make_room_for(&self, pages: u64) {
        let ballast = OpenOptions::new().write(true).open(self.ballast());
        let ballast: File = ballast.unwrap();
        let left = ballast.metadata().unwrap().len() - pages * PAGE;
        ballast.set_len(left).unwrap();
    }

    pub fn make_room(&self) {
        // Emptied first: what was open here, a process that another test has just forked has open, too,
        // until it executes.
        File::create(self.ballast()).unwrap();
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
