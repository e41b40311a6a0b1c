//! What tests of the store begin with.

use std::path::Path;

pub fn helper() -> Vec<String> {
    let tests = std::env::current_exe().expect("a path");
    let built = tests.parent().and_then(Path::parent).expect("a directory");
    let helper = built.join("examples/unpack-child");
    vec![helper.to_str().expect("text").to_owned()]
}

/// Of one file, of whoever runs this.
pub fn layer(name: &str, content: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(nix::unistd::geteuid().as_raw().into());
    header.set_gid(nix::unistd::getegid().as_raw().into());
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content.as_bytes())
        .expect("appends");
    tar.into_inner().expect("ends")
}
