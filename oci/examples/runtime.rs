//! `longshore oci` as a program of its own, which the tests of this crate call.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    oci::main(std::env::args_os())
}
