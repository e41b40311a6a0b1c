//! What a task does to its logs, and to what lies beside them.

use super::*;

#[test]
fn what_a_task_puts_in_its_logs_place_is_left_alone() {
    on_each_file_system(|dir| {
        let victim = dir.join("victim");
        let precious = lines(0, 2 * LIMIT.size);
        fs::write(&victim, &precious).unwrap();
        type Trick = fn(&Path, &Path);
        let tricks: &[Trick] = &[
            |log, victim| symlink(victim, log).unwrap(),
            |log, victim| fs::hard_link(victim, log).unwrap(),
            |log, _| nix::unistd::mkfifo(log, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |log, _| fs::create_dir(log).unwrap(),
            |_, _| {},
        ];
        for (number, trick) in tricks.iter().enumerate() {
            let sandbox = dir.join(number.to_string());
            fs::create_dir(&sandbox).unwrap();
            trick(&sandbox.join("stdout"), &victim);
            assert_eq!(attend(&sandbox, "stdout", LIMIT).unwrap(), Done::default());
            assert!(fs::read(&victim).unwrap() == precious, "trick {number}");
        }
    });
}

#[test]
fn names_that_lead_elsewhere_are_replaced_and_not_followed() {
    on_each_file_system(|dir| {
        let victim = dir.join("victim");
        fs::write(&victim, "precious").unwrap();
        let sandbox = dir.join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let names = [
            ".stdout.rotating",
            ".stdout.logrotate.state",
            "stdout.logrotate.state",
            "stdout.1",
            "stdout.3",
        ];
        for name in names {
            symlink(&victim, sandbox.join(name)).unwrap();
        }
        let written = lines(0, LIMIT.size + 1);
        append(&sandbox, &written);
        attend(&sandbox, "stdout", LIMIT).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        let rotated = fs::symlink_metadata(sandbox.join("stdout.1")).unwrap();
        assert!(rotated.is_file());
        assert!(
            fs::symlink_metadata(sandbox.join("stdout.2"))
                .unwrap()
                .is_symlink()
        );
    });
}

#[test]
fn a_task_that_obstructs_its_rotation_is_still_bounded() {
    on_each_file_system(|sandbox| {
        fs::create_dir(sandbox.join("stdout.2")).unwrap();
        for _ in 0..30 {
            append(sandbox, &lines(0, LIMIT.size + 1));
            let _told = attend(sandbox, "stdout", LIMIT);
        }
        let on_disk = |entry: fs::DirEntry| entry.metadata().unwrap().blocks() * 512;
        let disk: u64 = fs::read_dir(sandbox)
            .unwrap()
            .map(|e| on_disk(e.unwrap()))
            .sum();
        assert!(disk < 6 * LIMIT.size, "{disk}");
    });
}

#[test]
fn a_state_that_a_task_made_up_misleads_nobody_else() {
    on_each_file_system(|sandbox| {
        let texts = [
            r#"{"version":1,"changes":1,"shift":0,"start":0,"pending":{"end":9007199254740992,"source":"copied","progress":"hollow"}}"#,
            r#"{"version":1,"changes":1,"shift":9223372036854775807,"start":9223372036854775807,"pending":null}"#,
            r#"{"version":1,"changes":1,"shift":9223372036854775807,"start":0,"pending":{"end":9223372036854775807,"source":"dropped","progress":"hollow"}}"#,
            "garbage",
        ];
        for text in texts {
            append(sandbox, &lines(0, LIMIT.size + 1));
            fs::write(sandbox.join("stdout.logrotate.state"), text).unwrap();
            // Whatever comes of it: no panic, and an answer in time.
            let _ = attend(sandbox, "stdout", LIMIT);
            let _ = stream(sandbox).read(7, Gone::InFile, 100);
            let _ = stream(sandbox).read(u64::MAX, Gone::Oldest, u64::MAX);
        }
    });
}
