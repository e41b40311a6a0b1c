//! Texts of a spec as the kernel takes them: whole, and paths in a container from its root on.

use std::path::Path;

use oci_spec::runtime::{Linux, Process, Spec};

use super::CompileError;

/// Refused here, for `init` could only say that a call failed.
pub fn check(spec: &Spec, linux: &Linux, process: &Process) -> Result<(), CompileError> {
    each("process.args", process.args(), |text| whole(text))?;
    each("process.env", process.env(), |text| whole(text))?;
    is_absolute(process.cwd()).map_err(|fault| fault.at("process.cwd".to_owned()))?;
    each("linux.maskedPaths", linux.masked_paths(), |path| {
        whole(path)
    })?;
    each("linux.readonlyPaths", linux.readonly_paths(), |path| {
        whole(path)
    })?;
    each("linux.devices", linux.devices(), |device| {
        is_absolute(device.path())
    })?;
    each("mounts", spec.mounts(), |mount| {
        whole(&mount.destination().to_string_lossy())
    })
}

/// A path to hide or to keep from being written: other runtimes take one without its first slash, too.
pub fn from_root(path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    }
}

enum Fault {
    Nul,
    Relative(String),
}

impl Fault {
    fn at(self, place: String) -> CompileError {
        match self {
            Self::Nul => CompileError::NulIn(place),
            Self::Relative(path) => CompileError::Relative { place, path },
        }
    }
}

fn each<T>(
    list: &'static str,
    items: &Option<Vec<T>>,
    check: impl Fn(&T) -> Result<(), Fault>,
) -> Result<(), CompileError> {
    let items = items.iter().flatten().enumerate();
    let mut checked = items.map(|(n, item)| (n, check(item)));
    let fault = checked.find_map(|(n, checked)| Some((n, checked.err()?)));
    match fault {
        Some((n, fault)) => Err(fault.at(format!("{list}[{n}]"))),
        None => Ok(()),
    }
}

fn whole(text: &str) -> Result<(), Fault> {
    match text.contains('\0') {
        true => Err(Fault::Nul),
        false => Ok(()),
    }
}

fn is_absolute(path: &(impl AsRef<Path> + ?Sized)) -> Result<(), Fault> {
    let path = path.as_ref();
    let text = path.to_string_lossy();
    whole(&text)?;
    match path.is_absolute() {
        true => Ok(()),
        false => Err(Fault::Relative(text.into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(pointer: &str, value: Value) -> String {
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["x"], "env": ["A=b"], "cwd": "/"},
            "mounts": [{"destination": "relative"}],
            "linux": {
                "maskedPaths": ["/a", "/b"],
                "readonlyPaths": ["/c"],
                "devices": [{"path": "/d", "type": "c", "major": 1, "minor": 3}],
            },
        });
        *spec.pointer_mut(pointer).expect("it is there") = value;
        let spec: Spec = serde_json::from_value(spec).expect("a spec");
        let (linux, process) = (spec.linux().as_ref(), spec.process().as_ref());
        let checked = check(&spec, linux.expect("linux"), process.expect("a process"));
        checked.map_or_else(|error| error.to_string(), |()| "taken".to_owned())
    }

    #[test]
    fn what_the_kernel_would_not_take_whole_is_refused_by_its_place() {
        assert_eq!(refused("/process/cwd", json!("/x")), "taken");
        for (pointer, place) in [
            ("/process/args/0", "process.args[0]"),
            ("/process/env/0", "process.env[0]"),
            ("/process/cwd", "process.cwd"),
            ("/mounts/0/destination", "mounts[0]"),
            ("/linux/maskedPaths/1", "linux.maskedPaths[1]"),
        ] {
            let wanted = format!("{place} contains a NUL byte, which no kernel takes");
            assert_eq!(refused(pointer, json!("/a\0b")), wanted);
        }
    }

    #[test]
    fn what_is_hidden_or_kept_may_lack_its_first_slash() {
        assert_eq!(refused("/linux/readonlyPaths/0", json!("a/b")), "taken");
        assert_eq!(from_root("a/b"), "/a/b");
        assert_eq!(from_root("/a"), "/a");
    }

    #[test]
    fn a_path_in_a_container_begins_at_its_root() {
        for (pointer, place) in [
            ("/process/cwd", "process.cwd"),
            ("/linux/devices/0/path", "linux.devices[0]"),
        ] {
            let wanted = format!("{place} is \"a/b\": it must be an absolute path");
            assert_eq!(refused(pointer, json!("a/b")), wanted);
        }
    }
}
