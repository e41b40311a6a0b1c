//! Cgroups as a container sees them. Source: OCI runtime spec, config-linux.md, "Control groups".

use std::path::Path;

use init::mount_attributes::RDONLY;
use init::{Attributes, Mount, Source, Step, Unsaid};
use isolators::cgroups::ControllerMount;
use oci_spec::runtime::{LinuxNamespaceType, Mount as OciMount, MountBuilder};

use super::mounts::Plan;
use super::options::Options;
use super::view::Kind;
use super::{CompileError, namespaces, text};

impl Plan<'_> {
    pub fn cgroups(
        &mut self,
        mount: &OciMount,
        target: &Path,
        options: Options,
    ) -> Result<(), CompileError> {
        let own = namespaces::has(self.linux, LinuxNamespaceType::Cgroup);
        let on_v1 = !self.facts.cgroup_v1_mounts.is_empty();
        match (mount.typ().as_deref(), own) {
            (Some("cgroup"), _) if on_v1 => self.cgroups_v1(target, &options, own),
            (_, true) => self.file_system("cgroup2", mount, target, options),
            // A mount of its own would change the options of the host's.
            (_, false) => {
                let host = MountBuilder::default()
                    .destination(target)
                    .source("/sys/fs/cgroup")
                    .build();
                let host = host.map_err(|_incomplete| CompileError::Missing("cgroup mount"))?;
                self.bind(&host, target, &options)
            }
        }
    }

    /// One directory per hierarchy, as on the host, which begins at the container's own cgroup. `own`: a
    /// cgroup namespace sees to that.
    fn cgroups_v1(
        &mut self,
        target: &Path,
        options: &Options,
        own: bool,
    ) -> Result<(), CompileError> {
        self.mount_point(target, Kind::Directory)?;
        let base = text("mount destination", target)?;
        let set = options.top.set | options.all.set;
        let writable = set & !RDONLY;
        let mode = vec![("mode".to_owned(), Some("755".to_owned()))];
        self.steps.push(mount("tmpfs", &base, mode, writable));
        for hierarchy in self.facts.cgroup_v1_mounts {
            let Some(name) = hierarchy.path.file_name() else {
                continue;
            };
            let name = name.to_string_lossy();
            let path = format!("{base}/{name}");
            self.steps.push(Step::MakeDir {
                path: path.clone(),
                base: None,
                mode: 0o755,
            });
            self.hierarchy(hierarchy, path, set, own)?;
            // By each of their names, too, when several are mounted together.
            let names = hierarchy.controllers.iter();
            let links = names.filter(|controller| **controller != name);
            self.steps.extend(links.map(|controller| Step::Symlink {
                path: format!("{base}/{controller}"),
                to: name.to_string(),
                replace: false,
            }));
        }
        if set != writable {
            self.sealed.push(base);
        }
        self.view.add_fresh(target);
        Ok(())
    }

    fn hierarchy(
        &mut self,
        hierarchy: &ControllerMount,
        path: String,
        set: u64,
        own: bool,
    ) -> Result<(), CompileError> {
        if own {
            let controllers = hierarchy.controllers.iter();
            let options = controllers.map(|name| (name.clone(), None)).collect();
            self.steps.push(mount("cgroup", &path, options, set));
            return Ok(());
        }
        let cgroup = self.facts.cgroup;
        let cgroup = cgroup.strip_prefix("/").unwrap_or(cgroup);
        let origin = self.origin(Source {
            path: text("cgroup", &hierarchy.path.join(cgroup))?,
            recursive: false,
            propagation: libc::MS_PRIVATE,
            idmap: None,
        });
        self.steps.push(Step::Bind {
            origin,
            target: path,
            top: Attributes { set, clear: 0 },
            unsaid: Unsaid::Keep {},
            all: Attributes::default(),
        });
        Ok(())
    }
}

fn mount(
    fstype: &str,
    target: &str,
    options: Vec<(String, Option<String>)>,
    attributes: u64,
) -> Step {
    Step::Mount {
        mount: Mount {
            fstype: fstype.to_owned(),
            source: fstype.to_owned(),
            target: target.to_owned(),
            options,
            attributes,
            copy_up: false,
            made: None,
        },
    }
}
