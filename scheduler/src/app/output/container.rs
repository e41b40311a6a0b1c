//! Containers, their ports and volumes.

use serde_json::{Map, Value, json};

use super::{number, put, put_some};
use crate::app::container::{Container, ContainerKind, Docker, IpcMode, LinuxInfo, Seccomp};
use crate::app::ports::PortMapping;
use crate::app::volumes::{DiskKind, External, Mode, Persistent, Volume, VolumeSource};

pub(super) fn container(container: &Container, in_host_network: bool) -> Value {
    let mut out = Map::new();
    put(
        &mut out,
        "type",
        match container.kind {
            ContainerKind::Docker => "DOCKER",
            ContainerKind::Mesos => "MESOS",
        },
    );
    put_some(&mut out, "docker", container.docker.as_ref().map(docker));
    put(
        &mut out,
        "volumes",
        container.volumes.iter().map(volume).collect::<Vec<_>>(),
    );
    if !in_host_network {
        let mappings = container
            .port_mappings
            .iter()
            .map(port_mapping)
            .collect::<Vec<_>>();
        put(&mut out, "portMappings", mappings);
    }
    put_some(
        &mut out,
        "linuxInfo",
        container.linux_info.as_ref().map(linux_info),
    );
    Value::Object(out)
}

fn docker(docker: &Docker) -> Value {
    let parameters: Vec<Value> = docker
        .parameters
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    let mut out = Map::new();
    put(&mut out, "image", docker.image.as_str());
    put(&mut out, "forcePullImage", docker.force_pull_image);
    put(&mut out, "privileged", docker.privileged);
    put(&mut out, "parameters", parameters);
    put_some(
        &mut out,
        "pullConfig",
        docker.pull_secret.as_ref().map(|s| json!({"secret": s})),
    );
    Value::Object(out)
}

fn port_mapping(mapping: &PortMapping) -> Value {
    let mut out = Map::new();
    put(&mut out, "containerPort", mapping.container_port);
    put_some(&mut out, "hostPort", mapping.host_port);
    put(&mut out, "servicePort", mapping.service_port);
    put(&mut out, "protocol", mapping.protocol.as_str());
    put_some(&mut out, "name", mapping.name.as_deref());
    put(&mut out, "labels", json!(mapping.labels));
    if !mapping.network_names.is_empty() {
        put(&mut out, "networkNames", json!(mapping.network_names));
    }
    Value::Object(out)
}

fn volume(volume: &Volume) -> Value {
    let mut out = Map::new();
    put(&mut out, "containerPath", volume.container_path.as_str());
    let mode = match volume.mode {
        Mode::ReadOnly => "RO",
        Mode::ReadWrite => "RW",
    };
    put(&mut out, "mode", mode);
    match &volume.source {
        VolumeSource::Host { host_path } => put(&mut out, "hostPath", host_path.as_str()),
        VolumeSource::Persistent(disk) => put(&mut out, "persistent", persistent(disk)),
        VolumeSource::External(disk) => put(&mut out, "external", external(disk)),
        VolumeSource::Secret { secret } => put(&mut out, "secret", secret.as_str()),
    }
    Value::Object(out)
}

fn persistent(disk: &Persistent) -> Value {
    let kind = match disk.disk {
        DiskKind::Root => "root",
        DiskKind::Path => "path",
        DiskKind::Mount => "mount",
    };
    let mut out = Map::new();
    put(&mut out, "type", kind);
    put(&mut out, "size", number(disk.size));
    put_some(&mut out, "maxSize", disk.max_size.map(number));
    put_some(&mut out, "profileName", disk.profile_name.as_deref());
    put(&mut out, "constraints", json!(disk.constraints));
    Value::Object(out)
}

fn external(disk: &External) -> Value {
    let mut out = Map::new();
    put(&mut out, "name", disk.name.as_str());
    put(&mut out, "provider", disk.provider.as_str());
    put_some(&mut out, "size", disk.size.map(number));
    put_some(&mut out, "shared", disk.shared);
    put(&mut out, "options", disk.options.clone());
    Value::Object(out)
}

fn linux_info(info: &LinuxInfo) -> Value {
    let mut out = Map::new();
    put_some(
        &mut out,
        "seccomp",
        info.seccomp.as_ref().map(|seccomp| match seccomp {
            Seccomp::Unconfined => json!({"unconfined": true}),
            Seccomp::Profile(name) => json!({"profileName": name, "unconfined": false}),
        }),
    );
    put_some(
        &mut out,
        "ipcInfo",
        info.ipc.as_ref().map(|ipc| {
            let mode = match ipc.mode {
                IpcMode::Private => "PRIVATE",
                IpcMode::ShareParent => "SHARE_PARENT",
            };
            let mut out = Map::new();
            put(&mut out, "mode", mode);
            put_some(&mut out, "shmSize", ipc.shm_size);
            Value::Object(out)
        }),
    );
    Value::Object(out)
}
