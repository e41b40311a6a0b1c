//! The node's side: the bridge, and the table of rules. Made when the first container wants them, and made
//! whole again when somebody takes some of it away.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use failpoint::{Point, reach};
use nix::errno::Errno;

use crate::audit::Inventory;
use crate::lease::{Lease, hardware_of, is_link};
use crate::netlink::{Message, Protocol, Socket};
use crate::nftables::foreign::{self, Chain};
use crate::nftables::{self, Element, ElementChange, Elements, FilterError, Table, TableName};
use crate::plan::{self, Change};
use crate::route::{self, Address, Bridge, Link, RouteError};
use crate::ruleset::{self, Hardware, sets};
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
    tables: [Table; 2],
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
        reach(Point::BridgeMade);
        let mut host = Self {
            route,
            filter,
            tables: ruleset::tables(settings),
            bridge,
        };
        host.pass_other_filters(settings)?;
        host.mend_links(leases.clone())?;
        host.mend_rules(leases.flat_map(Lease::elements).collect())?;
        reach(Point::RulesMade);
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
        let bridge = &settings.bridge;
        let table = &TableName::of(bridge);
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
        for change in foreign::changes(&places, &ours, bridge, bridge) {
            let attempt = "let packets of the bridge through the packet filter, beside";
            // Some let nobody else change them. What they refuse is theirs to say then.
            if let Err(error) = nftables::commit(&mut self.filter, table, attempt, change) {
                let FilterError::Refused { source, .. } = &error;
                tracing::warn!(
                    %error,
                    %source,
                    bridge,
                    "a packet filter may refuse what containers send and get: let it trust the bridge"
                );
            }
        }
        Ok(())
    }

    fn mend_links<'a>(&mut self, leases: impl Iterator<Item = &'a Lease>) -> Result<(), HostError> {
        let seen = route::links(&mut self.route)?;
        let hardware = leases.map(|lease| (lease.link(), lease.hardware()));
        let hardware: BTreeMap<_, _> = hardware.collect();
        let wanted: BTreeSet<_> = hardware.keys().cloned().collect();
        let plan = plan::links(self.index(), &wanted, &seen, is_link);
        for name in &plan.to_attach {
            route::tell(
                &mut self.route,
                &[route::become_port(name, self.bridge.index)],
            )?;
            if let Some(hardware) = hardware.get(name) {
                self.hold(name, *hardware)?;
            }
        }
        for name in &plan.to_delete {
            self.delete_link(name)?;
        }
        Ok(())
    }

    /// Makes a port of the bridge one container's and no other's: what is said there is said by that.
    pub fn hold(&mut self, name: &str, hardware: Hardware) -> Result<Link, RouteError> {
        let link = route::link(&mut self.route, name)?;
        let link = link.ok_or_else(|| route::gone(name))?;
        let requests = [route::is_at(hardware, link.index), route::hold(link.index)];
        route::tell(&mut self.route, &requests)?;
        Ok(link)
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
        let mut messages = Vec::new();
        for table in &self.tables {
            let seen = nftables::seen(&mut self.filter, &table.name)?;
            // The sets of a table of somebody else's may have other names.
            let elements = match &seen {
                Some(seen) if *seen == table.as_seen() => elements(&mut self.filter, table).ok(),
                _ => None,
            };
            let (wanted, seen) = (table.own(&wanted), seen.as_ref().zip(elements.as_ref()));
            messages.extend(to_tell(table, &wanted, plan::rules(table, &wanted, seen)));
        }
        if messages.is_empty() {
            return Ok(false);
        }
        let [table, _] = &self.tables;
        nftables::commit(&mut self.filter, &table.name, "make", messages)?;
        Ok(true)
    }

    pub fn add(&mut self, elements: &[Element]) -> Result<(), FilterError> {
        let tables = self.tables.iter();
        let messages = tables.flat_map(|it| messages(it, elements.iter(), ElementChange::Add));
        let [table, _] = &self.tables;
        let (name, attempt) = (&table.name, "add a container to");
        nftables::commit(&mut self.filter, name, attempt, messages.collect())
    }

    pub fn remove(&mut self, elements: &[Element]) -> Result<(), FilterError> {
        remove_elements(&mut self.filter, &self.tables, elements)
    }
}

/// Of a container, whether the node has a bridge or not.
pub fn forget(settings: &Settings, elements: &[Element]) -> Result<(), HostError> {
    let mut filter = Socket::open(Protocol::Netfilter).map_err(HostError::Socket)?;
    let tables = ruleset::tables(settings);
    Ok(remove_elements(&mut filter, &tables, elements)?)
}

/// They may be gone by themselves.
fn remove_elements(
    filter: &mut Socket,
    tables: &[Table; 2],
    elements: &[Element],
) -> Result<(), FilterError> {
    let mut remove = |elements: &[Element]| {
        let [table, _] = tables;
        let messages = tables.iter();
        let messages =
            messages.flat_map(|it| self::messages(it, elements.iter(), ElementChange::Remove));
        let attempt = "remove a container from";
        nftables::commit(filter, &table.name, attempt, messages.collect())
    };
    match remove(elements) {
        Err(error) if error.is(Errno::ENOENT) => {
            for element in elements {
                match remove(std::slice::from_ref(element)) {
                    Err(error) if !error.is(Errno::ENOENT) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        }
        result => result,
    }
}

fn to_tell(table: &Table, wanted: &BTreeSet<Element>, change: Change) -> Vec<Message> {
    match change {
        Change::Replace => {
            let added = messages(table, wanted.iter(), ElementChange::Add);
            [table.replace(), added].concat()
        }
        Change::Elements { remove, add } => {
            let removed = messages(table, remove.iter(), ElementChange::Remove);
            let added = messages(table, add.iter(), ElementChange::Add);
            [removed, added].concat()
        }
    }
}

fn messages<'a>(
    table: &Table,
    elements: impl Iterator<Item = &'a Element> + Clone,
    change: ElementChange,
) -> Vec<Message> {
    let of_set = |set| {
        let table = &table.name;
        Elements { table, set }.change(change, elements.clone())
    };
    table.sets.iter().flat_map(of_set).collect()
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
    let mut all = BTreeSet::new();
    for table in ruleset::tables(settings) {
        // Otherwise all that should be there is lost.
        if nftables::seen(&mut filter, &table.name)? == Some(table.as_seen()) {
            all.extend(elements(&mut filter, &table)?);
        }
    }
    Ok(Inventory {
        links: ports.map(|link| link.name.clone()).collect(),
        elements: all,
    })
}

fn elements(filter: &mut Socket, table: &Table) -> Result<BTreeSet<Element>, FilterError> {
    let mut all = BTreeSet::new();
    for set in &table.sets {
        let table = &table.name;
        all.extend(Elements { table, set }.seen(filter)?);
    }
    Ok(all)
}

/// How many packets were refused to each container, by the address of its link, since the rules were made.
pub fn denied(settings: &Settings) -> Result<BTreeMap<Hardware, u64>, HostError> {
    let mut filter = Socket::open(Protocol::Netfilter).map_err(HostError::Socket)?;
    let bridge = &settings.bridge;
    let mut all = BTreeMap::new();
    for (table, set) in [
        (&TableName::of(bridge), &sets::DENIED),
        (&TableName::of_frames(bridge), &sets::STRAYED),
    ] {
        let counted = match (Elements { table, set }).counted(&mut filter) {
            // No container has wanted a network yet.
            Err(error) if error.is(Errno::ENOENT) => Vec::new(),
            counted => counted?,
        };
        for (element, packets) in counted {
            if let Some(hardware) = element.key.first_chunk::<6>() {
                *all.entry(*hardware).or_default() += packets;
            }
        }
    }
    Ok(all)
}

/// Takes the rules of a bridge away, as `nft delete table` does.
pub fn flush(bridge: &str) -> Result<(), HostError> {
    let mut filter = Socket::open(Protocol::Netfilter).map_err(HostError::Socket)?;
    for table in [TableName::of(bridge), TableName::of_frames(bridge)] {
        if nftables::seen(&mut filter, &table)?.is_some() {
            let messages = vec![nftables::delete(&table)];
            nftables::commit(&mut filter, &table, "delete", messages)?;
        }
    }
    Ok(())
}

/// From among the rules of others.
fn remove_passes(bridge: &str) -> Result<(), HostError> {
    let mut filter = Socket::open(Protocol::Netfilter).map_err(HostError::Socket)?;
    let ours = foreign::ours(&mut filter, bridge).map_err(HostError::Filters)?;
    let (table, attempt) = (TableName::of(bridge), "remove rules from other tables than");
    for change in foreign::changes(&[], &ours, bridge, bridge) {
        nftables::commit(&mut filter, &table, attempt, change)?;
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
    let plan = plan::links(bridge.index, &none, &seen, is_link);
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
            address: hardware_of(Some(settings.v4.gateway())),
        };
        route::tell(socket, &[create.create()])?;
    }
    let made = route::link(socket, name)?;
    let mut bridge = made.ok_or_else(|| HostError::ForeignLink {
        name: name.clone(),
        what: "gone at once".to_owned(),
    })?;
    // Also of one that is there: the way out may be another than it was, and the agent's flags. Containers that are
    // there keep theirs.
    let mtu = mtu(socket, &links, settings)?;
    if bridge.mtu != mtu {
        route::tell(socket, &[route::has_mtu(bridge.index, mtu)])?;
        bridge.mtu = mtu;
    }
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
    // What containers that are held to a policy may talk to at all.
    let hardware = hardware_of(Some(settings.v4.gateway()));
    let ends = [
        route::becomes(bridge.index, hardware),
        route::up(bridge.index),
    ];
    let requests: Vec<_> = requests.chain(ends).collect();
    route::tell(socket, &requests)?;
    sysctl::set("ipv4/ip_forward", "1")?;
    if settings.v6.is_some() {
        sysctl::forward_v6()?;
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
