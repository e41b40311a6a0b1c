//! Bytes and operations of each block device.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceIo {
    pub major: u32,
    pub minor: u32,
    pub bytes: Amount,
    pub operations: Amount,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub read: u64,
    pub written: u64,
    pub discarded: u64,
}

type Devices = BTreeMap<(u32, u32), (Amount, Amount)>;

fn device(name: &str) -> Option<(u32, u32)> {
    let (major, minor) = name.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn list(devices: Devices) -> Vec<DeviceIo> {
    let one = |((major, minor), (bytes, operations))| DeviceIo {
        major,
        minor,
        bytes,
        operations,
    };
    devices.into_iter().map(one).collect()
}

/// v2's `io.stat`: lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
pub(super) fn from_io_stat(text: &str) -> Vec<DeviceIo> {
    let mut devices = Devices::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some(device) = words.next().and_then(device) else {
            continue;
        };
        let (bytes, operations) = devices.entry(device).or_default();
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let field = match key {
                "rbytes" => &mut bytes.read,
                "wbytes" => &mut bytes.written,
                "dbytes" => &mut bytes.discarded,
                "rios" => &mut operations.read,
                "wios" => &mut operations.written,
                "dios" => &mut operations.discarded,
                _ => continue,
            };
            *field = value.parse().unwrap_or(0);
        }
    }
    list(devices)
}

/// v1: a file for bytes and one for operations, with lines of `8:0 Read 5`.
pub(super) fn from_blkio(bytes: &str, operations: &str) -> Vec<DeviceIo> {
    let mut devices = Devices::new();
    for line in bytes.lines() {
        if let Some((device, way, value)) = blkio_line(line) {
            count(&mut devices.entry(device).or_default().0, way, value);
        }
    }
    for line in operations.lines() {
        if let Some((device, way, value)) = blkio_line(line) {
            count(&mut devices.entry(device).or_default().1, way, value);
        }
    }
    list(devices)
}

fn blkio_line(line: &str) -> Option<((u32, u32), &str, u64)> {
    let mut words = line.split(' ');
    let device = device(words.next()?)?;
    Some((device, words.next()?, words.next()?.parse().ok()?))
}

fn count(amount: &mut Amount, way: &str, value: u64) {
    match way {
        "Read" => amount.read = value,
        "Write" => amount.written = value,
        "Discard" => amount.discarded = value,
        // Sync, Async and Total are other sums of the same.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_the_same() {
        let wanted = [DeviceIo {
            major: 253,
            minor: 70_000,
            bytes: Amount {
                read: 4096,
                written: 8192,
                discarded: 5,
            },
            operations: Amount {
                read: 1,
                written: 2,
                discarded: 3,
            },
        }];
        let v2 = "253:70000 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=5 dios=3 cost.usage=9\n";
        assert_eq!(from_io_stat(v2), wanted);
        let bytes = "253:70000 Read 4096\n253:70000 Write 8192\n253:70000 Sync 12288\n\
                     253:70000 Discard 5\n253:70000 Total 12293\nTotal 12293\n";
        let operations = "253:70000 Read 1\n253:70000 Write 2\n253:70000 Discard 3\nTotal 6\n";
        assert_eq!(from_blkio(bytes, operations), wanted);
        assert_eq!(from_io_stat(""), []);
    }
}
