//! Switches of the kernel's network, of the namespace of this thread. ip-sysctl in the kernel's documentation.

use std::fs;
use std::io;

#[derive(Debug, thiserror::Error)]
#[error("cannot set net.{name} to {value}: is /proc/sys writable?")]
pub struct SysctlError {
    pub name: String,
    pub value: &'static str,
    pub source: io::Error,
}

/// Named below `net`, with slashes. One that has the value is not touched: there are hosts whose /proc/sys
/// cannot be written, and on which the operator has set what is needed.
pub fn set(name: &str, value: &'static str) -> Result<(), SysctlError> {
    let file = format!("/proc/sys/net/{name}");
    if fs::read_to_string(&file).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(&file, value).map_err(|source| SysctlError {
        name: name.replace('/', "."),
        value,
        source,
    })
}

/// Has the host pass packets of IPv6 on. A host that does hears no more of its own router by its links, unless that is
/// asked for: links that do hear of it go on to.
pub fn forward_v6() -> Result<(), SysctlError> {
    const ALL: &str = "ipv6/conf/all/forwarding";
    let is_set = fs::read_to_string(format!("/proc/sys/net/{ALL}"));
    if is_set.is_ok_and(|now| now.trim() == "1") {
        return Ok(());
    }
    let links = fs::read_dir("/proc/sys/net/ipv6/conf")
        .into_iter()
        .flatten();
    for link in links.flatten() {
        let link = link.file_name();
        let Some(link) = link
            .to_str()
            .filter(|link| !["all", "default"].contains(link))
        else {
            continue;
        };
        let switch = format!("ipv6/conf/{link}/accept_ra");
        let now = fs::read_to_string(format!("/proc/sys/net/{switch}"));
        if now.is_ok_and(|now| now.trim() == "1") {
            set(&switch, "2")?;
        }
    }
    set(ALL, "1")
}

/// IPv6 may be switched off in the kernel.
pub fn has_v6() -> bool {
    fs::exists("/proc/sys/net/ipv6").unwrap_or(false)
}
