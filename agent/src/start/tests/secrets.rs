//! Secrets of tasks, in files and in their environment.

use std::fs;
use std::process::Command;

use proto::v1::environment::variable::Type;
use proto::v1::volume::source;

use super::full::{end_of, runs};
use super::*;
use crate::small_disk::SmallDisk;

const SECRET: &str = "xyzzy-geheim";

fn named(name: &str) -> Option<v1::Secret> {
    Some(v1::Secret {
        r#type: Some(v1::secret::Type::Reference.into()),
        reference: Some(v1::secret::Reference {
            name: name.into(),
            key: None,
        }),
        value: None,
    })
}

/// Of a user that is not root, with the secret `db` in the file `key` of its sandbox and in its environment.
fn keeper(command: &str) -> v1::TaskInfo {
    let mut keeper = task("keeper", command);
    let info = keeper.command.as_mut().unwrap();
    info.user = Some("nobody".into());
    info.environment = Some(v1::Environment {
        variables: vec![v1::environment::Variable {
            name: "PASSWORD".into(),
            r#type: Some(Type::Secret.into()),
            secret: named("db"),
            ..Default::default()
        }],
    });
    keeper.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        volumes: vec![v1::Volume {
            container_path: "key".into(),
            mode: v1::volume::Mode::Ro as i32,
            source: Some(v1::volume::Source {
                r#type: Some(source::Type::Secret.into()),
                secret: named("/db"),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    });
    keeper
}

#[tokio::test(flavor = "multi_thread")]
async fn root_secrets_are_their_tasks_alone_and_none_is_left_of_it() {
    let mut node = node().await;
    let memory = SmallDisk::mount(&node.flags.runtime_dir);
    let kept = node.dir.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("db"), SECRET).unwrap();
    node.flags.secrets_dir = Some(kept.clone());
    let (handle, mut link) = node.start().await;
    let go = node.dir.path().join("go");
    // In capitals, so that what it writes does not tell them.
    let shout = "tr a-z A-Z <key; echo; echo $PASSWORD | tr a-z A-Z";
    let command = format!(
        "{shout}; stat -c '%u %a' key; echo there: $(ls -A {}); until [ -e {} ]; do sleep 0.01; done; {shout}",
        kept.display(),
        go.display(),
    );
    link.say(run(keeper(&command))).await;
    runs(&mut link, "keeper").await;
    let sandbox =
        get(&handle, "/state").await["frameworks"][0]["executors"][0]["directory"].clone();
    let sandbox = std::path::PathBuf::from(sandbox.as_str().unwrap());
    for path in ["/state", "/containers", "/inspect?task_id=keeper"] {
        let told = get(&handle, path).await.to_string();
        assert!(!told.contains(SECRET), "{path}: {told}");
    }
    stop(handle, link).await;

    let (handle, mut link) = node.start().await;
    let files = node.flags.runtime_dir.join("secrets");
    assert_eq!(fs::read_dir(&files).unwrap().count(), 1);
    fs::write(go, "").unwrap();
    let ended = end_of(&mut link, "keeper").await;
    assert_eq!(ended.state(), v1::TaskState::TaskFinished, "{ended:?}");
    let shouted = SECRET.to_uppercase();
    let both = format!("{shouted}\n{shouted}\n");
    let said = output(&handle, "keeper").await;
    assert_eq!(said, format!("{both}65534 400\nthere:\n{both}"));
    assert_eq!(fs::read_dir(&files).unwrap().count(), 0);
    assert_eq!(fs::read(sandbox.join("key")).unwrap(), b"");
    let telling = Command::new("grep")
        .args(["-rlF", SECRET])
        .arg(&node.flags.work_dir)
        .output();
    assert_eq!(telling.unwrap().stdout, b"");
    node.end(handle).await;
    drop(memory);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_secret_that_is_not_there_fails_its_task_and_says_how_to_mend_that() {
    let mut node = node().await;
    let memory = SmallDisk::mount(&node.flags.runtime_dir);
    let (handle, mut link) = node.start().await;
    link.say(run(keeper("true"))).await;
    let failed = end_of(&mut link, "keeper").await;
    assert_eq!(failed.state(), v1::TaskState::TaskFailed);
    assert!(failed.message().contains("--secrets_dir"), "{failed:?}");
    node.end(handle).await;
    drop(memory);
}
