//! Resources from messages, in the format before or after reservations could be refined.
//! Source: spec/mesos-agent.md section 17.

use super::amount::{Amount, Kind};
use super::error::Problem;
use super::ranges::Ranges;
use super::resource::{Disk, Reservation, ReservationKind, Resource};
use super::scalar::Scalar;
use super::set::Set;
use super::validity::{check, check_name, check_reserved_role};
use crate::v1::resource::ReservationInfo;
use crate::v1::value::Type;
use crate::{ids, v1};

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
    } else if message.role() != "*" || message.reservation.is_some() {
        Format::PreRefinement
    } else {
        Format::Either
    }
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
    let role = message.role().to_owned();
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
