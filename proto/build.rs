//! Compiles `schema/` with protox and prost, so that no `protoc` is needed, and keeps the compiled
//! descriptors beside the code for `json`, which reads them at run time.

use std::path::PathBuf;

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=schema");
    let descriptors = protox::compile(FILES, ["schema"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("schema.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new()
        .enable_type_names()
        .btree_map(["."])
        .skip_protoc_run()
        .include_file("schema.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
