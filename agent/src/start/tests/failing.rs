//! An agent whose disk fails under it, and is repaired later: ext4 takes nothing more then, not even by
//! descriptors that were open before. And one that gives single files no more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use proto::v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning};

use super::full::{end_of, own_port, runs, start_again};
use super::logs::until;
use super::*;

/// A file system on a file.
struct FailingDisk {
    image: PathBuf,
    place: PathBuf,
}

impl FailingDisk {
    fn mount(image: PathBuf, place: PathBuf) -> FailingDisk {
        fs::create_dir_all(&place).unwrap();
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let disk = FailingDisk { image, place };
        let mut make = Command::new("mke2fs");
        let made = make.args(["-q", "-t", "ext4"]).arg(&disk.image).status();
        assert!(made.unwrap().success() && disk.attach());
        disk
    }

    fn attach(&self) -> bool {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "ext4", "-o", "loop"])
            .args([&self.image, &self.place]);
        mount.status().unwrap().success()
    }

    fn detach(&self) -> bool {
        let mut unmount = Command::new("umount");
        unmount
            .arg("-d")
            .arg(&self.place)
            .status()
            .unwrap()
            .success()
    }

    /// What was written up to here is on it. Source: ext4(5), "abort".
    fn fail(&self) {
        let mut sync = Command::new("sync");
        assert!(sync.arg("-f").arg(&self.place).status().unwrap().success());
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,abort"]).arg(&self.place);
        assert!(mount.status().unwrap().success());
    }

    /// Containers have copies of the mount, in which the file system stays as it is: what takes its place is
    /// a copy of what is on the disk.
    fn repair(&mut self) {
        assert!(self.detach());
        let repaired = self.image.with_extension("repaired");
        fs::copy(&self.image, &repaired).unwrap();
        self.image = repaired;
        assert!(self.attach());
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        self.detach();
    }
}

/// In the place of a file, what gives nothing but the errors of a disk that fails. Source: proc_pid_mem(5).
struct Unreadable(PathBuf);

impl Unreadable {
    fn cover(file: &Path) -> Unreadable {
        // Of a process that lives as long as this test.
        let memory = format!("/proc/{}/mem", std::process::id());
        let none: Option<&str> = None;
        mount(Some(memory.as_str()), file, none, MsFlags::MS_BIND, none).unwrap();
        Unreadable(file.to_owned())
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        // Containers may have copies of the mount.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_whose_checkpoint_the_disk_does_not_give_runs_on_until_it_does() {
    let mut node = node().await;
    let (handle, mut link) = node.start().await;
    for id in ["other", "t1"] {
        link.say(run(task(id, "exec sleep 1000"))).await;
        runs(&mut link, id).await;
    }
    stop(handle, link).await;
    let run_of = |task: &str| {
        let runs = (node
            .flags
            .work_dir
            .join("meta/slaves/M-S0/frameworks/F/executors"))
        .join(task)
        .join("runs");
        let mut found = fs::read_dir(runs).unwrap().map(|it| it.unwrap().path());
        found
            .find(|it| it.file_name() != Some("latest".as_ref()))
            .unwrap()
    };
    let of_task = run_of("t1");
    let files = ["task.info", "task.updates"].map(|name| of_task.join("tasks/t1").join(name));
    for file in files {
        let disk = Unreadable::cover(&file);
        node.flags.strict = true;
        let refused = start(node.flags.clone()).await.unwrap_err();
        let refused = proto::error::chain(&refused);
        let wanted = format!(
            "cannot read checkpoint {} (its disk fails: dmesg says more): Input/output error (os error 5)",
            file.display()
        );
        assert!(refused.contains("task t1 of framework F"), "{refused}");
        assert!(refused.ends_with(&wanted), "{refused}");
        // Without it the others go on, and this one is neither ended nor told to have.
        node.flags.strict = false;
        let (handle, link) = node.start().await;
        let known: Vec<_> = link.register.tasks.iter().map(|it| &*it.name).collect();
        assert_eq!(known, ["other"]);
        stop(handle, link).await;
        drop(disk);
        let (handle, link) = node.start().await;
        let states: Vec<_> = link.register.tasks.iter().map(v1::Task::state).collect();
        assert_eq!(states, [TaskRunning; 2]);
        stop(handle, link).await;
    }
    let (handle, mut link) = node.start().await;
    link.say(kill("t1")).await;
    assert_eq!(end_of(&mut link, "t1").await.state(), TaskKilled);
    node.end(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_on_a_disk_that_fails_no_task_begins_and_none_is_lost() {
    let mut node = node().await;
    let place = node.flags.work_dir.join("meta");
    let mut disk = FailingDisk::mount(node.dir.path().join("image"), place);
    node.flags.port = own_port();
    let (handle, mut link) = node.start().await;
    for id in ["stays", "killed"] {
        link.say(run(task(id, "exec sleep 1000"))).await;
        runs(&mut link, id).await;
    }
    disk.fail();
    link.say(run(task("new", "true"))).await;
    let refused = end_of(&mut link, "new").await;
    assert_eq!(refused.state(), TaskFailed);
    let why = refused.message();
    assert!(why.contains("repair it and mount it again"), "{why}");
    assert!(
        why.ends_with("Read-only file system (os error 30)"),
        "{why}"
    );
    link.say(kill("killed")).await;
    assert_eq!(end_of(&mut link, "killed").await.state(), TaskKilled);
    stop(handle, link).await;
    disk.repair();

    // The next agent finds in the container's own record that it has ended. Who had it killed is not known
    // any more; the master knows the task's end already.
    let (handle, mut link) = start_again(&mut node).await;
    let mut known: Vec<_> = link.register.tasks.iter().map(|task| &*task.name).collect();
    known.sort_unstable();
    assert_eq!(known, ["killed", "stays"]);
    end_of(&mut link, "killed").await;
    let containers = node.flags.runtime_dir.join("containers");
    until("the end is written down", || {
        fs::read_dir(&containers).unwrap().count() == 1
    })
    .await;
    link.say(run(task("later", "true"))).await;
    assert_eq!(end_of(&mut link, "later").await.state(), TaskFinished);
    link.say(kill("stays")).await;
    assert_eq!(end_of(&mut link, "stays").await.state(), TaskKilled);
    node.end(handle).await;
    drop(disk);
}
