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
        // Longer than a page, and the same for as long as it is there.
        let long = "x".repeat(3 * PAGE);
        let mut process = std::process::Command::new("sh")
            .args(["-c", "echo; read line", &long])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("begins");
        // Until then it may be nobody yet.
        let said = process.stdout.as_mut().expect("speaks");
        said.read_exact(&mut [0]).expect("says that it is there");
        let words = read(open(&format!("/proc/{}/cmdline", process.id())));
        process.kill().expect("ends");
        process.wait().expect("ends");
        let wanted = format!("sh\0-c\0echo; read line\0{long}\0");
        assert_eq!(words.expect("reads"), wanted.as_bytes());
    }
}
