//! What is told of secrets: that there are some, and how they are called.

use crate::v1;

/// Of a task's container, before others are told of it.
pub fn hide_in_container(container: &mut v1::ContainerInfo) {
    for volume in &mut container.volumes {
        volume.image.iter_mut().for_each(hide_in_image);
        if let Some(source) = &mut volume.source {
            source.secret.iter_mut().for_each(hide);
            let of_plugin = source.csi_volume.as_mut();
            if let Some(volume) = of_plugin.and_then(|it| it.static_provisioning.as_mut()) {
                volume.node_stage_secrets.values_mut().for_each(hide);
                volume.node_publish_secrets.values_mut().for_each(hide);
            }
        }
    }
    let mesos = container.mesos.as_mut();
    let image = mesos.and_then(|mesos| mesos.image.as_mut());
    image.into_iter().for_each(hide_in_image);
}

/// The same of a command's environment.
pub fn hide_in_command(command: &mut v1::CommandInfo) {
    let variables = command.environment.iter_mut();
    for variable in variables.flat_map(|it| &mut it.variables) {
        variable.secret.iter_mut().for_each(hide);
    }
}

fn hide_in_image(image: &mut v1::Image) {
    let docker = image.docker.iter_mut();
    docker
        .filter_map(|docker| docker.config.as_mut())
        .for_each(hide);
}

/// Its type tells still that it was given by value.
fn hide(secret: &mut v1::Secret) {
    secret.value = None;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn secret() -> Option<v1::Secret> {
        Some(v1::Secret {
            r#type: Some(v1::secret::Type::Value.into()),
            reference: None,
            value: Some(v1::secret::Value {
                data: b"geheim".to_vec(),
            }),
        })
    }

    /// As `data` is written in JSON.
    const WRITTEN: &str = "Z2VoZWlt";

    #[test]
    fn nothing_of_a_container_tells_the_value_of_a_secret() {
        let image = Some(v1::Image {
            docker: Some(v1::image::Docker {
                config: secret(),
                ..Default::default()
            }),
            ..Default::default()
        });
        let mut container = v1::ContainerInfo {
            volumes: vec![v1::Volume {
                source: Some(v1::volume::Source {
                    secret: secret(),
                    ..Default::default()
                }),
                image: image.clone(),
                ..Default::default()
            }],
            mesos: Some(v1::container_info::MesosInfo { image }),
            ..Default::default()
        };
        let told = |container: &v1::ContainerInfo| json::to_value(container).to_string();
        assert_eq!(told(&container).matches(WRITTEN).count(), 3);
        hide_in_container(&mut container);
        assert!(!told(&container).contains(WRITTEN));
        assert_eq!(told(&container).matches("\"VALUE\"").count(), 3);
    }

    #[test]
    fn nor_does_a_command() {
        let mut command = v1::CommandInfo {
            environment: Some(v1::Environment {
                variables: vec![v1::environment::Variable {
                    name: "PASSWORD".into(),
                    secret: secret(),
                    ..Default::default()
                }],
            }),
            ..Default::default()
        };
        let told = |command: &v1::CommandInfo| json::to_value(command).to_string();
        assert!(told(&command).contains(WRITTEN));
        hide_in_command(&mut command);
        assert!(!told(&command).contains(WRITTEN) && told(&command).contains("PASSWORD"));
    }
}
