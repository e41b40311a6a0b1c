//! Who listens on a port of this host, and whether that is a container of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use super::Scope;
use super::difference::Member;
use crate::audit::inventory::member;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub port: u16,
    pub protocol: Protocol,
    pub process: Member,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// As proc_pid_net(5) calls them, for both kinds of addresses.
    fn tables(self) -> [&'static str; 2] {
        match self {
            Self::Tcp => ["tcp", "tcp6"],
            Self::Udp => ["udp", "udp6"],
        }
    }

    /// The state of a socket that others can talk to: LISTEN, and for a protocol without connections CLOSE.
    fn listens(self) -> &'static str {
        match self {
            Self::Tcp => "0A",
            Self::Udp => "07",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One of a container's processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnListener {
    pub container: String,
    pub port: u16,
    pub process: Member,
}

/// Of the network namespace that we are in. Only when somebody listens on a port that is meant every process
/// is looked at, to tell whose it is. Blocks.
pub fn foreign_listeners(scope: &Scope, is_meant: impl Fn(u16) -> bool) -> Vec<Listener> {
    let meant = sockets_of_ports(&Protocol::ALL, is_meant);
    if meant.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for pid in pids() {
        let ports = ports_of(pid, &meant);
        if ports.is_empty() || container_of(pid, &scope.cgroups_root).is_some() {
            continue;
        }
        let process = member(pid);
        found.extend(ports.into_iter().filter_map(|(port, protocol)| {
            let process = process.clone()?;
            Some(Listener {
                port,
                protocol,
                process,
            })
        }));
    }
    found
}

/// The same of processes in containers of ours that have no network of their own, by tcp: by udp one cannot
/// be told who waits to be talked to from who has talked to somebody. Blocks.
pub fn own_listeners(scope: &Scope, is_meant: impl Fn(u16) -> bool) -> Vec<OwnListener> {
    let meant = sockets_of_ports(&[Protocol::Tcp], is_meant);
    if meant.is_empty() {
        return Vec::new();
    }
    let of_process = |pid: u32| {
        let container = container_of(pid, &scope.cgroups_root)?;
        let ports = ports_of(pid, &meant);
        let process = (!ports.is_empty()).then(|| member(pid)).flatten()?;
        Some(ports.into_iter().map(move |(port, _)| OwnListener {
            container: container.clone(),
            port,
            process: process.clone(),
        }))
    };
    pids().filter_map(of_process).flatten().collect()
}

/// By their inodes.
fn sockets_of_ports(
    protocols: &[Protocol],
    is_meant: impl Fn(u16) -> bool,
) -> BTreeMap<u64, (u16, Protocol)> {
    let all = protocols.iter().flat_map(|protocol| {
        let tables = protocol.tables();
        // Of /proc/self it is the first thread that counts.
        let file = |table| format!("/proc/thread-self/net/{table}");
        let tables = tables.map(|table| fs::read_to_string(file(table)).unwrap_or_default());
        let all = tables.iter().flat_map(|table| listening(*protocol, table));
        let all = all.map(|(port, socket)| (socket, (port, *protocol)));
        all.collect::<Vec<_>>()
    });
    all.filter(|(_, (port, _))| is_meant(*port)).collect()
}

fn ports_of(pid: u32, meant: &BTreeMap<u64, (u16, Protocol)>) -> BTreeSet<(u16, Protocol)> {
    let ports = sockets(pid).filter_map(|socket| meant.get(&socket).copied());
    ports.collect()
}

/// Port and inode of each socket that listens, of a table as proc_net(5) tells it.
fn listening(protocol: Protocol, table: &str) -> impl Iterator<Item = (u16, u64)> {
    table.lines().filter_map(move |line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        if fields.get(3) != Some(&protocol.listens()) {
            return None;
        }
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some((port, fields.get(9)?.parse().ok()?))
    })
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn sockets(pid: u32) -> impl Iterator<Item = u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
    let descriptors = descriptors.into_iter().flatten().flatten();
    let links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    links.filter_map(|link| socket(&link))
}

fn socket(link: &Path) -> Option<u64> {
    let inode = link.to_str()?.strip_prefix("socket:[")?;
    inode.strip_suffix(']')?.parse().ok()
}

/// The one that a process is in, below our subtree.
fn container_of(pid: u32, root: &str) -> Option<String> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    container_in(&cgroups, root)
}

/// Of a list as proc_pid_cgroup(5) has it.
fn container_in(cgroups: &str, root: &str) -> Option<String> {
    let ours = format!("/{root}/");
    let mut paths = cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2));
    let below = paths.find_map(|path| path.strip_prefix(&ours))?;
    Some(below.split('/').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn sockets_that_listen_are_told_from_those_that_are_connected() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:7918 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 x
   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1
   2: 0100007F:7919 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 12346 1 x
";
        let found: Vec<_> = listening(Protocol::Tcp, table).collect();
        assert_eq!(found, [(31000, 12345), (80, 77)]);
        let table = table.replace(" 0A ", " 07 ");
        let found: Vec<_> = listening(Protocol::Udp, &table).collect();
        assert_eq!(found, [(31000, 12345), (80, 77)]);
    }

    #[test]
    fn a_process_is_in_the_container_whose_cgroup_is_above_it() {
        let table = [
            ("0::/mesos/c1/leaf\n", Some("c1")),
            ("2:cpu:/user\n1:pids:/mesos/c1\n0::/\n", Some("c1")),
            ("0::/mesos\n", None),
            ("0::/other/mesos/c1\n", None),
            ("", None),
        ];
        for (cgroups, wanted) in table {
            assert_eq!(
                container_in(cgroups, "mesos").as_deref(),
                wanted,
                "{cgroups}"
            );
        }
    }

    #[test]
    fn a_listener_is_found_with_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let scope = Scope {
            runtime_dir: "/no/such".into(),
            cgroups_hierarchy: "/no/such".into(),
            cgroups_root: "no-such".to_owned(),
            directories: vec![],
            oci_root: "/no/such".into(),
        };
        let found = foreign_listeners(&scope, |it| it == port);
        let pids: Vec<_> = found.iter().map(|it| it.process.process.pid).collect();
        assert_eq!(pids, [std::process::id()]);
        drop(listener);
        assert_eq!(foreign_listeners(&scope, |it| it == port), []);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let port = socket.local_addr().expect("an address").port();
        let found = foreign_listeners(&scope, |it| it == port);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.protocol, it.process.process.pid))
            .collect();
        assert_eq!(found, [(Protocol::Udp, std::process::id())]);
    }
}
