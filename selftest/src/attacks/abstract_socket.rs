//! Abstract unix sockets, which belong to the network namespace and to no file system.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use serde_json::json;

use crate::attack::{Attack, Verdict, Walls};
use crate::bundle::Bundle;
use crate::field::Field;
use crate::machine_code::{Arg, KNOWN, Program};
use crate::trouble::{Trouble, cannot};

pub const REACHED: Attack = Attack {
    name: "abstract sockets of the host",
    cve: "CVE-2020-15257",
    tries: "The container, with a network of its own, connects to an abstract unix socket of the host.",
    attempt: reached,
};

fn reached(field: &Field, walls: Walls) -> Result<Verdict, Trouble> {
    if !KNOWN {
        return Ok(Verdict::NotApplicable(
            "no programs are made for this machine".to_owned(),
        ));
    }
    let mut bundle = Bundle::image(field, walls)?;
    let name = format!("longshore-selftest-{}-{}", std::process::id(), bundle.id);
    let _listener = SocketAddr::from_abstract_name(&name)
        .and_then(|address| UnixListener::bind_addr(&address))
        .map_err(cannot("listen on an abstract socket"))?;
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.push(0);
    address.extend(name.as_bytes());
    let length = address.len() as u64;
    let mut program = Program::default();
    let of_stream = vec![
        Arg::Number(libc::AF_UNIX as u64),
        Arg::Number(libc::SOCK_STREAM as u64),
        Arg::Number(0),
    ];
    let socket = program.call(libc::SYS_socket, of_stream);
    let to = vec![
        Arg::Result(socket),
        Arg::Bytes(address),
        Arg::Number(length),
    ];
    let connected = program.call(libc::SYS_connect, to);
    bundle.program(&program)?;
    if walls == Walls::Down {
        // A spec without it shares the host's.
        if let Some(list) = bundle.spec["linux"]["namespaces"].as_array_mut() {
            list.retain(|namespace| namespace["type"] != json!("network"));
        }
    }
    let ended = field.run(&bundle)?.ended()?;
    let results = program.results(&ended.output);
    let results = results.ok_or_else(|| Trouble::CutShort(ended.text()))?;
    if results[socket] < 0 {
        return Err(Trouble::CutShort(format!("no socket: {results:?}")));
    }
    let reached = (results[connected] == 0).then(|| "connected to a socket of the host".to_owned());
    Ok(Verdict::of(reached.into_iter().collect()))
}
