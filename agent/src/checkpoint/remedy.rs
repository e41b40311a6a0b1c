//! What mends a disk that takes or gives no checkpoint.

use std::io;

/// To follow the name of the file; nothing where the cause says it all.
pub fn of(cause: &io::Error) -> &'static str {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match (cause.kind(), cause.raw_os_error()) {
        (StorageFull | QuotaExceeded, _) => " (make room in its file system)",
        (ReadOnlyFilesystem, _) => {
            " (the kernel takes no more for a file system that it found damaged, and dmesg says why: \
             repair it and mount it again)"
        }
        (_, Some(nix::libc::EIO)) => " (its disk fails: dmesg says more)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use nix::libc::{EACCES, EIO, ENOSPC, EROFS};

    use super::super::CheckpointError;
    use super::*;

    #[test]
    fn an_operator_reads_what_to_do() {
        let told = |errno| {
            let file = PathBuf::from("/m/task.info");
            let source = io::Error::from_raw_os_error(errno);
            proto::error::chain(&CheckpointError::Write {
                attempt: "write",
                file,
                source,
            })
        };
        assert_eq!(
            told(ENOSPC),
            "cannot write checkpoint /m/task.info (make room in its file system): No space left on \
             device (os error 28)"
        );
        assert!(told(EROFS).contains("repair it and mount it again"));
        assert!(told(EIO).contains("its disk fails"));
        assert!(told(EACCES).starts_with("cannot write checkpoint /m/task.info: "));
    }
}
