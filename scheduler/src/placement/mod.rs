//! Placement: whether an offer can take one more instance of an app, and what is cut from it.
//!
//! Pure. Refusals are reasons, in the order in which they are looked for, so that an operator can
//! see how far offers got.

mod constraints;
mod pool;

use std::collections::BTreeSet;

use proto::v1;

use crate::app::ports::{self, HostPort};
use crate::app::{App, Constraint};

pub use constraints::{Scene, Site};
pub use pool::{Pool, role_of};

use pool::{join_ports, milli};

/// Why an offer was not used. The order is that of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    UnfulfilledRole,
    UnfulfilledConstraint,
    InsufficientCpus,
    InsufficientMemory,
    InsufficientDisk,
    InsufficientGpus,
    InsufficientPorts,
}

impl Reason {
    pub const ALL: [Reason; 7] = [
        Reason::UnfulfilledRole,
        Reason::UnfulfilledConstraint,
        Reason::InsufficientCpus,
        Reason::InsufficientMemory,
        Reason::InsufficientDisk,
        Reason::InsufficientGpus,
        Reason::InsufficientPorts,
    ];

    /// As clients know it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::UnfulfilledRole => "UnfulfilledRole",
            Reason::UnfulfilledConstraint => "UnfulfilledConstraint",
            Reason::InsufficientCpus => "InsufficientCpus",
            Reason::InsufficientMemory => "InsufficientMemory",
            Reason::InsufficientDisk => "InsufficientDisk",
            Reason::InsufficientGpus => "InsufficientGpus",
            Reason::InsufficientPorts => "InsufficientPorts",
        }
    }
}

/// What one instance gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    pub resources: Vec<v1::Resource>,
    /// In the order of the app's ports, without those that need no host port.
    pub host_ports: Vec<u16>,
}

/// Cuts the share of one instance out of `pool`, or leaves it whole. `lot` is any number: the
/// search for free ports begins there, so that a port just released is not handed out again.
pub fn place(
    app: &App,
    site: &Site,
    pool: &mut Pool,
    scene: Scene<'_>,
    lot: usize,
) -> Result<Share, Reason> {
    let accepted = &app.accepted_resource_roles;
    let mut rest = match accepted.as_slice() {
        [] => pool.clone(),
        roles => pool.restricted(|role| roles.iter().any(|r| r == role)),
    };
    if rest.is_empty() {
        return Err(Reason::UnfulfilledRole);
    }
    let fits = |constraint: &Constraint| constraints::fits(constraint, site, scene);
    if !app.constraints.iter().all(fits) {
        return Err(Reason::UnfulfilledConstraint);
    }
    let scalars = [
        ("cpus", app.cpus, Reason::InsufficientCpus),
        ("mem", app.mem, Reason::InsufficientMemory),
        ("disk", app.disk, Reason::InsufficientDisk),
        ("gpus", f64::from(app.gpus), Reason::InsufficientGpus),
    ];
    let mut resources = Vec::new();
    for (name, amount, reason) in scalars {
        resources.extend(rest.take_scalar(name, milli(amount)).ok_or(reason)?);
    }
    let (port_resources, host_ports) = take_ports(app, &mut rest, lot)?;
    resources.extend(port_resources);
    pool.replace(rest, |role| {
        accepted.is_empty() || accepted.iter().any(|r| r == role)
    });
    Ok(Share {
        resources,
        host_ports,
    })
}

fn take_ports(
    app: &App,
    pool: &mut Pool,
    lot: usize,
) -> Result<(Vec<v1::Resource>, Vec<u16>), Reason> {
    let requests = ports::requested(app);
    let mut taken = Vec::new();
    // Fixed ports first: a free choice must not take one of them away. One that is mapped by tcp and by udp apart
    // is one port all the same.
    let fixed = requests.iter().filter_map(|request| match request.host {
        HostPort::Fixed(port) => Some(port),
        HostPort::Any | HostPort::None => None,
    });
    for port in fixed.collect::<BTreeSet<_>>() {
        taken.push(pool.take_port(port).ok_or(Reason::InsufficientPorts)?);
    }
    let wanted = requests.iter().filter(|r| r.host == HostPort::Any).count();
    let mut chosen = match wanted {
        0 => Vec::new(),
        _ => pool.free_ports(lot),
    }
    .into_iter();
    let mut host_ports = Vec::new();
    for request in &requests {
        match request.host {
            HostPort::None => {}
            HostPort::Fixed(port) => host_ports.push(port),
            HostPort::Any => {
                let port = chosen.next().ok_or(Reason::InsufficientPorts)?;
                taken.push(pool.take_port(port).ok_or(Reason::InsufficientPorts)?);
                host_ports.push(port);
            }
        }
    }
    Ok((join_ports(taken), host_ports))
}

#[cfg(test)]
mod tests;
