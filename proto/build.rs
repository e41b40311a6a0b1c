//! Compiles `schema/` with protox and prost, so that no `protoc` is needed, and keeps the compiled
//! descriptors beside the code for `json`, which reads them at run time.

use std::path::PathBuf;
use std::time::SystemTime;

use prost::Message as _;

const FILES: &[&str] = &[
    "mesos/v1/mesos.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/agent/agent.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/quota/quota.proto",
    "mesos/v1/allocator/allocator.proto",
    "mesos/v1/maintenance/maintenance.proto",
    "mesos/v1/resource_provider/resource_provider.proto",
    "longshore/link/v1/link.proto",
];

/// Large and mostly absent fields of messages that are kept by the thousand: apart, each absent one
/// costs a pointer.
const SELDOM_SET: &[&str] = &[
    ".mesos.v1.Resource.disk",
    ".mesos.v1.Resource.reservation",
    ".mesos.v1.Task.container",
    ".mesos.v1.Task.health_check",
    ".mesos.v1.Task.discovery",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rustc-env=LONGSHORE_BUILD_TIME={}", build_time()?);
    let descriptors = protox::compile(FILES, ["schema"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut lean = descriptors.clone();
    for file in &mut lean.file {
        // Comments and positions: two thirds of the bytes, and nobody reads them at run time.
        file.source_code_info = None;
    }
    std::fs::write(out.join("schema.bin"), lean.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    for field in SELDOM_SET {
        config.boxed(field);
    }
    config
        .enable_type_names()
        .btree_map(["."])
        .skip_protoc_run()
        .include_file("schema.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Seconds since the epoch, for `/version`. `SOURCE_DATE_EPOCH` makes the build reproducible.
fn build_time() -> Result<u64, Box<dyn std::error::Error>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => Ok(seconds.parse()?),
        Err(_) => Ok(SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_secs()),
    }
}
