//! Tasks and their disk, measured by the agent and counted by file systems.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;

use containerizer::project_quota::{ProjectLimit, ProjectQuota, project_of};
use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::logs::until;
use super::*;

const MB: u64 = 1 << 20;

/// Of nobody who is there.
const PROJECTS: [u32; 2] = [71_000, 71_003];

fn with_disk(id: &str, command: &str, megabytes: u64) -> v1::TaskInfo {
    let mut task = task(id, command);
    let resources = format!("cpus:0.1;mem:32;disk:{megabytes}");
    task.resources = Resources::parse(&resources, "*").unwrap().to_protos();
    task
}

/// The sandbox of the only run that a task had.
fn sandbox(node: &Node, task: &str) -> PathBuf {
    let executor = format!("slaves/M-S0/frameworks/F/executors/{task}/runs/latest");
    std::fs::canonicalize(node.flags.work_dir.join(executor)).unwrap()
}

/// What a running task takes of the disk, and may take, once the first is more than nothing.
pub async fn disk_of(handle: &Handle, task: &str, at_least: u64) -> (u64, u64) {
    let wait = async {
        loop {
            let all = get(handle, "/monitor/statistics").await;
            let mut all = all.as_array().unwrap().iter();
            let one = all.find(|one| one["executor_id"] == task).unwrap();
            let (used, limit) = (
                &one["statistics"]["disk_used_bytes"],
                &one["statistics"]["disk_limit_bytes"],
            );
            match used.as_u64() {
                Some(used) if used >= at_least => return (used, limit.as_u64().unwrap()),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.expect("the task takes that much")
}

#[tokio::test(flavor = "multi_thread")]
async fn root_who_takes_more_than_its_disk_is_told_of_and_killed_where_that_is_asked_for() {
    let mut node = node().await;
    node.flags.container_disk_watch_interval = Duration::from_millis(100);
    let (handle, mut link) = node.start().await;
    let fill = "mkdir cache && head -c 3000000 /dev/zero > cache/big; exec sleep 1000";
    link.say(run(with_disk("t", fill, 1))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    let (used, limit) = disk_of(&handle, "t", 2 * MB).await;
    assert!(used < 4 * MB && limit == MB, "{used} {limit}");
    stop(handle, link).await;

    node.flags.enforce_container_disk_quota = true;
    let (handle, mut link) = node.start().await;
    let last = story(&mut link).await.pop().unwrap();
    assert_eq!(last.state(), TaskState::TaskFailed);
    assert_eq!(last.reason(), Reason::ContainerLimitationDisk);
    let wanted = "Disk usage (3MB) exceeds quota (1MB); largest directories: cache (3MB), . (";
    assert!(last.message().starts_with(wanted), "{}", last.message());
    assert_eq!(last.limitation.as_ref().unwrap().resources[0].name, "disk");

    // Who stays below its disk lives, and so does one that has not thought of it.
    let modest = "head -c 1000000 /dev/zero > big; until [ -e go ]; do sleep 0.05; done";
    link.say(run(with_disk("modest", modest, 4))).await;
    link.say(run(task("any", fill))).await;
    let mut running = 0;
    while running < 2 {
        running += usize::from(link.update().await.state() == TaskState::TaskRunning);
    }
    let (_, limit) = disk_of(&handle, "modest", MB / 2).await;
    assert_eq!(limit, 4 * MB);
    std::fs::write(sandbox(&node, "modest").join("go"), "").unwrap();
    let last = story(&mut link).await.pop().unwrap();
    assert_eq!(last.state(), TaskState::TaskFinished);
    node.end(handle).await;
}

/// A file system of its own, on a file.
struct Image {
    mount: PathBuf,
}

impl Image {
    /// `None` where this kernel has no such quotas; where the lane says that it has, that is a failure.
    fn mount(dir: &Path, kind: &str) -> Option<Image> {
        let (file, mount) = (dir.join("image"), dir.join("disk"));
        std::fs::create_dir_all(&mount).unwrap();
        let image = std::fs::File::create(&file).unwrap();
        let (size, words): (u64, &[&str]) = match kind {
            "ext4" => {
                let features = ["-O", "quota,project", "-E", "quotatype=prjquota"];
                (
                    64 * MB,
                    &[&["mke2fs", "-q", "-t", "ext4"], &features[..]].concat(),
                )
            }
            // As small as one can be.
            _ => (300 * MB, &["mkfs.xfs", "-q"]),
        };
        image.set_len(size).unwrap();
        let mut make = Command::new(words[0]);
        let made = make.args(&words[1..]).arg(&file).status();
        let mut to = Command::new("mount");
        to.args(["-t", kind, "-o", "loop,prjquota"])
            .arg(&file)
            .arg(&mount);
        let is_mounted = made.is_ok_and(|made| made.success()) && to.status().unwrap().success();
        let image = is_mounted.then_some(Image { mount });
        let quota = image.as_ref().and_then(|image| image.quota());
        let must = std::env::var("PROJECT_QUOTAS").is_ok_and(|must| must.contains(kind));
        assert!(quota.is_some() || !must, "no project quotas on {kind}");
        quota.and(image)
    }

    fn quota(&self) -> Option<ProjectQuota> {
        ProjectQuota::at(&self.mount).unwrap()
    }
}

impl Drop for Image {
    /// Frees the loop device, too.
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-d").arg(&self.mount).status();
    }
}

fn project(path: &Path) -> u32 {
    let file = std::fs::File::open(path).unwrap();
    project_of(file.as_fd()).unwrap()
}

/// Where the kernel has no project quotas for `kind`, the same tasks are killed instead.
async fn is_held_to_its_disk_on(kind: &str) {
    let mut node = node().await;
    let image = Image::mount(node.dir.path(), kind);
    if let Some(image) = &image {
        node.flags.work_dir = image.mount.join("work");
    }
    node.flags.enforce_container_disk_quota = true;
    node.flags.container_disk_watch_interval = Duration::from_millis(100);
    node.flags.disk_watch_interval = Duration::from_secs(1);
    let [first, last] = PROJECTS;
    node.flags.xfs_project_range = crate::quota::ProjectRange { first, last };
    let (handle, mut link) = node.start().await;
    let greedy = "dd if=/dev/zero of=big bs=100000 count=80 || { rm big; \
                  dd if=/dev/zero of=big bs=100000 count=10; touch stopped; }; exec sleep 1000";
    link.say(run(with_disk("t", greedy, 2))).await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    let Some(image) = image else {
        let last = story(&mut link).await.pop().unwrap();
        assert_eq!(last.reason(), Reason::ContainerLimitationDisk);
        return node.end(handle).await;
    };
    let (used, limit) = disk_of(&handle, "t", MB / 2).await;
    assert!(limit == 2 * MB && used <= limit, "{used} {limit}");
    let greedy = sandbox(&node, "t");
    until("the file system stops it", || {
        greedy.join("stopped").exists()
    })
    .await;
    assert_eq!(project(&greedy), first);
    for name in ["big", "stdout", "stderr"] {
        assert_eq!(project(&greedy.join(name)), first, "{name}");
    }
    stop(handle, link).await;

    // The next agent has the projects from the sandboxes.
    let (handle, mut link) = node.start().await;
    link.say(run(with_disk("u", "mkdir -p a/b/c; exec sleep 1000", 2)))
        .await;
    assert_eq!(link.update().await.state(), TaskState::TaskStarting);
    assert_eq!(link.update().await.state(), TaskState::TaskRunning);
    let other = sandbox(&node, "u");
    assert_eq!((project(&greedy), project(&other)), (first, first + 1));
    let quota = image.quota().unwrap();
    let limits = |quota: &ProjectQuota| {
        let in_use = quota.in_use(first, last).unwrap();
        let limits = in_use.iter().map(|used| (used.project, used.limit));
        limits.collect::<Vec<_>>()
    };
    assert_eq!(limits(&quota), [(first, 2 * MB), (first + 1, 2 * MB)]);
    let metrics = get(&handle, "/metrics/snapshot").await;
    let free = &metrics["containerizer/mesos/disk/project_ids_free"];
    assert_eq!(*free, 2.0);

    // What a task does to its own projects keeps nobody from removing its sandbox.
    until("it has made them", || other.join("a/b/c").exists()).await;
    let strange = std::fs::File::open(other.join("a/b")).unwrap();
    quota.assign(strange.as_fd(), last).unwrap();
    // What is open is there, and counts.
    drop(strange);
    // Nor does it take more by that than it may.
    let strange = other.join("strange");
    let file = std::fs::File::create(&strange).unwrap();
    quota.assign(file.as_fd(), last).unwrap();
    std::fs::write(&strange, vec![7; 4 * MB as usize]).unwrap();
    let killed = story(&mut link).await.pop().unwrap();
    assert_eq!(killed.task_id.value, "u");
    assert_eq!(killed.reason(), Reason::ContainerLimitationDisk);
    link.say(kill("t")).await;
    let killed = story(&mut link).await.pop().unwrap();
    assert_eq!(killed.state(), TaskState::TaskKilled);
    drop(file);
    // Otherwise the next agent would tell of them again.
    while get(&handle, "/state").await["frameworks"] != serde_json::json!([]) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop(handle, link).await;

    // With the sandbox goes its limit; what was left in force by accident is told, and mended.
    node.flags.gc_delay = Duration::ZERO;
    let (handle, link) = node.start().await;
    until("their sandboxes go", || !greedy.exists() && !other.exists()).await;
    let mut in_use = quota.in_use(first, last).unwrap();
    for _ in 0..600 {
        if in_use.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        in_use = quota.in_use(first, last).unwrap();
    }
    assert_eq!(in_use, [], "their projects are free");
    stop(handle, link).await;
    let bytes = Some(MB);
    let limit = ProjectLimit {
        bytes,
        inodes: None,
    };
    quota.limit(last, limit).unwrap();
    let audit = crate::audit::audit(&node.flags, true).await.unwrap();
    let kinds: Vec<_> = audit.findings.iter().map(|it| it.kind).collect();
    assert!(kinds.contains(&"project quota"), "{kinds:?}");
    assert_eq!(limits(&quota), []);
    let (handle, _link) = node.start().await;
    node.end_on(handle, quota, image).await;
}

/// Where the kernel has no project quotas for `kind`, nobody is kept from it.
async fn has_so_many_files_and_no_more_on(kind: &str) {
    let mut node = node().await;
    let image = Image::mount(node.dir.path(), kind);
    if let Some(image) = &image {
        node.flags.work_dir = image.mount.join("work");
    }
    node.flags.sandbox_inodes_limit = Some(20);
    let (handle, mut link) = node.start().await;
    let greedy = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); true > f$i || break; done; \
                  touch stopped || rm f1 f2; true > done; exec sleep 1000";
    link.say(run(task("t", greedy))).await;
    while link.update().await.state() != TaskState::TaskRunning {}
    let greedy = sandbox(&node, "t");
    until("it has tried", || greedy.join("done").exists()).await;
    match image {
        // The sandbox itself is one.
        Some(image) => {
            let has = std::fs::read_dir(&greedy).unwrap().count();
            assert!((10..20).contains(&has), "{has}");
            let quota = image.quota().unwrap();
            node.end_on(handle, quota, image).await;
        }
        None => {
            assert!(greedy.join("f100").exists());
            node.end(handle).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_has_so_many_files_and_no_more_on_ext4() {
    has_so_many_files_and_no_more_on("ext4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_has_so_many_files_and_no_more_on_xfs() {
    has_so_many_files_and_no_more_on("xfs").await;
}

impl Node {
    /// Its file system is in use until the agent has gone.
    async fn end_on(self, handle: Handle, quota: ProjectQuota, image: Image) {
        let dir = self.dir.path().to_owned();
        self.is_as_recorded().await;
        handle.destroy().await;
        self.is_as_recorded().await;
        drop((quota, image));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(dir.to_str().unwrap()), "{mounts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_is_held_to_its_disk_on_ext4() {
    is_held_to_its_disk_on("ext4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_task_is_held_to_its_disk_on_xfs() {
    is_held_to_its_disk_on("xfs").await;
}
