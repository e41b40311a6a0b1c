//! `filesystem/linux`: the host's files in a mount namespace of the container's own, or a root file system of
//! its own, with a /proc that matches its processes.

use oci_spec::runtime::{MountBuilder, get_default_maskedpaths, get_default_readonly_paths};

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{Access, Request};
use crate::rootfs;
use crate::volumes::bind;

pub(crate) struct Filesystem;

impl Isolator for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem/linux"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        if let Some(root) = &request.root {
            rootfs::root(root, request, spec)?;
        }
        let options = ["nosuid", "noexec", "nodev"].map(str::to_owned).to_vec();
        spec.mounts.push(
            MountBuilder::default()
                .destination("/proc")
                .typ("proc")
                .source("proc")
                .options(options)
                .build()?,
        );
        if let Some(root) = &request.root {
            rootfs::kernels(root, request, spec)?;
        }
        if request.user_namespace.is_some() || request.root.is_some() {
            let (sandbox, inside) = (&request.sandbox, request.sandbox_inside());
            let access = Access::ReadWrite;
            spec.mounts.push(bind(sandbox, inside, access, request)?);
        }
        spec.masked_paths = get_default_maskedpaths();
        if request.root.is_none() {
            spec.masked_paths.extend(host.hidden.iter().cloned());
        }
        spec.readonly_paths = get_default_readonly_paths();
        // With all cgroup hierarchies below it: a task that could write there would set its own
        // limits, or freeze itself beyond reach.
        spec.readonly_paths.push("/sys".to_owned());
        Ok(())
    }
}
