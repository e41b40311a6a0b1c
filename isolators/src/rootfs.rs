//! What a root file system of a container's own is made of, and what the kernel has to show in it.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Mount, MountBuilder};

use crate::isolator::{Draft, PlanError};
use crate::network::File;
use crate::request::{Access, DeviceFile, DeviceKind, Files, Ipc, Request, Root, Tmpfs};
use crate::terminal;
use crate::volumes::{bind, check_target};

/// Before all else: everything else is mounted on it. In a user namespace files have the owners that the image
/// gives them, as the container sees them.
pub(crate) fn root(root: &Root, request: &Request, spec: &mut Draft) -> Result<(), PlanError> {
    let own_ids = request.user_namespace.is_some();
    let path = match &root.files {
        Files::Directory(path) if own_ids => {
            spec.mounts
                .push(bind(path, Path::new("/"), Access::ReadWrite, request)?);
            path
        }
        Files::Directory(path) => path,
        Files::Overlay {
            root,
            lower,
            upper,
            work,
        } => {
            let lower: Vec<_> = lower
                .iter()
                .map(|layer| layer.display().to_string())
                .collect();
            let owners = own_ids.then(|| "idmap".to_owned());
            let options = [
                format!("lowerdir={}", lower.join(":")),
                format!("upperdir={}", upper.display()),
                format!("workdir={}", work.display()),
                // It ends with the container, so nothing of it needs to be on the disk.
                "volatile".to_owned(),
            ];
            spec.mounts.push(mount(
                "/",
                "overlay",
                "overlay",
                options.into_iter().chain(owners).collect(),
            )?);
            root
        }
    };
    spec.root = Some((path.clone(), root.read_only));
    Ok(())
}

/// As Docker mounts them.
#[rustfmt::skip]
const KERNELS: &[(&str, &str, &[&str])] = &[
    ("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", &terminal::OPTIONS),
    ("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
];

/// What belongs to a namespace of the host's cannot be mounted in a user namespace: it is shown as the host has it,
/// or not at all.
pub(crate) fn kernels(root: &Root, request: &Request, spec: &mut Draft) -> Result<(), PlanError> {
    let own_ids = request.user_namespace.is_some();
    for (target, kind, options) in KERNELS {
        let options = options.iter().map(|option| (*option).to_owned());
        match *kind {
            // Its network is made outside.
            "sysfs" if own_ids => {
                let options = options.filter(|option| option != "ro");
                let whole = ["rbind", "rro"].map(str::to_owned).into_iter();
                let mut shown = mount(target, "bind", target, whole.chain(options).collect())?;
                shown.set_source(Some(target.into()));
                spec.mounts.push(shown);
            }
            "mqueue" if own_ids && request.ipc == Ipc::Hosts => {}
            kind => {
                spec.mounts
                    .push(mount(target, kind, kind, options.collect())?);
            }
        }
    }
    for File { source, target } in &root.shown {
        let options = ["bind", "ro"].map(str::to_owned).to_vec();
        let mut shown = mount(target, "bind", "", options)?;
        shown.set_source(Some(source.clone()));
        spec.mounts.push(shown);
    }
    for Tmpfs { target, options } in &root.tmpfs {
        check_target(target)?;
        spec.mounts
            .push(mount(target, "tmpfs", "tmpfs", options.clone())?);
    }
    for file in &root.devices {
        spec.device_files.push(device(file)?);
    }
    Ok(())
}

fn device(file: &DeviceFile) -> Result<LinuxDevice, PlanError> {
    let device = LinuxDeviceBuilder::default()
        .path(&file.path)
        .typ(match file.device.kind {
            DeviceKind::Block => LinuxDeviceType::B,
            DeviceKind::Char => LinuxDeviceType::C,
        })
        .major(i64::from(file.device.major))
        .minor(i64::from(file.device.minor))
        .file_mode(file.mode)
        .uid(file.uid)
        .gid(file.gid);
    Ok(device.build()?)
}

fn mount(
    target: impl AsRef<Path>,
    kind: &str,
    source: &str,
    options: Vec<String>,
) -> Result<Mount, PlanError> {
    let mount = MountBuilder::default()
        .destination(target.as_ref())
        .typ(kind)
        .source(source)
        .options(options);
    Ok(mount.build()?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};
    use crate::request::{Command, Device, IdRange, Volume};

    fn rooted(change: impl FnOnce(&mut Request)) -> Result<oci_spec::runtime::Spec, PlanError> {
        let files = Files::Overlay {
            root: "/c/1/rootfs".into(),
            lower: vec!["/c/1/b".into(), "/c/1/a".into()],
            upper: "/c/1/upper".into(),
            work: "/c/1/work".into(),
        };
        let mut request = Request {
            root: Some(Root {
                files,
                sandbox: "/mnt/mesos/sandbox".into(),
                working_dir: "/srv".into(),
                shown: vec![File {
                    source: "/etc/hosts".into(),
                    target: "/etc/hosts".into(),
                }],
                read_only: true,
                tmpfs: vec![],
                devices: vec![],
            }),
            ..request()
        };
        change(&mut request);
        plan(&request, &host(Version::V2))
    }

    /// Where, what, and from where.
    fn mounts(spec: &oci_spec::runtime::Spec) -> Vec<(String, String, String)> {
        let text = |path: &PathBuf| path.display().to_string();
        let mounts = spec.mounts().iter().flatten();
        let shown = mounts.map(|mount| {
            let kind = mount.typ().clone().unwrap_or_default();
            let source = mount.source().as_ref().map_or(String::new(), text);
            (text(mount.destination()), kind, source)
        });
        shown.collect()
    }

    #[test]
    fn a_root_of_its_own_is_mounted_first_and_shows_the_sandbox_where_it_is_expected() {
        let spec = rooted(|_| {}).expect("plans");
        let root = spec.root().clone().expect("a root");
        assert_eq!(
            (root.path().as_path(), root.readonly()),
            (Path::new("/c/1/rootfs"), Some(true))
        );
        let mounts = mounts(&spec);
        let targets: Vec<_> = mounts.iter().map(|(target, ..)| target.as_str()).collect();
        assert_eq!(
            targets,
            [
                "/",
                "/proc",
                "/dev",
                "/dev/pts",
                "/dev/mqueue",
                "/sys",
                "/sys/fs/cgroup",
                "/etc/hosts",
                "/mnt/mesos/sandbox",
                "/dev/shm",
            ]
        );
        let first = spec.mounts().clone().expect("mounts")[0]
            .options()
            .clone()
            .expect("options");
        assert_eq!(first[0], "lowerdir=/c/1/b:/c/1/a");
        let process = spec.process().clone().expect("a process");
        assert_eq!(process.cwd(), Path::new("/srv"));
        let masked = spec
            .linux()
            .clone()
            .expect("linux")
            .masked_paths()
            .clone()
            .expect("masked");
        assert!(!masked.contains(&"/run/agent".to_owned()), "{masked:?}");
    }

    #[test]
    fn in_a_user_namespace_its_files_are_shown_as_its_own_and_the_hosts_sys_as_it_is() {
        let ids = IdRange {
            first: 100_000,
            count: 65536,
        };
        let options = |spec: &oci_spec::runtime::Spec, at: &str| {
            let mounts = spec.mounts().clone().expect("mounts");
            let found = mounts
                .iter()
                .find(|it| it.destination() == Path::new(at))?
                .clone();
            Some((
                found.typ().clone()?,
                found.options().clone().unwrap_or_default().join(","),
            ))
        };
        let stacked = rooted(|request| request.user_namespace = Some(ids)).expect("plans");
        let (kind, said) = options(&stacked, "/").expect("a root");
        assert!(
            kind == "overlay" && said.ends_with("volatile,idmap"),
            "{said}"
        );
        let (kind, said) = options(&stacked, "/sys").expect("mounted");
        assert_eq!(
            (kind.as_str(), said.as_str()),
            ("bind", "rbind,rro,nosuid,noexec,nodev")
        );
        assert!(options(&stacked, "/dev/mqueue").is_some());
        let copied = rooted(|request| {
            request.user_namespace = Some(ids);
            request.ipc = Ipc::Hosts;
            request.root.as_mut().expect("a root").files = Files::Directory("/c/1/rootfs".into());
        });
        let copied = copied.expect("plans");
        assert_eq!(
            options(&copied, "/"),
            Some(("bind".to_owned(), "rbind,rw,idmap".to_owned()))
        );
        assert_eq!(options(&copied, "/dev/mqueue"), None);
    }

    #[test]
    fn its_shell_is_its_own_and_its_volumes_lie_in_it() {
        let spec = rooted(|request| {
            request.command = Command::Shell("ls".into());
            request.volumes = vec![Volume {
                source: "/data".into(),
                target: "in".into(),
                access: Access::ReadOnly,
            }];
        });
        let spec = spec.expect("plans");
        let process = spec.process().clone().expect("a process");
        assert_eq!(
            process.args().clone().expect("args"),
            ["/bin/sh", "-c", "ls"]
        );
        let inside = "/mnt/mesos/sandbox/in".to_owned();
        assert!(mounts(&spec).contains(&(inside, "bind".into(), "/data".into())));
    }

    #[test]
    fn memory_and_devices_are_where_they_are_asked_for() {
        let spec = rooted(|request| {
            let root = request.root.as_mut().expect("a root");
            root.tmpfs = vec![Tmpfs {
                target: "/run".into(),
                options: vec!["size=1m".into()],
            }];
            root.devices = vec![DeviceFile {
                path: "/dev/fuse".into(),
                device: Device {
                    kind: DeviceKind::Char,
                    major: 10,
                    minor: 229,
                    read: true,
                    write: true,
                    mknod: false,
                },
                mode: 0o666,
                uid: 0,
                gid: 0,
            }];
            request.stop_signal = Some(3);
            request.sysctls = [("net.core.somaxconn".into(), "9".into())].into();
        });
        let spec = spec.expect("plans");
        let tmpfs = ("/run".to_owned(), "tmpfs".to_owned(), "tmpfs".to_owned());
        assert!(mounts(&spec).contains(&tmpfs));
        let linux = spec.linux().clone().expect("linux");
        let device = linux.devices().clone().expect("devices").remove(0);
        assert_eq!((device.major(), device.minor()), (10, 229));
        let rules = linux.resources().clone().expect("resources");
        let rules = rules.devices().clone().expect("rules");
        assert!(
            rules
                .iter()
                .any(|rule| rule.allow() && rule.minor() == Some(229))
        );
        assert_eq!(
            linux.sysctl().clone().expect("sysctls")["net.core.somaxconn"],
            "9"
        );
        let said = spec.annotations().clone().expect("annotations");
        assert_eq!(said[crate::STOP_SIGNAL], "3");
        let hides = rooted(|request| {
            let root = request.root.as_mut().expect("a root");
            root.tmpfs = vec![Tmpfs {
                target: "/proc/x".into(),
                options: vec![],
            }];
        });
        assert!(matches!(hides, Err(PlanError::ReservedTarget(_))));
    }

    #[test]
    fn a_volume_may_not_hide_the_sandbox() {
        for target in ["/mnt", "/mnt/mesos/sandbox"] {
            let error = rooted(|request| {
                request.volumes = vec![Volume {
                    source: target.into(),
                    target: target.into(),
                    access: Access::ReadWrite,
                }];
            });
            let error = error.expect_err("refused");
            assert!(matches!(error, PlanError::HidesSandbox { .. }), "{error}");
        }
    }
}
