//! The unpacking child as a program of its own, for tests.

fn main() {
    std::process::exit(images::unpack_child_main(std::env::args_os().skip(1)));
}
