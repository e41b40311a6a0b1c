//! Resources from and to messages, in the formats before and after reservations could be refined.
//! Source: spec/mesos-agent.md section 17.

use super::amount::{Amount, Kind};
use super::error::Problem;
use super::ranges::Ranges;
use super::resource::{Disk, Reservation, ReservationKind, Resource};
use super::scalar::Scalar;
use super::set::Set;
use crate::v1::resource::disk_info::source;
use crate::v1::resource::{AllocationInfo, DiskInfo, ReservationInfo, RevocableInfo, SharedInfo};
use crate::v1::value::{self, Type};
use crate::{ids, v1};

/// Names whose type everybody relies on.
const KINDS: &[(&str, Kind)] = &[
    ("cpus", Kind::Scalar),
    ("gpus", Kind::Scalar),
    ("mem", Kind::Scalar),
    ("disk", Kind::Scalar),
    ("ports", Kind::Ranges),
];

/// How a message says who a resource is reserved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `role` and `reservation`.
    PreRefinement,
    /// `reservations`.
    PostRefinement,
    /// Nothing that tells the formats apart.
    Either,
}

/// Which format a message is in. Both at once is what endpoints show; that is taken as the newer.
pub(super) fn format(message: &v1::Resource) -> Format {
    if !message.reservations.is_empty() {
        Format::PostRefinement
    } else if old_role(message) != "*" || message.reservation.is_some() {
        Format::PreRefinement
    } else {
        Format::Either
    }
}

#[expect(
    deprecated,
    reason = "frameworks without RESERVATION_REFINEMENT say it here"
)]
fn old_role(message: &v1::Resource) -> &str {
    message.role.as_deref().unwrap_or("*")
}

#[expect(
    deprecated,
    reason = "frameworks without RESERVATION_REFINEMENT read it here"
)]
fn set_old_role(message: &mut v1::Resource, role: &str) {
    message.role = Some(role.to_owned());
}

impl TryFrom<&v1::Resource> for Resource {
    type Error = Problem;

    fn try_from(message: &v1::Resource) -> Result<Self, Problem> {
        check_name(&message.name)?;
        let resource = Self {
            name: message.name.clone(),
            amount: amount(message)?,
            reservations: reservations(message)?,
            disk: message.disk.clone().map(Disk),
            revocable: message.revocable.is_some(),
            shared: message.shared.is_some(),
            provider: message.provider_id.as_ref().map(|id| id.value.clone()),
            allocation: message
                .allocation_info
                .as_ref()
                .and_then(|info| info.role.clone()),
        };
        check(&resource)?;
        Ok(resource)
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "():;{}[],".contains(c);
    if name.is_empty() || name.contains(bad) {
        Err(Problem::Name)
    } else {
        Ok(())
    }
}

/// What must hold whatever format or syntax a resource came in.
pub(super) fn check(resource: &Resource) -> Result<(), Problem> {
    let found = resource.amount.kind();
    match KINDS.iter().find(|(name, _)| *name == resource.name) {
        Some(&(_, expected)) if expected != found => {
            return Err(Problem::Kind { expected, found });
        }
        _ => {}
    }
    if let Amount::Scalar(amount) = resource.amount
        && resource.name == "gpus"
        && !amount.is_whole()
    {
        return Err(Problem::NotWhole {
            amount: amount.to_string(),
        });
    }
    if let Some(disk) = resource.disk() {
        if resource.name != "disk" {
            return Err(Problem::DiskOfOther);
        }
        check_disk(disk)?;
    }
    let held = !resource.reservations.is_empty() || resource.is_persistent();
    if resource.revocable && held {
        return Err(Problem::RevocableHeld);
    }
    if resource.shared && !resource.is_persistent() {
        return Err(Problem::SharedAmount);
    }
    if let Some(role) = &resource.allocation {
        ids::check_role(role)?;
    }
    Ok(())
}

fn check_disk(disk: &DiskInfo) -> Result<(), Problem> {
    if let Some(persistence) = &disk.persistence {
        ids::check(&persistence.id)?;
    }
    let Some(source) = &disk.source else {
        return Ok(());
    };
    match source.r#type() {
        source::Type::Path if source.path.is_none() => Err(Problem::SourceWithoutRoot {
            kind: "PATH",
            field: "path",
        }),
        source::Type::Mount if source.mount.is_none() => Err(Problem::SourceWithoutRoot {
            kind: "MOUNT",
            field: "mount",
        }),
        _ => Ok(()),
    }
}

fn amount(message: &v1::Resource) -> Result<Amount, Problem> {
    let missing = |kind, field| Problem::NoValue { kind, field };
    match Type::try_from(message.r#type) {
        Ok(Type::Scalar) => {
            let value = message
                .scalar
                .ok_or_else(|| missing(Kind::Scalar, "scalar"))?
                .value;
            let amount = Scalar::from_f64(value).ok_or(Problem::Amount { value })?;
            Ok(Amount::Scalar(amount))
        }
        Ok(Type::Ranges) => {
            let ranges = message
                .ranges
                .as_ref()
                .ok_or_else(|| missing(Kind::Ranges, "ranges"))?;
            let pairs = ranges.range.iter().map(|range| (range.begin, range.end));
            Ok(Amount::Ranges(Ranges::from_pairs(pairs)?))
        }
        Ok(Type::Set) => {
            let set = message
                .set
                .as_ref()
                .ok_or_else(|| missing(Kind::Set, "set"))?;
            Ok(Amount::Set(Set::from_items(set.item.iter().cloned())?))
        }
        Ok(Type::Text) | Err(_) => Err(Problem::UnknownKind),
    }
}

fn reservations(message: &v1::Resource) -> Result<Vec<Reservation>, Problem> {
    let old = old_reservation(message)?;
    if message.reservations.is_empty() {
        return Ok(old.into_iter().collect());
    }
    let stack: Vec<Reservation> = message
        .reservations
        .iter()
        .map(reservation)
        .collect::<Result<_, _>>()?;
    if let Some(old) = old
        && stack != [old]
    {
        return Err(Problem::Contradiction);
    }
    for pair in stack.windows(2) {
        let (below, refined) = (&pair[0].role, &pair[1]);
        let refines = refined.kind == ReservationKind::Dynamic
            && ids::is_strict_subrole(&refined.role, below);
        if !refines {
            let (role, below) = (refined.role.clone(), below.clone());
            return Err(Problem::Refinement { role, below });
        }
    }
    Ok(stack)
}

fn reservation(info: &ReservationInfo) -> Result<Reservation, Problem> {
    use v1::resource::reservation_info::Type;
    let kind = match info.r#type() {
        Type::Static => ReservationKind::Static,
        Type::Dynamic => ReservationKind::Dynamic,
        Type::Unknown => return Err(Problem::IncompleteReservation),
    };
    let role = info.role.clone().ok_or(Problem::IncompleteReservation)?;
    check_reserved_role(&role)?;
    Ok(Reservation {
        kind,
        role,
        principal: info.principal.clone(),
        labels: info.labels.clone(),
    })
}

fn old_reservation(message: &v1::Resource) -> Result<Option<Reservation>, Problem> {
    let role = old_role(message).to_owned();
    match &message.reservation {
        Some(info) => {
            check_reserved_role(&role)?;
            Ok(Some(Reservation {
                kind: ReservationKind::Dynamic,
                role,
                principal: info.principal.clone(),
                labels: info.labels.clone(),
            }))
        }
        None if role == "*" => Ok(None),
        None => Ok(Some(static_reservation(role)?)),
    }
}

/// What the agent's configuration reserves for `role`.
pub(super) fn static_reservation(role: String) -> Result<Reservation, Problem> {
    check_reserved_role(&role)?;
    Ok(Reservation {
        kind: ReservationKind::Static,
        role,
        principal: None,
        labels: None,
    })
}

fn check_reserved_role(role: &str) -> Result<(), Problem> {
    ids::check_role(role)?;
    if role == "*" {
        Err(Problem::ReservedForNobody)
    } else {
        Ok(())
    }
}

/// In the format with `reservations`.
pub(super) fn post_refinement(resource: &Resource) -> v1::Resource {
    let mut message = v1::Resource {
        name: resource.name.clone(),
        reservations: resource.reservations.iter().map(reservation_info).collect(),
        disk: resource.disk().cloned(),
        revocable: resource.revocable.then_some(RevocableInfo {}),
        shared: resource.shared.then_some(SharedInfo {}),
        provider_id: resource
            .provider
            .clone()
            .map(|value| v1::ResourceProviderId { value }),
        allocation_info: resource
            .allocation
            .clone()
            .map(|r| AllocationInfo { role: Some(r) }),
        ..v1::Resource::default()
    };
    match &resource.amount {
        Amount::Scalar(scalar) => {
            message.set_type(Type::Scalar);
            message.scalar = Some(value::Scalar {
                value: scalar.as_f64(),
            });
        }
        Amount::Ranges(ranges) => {
            message.set_type(Type::Ranges);
            message.ranges = Some(ranges.into());
        }
        Amount::Set(set) => {
            message.set_type(Type::Set);
            message.set = Some(value::Set {
                item: set.iter().map(str::to_owned).collect(),
            });
        }
    }
    message
}

/// In the format with `role` and `reservation`; `None` if the reservation is refined.
pub(super) fn pre_refinement(resource: &Resource) -> Option<v1::Resource> {
    let mut message = endpoint(resource);
    if message.reservations.len() > 1 {
        return None;
    }
    message.reservations.clear();
    Some(message)
}

/// In both formats, as far as the older one goes.
pub(super) fn endpoint(resource: &Resource) -> v1::Resource {
    let mut message = post_refinement(resource);
    match resource.reservations.as_slice() {
        [] => set_old_role(&mut message, "*"),
        [only] => {
            set_old_role(&mut message, &only.role);
            if only.kind == ReservationKind::Dynamic {
                let (principal, labels) = (only.principal.clone(), only.labels.clone());
                let info = ReservationInfo {
                    principal,
                    labels,
                    ..ReservationInfo::default()
                };
                message.reservation = Some(info);
            }
        }
        _ => {}
    }
    message
}

fn reservation_info(reservation: &Reservation) -> ReservationInfo {
    use v1::resource::reservation_info::Type;
    let kind = match reservation.kind {
        ReservationKind::Static => Type::Static,
        ReservationKind::Dynamic => Type::Dynamic,
    };
    ReservationInfo {
        principal: reservation.principal.clone(),
        labels: reservation.labels.clone(),
        role: Some(reservation.role.clone()),
        r#type: Some(kind.into()),
    }
}

impl From<&Ranges> for value::Ranges {
    fn from(ranges: &Ranges) -> Self {
        let range = |range: std::ops::RangeInclusive<u64>| {
            let (begin, end) = range.into_inner();
            value::Range { begin, end }
        };
        Self {
            range: ranges.ranges().map(range).collect(),
        }
    }
}
