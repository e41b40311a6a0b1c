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

/// IPv6 may be switched off in the kernel.
pub fn has_v6() -> bool {
    fs::exists("/proc/sys/net/ipv6").unwrap_or(false)
}
