//! The files in which an operator describes networks. They are read anew whenever somebody asks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::network::{BadNetwork, Network};

/// Of one file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Files that are looked at.
const MOST_FILES: usize = 1000;

/// Others, such as a plugin's kubeconfig or an editor's copy, are somebody's who lives in the same directory.
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];

#[derive(Debug, Default)]
pub struct Found {
    pub networks: BTreeMap<String, Network>,
    /// Files that describe none.
    pub faults: Vec<Fault>,
}

#[derive(Debug, thiserror::Error)]
#[error("{} describes no network", .file.display())]
pub struct Fault {
    pub file: PathBuf,
    pub source: BadFile,
}

#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error("it is larger than {LARGEST} bytes")]
    Large,
    #[error(transparent)]
    Network(#[from] BadNetwork),
    #[error("network {0:?} is described in another file, which comes before it")]
    Twice(String),
    #[error("there are more than {MOST_FILES} files")]
    Many,
}

/// All networks. Of two with one name the file counts whose name comes first.
pub fn read(directory: &Path) -> io::Result<Found> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if is_meant(&path) {
            files.push(path);
        }
    }
    files.sort();
    let mut found = Found::default();
    for (number, file) in files.into_iter().enumerate() {
        let network = match number < MOST_FILES {
            true => network(&file),
            false => Err(BadFile::Many),
        };
        let network = network.and_then(|network| match found.networks.get(&network.name) {
            Some(_) => Err(BadFile::Twice(network.name)),
            None => Ok(network),
        });
        match network {
            Ok(network) => drop(found.networks.insert(network.name.clone(), network)),
            Err(source) => found.faults.push(Fault { file, source }),
        }
    }
    Ok(found)
}

fn is_meant(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_hidden = name.is_none_or(|name| name.starts_with('.'));
    let is_config = match path.extension() {
        Some(ending) => ENDINGS.iter().any(|known| ending == *known),
        None => name.is_some_and(|name| !name.ends_with('~')),
    };
    // A pipe would hold up who reads it.
    !is_hidden && is_config && fs::metadata(path).is_ok_and(|it| it.is_file())
}

fn network(file: &Path) -> Result<Network, BadFile> {
    let mut text = String::new();
    let opened = File::open(file).map_err(BadFile::Read)?;
    let read = opened.take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(BadFile::Read)?;
    if text.len() as u64 > LARGEST {
        return Err(BadFile::Large);
    }
    Ok(Network::parse(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_a_network_or_a_fault() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let network = |name: &str| format!(r#"{{"name": "{name}", "type": "t"}}"#);
        write("10-blue.conf", &network("blue"));
        write(
            "20-red.conflist",
            r#"{"name": "red", "plugins": [{"type": "t"}]}"#,
        );
        write("30-green", &network("green"));
        write("40-blue.json", &network("blue"));
        write("50-bad.conf", "{");
        write("60-large.conf", &" ".repeat(LARGEST as usize + 1));
        write("70-latin.conf", "x");
        fs::write(directory.path().join("70-latin.conf"), b"\xff").unwrap();
        for other in ["kubeconfig.yaml", ".hidden.conf", "blue.conf~", "old~"] {
            write(other, &network("other"));
        }
        fs::create_dir(directory.path().join("dir.conf")).unwrap();
        let pipe = directory.path().join("pipe.conf");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let found = read(directory.path()).unwrap();
        let names: Vec<_> = found.networks.keys().map(String::as_str).collect();
        assert_eq!(names, ["blue", "green", "red"]);
        let faults = found.faults.iter().map(|fault| fault.source.to_string());
        let faults: Vec<_> = faults.collect();
        assert!(faults[0].contains("\"blue\" is described in another file"));
        assert_eq!(faults[1], "it is not JSON");
        assert!(faults[2].starts_with("it is larger than"));
        assert_eq!(faults[3], "it cannot be read");
        assert_eq!(faults.len(), 4);
    }

    #[test]
    fn what_changes_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.conf");
        fs::write(&file, r#"{"name": "a", "type": "t"}"#).unwrap();
        assert!(read(directory.path()).unwrap().networks.contains_key("a"));
        fs::write(&file, r#"{"name": "b", "type": "t"}"#).unwrap();
        let found = read(directory.path()).unwrap();
        assert_eq!(found.networks.keys().collect::<Vec<_>>(), ["b"]);
        fs::remove_file(&file).unwrap();
        assert!(read(directory.path()).unwrap().networks.is_empty());
        assert!(read(&directory.path().join("none")).is_err());
    }
}
