//! What is typed, as it goes to a task; and the keys that leave it.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

const CTRL_P: u8 = 0x10;
const CTRL_Q: u8 = 0x11;

/// For a task that does not read what was typed before.
const PAUSE: Duration = Duration::from_millis(5);

/// Then what it does not take is lost: who types must always be able to leave.
const PAUSES: u32 = 100;

/// Ctrl-P Ctrl-Q leaves, as elsewhere; Ctrl-P before any other key is that key's own.
#[derive(Debug, Default)]
pub struct Keys {
    held: bool,
}

impl Keys {
    /// What goes on to the task; `None` when it is left.
    fn pass(&mut self, typed: &[u8]) -> Option<Vec<u8>> {
        let mut passed = Vec::with_capacity(typed.len() + 1);
        for key in typed {
            match (self.held, *key) {
                (true, CTRL_Q) => return None,
                (true, CTRL_P) => passed.push(CTRL_P),
                (false, CTRL_P) => self.held = true,
                (true, key) => {
                    self.held = false;
                    passed.extend([CTRL_P, key]);
                }
                (false, key) => passed.push(key),
            }
        }
        Some(passed)
    }
}

/// Returns when the task is left, or one of both sides has ended.
pub fn type_on(mut from: impl Read, mut to: impl Write) {
    let mut keys = Keys::default();
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let Some(passed) = keys.pass(buffer.get(..read).unwrap_or_default()) else {
            return;
        };
        if write(&passed, &mut to).is_err() {
            return;
        }
    }
}

/// The other end of a task's terminal does not wait by itself.
fn write(mut bytes: &[u8], to: &mut impl Write) -> std::io::Result<()> {
    let mut pauses = 0;
    while !bytes.is_empty() && pauses < PAUSES {
        match to.write(bytes) {
            Ok(length) => {
                bytes = bytes.get(length..).unwrap_or_default();
                pauses = 0;
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                sleep(PAUSE);
                pauses += 1;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(typed: &[&[u8]]) -> Vec<u8> {
        let mut keys = Keys::default();
        let all = typed.iter().map_while(|typed| keys.pass(typed));
        all.flatten().collect()
    }

    #[test]
    fn all_keys_are_the_tasks_but_those_two_after_each_other() {
        assert_eq!(passed(&[b"ls\r\x03"]), b"ls\r\x03");
        assert_eq!(passed(&[b"a\x10\x11b"]), b"");
        assert_eq!(passed(&[b"a\x10", b"\x11", b"b"]), b"a");
        assert_eq!(passed(&[b"\x10", b"x\x11"]), b"\x10x\x11");
        assert_eq!(passed(&[b"\x10\x10", b"\x11"]), b"\x10");
    }

    #[test]
    fn typing_ends_when_the_task_is_left() {
        let mut to = Vec::new();
        type_on(&b"echo\r\x10\x11"[..], &mut to);
        assert_eq!(to, b"");
        type_on(&b"echo\r"[..], &mut to);
        assert_eq!(to, b"echo\r");
    }

    /// A terminal that is full, whose task does not read.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::WouldBlock.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_task_that_does_not_read_can_be_left() {
        let typed = std::io::Cursor::new(b"lost").chain(std::io::Cursor::new([CTRL_P, CTRL_Q]));
        type_on(typed.chain(std::io::repeat(b'x')), Full);
    }
}
