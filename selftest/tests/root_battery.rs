//! The battery against this host: needs root, and cgroups of either version.

use std::fs;
use std::path::{Path, PathBuf};

use isolators::seccomp::Profile;
use isolators::{CapabilitySets, Device, DeviceKind, IdRange, Swap};
use selftest::{ATTACKS, Attack, Settings, Toolbox, Trouble, Verdict, Walls};
use tempfile::TempDir;

/// The program that Cargo built beside this test.
#[expect(clippy::unwrap_used, reason = "a test without it cannot go on")]
fn longshore() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("longshore");
    std::env::var_os("LONGSHORE_BIN").map_or(built, PathBuf::from)
}

/// Of a node whose operator has said nothing.
fn settings() -> Settings {
    Settings {
        runtime_dir: PathBuf::new(),
        cgroups_hierarchy: "/sys/fs/cgroup".into(),
        cgroups_root: "longshore-test".to_owned(),
        seccomp: Profile::builtin(),
        capabilities: CapabilitySets::default(),
        pids: None,
        swap: Swap::Unlimited,
        devices: Vec::new(),
        cgroups_enable_cfs: false,
        user_namespaces: None,
        toolbox: Toolbox::find(),
        program: longshore(),
    }
}

#[expect(clippy::unwrap_used, reason = "a test without it cannot go on")]
fn ran(name: &str, walls: Walls, settings: Settings) -> Result<Verdict, Trouble> {
    let attack: &Attack = ATTACKS.iter().find(|attack| attack.name == name).unwrap();
    let state = TempDir::with_prefix_in("longshore-", "/var/tmp").unwrap();
    let settings = Settings {
        runtime_dir: state.path().to_owned(),
        ..settings
    };
    let verdict = attack.run(&settings, walls).verdict;
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0, "left");
    verdict
}

fn tried_with(name: &str, walls: Walls, settings: Settings) -> Verdict {
    let verdict = ran(name, walls, settings);
    verdict.unwrap_or_else(|error| panic!("{name}: {}", chain(&error)))
}

fn tried(name: &str, walls: Walls) -> Verdict {
    tried_with(name, walls, settings())
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn fails(name: &str) {
    assert_eq!(tried(name, Walls::Up), Verdict::Held, "{name}");
}

/// And would not, if nothing were in its way.
fn fails_for_the_walls(name: &str) {
    fails(name);
    let without = tried(name, Walls::Down);
    assert!(
        matches!(without, Verdict::Broken(_)),
        "{name}, with the walls down: {without:?}"
    );
}

#[test]
fn root_where_there_is_no_busybox_the_hosts_own_programs_are_as_hostile() {
    let name = "kernel's files, from an image";
    let with_hosts = |walls| {
        let toolbox = Toolbox::Host;
        tried_with(
            name,
            walls,
            Settings {
                toolbox,
                ..settings()
            },
        )
    };
    assert_eq!(with_hosts(Walls::Up), Verdict::Held);
    assert!(matches!(with_hosts(Walls::Down), Verdict::Broken(_)));
}

#[test]
fn root_what_the_operator_lets_tasks_do_is_tried_and_is_no_break() {
    let kernel_log = Device {
        kind: DeviceKind::Char,
        major: 1,
        minor: 11,
        read: true,
        write: false,
        mknod: true,
    };
    let settings = Settings {
        pids: Some(100),
        swap: Swap::Never,
        devices: vec![kernel_log],
        cgroups_enable_cfs: true,
        ..settings()
    };
    for name in [
        "devices of the host made and opened",
        "devices of the host opened by a task",
    ] {
        let verdict = tried_with(name, Walls::Up, settings.clone());
        assert_eq!(verdict, Verdict::Held, "{name}");
        // What nobody allows is still seen.
        let without = tried_with(name, Walls::Down, settings.clone());
        assert!(matches!(without, Verdict::Broken(_)), "{name}: {without:?}");
    }
}

#[test]
fn root_user_namespaces_open_no_way_for_any_attack() {
    let settings = Settings {
        user_namespaces: Some(IdRange {
            first: 400_000,
            count: 16 << 16,
        }),
        ..settings()
    };
    let taken_away = "host's files through /proc/PID/root";
    // Where attacks are.
    if !testbed::can_idmap(Path::new("/var/tmp")) {
        let trouble = ran(taken_away, Walls::Up, settings).unwrap_err();
        let said = chain(&trouble);
        assert!(said.contains("map the owners of its files"), "{said}");
        return;
    }
    for attack in ATTACKS {
        let verdict = tried_with(attack.name, Walls::Up, settings.clone());
        assert_eq!(verdict, Verdict::Held, "{}", attack.name);
    }
    let without = tried_with(taken_away, Walls::Down, settings);
    assert!(matches!(without, Verdict::Broken(_)), "{without:?}");
}

#[test]
fn every_attack_has_a_test() {
    let tests = include_str!("root_battery.rs");
    for attack in ATTACKS {
        assert!(
            tests.contains(&format!("(\"{}\")", attack.name)),
            "{}",
            attack.name
        );
    }
}

#[test]
fn root_nobody_in_a_container_overwrites_the_runtime() {
    fails("runtime overwritten through /proc/self/exe");
}

#[test]
fn root_nobody_in_a_container_keeps_others_from_starting() {
    fails("runtime made unusable through /proc/self/exe");
}

#[test]
fn root_no_descriptor_of_the_host_is_in_a_container() {
    fails_for_the_walls("descriptors leaked into the container");
}

#[test]
fn root_a_working_directory_is_never_a_descriptor_of_the_runtimes() {
    fails_for_the_walls("working directory /proc/self/fd/N");
}

#[test]
fn root_a_working_directory_is_made_in_the_container_only() {
    fails_for_the_walls("working directory made through links");
}

#[test]
fn root_what_masks_a_path_is_not_of_the_images_choice() {
    fails_for_the_walls("masked path behind a link at /dev/null");
}

#[test]
fn root_what_masks_a_path_cannot_be_exchanged() {
    fails_for_the_walls("masked path behind a swapped /dev/null");
}

#[test]
fn root_a_terminal_is_shown_at_the_console_and_nowhere_else() {
    fails("terminal shown behind a link at /dev/console");
}

#[test]
fn root_where_a_terminal_is_shown_cannot_be_exchanged() {
    fails("terminal shown at a swapped /dev/console");
}

#[test]
fn root_devices_are_made_in_the_container_only() {
    fails("devices made through a link at /dev");
}

#[test]
fn root_what_proc_shows_is_masked_also_behind_a_link() {
    fails_for_the_walls("/proc is a link");
}

#[test]
fn root_what_sys_shows_is_masked_also_behind_a_link() {
    fails_for_the_walls("/sys is a link");
}

#[test]
fn root_proc_cannot_be_exchanged_between_mounting_and_masking() {
    fails("/proc is a link that is swapped");
}

#[test]
fn root_what_the_runtime_writes_to_proc_goes_to_proc() {
    fails_for_the_walls("writes to /proc led to a file of the image's choice");
}

#[test]
fn root_what_the_runtime_writes_to_proc_goes_to_proc_whatever_is_exchanged() {
    fails("writes to /proc led elsewhere by a swap");
}

#[test]
fn root_a_mount_stays_in_the_container_whatever_is_exchanged() {
    fails_for_the_walls("mount target swapped on a shared volume");
}

#[test]
fn root_a_mount_point_is_made_in_the_container_whatever_is_exchanged() {
    fails_for_the_walls("mount target made outside of the container");
}

#[test]
fn root_no_capability_is_inherited() {
    fails_for_the_walls("inheritable capabilities");
}

#[test]
fn root_who_enters_a_container_cannot_be_looked_into() {
    fails("entering process looked into");
}

#[test]
fn root_who_takes_the_first_process_over_gains_nothing() {
    fails("first process taken over by one that may trace");
}

#[test]
fn root_no_number_of_a_user_means_root_but_its_own() {
    fails_for_the_walls("users beyond 32 bits");
}

#[test]
fn root_a_command_that_joins_runs_as_the_user_that_was_asked_for() {
    fails_for_the_walls("users of exec");
}

#[test]
fn root_a_user_database_holds_nobody_up_and_makes_nobody_root() {
    fails("hostile user database");
}

#[test]
fn root_a_pipe_in_the_place_of_a_command_holds_nobody_up() {
    fails("command that is a pipe");
}

#[test]
fn root_a_sysctls_name_leads_nowhere_else() {
    fails_for_the_walls("sysctl names that lead elsewhere");
}

#[test]
fn root_no_container_sets_a_sysctl_of_the_host() {
    fails_for_the_walls("sysctls of the host");
}

#[test]
fn root_the_kernel_starts_no_program_for_a_container() {
    fails_for_the_walls("release_agent: a program started by the kernel");
}

#[test]
fn root_no_container_raises_its_limits_or_leaves_its_cgroup() {
    fails_for_the_walls("limits raised or left from inside");
}

#[test]
fn root_no_container_makes_namespaces_to_mount_in() {
    fails_for_the_walls("mounts in a new user namespace");
}

#[test]
fn root_no_container_joins_namespaces_or_uncovers_what_is_masked() {
    fails_for_the_walls("namespaces of the host joined");
}

#[test]
fn root_a_cgroups_path_stays_in_its_hierarchy() {
    fails_for_the_walls("cgroup path that leads out of the hierarchy");
}

#[test]
fn root_what_the_agent_keeps_is_hidden_from_tasks() {
    fails_for_the_walls("agent's records read and written by a task");
}

#[test]
fn root_no_process_leads_to_the_hosts_files() {
    fails_for_the_walls("host's files through /proc/PID/root");
}

#[test]
fn root_no_handle_leads_to_the_hosts_files() {
    fails_for_the_walls("host's files by their handles");
}

#[test]
fn root_abstract_sockets_of_the_host_are_out_of_reach() {
    fails_for_the_walls("abstract sockets of the host");
}

#[test]
fn root_an_image_learns_nothing_from_the_kernels_files() {
    fails_for_the_walls("kernel's files, from an image");
}

#[test]
fn root_a_task_learns_nothing_from_the_kernels_files() {
    fails_for_the_walls("kernel's files, from a task");
}

#[test]
fn root_no_container_opens_a_device_that_it_makes() {
    fails_for_the_walls("devices of the host made and opened");
}

#[test]
fn root_no_task_opens_a_device_of_the_host() {
    fails_for_the_walls("devices of the host opened by a task");
}

#[test]
fn root_forbidden_system_calls_are_refused() {
    fails_for_the_walls("forbidden system calls");
}

#[test]
fn root_forbidden_system_calls_are_refused_by_every_door() {
    fails("forbidden system calls by other doors");
}
