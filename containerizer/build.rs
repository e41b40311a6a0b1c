//! Builds `init`, the first process of every container, as a static program, and leaves its path to
//! `helper.rs`, which embeds it.
//!
//! A second cargo with a target directory of its own does it: an ordinary dependency could only be
//! a library, and would be linked like the agent.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let var = |name| std::env::var(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let out = PathBuf::from(var("OUT_DIR")).join("init");
    if std::env::var_os("CARGO_CFG_MIRI").is_some() {
        // Miri starts no container, and its cargo builds nothing else.
        std::fs::write(&out, "").unwrap_or_else(|e| panic!("{}: {e}", out.display()));
        println!("cargo:rustc-env=LONGSHORE_INIT={}", out.display());
        return;
    }
    let target = target(&var("TARGET"), &var("RUSTC"));
    println!("cargo:rerun-if-changed=init/src");
    println!("cargo:rerun-if-changed=init/Cargo.toml");
    let status = Command::new(var("CARGO"))
        .args([
            "build",
            "--package",
            "init",
            "--bin",
            "init",
            "--profile",
            "init",
        ])
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&out)
        // Flags meant for the outer build (sanitizers, coverage) have no runtime in a container.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env(
            "RUSTFLAGS",
            "-C target-feature=+crt-static -C relocation-model=static",
        )
        .status();
    match status {
        Ok(status) if status.success() => {}
        failed => panic!("cannot build the container init: {failed:?}"),
    }
    let binary = out.join(target).join("init/init");
    println!("cargo:rustc-env=LONGSHORE_INIT={}", binary.display());
}

/// The same machine with musl, where its standard library is installed. The start-up code of glibc asks the
/// processor again and again what it can do (CPUID), and on a virtual machine each time is a way to the
/// hypervisor and back: together they take longer than much of what a launch does.
fn target(host: &str, rustc: &str) -> String {
    let musl = host.replace("-gnu", "-musl");
    let libraries = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", &musl])
        .output();
    let installed = libraries.is_ok_and(|output| {
        let path = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && Path::new(path.trim()).is_dir()
    });
    if installed {
        return musl;
    }
    println!(
        "cargo:warning=containers will start slower: init is built with glibc (rustup target add {musl})"
    );
    host.to_owned()
}
