//! Namespaces: new ones, where a container would be root, and those of the host.

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::trouble::Trouble;

pub const NEW: Attack = Attack {
    name: "mounts in a new user namespace",
    cve: "",
    tries: "The container makes namespaces in which it is root, and mounts there.",
    attempt: new,
};

pub const OF_THE_HOST: Attack = Attack {
    name: "namespaces of the host joined",
    cve: "",
    tries: "The container joins the namespaces of processes that it sees, and unmounts what covers its own.",
    attempt: of_the_host,
};

const MAKE: &str = "for flags in -U -Ur -Urm -m -i -u -n -C -Urmpf; do
        unshare $flags true 2>/dev/null && echo \"! made namespaces with $flags\"
        unshare $flags mount -t tmpfs none /proc/fs 2>/dev/null && echo \"! mounted with $flags\"
    done
    mount -t tmpfs none /tmp 2>/dev/null && echo '! mounted'
    mount -t proc none /tmp 2>/dev/null && echo '! mounted a procfs'
    true";

const JOIN: &str = "for p in 1 self $PPID; do
        for flags in -m -u -i -n -p -C -U; do
            nsenter -t $p $flags true 2>/dev/null && echo \"! joined $flags of $p\"
        done
    done
    for f in /proc/kcore /proc/sys /proc/keys; do
        umount $f 2>/dev/null && echo \"! uncovered $f\"
        mount -o remount,rw $f 2>/dev/null && echo \"! made $f writable\"
    done
    true";

fn new(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    both(field, walls, MAKE)
}

fn of_the_host(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    both(field, walls, JOIN)
}

fn both(field: &Field, walls: Walls, script: &str) -> Result<Verdict, Trouble> {
    let mut reached = Vec::new();
    for mut bundle in [Bundle::image(field, walls)?, Bundle::task(field, walls)?] {
        bundle.script(script);
        reached.extend(field.run(&bundle)?.ended()?.reached()?);
    }
    reached.sort();
    reached.dedup();
    Ok(Verdict::of(reached))
}
