//! Images that tasks are shown as volumes.

use std::fs;

use super::full::end_of;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_is_shown_as_a_volume_that_goes_with_its_container() {
    let mut node = node().await;
    let tools = node.dir.path().join("images/tools");
    let greeting = tools.join("share/greeting");
    fs::create_dir_all(tools.join("share")).unwrap();
    fs::write(&greeting, "hello\n").unwrap();
    node.flags.images.image_directories = vec![node.dir.path().join("images")];
    let volume = |path: &str, mode: v1::volume::Mode| {
        let mut image = v1::Image {
            docker: Some(v1::image::Docker {
                name: format!("file://{}", tools.display()),
                ..Default::default()
            }),
            ..Default::default()
        };
        image.set_type(v1::image::Type::Docker);
        v1::Volume {
            container_path: path.into(),
            mode: mode.into(),
            image: Some(image),
            ..Default::default()
        }
    };
    let (handle, mut link) = node.start().await;
    let mut shown = task(
        "shown",
        "cat read/share/greeting; touch read/x || echo refused; \
         echo more >>own/share/greeting && cat own/share/greeting",
    );
    shown.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        volumes: vec![
            volume("read", v1::volume::Mode::Ro),
            volume("own", v1::volume::Mode::Rw),
        ],
        ..Default::default()
    });
    link.say(run(shown)).await;
    let ended = end_of(&mut link, "shown").await;
    assert_eq!(ended.state(), v1::TaskState::TaskFinished, "{ended:?}");
    let said = output(&handle, "shown").await;
    assert_eq!(said, "hello\nrefused\nhello\nmore\n");
    assert_eq!(fs::read_to_string(&greeting).unwrap(), "hello\n");
    let containers = node.flags.work_dir.join("provisioner/containers");
    assert_eq!(fs::read_dir(containers).unwrap().count(), 0);
    node.end(handle).await;
}
