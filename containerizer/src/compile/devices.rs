//! Devices of a container with a root file system of its own.

use std::path::Path;

use init::Step;
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Spec};

use super::{CompileError, at, text};

/// What makes /dev usable, after all mounts. Nothing where a spec brings a /dev that is complete.
pub fn steps(spec: &Spec, linux: &Linux) -> Result<Vec<Step>, CompileError> {
    if brings_dev(spec) {
        return Ok(Vec::new());
    }
    let asked = linux.devices().as_deref().unwrap_or_default();
    let by_default = DEVICES
        .iter()
        .filter(|(path, ..)| !asked.iter().any(|device| device.path() == Path::new(path)));
    let mut steps: Vec<Step> = by_default.map(default_step).collect();
    for (n, device) in asked.iter().enumerate() {
        steps.push(device_step(device).map_err(at(format!("linux.devices[{n}]")))?);
    }
    steps.push(Step::Symlink {
        path: "/dev/ptmx".to_owned(),
        to: "pts/ptmx".to_owned(),
        // That of the container's own devpts, whatever an image has there.
        replace: true,
    });
    steps.extend(DEVICE_LINKS.iter().map(|(path, to)| Step::Symlink {
        path: (*path).to_owned(),
        to: (*to).to_owned(),
        replace: false,
    }));
    Ok(steps)
}

/// A directory bound there is the caller's: nothing is made in it.
fn brings_dev(spec: &Spec) -> bool {
    spec.mounts().iter().flatten().any(|mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        let bind = options
            .iter()
            .any(|option| option == "bind" || option == "rbind");
        (bind || mount.typ().as_deref() == Some("bind")) && mount.destination() == Path::new("/dev")
    })
}

fn default_step((path, major, minor): &(&str, u32, u32)) -> Step {
    Step::Device {
        path: (*path).to_owned(),
        mode: libc::S_IFCHR | 0o666,
        major: *major,
        minor: *minor,
        uid: 0,
        gid: 0,
    }
}

fn device_step(device: &LinuxDevice) -> Result<Step, CompileError> {
    let kind = match device.typ() {
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => return Err(CompileError::Unsupported("a device of type \"a\"")),
    };
    Ok(Step::Device {
        path: text("device", device.path())?,
        mode: kind | device.file_mode().unwrap_or(0o666) & !libc::S_IFMT,
        major: device.major() as u32,
        minor: device.minor() as u32,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// Every container has these (OCI runtime spec, "Default Devices").
const DEVICES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];
