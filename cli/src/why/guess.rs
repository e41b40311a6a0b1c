//! What a task's last words let one guess, when it ended by itself and badly.
//!
//! Programs say what the kernel refused them, in the C library's words; the kernel does not say why.
//! Where a capability would have been needed, the guess is made only if the container lacked it.

use proto::task::{Ending, told};
use proto::v1::TaskState;

use super::last_words::LastWords;
use super::rights::Rights;
use super::story::Story;

/// A line that holds all of `says`, in small letters, and what it means.
struct Row {
    says: &'static [&'static str],
    when: When,
    means: &'static str,
}

#[derive(Clone, Copy)]
enum When {
    Always,
    /// The container has not this capability.
    Lacks(&'static str),
    /// A shell's status for what it could not run.
    Status(i32),
}

use When::{Always, Lacks, Status};

const fn row(says: &'static [&'static str], when: When, means: &'static str) -> Row {
    Row { says, when, means }
}

const NOT_PERMITTED: &str = "operation not permitted";
const DENIED: &str = "permission denied";

/// The first that fits counts, so what says more comes before what says less.
#[rustfmt::skip] // A row is what is said, when, and what it means.
const ROWS: &[Row] = &[
    row(&["bind", DENIED], Lacks("NET_BIND_SERVICE"), "opening a port below 1024 takes it"),
    row(&["chown", NOT_PERMITTED], Lacks("CHOWN"), "giving a file to another user takes it"),
    row(&["changing ownership", NOT_PERMITTED], Lacks("CHOWN"),
        "giving a file to another user takes it"),
    row(&["chmod", NOT_PERMITTED], Lacks("FOWNER"),
        "changing the mode of another user's file takes it"),
    row(&["changing permissions", NOT_PERMITTED], Lacks("FOWNER"),
        "changing the mode of another user's file takes it"),
    row(&["mount", NOT_PERMITTED], Lacks("SYS_ADMIN"), "mounting takes it"),
    row(&["mount", DENIED], Lacks("SYS_ADMIN"), "mounting takes it"),
    row(&["mount", "must be superuser"], Lacks("SYS_ADMIN"), "mounting takes it"),
    row(&["unshare", NOT_PERMITTED], Lacks("SYS_ADMIN"), "making namespaces takes it"),
    row(&["setns", NOT_PERMITTED], Lacks("SYS_ADMIN"), "joining namespaces takes it"),
    row(&["pivot_root", NOT_PERMITTED], Lacks("SYS_ADMIN"), "changing the root takes it"),
    row(&["sethostname", NOT_PERMITTED], Lacks("SYS_ADMIN"), "naming the host takes it"),
    row(&["must be root to change the host name"], Lacks("SYS_ADMIN"), "naming the host takes it"),
    row(&["ptrace", NOT_PERMITTED], Lacks("SYS_PTRACE"), "tracing other users' processes takes it"),
    row(&["ping", NOT_PERMITTED], Lacks("NET_RAW"), "raw sockets, as ping opens, take it"),
    row(&["raw", "socket", NOT_PERMITTED], Lacks("NET_RAW"), "raw sockets take it"),
    row(&["rtnetlink", NOT_PERMITTED], Lacks("NET_ADMIN"), "setting up a network takes it"),
    row(&["iptables", DENIED], Lacks("NET_ADMIN"), "setting up a firewall takes it"),
    row(&["iptables", NOT_PERMITTED], Lacks("NET_ADMIN"), "setting up a firewall takes it"),
    row(&["nft", NOT_PERMITTED], Lacks("NET_ADMIN"), "setting up a firewall takes it"),
    row(&["netlink", NOT_PERMITTED], Lacks("NET_ADMIN"), "setting up a network takes it"),
    row(&["set date", NOT_PERMITTED], Lacks("SYS_TIME"), "setting the clock takes it"),
    row(&["settime", NOT_PERMITTED], Lacks("SYS_TIME"), "setting the clock takes it"),
    row(&["mknod", NOT_PERMITTED], Lacks("MKNOD"), "making devices takes it"),
    row(&["chroot", NOT_PERMITTED], Lacks("SYS_CHROOT"), "changing the root takes it"),
    row(&["setgid", NOT_PERMITTED], Lacks("SETGID"), "becoming another group takes it"),
    row(&["setgroups", NOT_PERMITTED], Lacks("SETGID"), "becoming another group takes it"),
    row(&["set groups", NOT_PERMITTED], Lacks("SETGID"), "becoming another group takes it"),
    row(&["setuid", NOT_PERMITTED], Lacks("SETUID"), "becoming another user takes it"),
    row(&["set user id", NOT_PERMITTED], Lacks("SETUID"), "becoming another user takes it"),
    row(&["mlock", NOT_PERMITTED], Lacks("IPC_LOCK"), "locking memory takes it"),
    row(&["mlock", "cannot allocate memory"], Lacks("IPC_LOCK"),
        "locking more memory than its rlimit allows takes it"),
    row(&["setpriority", DENIED], Lacks("SYS_NICE"), "taking a higher priority takes it"),
    row(&["nice", DENIED], Lacks("SYS_NICE"), "taking a higher priority takes it"),
    row(&["sched_set", NOT_PERMITTED], Lacks("SYS_NICE"), "real-time scheduling takes it"),
    row(&["limit", NOT_PERMITTED], Lacks("SYS_RESOURCE"), "raising a hard limit takes it"),
    row(&["kill", NOT_PERMITTED], Lacks("KILL"), "signals to other users' processes take it"),
    row(&["bpf", NOT_PERMITTED], Lacks("BPF"), "loading programs into the kernel takes it"),
    row(&["module", NOT_PERMITTED], Lacks("SYS_MODULE"), "loading modules takes it"),

    row(&["inotify", "no space left on device"], Always,
        "there are too many watches of files: raise the sysctl fs.inotify.max_user_watches of the \
         host"),
    row(&["no space left on device"], Always,
        "a file system is full: look with df at that of its sandbox and of its volumes on the \
         agent's host, and at its /dev/shm"),
    row(&["disk quota exceeded"], Always,
        "it may use no more of its file system: raise \"disk\" in the app or the quota of its user"),
    row(&["read-only file system"], Always,
        "it writes where it may only read: let it write to its sandbox, which MESOS_SANDBOX names, \
         or to a volume with mode RW"),
    row(&["address already in use"], Always,
        "the port is taken by another process: take the one that PORT0 names, or look with ss \
         -tlnp on the agent's host"),
    row(&["too many open files"], Always,
        "its rlimit of open files (RLMT_NOFILE) is too low, or it does not close what it opens"),
    row(&["error while loading shared libraries"], Always,
        "a library is missing that it was built with: install it, or ship it with the program"),
    row(&["version `glibc_", "not found"], Always,
        "it was built for a newer C library than there is"),
    row(&["exec format error"], Always,
        "it was built for another kind of machine, or is a script without #! in its first line"),
    row(&["cannot execute: required file not found"], Always,
        "the interpreter in the first line of the script, or the loader of the program, is missing"),
    row(&["no such file or directory"], Status(127),
        "it is not there, or the interpreter in its first line or its loader is not"),
    row(&["not found"], Status(127),
        "the command is not in any directory of PATH: check its spelling, PATH in the app's \
         \"env\", or fetch it"),
    row(&[DENIED], Status(126),
        "its file is not executable (chmod +x), or on a file system that is mounted noexec"),
    row(&["fork", "resource temporarily unavailable"], Always,
        "it has as many processes and threads as it may: see its rlimit RLMT_NPROC"),
    row(&["outofmemoryerror"], Always,
        "its heap is too small for it: raise the size of the heap, and \"mem\" above that"),
    row(&["cannot allocate memory"], Always,
        "it asked for more memory than it may have at once: raise \"mem\", or see its rlimits"),
    row(&["temporary failure in name resolution"], Always,
        "no name server answered: look at /etc/resolv.conf of the container"),
    row(&["name or service not known"], Always,
        "a host name is not known to the name servers: check its spelling"),
    row(&["function not implemented"], Always,
        "its seccomp profile may answer so, or this kernel does not know the call: `longshore \
         inspect` shows the profile of a running task"),
    row(&[NOT_PERMITTED], Always,
        "the kernel forbade it something, for want of a capability or by its seccomp profile: \
         `longshore inspect` shows both of a running task"),
];

/// The words it is made from are quoted.
pub fn guess(story: &Story, rights: &Rights, words: &LastWords) -> Option<String> {
    let last = story.events.last()?;
    let message = last.message.as_deref().unwrap_or_default();
    // Of any other end there is a cause that is known.
    let (TaskState::TaskFailed, Some(Ending::Exited(status))) = (story.state, told(message)) else {
        return None;
    };
    let mut lines = words.0.iter().rev();
    let (line, row) = lines.find_map(|line| Some((line, fitting(line, status, rights)?)))?;
    let quote = shortened(line.trim());
    let means = match row.when {
        Lacks(capability) => format!(
            "it lacks the capability {capability}, and {}: \"linuxInfo\" of the app or \
             --effective_capabilities of the agent grant it",
            row.means
        ),
        Always | Status(_) => row.means.to_owned(),
    };
    Some(format!("A guess, from \"{quote}\": {means}."))
}

fn fitting(line: &str, status: i32, rights: &Rights) -> Option<&'static Row> {
    let line = line.to_lowercase();
    ROWS.iter().find(|row| {
        let fits = match row.when {
            Always => true,
            Lacks(capability) => rights.lack(capability),
            Status(wanted) => status == wanted,
        };
        fits && row.says.iter().all(|words| line.contains(words))
    })
}

fn shortened(line: &str) -> String {
    const LONGEST: usize = 120;
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::task::ended;
    use serde_json::json;

    use super::super::story::tests::{event, story};
    use super::*;

    fn of(ending: Ending, rights: &Rights, words: &[&str]) -> Option<String> {
        let mut last = event(TaskState::TaskFailed, 1.0);
        last.message = Some(ended(ending));
        let words = LastWords(words.iter().map(|&line| line.to_owned()).collect());
        guess(&story(vec![last]), rights, &words)
    }

    fn usual(status: i32, line: &str) -> String {
        of(Ending::Exited(status), &Rights::usual(), &[line]).unwrap_or_default()
    }

    #[test]
    fn a_capability_is_guessed_only_where_it_was_missing() {
        let bind = "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)";
        assert_eq!(usual(1, bind), "");
        let nothing = Rights::of(&json!({"user": "www"}), &json!({}));
        assert_eq!(
            of(Ending::Exited(1), &nothing, &[bind]).unwrap(),
            format!(
                "A guess, from \"{bind}\": it lacks the capability NET_BIND_SERVICE, and opening a \
                 port below 1024 takes it: \"linuxInfo\" of the app or --effective_capabilities of \
                 the agent grant it."
            )
        );
    }

    #[test]
    fn what_programs_say_is_understood() {
        let table = [
            (
                "mount: /mnt: mount failed: Operation not permitted.",
                1,
                "SYS_ADMIN",
            ),
            ("RTNETLINK answers: Operation not permitted", 2, "NET_ADMIN"),
            (
                "date: cannot set date: Operation not permitted",
                1,
                "SYS_TIME",
            ),
            (
                "strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted",
                1,
                "SYS_PTRACE",
            ),
            (
                "bash: line 1: ulimit: open files: cannot modify limit: Operation not permitted",
                1,
                "SYS_RESOURCE",
            ),
            ("cp: error writing 'x': No space left on device", 1, "df"),
            ("sh: 1: serve: not found", 127, "PATH"),
            ("bash: line 1: serve: command not found", 127, "PATH"),
            ("bash: ./serve: No such file or directory", 127, "loader"),
            ("bash: ./serve: Permission denied", 126, "chmod +x"),
            ("OSError: [Errno 98] Address already in use", 1, "PORT0"),
            (
                "x: error while loading shared libraries: libz.so.1: cannot open shared object",
                127,
                "library",
            ),
            ("perf: Operation not permitted", 1, "seccomp"),
        ];
        for (line, status, word) in table {
            let said = usual(status, line);
            assert!(said.contains(line) && said.contains(word), "{line}: {said}");
        }
        assert_eq!(usual(1, "sh: 1: serve: not found"), "");
    }

    #[test]
    fn the_last_line_that_is_understood_counts() {
        let words = ["No space left on device", "Address already in use", "bye"];
        let said = of(Ending::Exited(1), &Rights::usual(), &words).unwrap();
        assert!(said.contains("PORT0"), "{said}");
    }

    #[test]
    fn nothing_is_guessed_of_an_end_that_is_explained_or_well() {
        let words = ["No space left on device"];
        for ending in [Ending::Signaled(9), Ending::Signaled(31)] {
            assert_eq!(of(ending, &Rights::usual(), &words), None);
        }
        let killed = event(TaskState::TaskKilled, 1.0);
        let words = LastWords(vec!["No space left on device".to_owned()]);
        assert_eq!(guess(&story(vec![killed]), &Rights::usual(), &words), None);
    }

    #[test]
    fn every_row_can_be_reached() {
        for row in ROWS {
            let rights = Rights::of(&json!({"user": "www"}), &json!({}));
            let status = match row.when {
                Status(status) => status,
                Always | Lacks(_) => 1,
            };
            // A user without rights lacks what another row asks for.
            let rights = match row.when {
                Lacks(_) => rights,
                Always | Status(_) => Rights::usual(),
            };
            let line = row.says.join(" ");
            let found = fitting(&line, status, &rights).unwrap();
            assert_eq!(found.means, row.means, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_words_make_it_fail(lines in proptest::collection::vec("\\PC{0,200}", 0..5)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = of(Ending::Exited(1), &Rights::usual(), &lines);
        }
    }
}
