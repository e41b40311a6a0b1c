//! The devices that an operator lets every task use, as `--allowed_devices` names them.
//!
//! Source: spec/mesos-agent.md sections 2.3 and 21.4.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use isolators::{Device, DeviceKind};
use nix::sys::stat::{major, minor};
use proto::json::JsonError;
use proto::v1;

#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    #[error(
        "bad --allowed_devices {text:?}: it must be like {{\"allowed_devices\": [{{\"device\": \
         {{\"path\": \"/dev/fuse\"}}, \"access\": {{\"read\": true, \"write\": true}}}}]}}"
    )]
    Json { text: String, source: JsonError },
    #[error("bad --allowed_devices: a device has no absolute \"path\", by which it is known here")]
    NoPath,
    #[error("bad --allowed_devices: {} has none of \"read\", \"write\" and \"mknod\"", .0.display())]
    NoAccess(PathBuf),
    #[error("bad --allowed_devices: cannot look at {}", .0.display())]
    Missing(PathBuf, #[source] io::Error),
    #[error("bad --allowed_devices: {} is no device", .0.display())]
    NoDevice(PathBuf),
    #[error("bad --allowed_devices: the number of {} is beyond 32 bits", .0.display())]
    Number(PathBuf),
}

/// Looked up once, at the start: what a path leads to later is not what the operator saw.
pub fn allowed(text: Option<&str>) -> Result<Vec<Device>, DevicesError> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let read = proto::json::from_slice(text.as_bytes());
    let list: v1::DeviceWhitelist = read.map_err(|source| DevicesError::Json {
        text: text.to_owned(),
        source,
    })?;
    list.allowed_devices.iter().map(device).collect()
}

fn device(entry: &v1::DeviceAccess) -> Result<Device, DevicesError> {
    let path = entry.device.path.as_deref().map(Path::new);
    let path = path.filter(|path| path.is_absolute());
    let path = path.ok_or(DevicesError::NoPath)?;
    let access = &entry.access;
    let (read, write, mknod) = (access.read(), access.write(), access.mknod());
    if !(read || write || mknod) {
        return Err(DevicesError::NoAccess(path.to_owned()));
    }
    let found =
        std::fs::metadata(path).map_err(|error| DevicesError::Missing(path.to_owned(), error))?;
    let kind = kind(&found).ok_or_else(|| DevicesError::NoDevice(path.to_owned()))?;
    let narrow = |number: u64| {
        u32::try_from(number).map_err(|_too_large| DevicesError::Number(path.to_owned()))
    };
    Ok(Device {
        kind,
        major: narrow(major(found.rdev()))?,
        minor: narrow(minor(found.rdev()))?,
        read,
        write,
        mknod,
    })
}

fn kind(found: &Metadata) -> Option<DeviceKind> {
    let kind = found.file_type();
    let known = [
        (kind.is_block_device(), DeviceKind::Block),
        (kind.is_char_device(), DeviceKind::Char),
    ];
    known.iter().find(|(is, _)| *is).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(path: &str, access: Value) -> Result<Vec<Device>, String> {
        let entry = json!({"device": {"path": path}, "access": access});
        let list = json!({"allowed_devices": [entry]}).to_string();
        allowed(Some(&list)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_device_is_known_by_its_path() {
        let null = Device {
            kind: DeviceKind::Char,
            major: 1,
            minor: 3,
            read: true,
            write: false,
            mknod: false,
        };
        assert_eq!(of("/dev/null", json!({"read": true})), Ok(vec![null]));
        assert_eq!(allowed(None).unwrap(), vec![]);
    }

    #[test]
    fn what_is_no_device_is_refused_by_name() {
        let table = [
            ("/dev/null", json!({}), "none of \"read\""),
            ("/dev/no-such", json!({"read": true}), "/dev/no-such"),
            ("/etc/passwd", json!({"read": true}), "is no device"),
            ("dev/null", json!({"read": true}), "absolute"),
        ];
        for (path, access, wanted) in table {
            let error = of(path, access).unwrap_err();
            assert!(error.contains(wanted), "{path}: {error}");
        }
        for text in ["", "{\"allowed_devices\": [{}]}", "[1]"] {
            let error = allowed(Some(text)).unwrap_err().to_string();
            assert!(error.contains("it must be like"), "{error}");
        }
    }
}
