//! A directory of control files while several of them are read: the way to it is walked once.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::cgroup::Cgroup;
use super::statistics::StatisticsError;
use crate::pseudo_file::read_text;

#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    directory: OwnedFd,
}

impl Cgroup {
    pub(super) fn open(&self, controller: &'static str) -> Result<Rc<Opened>, StatisticsError> {
        let path = self.dir(controller);
        let path = path.ok_or(StatisticsError::NoController(controller))?;
        Opened::at(path).map(Rc::new)
    }

    /// The same, which may be where `other` is: v2 has one directory for all, v1 one for some.
    pub(super) fn open_beside(
        &self,
        other: &Rc<Opened>,
        controller: &'static str,
    ) -> Result<Rc<Opened>, StatisticsError> {
        match self.dir(controller) {
            Some(path) if path == other.path => Ok(Rc::clone(other)),
            _ => self.open(controller),
        }
    }
}

impl Opened {
    pub fn at(path: PathBuf) -> Result<Self, StatisticsError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self { path, directory }),
            Err(error) => Err(StatisticsError::Read {
                file: path,
                source: error.into(),
            }),
        }
    }

    pub fn read(&self, name: &str) -> Result<String, StatisticsError> {
        let read = self.file(name).and_then(read_text);
        read.map_err(|source| StatisticsError::Read {
            file: self.path.join(name),
            source,
        })
    }

    pub fn required(&self, name: &str) -> Result<u64, StatisticsError> {
        let parsed = self.read(name)?.trim().parse();
        parsed.map_err(|_not_a_number| StatisticsError::Parse {
            file: self.path.join(name),
        })
    }

    /// In a file that holds one number; `None` when it does not exist or says `max`.
    pub fn number(&self, name: &str) -> Option<u64> {
        read_text(self.file(name).ok()?).ok()?.trim().parse().ok()
    }

    fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::empty())?;
        Ok(File::from(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_holds_is_read_whole_and_what_it_lacks_is_named() {
        let directory = std::env::temp_dir().join(format!("opened-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory");
        let long = "key 1\n".repeat(2000);
        for (name, text) in [
            ("stat", long.as_str()),
            ("current", "17\n"),
            ("max", "max\n"),
        ] {
            std::fs::write(directory.join(name), text).expect("a file");
        }
        let opened = Opened::at(directory.clone()).expect("opens");
        assert_eq!(opened.read("stat").expect("reads"), long);
        assert_eq!(opened.required("current").expect("a number"), 17);
        assert_eq!(opened.number("max"), None);
        assert_eq!(opened.number("peak"), None);
        let told = opened
            .required("peak")
            .expect_err("is not there")
            .to_string();
        assert!(told.contains("/peak"), "{told}");
        std::fs::remove_dir_all(directory).expect("goes");
        assert!(opened.read("stat").is_err());
    }
}
