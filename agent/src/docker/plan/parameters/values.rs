//! What values of options mean. Pure; errors say what a value must be.

use engine::{DeviceMapping, Mount, TmpfsOptions, Ulimit};

pub fn is_true(value: &str) -> Result<bool, &'static str> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("true or false"),
    }
}

/// Bytes, with Docker's units: each is 1024 of the one before. -1: no limit.
pub fn size(value: &str) -> Result<i64, &'static str> {
    const WANTED: &str = "a size such as 64m";
    let lower = value.trim().to_ascii_lowercase();
    if lower == "-1" {
        return Ok(-1);
    }
    let number = lower.trim_end_matches("ib").trim_end_matches('b');
    let (number, shift) = match number.strip_suffix(['k', 'm', 'g', 't']) {
        None => (number, 0),
        Some(rest) => match number.as_bytes().last() {
            Some(b'k') => (rest, 10),
            Some(b'm') => (rest, 20),
            Some(b'g') => (rest, 30),
            _ => (rest, 40),
        },
    };
    let number: f64 = number.trim().parse().map_err(|_bad| WANTED)?;
    let bytes = number * (1_i64 << shift) as f64;
    match (0.0..9e18).contains(&bytes) {
        true => Ok(bytes as i64),
        false => Err(WANTED),
    }
}

pub fn device(value: &str) -> Result<DeviceMapping, &'static str> {
    const WANTED: &str = "path-on-host:path-in-container:rwm, the last two if they matter";
    let is_permission = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    let parts: Vec<_> = value.split(':').collect();
    let (host, inside, permissions) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, permissions] if is_permission(permissions) => (host, host, permissions),
        [host, inside] => (host, inside, "rwm"),
        [host, inside, permissions] if is_permission(permissions) => (host, inside, permissions),
        _ => return Err(WANTED),
    };
    let is_path = |path: &str| path.starts_with('/');
    if !is_path(host) || !is_path(inside) {
        return Err(WANTED);
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: permissions.to_owned(),
    })
}

/// A port, of which protocol.
pub fn port(value: &str) -> Option<String> {
    let (port, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let known = ["tcp", "udp", "sctp"];
    known
        .contains(&protocol)
        .then(|| format!("{port}/{protocol}"))
}

pub fn ulimit(value: &str) -> Option<Ulimit> {
    let (name, limits) = value.split_once('=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Some(Ulimit {
        name: name.to_owned(),
        soft: soft.parse().ok()?,
        hard: hard.parse().ok()?,
    })
}

/// `type=bind,source=/a,target=/b,readonly`
pub fn mount(value: &str) -> Result<Mount, &'static str> {
    const WANTED: &str = "as type=bind,source=/a,target=/b,readonly";
    let mut mount = Mount {
        kind: "volume",
        source: String::new(),
        target: String::new(),
        read_only: false,
        tmpfs_options: None,
        volume_options: None,
    };
    for field in value.split(',') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        match name {
            "type" => {
                let kinds = ["bind", "volume", "tmpfs"];
                mount.kind = kinds.into_iter().find(|it| *it == value).ok_or(WANTED)?;
            }
            "source" | "src" => value.clone_into(&mut mount.source),
            "target" | "dst" | "destination" => value.clone_into(&mut mount.target),
            "readonly" | "ro" => mount.read_only = is_true(value)?,
            "tmpfs-size" => {
                let options = TmpfsOptions {
                    size_bytes: u64::try_from(size(value)?).map_err(|_bad| WANTED)?,
                    mode: 0o1777,
                };
                mount.tmpfs_options = Some(options);
            }
            _ => return Err(WANTED),
        }
    }
    match mount.target.starts_with('/') {
        true => Ok(mount),
        false => Err(WANTED),
    }
}
