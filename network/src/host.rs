//! The node's side: the bridge, and the table of rules. Made when the first container wants them, and made
//! whole again when somebody takes some of it away.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use nix::errno::Errno;

use crate::audit::Inventory;
use crate::lease::{Lease, number_of};
use crate::netlink::{Message, Protocol, Socket};
use crate::nftables::foreign::{self, Chain};
use crate::nftables::{self, Element, ElementChange, Elements, FilterError, Map, Table, TableName};
use crate::plan::{self, Change};
use crate::route::{self, Address, Bridge, Link, RouteError};
use crate::ruleset;
use crate::settings::Settings;
use crate::subnet::Subnet;
use crate::sysctl::{self, SysctlError};

#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("cannot read the packet filters of this host")]
    Filters(#[source] io::Error),
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    #[error(
        "link {name} is there and is {what}, not a bridge of this agent's: delete it, or give the agent another \
         --bridge_name"
    )]
    ForeignLink { name: String, what: String },
    #[error(
        "bridge {name} has the address {has}, and this agent's would have {wants}: delete it, or give the agent \
         the subnet that it has"
    )]
    ForeignAddress {
        name: String,
        has: String,
        wants: String,
    },
    #[error(
        "subnet {subnet} overlaps {other}, which this host reaches by link {link}: give the agent another \
         --bridge_subnet"
    )]
    Overlap {
        subnet: Subnet,
        other: Subnet,
        link: String,
    },
}

/// Its sockets are of the network namespace that the agent is in.
#[derive(Debug)]
pub struct Host {
    pub route: Socket,
    filter: Socket,
    table: Table,
    bridge: Link,
}

impl Host {
    /// With all that `leases` ask for.
    pub fn open<'a>(
        settings: &Settings,
        leases: impl Iterator<Item = &'a Lease> + Clone,
    ) -> Result<Self, HostError> {
        let route = Socket::open(Protocol::Route).and_then(Socket::with_room);
        let mut route = route.map_err(HostError::Socket)?;
        let filter = Socket::open(Protocol::Netfilter).and_then(Socket::with_room);
        let filter = filter.map_err(HostError::Socket)?;
        let bridge = bridge(&mut route, settings)?;
        let mut host = Self {
            route,
            filter,
            table: ruleset::table(settings),
            bridge,
        };
        host.pass_other_filters(settings)?;
        host.mend_links(leases.clone())?;
        host.mend_rules(leases.flat_map(Lease::elements).collect())?;
        Ok(host)
    }

    /// The bridge's.
    pub fn index(&self) -> u32 {
        self.bridge.index
    }

    pub fn mtu(&self) -> u32 {
        self.bridge.mtu
    }

    /// What others drop that they do not know is let through where that is for us to say.
    fn pass_other_filters(&mut self, settings: &Settings) -> Result<(), HostError> {
        let chains = foreign::chains(&mut self.filter).map_err(HostError::Filters)?;
        let (bridge, table) = (&settings.bridge, &self.table.name);
        for Chain { table, name, .. } in foreign::closed(&chains, table.as_str()) {
            tracing::warn!(
                table,
                chain = name,
                bridge,
                "a packet filter may drop what containers send and get: let it trust the bridge"
            );
        }
        let places = foreign::to_open(&chains);
        let ours = foreign::ours(&mut self.filter, bridge).map_err(HostError::Filters)?;
        let changes = foreign::changes(&places, &ours, bridge, bridge);
        match changes.is_empty() {
            true => Ok(()),
            false => {
                let attempt = "let packets of the bridge through the packet filter, beside";
                Ok(nftables::commit(&mut self.filter, table, attempt, changes)?)
            }
        }
    }

    fn mend_links<'a>(&mut self, leases: impl Iterator<Item = &'a Lease>) -> Result<(), HostError> {
        let seen = route::links(&mut self.route)?;
        let wanted: BTreeSet<_> = leases.map(Lease::link).collect();
        let plan = plan::links(self.index(), &wanted, &seen, |name| {
            number_of(name).is_some()
        });
        for name in &plan.to_attach {
            let requests = [
                route::become_port(name, self.bridge.index),
                route::hairpin(name),
            ];
            route::tell(&mut self.route, &requests)?;
        }
        for name in &plan.to_delete {
            self.delete_link(name)?;
        }
        Ok(())
    }

    /// It may be gone by itself.
    pub fn delete_link(&mut self, name: &str) -> Result<(), RouteError> {
        match route::tell(&mut self.route, &[route::delete(name)]) {
            Err(error) if !error.is(Errno::ENODEV) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether something was not as it should be.
    pub fn mend_rules(&mut self, wanted: BTreeSet<Element>) -> Result<bool, FilterError> {
        let seen = nftables::seen(&mut self.filter, &self.table.name)?;
        // The maps of a table of somebody else's may have other names.
        let elements = match &seen {
            Some(seen) if *seen == self.table.as_seen() => {
                elements(&mut self.filter, &self.table).ok()
            }
            _ => None,
        };
        let seen = seen.as_ref().zip(elements.as_ref());
        let change = plan::rules(&self.table, &wanted, seen);
        if change.is_none() {
            return Ok(false);
        }
        let messages = match change {
            Change::Replace => {
                let mut messages = self.table.replace();
                let wanted: Vec<_> = wanted.into_iter().collect();
                messages.extend(self.messages(&wanted, ElementChange::Add));
                messages
            }
            Change::Elements { remove, add } => {
                let mut messages = self.messages(&remove, ElementChange::Remove);
                messages.extend(self.messages(&add, ElementChange::Add));
                messages
            }
        };
        let name = &self.table.name;
        nftables::commit(&mut self.filter, name, "make", messages)?;
        Ok(true)
    }

    pub fn add(&mut self, elements: &[Element]) -> Result<(), FilterError> {
        let messages = self.messages(elements, ElementChange::Add);
        self.change("add ports to", messages)
    }

    /// They may be gone by themselves.
    pub fn remove(&mut self, elements: &[Element]) -> Result<(), FilterError> {
        let messages = self.messages(elements, ElementChange::Remove);
        match self.change("remove ports from", messages) {
            Err(error) if error.is(Errno::ENOENT) => {
                for element in elements {
                    let messages = self.messages(&[*element], ElementChange::Remove);
                    match self.change("remove ports from", messages) {
                        Err(error) if !error.is(Errno::ENOENT) => return Err(error),
                        _ => {}
                    }
                }
                Ok(())
            }
            result => result,
        }
    }

    fn change(&mut self, attempt: &'static str, messages: Vec<Message>) -> Result<(), FilterError> {
        match messages.is_empty() {
            true => Ok(()),
            false => nftables::commit(&mut self.filter, &self.table.name, attempt, messages),
        }
    }

    fn messages(&self, elements: &[Element], change: ElementChange) -> Vec<Message> {
        let table = &self.table.name;
        let of_map = |map: &Map| {
            let mine = elements.iter().filter(|it| ruleset::map_of(it) == *map);
            let mine: Vec<_> = mine.copied().collect();
            let map = map.name;
            Elements { table, map }.change(change, &mine)
        };
        self.table.maps.iter().flat_map(of_map).collect()
    }
}

/// What there is for containers, whoever looks.
pub fn inventory(settings: &Settings) -> Result<Inventory, HostError> {
    let route = Socket::open(Protocol::Route).and_then(Socket::with_room);
    let mut route = route.map_err(HostError::Socket)?;
    let filter = Socket::open(Protocol::Netfilter).and_then(Socket::with_room);
    let mut filter = filter.map_err(HostError::Socket)?;
    let links = route::links(&mut route)?;
    let bridge = links.iter().find(|link| link.name == settings.bridge);
    let ports = links
        .iter()
        .filter(|link| bridge.is_some_and(|bridge| link.master == Some(bridge.index)));
    let table = ruleset::table(settings);
    let elements = match nftables::seen(&mut filter, &table.name)? {
        Some(seen) if seen == table.as_seen() => elements(&mut filter, &table)?,
        // All that should be there is lost.
        _ => BTreeSet::new(),
    };
    Ok(Inventory {
        links: ports.map(|link| link.name.clone()).collect(),
        elements,
    })
}

fn elements(filter: &mut Socket, table: &Table) -> Result<BTreeSet<Element>, FilterError> {
    let mut all = BTreeSet::new();
    for Map { name: map, .. } in &table.maps {
        let table = &table.name;
        all.extend(Elements { table, map }.seen(filter)?);
    }
    Ok(all)
}

/// Takes the rules of a bridge away, as `nft delete table` does.
pub fn flush(bridge: &str) -> Result<(), HostError> {
    let mut filter = Socket::open(Protocol::Netfilter).map_err(HostError::Socket)?;
    let table = TableName::of(bridge);
    if nftables::seen(&mut filter, &table)?.is_some() {
        let messages = vec![nftables::delete(&table)];
        nftables::commit(&mut filter, &table, "delete", messages)?;
    }
    Ok(())
}

/// From among the rules of others.
fn remove_passes(bridge: &str) -> Result<(), HostError> {
    let mut filter = Socket::open(Protocol::Netfilter).map_err(HostError::Socket)?;
    let ours = foreign::ours(&mut filter, bridge).map_err(HostError::Filters)?;
    let changes = foreign::changes(&[], &ours, bridge, bridge);
    if !changes.is_empty() {
        let table = TableName::of(bridge);
        nftables::commit(
            &mut filter,
            &table,
            "remove rules from other tables than",
            changes,
        )?;
    }
    Ok(())
}

/// Takes all of it away.
pub fn remove(settings: &Settings) -> Result<(), HostError> {
    let mut route = Socket::open(Protocol::Route).map_err(HostError::Socket)?;
    remove_passes(&settings.bridge)?;
    flush(&settings.bridge)?;
    let Some(bridge) = route::link(&mut route, &settings.bridge)? else {
        return Ok(());
    };
    let none = BTreeSet::new();
    let seen = route::links(&mut route)?;
    let plan = plan::links(bridge.index, &none, &seen, |name| number_of(name).is_some());
    let links = plan.to_delete.iter().chain([&settings.bridge]);
    for name in links {
        match route::tell(&mut route, &[route::delete(name)]) {
            Err(error) if !error.is(Errno::ENODEV) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The bridge as `settings` want it, made where it is not there.
fn bridge(socket: &mut Socket, settings: &Settings) -> Result<Link, HostError> {
    let name = &settings.bridge;
    let links = route::links(socket)?;
    let found = links.iter().find(|link| link.name == *name);
    let addresses = route::addresses(socket)?;
    match found {
        Some(found) => check(found, &addresses, settings)?,
        // What comes later is not for us to judge: containers are there.
        None => check_overlaps(socket, &links, &addresses, settings)?,
    }
    if found.is_none() {
        let create = Bridge {
            name,
            address: hardware_address(settings.v4, 0),
            mtu: mtu(socket, &links, settings)?,
        };
        route::tell(socket, &[create.create()])?;
    }
    let made = route::link(socket, name)?;
    let bridge = made.ok_or_else(|| HostError::ForeignLink {
        name: name.clone(),
        what: "gone at once".to_owned(),
    })?;
    // Before it is up: containers could answer for routers from then on.
    if sysctl::has_v6() {
        sysctl::set(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
    }
    sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    let requests = settings.subnets().map(|subnet| {
        let address = Address {
            index: bridge.index,
            ip: subnet.gateway(),
            prefix: subnet.prefix(),
        };
        address.add()
    });
    let requests: Vec<_> = requests.chain([route::up(bridge.index)]).collect();
    route::tell(socket, &requests)?;
    sysctl::set("ipv4/ip_forward", "1")?;
    if settings.v6.is_some() {
        sysctl::set("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(bridge)
}

/// Whether a link that is there can be ours.
fn check(link: &Link, addresses: &[Address], settings: &Settings) -> Result<(), HostError> {
    let kind = link.kind.as_deref();
    if kind != Some("bridge") {
        return Err(HostError::ForeignLink {
            name: link.name.clone(),
            what: kind.map_or("no virtual link".to_owned(), |kind| format!("a {kind}")),
        });
    }
    let own = addresses.iter().filter(|it| it.index == link.index);
    let odd = own.into_iter().find(|it| {
        let is_of_link = matches!(it.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let mut subnets = settings.subnets();
        !is_of_link && !subnets.any(|s| s.gateway() == it.ip && s.prefix() == it.prefix)
    });
    match odd {
        None => Ok(()),
        Some(odd) => {
            let wants = settings
                .subnets()
                .map(|it| format!("{}/{}", it.gateway(), it.prefix()));
            Err(HostError::ForeignAddress {
                name: link.name.clone(),
                has: format!("{}/{}", odd.ip, odd.prefix),
                wants: wants.collect::<Vec<_>>().join(" and "),
            })
        }
    }
}

fn check_overlaps(
    socket: &mut Socket,
    links: &[Link],
    addresses: &[Address],
    settings: &Settings,
) -> Result<(), HostError> {
    let ours = links.iter().find(|link| link.name == settings.bridge);
    let ours = ours.map(|link| link.index);
    let connected = addresses
        .iter()
        .map(|it| (it.index, Subnet::around(it.ip, it.prefix)));
    let ways = route::ways(socket)?;
    let reached = ways.iter().filter_map(|way| {
        // What goes everywhere else overlaps nothing.
        let to = way.to.filter(|_| way.prefix > 0)?;
        Some((way.link, Subnet::around(to, way.prefix)))
    });
    let others = connected
        .chain(reached)
        .filter(|(link, _)| Some(*link) != ours);
    for (index, other) in others {
        if let Some(subnet) = settings.subnets().find(|it| it.overlaps(&other)) {
            let link = links.iter().find(|link| link.index == index);
            return Err(HostError::Overlap {
                subnet,
                other,
                link: link.map_or_else(|| index.to_string(), |link| link.name.clone()),
            });
        }
    }
    Ok(())
}

/// What passes by the link to everywhere passes by the bridge.
fn mtu(socket: &mut Socket, links: &[Link], settings: &Settings) -> Result<u32, HostError> {
    if let Some(mtu) = settings.mtu {
        return Ok(mtu);
    }
    let ways = route::ways(socket)?;
    let out = ways.iter().find(|way| way.to.is_none());
    let link = out.and_then(|way| links.iter().find(|link| link.index == way.link));
    Ok(link.map_or(1500, |link| link.mtu))
}

/// Locally administered, and the same each time: neighbours remember it.
pub fn hardware_address(subnet: Subnet, number: u64) -> [u8; 6] {
    let ip = match number {
        0 => subnet.gateway(),
        number => subnet.of_container(number - 1),
    };
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let [a, b, c, d] = octets;
    [0x0a, 0x58, a, b, c, d]
}
