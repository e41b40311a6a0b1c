//! Kernel parameters, by names that lead elsewhere or belong to the host.

use std::fs;

use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::canary::Canaries;
use crate::field::Field;
use crate::trouble::{Trouble, cannot};

pub const NAMES: Attack = Attack {
    name: "sysctl names that lead elsewhere",
    cve: "",
    tries: "A spec's sysctls have names with .. or / that lead to other files, those of a volume among them.",
    attempt: names,
};

pub const OF_THE_HOST: Attack = Attack {
    name: "sysctls of the host",
    cve: "",
    tries: "A spec sets a sysctl that belongs to no namespace, and so to the host.",
    attempt: of_the_host,
};

fn names(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let canaries = Canaries::put(&field.make_dir("canaries")?, &[])?;
    let mut reached = Vec::new();
    for name in [
        "../../vol/secret",
        "/../../vol/secret",
        "/vol/secret",
        "kernel/../../../vol/secret",
        "kernel/../../../../../../../vol/secret",
        "net.ipv4.conf.../../../../../../vol/secret",
        "kernel.shm_rmid_forced/../../../../vol/secret",
        "kernel/shm_rmid_forced/../../../../vol/secret",
        "",
        ".",
        "..",
    ] {
        let mut bundle = Bundle::image(field, walls)?;
        bundle.bind_first(canaries.directory(), "/vol");
        match walls {
            Walls::Up => {
                bundle.spec["linux"]["sysctl"] = json!({name: "1"});
                bundle.script("true");
            }
            Walls::Down => bundle.script("echo 1 >/vol/secret"),
        }
        reached.extend(field.run(&bundle)?.reached()?);
    }
    reached.extend(canaries.harmed()?);
    Ok(Verdict::of(reached))
}

/// How many messages a burst may have: nothing depends on it.
const PARAMETER: &str = "kernel.printk_ratelimit_burst";

fn of_the_host(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    let file = format!("/proc/sys/{}", PARAMETER.replace('.', "/"));
    let read = || fs::read_to_string(&file).map_err(cannot(format!("read {file}")));
    let before = read()?;
    let other = before.trim().parse::<u32>().unwrap_or(10) + 1;
    let mut reached = Vec::new();
    for name in [PARAMETER.to_owned(), PARAMETER.replace('.', "/")] {
        let mut bundle = Bundle::image(field, walls)?;
        match walls {
            Walls::Up => {
                bundle.spec["linux"]["sysctl"] = json!({name.as_str(): other.to_string()});
                bundle.script("true");
            }
            Walls::Down => bundle.script(&format!("echo {other} >{file}")),
        }
        reached.extend(field.run(&bundle)?.reached()?);
        if read()? != before {
            reached.push(format!("set {name} of the host"));
            fs::write(&file, &before).map_err(cannot(format!("restore {file}")))?;
        }
    }
    Ok(Verdict::of(reached))
}
