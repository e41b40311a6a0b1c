//! Files that the kernel makes up as they are read, and says to be of no size. The standard library reads such a
//! file in parts of 32 bytes and more, with a system call for each.

use std::fs::File;
use std::io::{self, Read as _};

/// Bytes; more than most of them say.
const PAGE: usize = 4096;

/// All of it.
pub fn read(mut file: File) -> io::Result<Vec<u8>> {
    let mut page = [0; PAGE];
    let mut all = Vec::new();
    loop {
        match file.read(&mut page) {
            Ok(0) => return Ok(all),
            Ok(count) => all.extend(page.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same as text. Errors: `InvalidData` where it is none.
pub fn read_text(file: File) -> io::Result<String> {
    let text = String::from_utf8(read(file)?);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        let open = |path| File::open(path).expect("opens");
        let kernel = std::fs::read_to_string("/proc/version").expect("reads");
        assert_eq!(read_text(open("/proc/version")).expect("reads"), kernel);
        // Longer than a page, as every process' maps are.
        let maps = read_text(open("/proc/self/maps")).expect("reads");
        assert!(maps.len() > PAGE && maps.ends_with('\n'), "{maps}");
        let lines = maps.lines().filter(|line| line.contains("[stack]"));
        assert_eq!(lines.count(), 1, "{maps}");
    }
}
