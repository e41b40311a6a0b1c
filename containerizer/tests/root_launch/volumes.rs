//! What of the host a container is shown, and where.

use std::fs::{self, File};
use std::path::Path;

use isolators::{Access, Request, Volume};

use crate::support::Host;

#[tokio::test]
async fn root_a_missing_volume_says_so_and_leaves_nothing() {
    let host = Host::new("novolume");
    let volume = Volume {
        source: "/no/such/directory".into(),
        target: "/mnt".into(),
        access: Access::ReadWrite,
    };
    let refusal = host
        .refusal(&Request {
            volumes: vec![volume],
            ..host.request("true")
        })
        .await;
    let why = "]: volume source /no/such/directory does not exist on the host: create it, or correct \
               the volume's hostPath";
    assert!(refusal.ends_with(why), "{refusal}");
    host.finish();
}

#[tokio::test]
async fn root_volumes_are_shared_read_only_or_read_write() {
    let host = Host::new("volumes");
    let data = host.directory.path().join("data");
    fs::create_dir(&data).expect("creates");
    fs::write(data.join("file"), "old").expect("writes");
    let volume = |source: &Path, target: &str, access| Volume {
        source: source.to_owned(),
        target: target.into(),
        access,
    };
    let volumes = vec![
        volume(&data, "/mnt", Access::ReadWrite),
        volume(&data, "ro", Access::ReadOnly),
        volume(&data.join("file"), "/etc/hostname", Access::ReadOnly),
    ];
    let script = "cat /etc/hostname; echo; echo new > /mnt/made; cat ro/made; \
                  (echo x > ro/no) 2>&1 | grep -o 'Read-only'; (echo x > /etc/hostname) 2>&1 | \
                  grep -o 'Read-only'";
    let request = Request {
        volumes,
        ..host.request(script)
    };
    assert_eq!(
        host.output(&request).await,
        "old\nnew\nRead-only\nRead-only"
    );
    assert_eq!(
        fs::read_to_string(data.join("made")).expect("made"),
        "new\n"
    );
    host.finish();
}

#[tokio::test]
async fn root_container_paths_that_the_host_lacks_leave_nothing_on_it() {
    let host = Host::new("mirror");
    let data = host.directory.path().join("data");
    fs::create_dir(&data).expect("creates");
    fs::write(data.join("file"), "hello").expect("writes");
    let to = |source: &Path, target: &str| Volume {
        source: source.to_owned(),
        target: target.into(),
        access: Access::ReadWrite,
    };
    let before = fs::read_dir("/").expect("lists").count();
    let volumes = vec![
        to(&data, "/longshore-new/a"),
        to(&data.join("file"), "/longshore-new/b"),
        to(&data, "/usr/longshore-new/c"),
    ];
    let script = "cat /longshore-new/a/file /longshore-new/b /usr/longshore-new/c/file; ls /usr/bin/env; echo x > /longshore-new/a/made; \
                  test -e /proc/1/comm && pwd";
    let request = Request {
        volumes,
        ..host.request(script)
    };
    let expected = format!("hellohellohello/usr/bin/env\n{}", host.sandbox().display());
    assert_eq!(host.output(&request).await, expected);
    assert!(data.join("made").exists());
    assert!(
        !data.join("inner").exists(),
        "a mount point was made in the volume's source"
    );
    assert!(!Path::new("/longshore-new").exists() && !Path::new("/usr/longshore-new").exists());
    assert_eq!(fs::read_dir("/").expect("lists").count(), before);
    host.finish();
}

#[tokio::test]
async fn root_a_link_in_a_volume_does_not_lead_to_where_mount_points_are_made() {
    let host = Host::new("links");
    let (volume, elsewhere) = (
        host.directory.path().join("volume"),
        host.directory.path().join("etc"),
    );
    fs::create_dir(&volume).expect("creates");
    fs::create_dir(&elsewhere).expect("creates");
    // As a task that may write to the volume would leave it for the next one.
    std::os::unix::fs::symlink(&elsewhere, volume.join("sub")).expect("links");
    let bind = |source: &Path, target: &str| Volume {
        source: source.to_owned(),
        target: target.into(),
        access: Access::ReadWrite,
    };
    let file = host.directory.path().join("file");
    fs::write(&file, "x").expect("writes");
    let volumes = vec![bind(&volume, "/mnt"), bind(&file, "/mnt/sub/nologin")];
    let refusal = host
        .refusal(&Request {
            volumes,
            ..host.request("true")
        })
        .await;
    assert!(
        refusal.contains("cannot make file /mnt/sub/nologin"),
        "{refusal}"
    );
    assert_eq!(fs::read_dir(&elsewhere).expect("lists").count(), 0);
    host.finish();
}

#[tokio::test]
async fn root_a_link_in_the_sandbox_is_not_followed_to_a_volumes_source() {
    let host = Host::new("source");
    let (sandbox, secrets) = (host.sandbox(), host.directory.path().join("secrets"));
    fs::create_dir_all(secrets.join("a")).expect("creates");
    // As a task of the same user would plant it, for a directory that its user cannot get to.
    std::os::unix::fs::symlink(&secrets, sandbox.join("cache")).expect("links");
    for source in ["cache", "cache/a"] {
        let volume = Volume {
            source: sandbox.join(source),
            target: "/mnt".into(),
            access: Access::ReadWrite,
        };
        let refusal = host
            .refusal(&Request {
                volumes: vec![volume],
                ..host.request("true")
            })
            .await;
        assert!(refusal.contains("symbolic link"), "{refusal}");
    }
    fs::create_dir_all(sandbox.join("own/a")).expect("creates");
    let volume = Volume {
        source: sandbox.join("own/a"),
        target: "/mnt".into(),
        access: Access::ReadWrite,
    };
    let request = Request {
        volumes: vec![volume],
        ..host.request("touch /mnt/x; ls own/a")
    };
    assert_eq!(host.output(&request).await, "x");
    host.finish();
}

#[tokio::test]
async fn root_a_full_directory_can_get_a_new_mount_point() {
    let host = Host::new("full");
    let full = host.directory.path().join("full");
    fs::create_dir(&full).expect("creates");
    for n in 0..3000 {
        File::create(full.join(n.to_string())).expect("creates");
    }
    let target = full.join("new");
    let volume = Volume {
        source: host.sandbox(),
        target: target.clone(),
        access: Access::ReadWrite,
    };
    let script = format!(
        "ls -A {} | wc -l; test -e {}/stdout",
        full.display(),
        target.display()
    );
    let request = Request {
        volumes: vec![volume],
        ..host.request(&script)
    };
    assert_eq!(host.output(&request).await, "3001");
    assert!(!target.exists());
    host.finish();
}

#[tokio::test]
async fn root_a_file_over_a_directory_is_refused_with_both_names() {
    let host = Host::new("kinds");
    let file = host.directory.path().join("file");
    fs::write(&file, "x").expect("writes");
    let volume = Volume {
        source: file.clone(),
        target: "/etc".into(),
        access: Access::ReadOnly,
    };
    let request = Request {
        volumes: vec![volume],
        ..host.request("true")
    };
    let why = format!(
        "]: volume source {} is a file, but /etc in the container is a directory: mount it on another \
         path",
        file.display()
    );
    let refusal = host.refusal(&request).await;
    assert!(refusal.ends_with(&why), "{refusal}");
    host.finish();
}

#[tokio::test]
async fn root_what_is_hidden_is_recognised_behind_a_link() {
    let host = Host::new("hidden");
    let link = host.directory.path().join("link");
    std::os::unix::fs::symlink(host.directory.path(), &link).expect("links");
    let volume = Volume {
        source: link,
        target: "/mnt".into(),
        access: Access::ReadOnly,
    };
    let request = Request {
        volumes: vec![volume],
        ..host.request("ls /mnt; ls /mnt/run")
    };
    assert_eq!(host.output(&request).await, "link\nrun\nsandbox");
    host.finish();
}
