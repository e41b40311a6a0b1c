//! execve(2), with all that it needs made before.

use std::ffi::{CStr, CString};
use std::io;

use super::{c_string, check};

/// Arguments and environment in the kernel's form, so that between a filter and the exec nothing is
/// left to allocate.
pub struct Arguments {
    // The pointers lead into these strings.
    _strings: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
}

impl Arguments {
    pub fn new(argv: &[String], env: &[String]) -> io::Result<Self> {
        let strings: Vec<CString> = argv
            .iter()
            .chain(env)
            .map(|s| c_string(s))
            .collect::<io::Result<_>>()?;
        let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
            list.iter()
                .map(|s| s.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        let (argv, env) = strings.split_at(argv.len());
        let (argv, env) = (pointers(argv), pointers(env));
        Ok(Self {
            _strings: strings,
            argv,
            env,
        })
    }
}

/// For the user and group that we are. Errors: `ENOENT`, `EACCES`.
pub fn is_executable(path: &CStr) -> io::Result<()> {
    let directory = libc::AT_FDCWD;
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::faccessat(directory, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) }.into())
        .map(drop)
}

/// Returns only on failure.
pub fn execve(path: &CStr, arguments: &Arguments) -> io::Error {
    let Arguments { argv, env, .. } = arguments;
    // SAFETY: both arrays end with null, and `arguments` owns the strings they point to.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_finds_every_word_wherever_the_arguments_are_moved() {
        let words = |words: &[&str]| -> Vec<String> { words.iter().map(|w| (*w).into()).collect() };
        let (argv, env) = (words(&["sh", "", "a b"]), words(&["A=1"]));
        let made = Arguments::new(&argv, &env).expect("no NUL");
        let moved = Box::new(made);
        let read = |array: &[*const libc::c_char]| -> Vec<String> {
            let mut at = array.as_ptr();
            let mut read = Vec::new();
            // SAFETY: the array ends with null, and all before it are strings that `moved` owns.
            unsafe {
                while !(*at).is_null() {
                    read.push(CStr::from_ptr(*at).to_str().expect("text").to_owned());
                    at = at.add(1);
                }
            }
            read
        };
        assert_eq!(read(&moved.argv), argv);
        assert_eq!(read(&moved.env), env);
        assert!(Arguments::new(&words(&["a\0b"]), &env).is_err());
    }
}
