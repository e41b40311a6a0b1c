//! What is mounted where: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// No other mount of this moment has it.
    pub id: u64,
    pub point: PathBuf,
    pub fstype: String,
    /// Of the file system, not of this mount.
    pub options: String,
}

/// Of this process' mount namespace.
pub fn own() -> io::Result<Vec<Mount>> {
    // Not as text: who names a mount point must not hide the others.
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// A line that cannot be understood is left out.
pub fn parse(table: &[u8]) -> Vec<Mount> {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(mount).collect()
}

/// `36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/root rw`: optional fields end with a dash.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let text = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    let id = text(fields.next()?).parse().ok()?;
    let point = fields.nth(3)?;
    fields.next()?;
    fields.find(|field| *field == b"-")?;
    Some(Mount {
        id,
        point: OsString::from_vec(unescape(point)).into(),
        fstype: text(fields.next()?),
        options: text(fields.nth(1)?),
    })
}

/// The kernel writes blanks and backslashes as a backslash and three octal digits.
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        let code = rest.split_first_chunk().filter(|_| *first == b'\\');
        let code = code.and_then(|(digits, rest)| Some((octal(digits)?, rest)));
        let (byte, rest) = code.unwrap_or((*first, rest));
        plain.push(byte);
        field = rest;
    }
    plain
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

/// As the kernel does.
#[cfg(any(test, fuzzing))]
pub(crate) fn escape(point: &[u8]) -> Vec<u8> {
    let write = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        other => vec![*other],
    };
    point.iter().flat_map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_backslashes_are_read_as_they_were() {
        let table: [(&[u8], &[u8]); 8] = [
            (b"/a\\040b", b"/a b"),
            (b"\\011\\012\\134", b"\t\n\\"),
            (b"/a\\134040", b"/a\\040"),
            (b"\\377\xff", b"\xff\xff"),
            (b"\\400", b"\\400"),
            (b"\\08", b"\\08"),
            (b"\\04", b"\\04"),
            (b"\\", b"\\"),
        ];
        for (written, wanted) in table {
            assert_eq!(unescape(written), wanted, "{written:?}");
        }
    }

    #[test]
    fn a_line_is_understood_whatever_optional_fields_it_has() {
        let line = |optional: &str| {
            let text = format!("36 35 98:0 / /mnt/a\\040- rw{optional} - ext4 /dev/root rw,x\n");
            parse(text.as_bytes())
        };
        let wanted = Mount {
            id: 36,
            point: "/mnt/a -".into(),
            fstype: "ext4".to_owned(),
            options: "rw,x".to_owned(),
        };
        for optional in ["", " master:1", " shared:2 master:1 unbindable"] {
            assert_eq!(
                line(optional),
                std::slice::from_ref(&wanted),
                "{optional:?}"
            );
        }
        for bad in [
            "",
            "36 35 98:0 / /mnt rw",
            "36 35 98:0 / - ext4 x rw",
            "- - - - - - -",
        ] {
            assert_eq!(parse(bad.as_bytes()), [], "{bad:?}");
        }
    }

    #[test]
    fn this_process_has_a_root_and_a_proc() {
        let mounts = own().expect("reads");
        let is_at = |path: &str| mounts.iter().any(|mount| mount.point.as_os_str() == path);
        assert!(is_at("/") && is_at("/proc"), "{mounts:?}");
    }
}
