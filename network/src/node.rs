//! Containers on the node's bridge: each has a lease before it has anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use failpoint::{Point, reach};
use nix::errno::Errno;

use crate::audit::Inventory;
use crate::conntrack;
use crate::host::{self, Host, HostError};
use crate::known::{Damaged, Known, Leases, known};
use crate::lease::{Journal, JournalError, Lease, Wants, hardware_of};
use crate::netlink::Socket;
use crate::nftables::{Element, FilterError};
use crate::pool::Pool;
use crate::port::{Port, Protocol};
use crate::route::{self, Address, Peer, RouteError, Veth};
use crate::settings::Settings;

/// What a container calls its link.
const INSIDE: &str = "eth0";

/// The network of a container that is to be.
#[derive(Debug)]
pub struct Namespace<'a> {
    pub namespace: BorrowedFd<'a>,
    /// A netlink socket of rtnetlink that was opened in it.
    pub route: OwnedFd,
    pub rates: Rates,
}

/// Bytes a second that a container gets and sends at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub receives: Option<u64>,
    pub sends: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("port {port}/{protocol} of this host is that of container {container}")]
    PortTaken {
        port: u16,
        protocol: Protocol,
        container: String,
    },
    #[error("port {0}/{1} is asked for twice")]
    PortTwice(u16, Protocol),
    #[error(
        "all {count} addresses of {subnets} are taken: give the agent a larger --bridge_subnet"
    )]
    Exhausted { count: u64, subnets: String },
    #[error("cannot write down a container's addresses")]
    Journal(#[from] JournalError),
    #[error("cannot prepare the node's bridge")]
    Host(#[from] HostError),
    #[error("cannot connect a container with the node's bridge")]
    Link(#[from] RouteError),
    #[error("cannot lead ports of the host to a container")]
    Ports(#[from] FilterError),
    #[error("link {0} is not in the container's network, though it was made there")]
    NoLink(&'static str),
}

#[derive(Debug)]
pub struct Node {
    settings: Settings,
    journal: Journal,
    /// Locked before `books`, where both are.
    host: Mutex<Option<Host>>,
    books: Mutex<Books>,
    damaged: Vec<Damaged>,
}

#[derive(Debug)]
struct Books {
    pool: Pool,
    leases: Leases,
    /// Whose each of these is cannot be told: it stays as it is.
    unowned: Vec<Lease>,
    /// The containers that have them.
    nameless: BTreeSet<String>,
}

impl Books {
    fn all(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().chain(&self.unowned)
    }
}

impl Node {
    /// Of an agent that keeps its leases in `directory`, with those of an earlier one. Changes nothing, and where
    /// one cannot be read, asks the kernel what its container has.
    pub fn recover(settings: Settings, directory: &Path) -> Result<Self, JournalError> {
        let journal = Journal::new(directory);
        let count = settings.subnets().map(|subnet| subnet.count()).min();
        let mut pool = Pool::new(count.unwrap_or_default());
        let Known {
            leases,
            unowned,
            nameless,
            begun,
            damaged,
        } = known(journal.read()?, &settings, || seen(&settings));
        for container in &begun {
            journal.remove(container)?;
        }
        let books = Books {
            pool: pool.clone(),
            leases,
            unowned,
            nameless,
        };
        books.all().for_each(|lease| pool.take_this(lease.number));
        Ok(Self {
            settings,
            journal,
            host: Mutex::default(),
            books: Mutex::new(Books { pool, ..books }),
            damaged,
        })
    }

    /// Leases that could not be read, told once: whoever starts is to judge that, and to set them aside. Their
    /// containers have what they had.
    pub fn take_damaged(&mut self) -> Vec<Damaged> {
        std::mem::take(&mut self.damaged)
    }

    /// Where files of a container lie that has a lease.
    pub fn place(&self, container: &str) -> PathBuf {
        self.journal.place(container)
    }

    /// Never waits for the kernel.
    pub fn lease(&self, container: &str) -> Option<Lease> {
        self.books().leases.get(container).cloned()
    }

    /// Whether it has something of which nobody knows what.
    pub fn is_nameless(&self, container: &str) -> bool {
        self.books().nameless.contains(container)
    }

    pub fn containers(&self) -> Vec<String> {
        let books = self.books();
        books
            .leases
            .keys()
            .chain(&books.nameless)
            .cloned()
            .collect()
    }

    /// Writes down what a container is to have; nothing of it is there yet.
    pub fn reserve(&self, container: &str, wants: &Wants) -> Result<Lease, AttachError> {
        let mut books = self.books();
        check_ports(&books, container, &wants.ports)?;
        if let Some(lease) = books.leases.get(container) {
            return Ok(lease.clone());
        }
        let number = books.pool.take().ok_or_else(|| AttachError::Exhausted {
            count: books.pool.count(),
            subnets: self.subnets(),
        })?;
        let lease = Lease::of(number, wants, &self.settings);
        if let Err(error) = self.journal.write(container, &lease) {
            books.pool.give_back(number);
            // The first failure is what the caller must hear.
            let _ = self.journal.remove(container);
            return Err(error.into());
        }
        books.leases.insert(container.to_owned(), lease.clone());
        Ok(lease)
    }

    /// Makes it true. On error nothing is there but the lease, which is the caller's to release.
    pub fn attach(&self, lease: &Lease, inside: Namespace<'_>) -> Result<(), AttachError> {
        let mut host = self.host();
        let host = self.prepared(&mut host)?;
        let attached = attach(host, &self.settings, lease, inside);
        if attached.is_err()
            && let Err(error) = detach(host, lease)
        {
            tracing::warn!(%error, link = lease.link(), "a container that could not be connected left something");
        }
        attached
    }

    /// Of a container that is no more, or never came to be. Its link goes with its namespace: to delete it
    /// takes the kernel long.
    pub fn release(&self, container: &str) -> Result<(), AttachError> {
        let Some(lease) = self.lease(container) else {
            return self.release_nameless(container);
        };
        let elements: Vec<_> = lease.elements().collect();
        self.take_out(&elements)?;
        reach(Point::Disconnected);
        let mut books = self.books();
        self.journal.remove(container)?;
        reach(Point::LeaseEnded);
        if books.leases.remove(container).is_some() {
            books.pool.give_back(lease.number);
        }
        Ok(())
    }

    /// Of one of which nobody knows what it had: with the last of them all that is gone.
    fn release_nameless(&self, container: &str) -> Result<(), AttachError> {
        let elements: Vec<_> = {
            let books = self.books();
            if !books.nameless.contains(container) {
                return Ok(());
            }
            let unowned = books.unowned.iter().filter(|_| books.nameless.len() == 1);
            unowned.flat_map(Lease::elements).collect()
        };
        self.take_out(&elements)?;
        let mut books = self.books();
        self.journal.remove(container)?;
        books.nameless.remove(container);
        if books.nameless.is_empty() {
            for lease in std::mem::take(&mut books.unowned) {
                books.pool.give_back(lease.number);
            }
        }
        Ok(())
    }

    fn take_out(&self, elements: &[Element]) -> Result<(), AttachError> {
        // A bridge that cannot be made is no reason to keep what nobody has.
        match self.host().as_mut() {
            Some(host) => host.remove(elements)?,
            None => host::forget(&self.settings, elements)?,
        }
        Ok(())
    }

    /// Who has talked to udp ports of the host before, and goes on, talks to who has them now. To be called when
    /// that has changed; nobody needs to wait for it.
    pub fn forget_talks(&self, ports: &[Port]) {
        let udp = ports.iter().filter(|it| it.protocol == Protocol::Udp);
        let udp: Vec<u16> = udp.map(|it| it.host).collect();
        if udp.is_empty() {
            return;
        }
        let right: Vec<_> = (self.books().leases.values())
            .filter(|lease| lease.ports.iter().any(|it| udp.contains(&it.host)))
            .flat_map(|lease| lease.addresses.clone())
            .collect();
        let families: &[u8] = match self.settings.v6 {
            Some(_) => &[2, 10],
            None => &[2],
        };
        // A kernel that cannot tell is no reason to do without a network.
        if let Err(error) = conntrack::forget(&udp, families, &right) {
            tracing::debug!(%error, "who talks to a port by udp may go on with another");
        }
    }

    /// How many packets were refused to each container since the rules were made. Reads the kernel's counters.
    pub fn denied(&self) -> Result<BTreeMap<String, u64>, HostError> {
        let counted = host::denied(&self.settings)?;
        let books = self.books();
        let of = |(container, lease): (&String, &Lease)| {
            let packets = counted.get(&lease.hardware())?;
            Some((container.clone(), *packets))
        };
        Ok(books.leases.iter().filter_map(of).collect())
    }

    /// Makes the bridge and the rules what they should be, where somebody has changed them. Of a node that
    /// no container has wanted, there is nothing.
    pub fn mend(&self) -> Result<(), HostError> {
        let mut host = self.host();
        if host.is_none() && self.books().all().next().is_none() {
            return Ok(());
        }
        *host = None;
        self.prepared(&mut host).map(|_host| ())
    }

    /// Takes it all away, when there is no container any more.
    pub fn remove(&self) -> Result<(), HostError> {
        let mut host = self.host();
        *host = None;
        host::remove(&self.settings)
    }

    fn prepared<'a>(&self, place: &'a mut Option<Host>) -> Result<&'a mut Host, HostError> {
        let host = match place.take() {
            Some(host) => host,
            None => {
                let leases: Vec<_> = self.books().all().cloned().collect();
                Host::open(&self.settings, leases.iter())?
            }
        };
        Ok(place.insert(host))
    }

    fn subnets(&self) -> String {
        let subnets = self.settings.subnets().map(|subnet| subnet.to_string());
        subnets.collect::<Vec<_>>().join(" and ")
    }

    // No panic leaves them half changed.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self) -> MutexGuard<'_, Option<Host>> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the kernel has for containers; nothing when it does not tell.
fn seen(settings: &Settings) -> Inventory {
    host::inventory(settings).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot tell what containers have whose leases cannot be read");
        Inventory::default()
    })
}

fn check_ports(books: &Books, container: &str, ports: &[Port]) -> Result<(), AttachError> {
    for (at, port) in ports.iter().enumerate() {
        let same = |other: &Port| other.host == port.host && other.protocol == port.protocol;
        if ports.iter().take(at).any(same) {
            return Err(AttachError::PortTwice(port.host, port.protocol));
        }
        let of_others = books.leases.iter().filter(|(name, _)| *name != container);
        let unowned = books.unowned.iter().map(|lease| (None, lease));
        let mut holders = of_others
            .map(|(name, lease)| (Some(name), lease))
            .chain(unowned);
        if let Some((holder, _)) = holders.find(|(_, lease)| lease.ports.iter().any(same)) {
            let nameless = || {
                books
                    .nameless
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" or ")
            };
            return Err(AttachError::PortTaken {
                port: port.host,
                protocol: port.protocol,
                container: holder.cloned().unwrap_or_else(nameless),
            });
        }
    }
    Ok(())
}

fn attach(
    host: &mut Host,
    settings: &Settings,
    lease: &Lease,
    inside: Namespace<'_>,
) -> Result<(), AttachError> {
    let name = lease.link();
    let veth = Veth {
        name: &name,
        master: Some(host.index()),
        mtu: host.mtu(),
        peer: Peer {
            name: INSIDE,
            address: lease.hardware(),
            namespace: inside.namespace,
        },
    };
    let create = [veth.create()];
    match route::tell(&mut host.route, &create) {
        // Of the one that had the number before: the kernel takes its time with namespaces that end.
        Err(error) if error.is(Errno::EEXIST) => {
            host.delete_link(&name)?;
            route::tell(&mut host.route, &create)?;
        }
        told => told?,
    }
    reach(Point::PairMade);
    let link = host.hold(&name, lease.hardware())?;
    reach(Point::PairHeld);
    let Namespace { route, rates, .. } = inside;
    if let Some(rate) = rates.receives {
        // What leaves at this end comes in at the other.
        route::tell(&mut host.route, &[route::limit(link.index, rate)])?;
    }
    furnish(settings, lease, route, rates.sends)?;
    reach(Point::PairFurnished);
    let elements: Vec<Element> = lease.elements().collect();
    host.add(&elements)?;
    reach(Point::Connected);
    Ok(())
}

/// The container's own side.
fn furnish(
    settings: &Settings,
    lease: &Lease,
    socket: OwnedFd,
    sends: Option<u64>,
) -> Result<(), AttachError> {
    let mut socket = Socket::of(socket);
    let link = route::link(&mut socket, INSIDE)?.ok_or(AttachError::NoLink(INSIDE))?;
    let index = link.index;
    // No other container is a neighbour: the way to each is through the host.
    let addresses = lease.addresses.iter().map(|ip| {
        let (ip, prefix) = (*ip, if ip.is_ipv4() { 32 } else { 128 });
        Address { index, ip, prefix }.add()
    });
    let bridge = hardware_of(Some(settings.v4.gateway()));
    let gateways = settings.subnets().map(|it| it.gateway());
    let ways = gateways.flat_map(|gateway: IpAddr| {
        let way = route::default_way(gateway, index);
        [route::is_known(gateway, bridge, index), way]
    });
    let own = crate::sysctl::has_v6().then(|| route::no_own_addresses(index));
    let limit = sends.map(|rate| route::limit(index, rate));
    let requests = own.into_iter().chain(limit).chain(addresses);
    let requests = requests.chain([route::up(index)]).chain(ways);
    let requests: Vec<_> = requests.collect();
    Ok(route::tell(&mut socket, &requests)?)
}

fn detach(host: &mut Host, lease: &Lease) -> Result<(), AttachError> {
    let elements: Vec<_> = lease.elements().collect();
    host.remove(&elements)?;
    Ok(host.delete_link(&lease.link())?)
}

/// For a thread in a network namespace: a netlink socket of it.
pub fn route_socket() -> io::Result<OwnedFd> {
    Socket::open(crate::netlink::Protocol::Route).map(OwnedFd::from)
}
