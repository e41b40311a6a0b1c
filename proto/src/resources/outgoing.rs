//! Resources to messages, in the formats before and after reservations could be refined.
//! Source: spec/mesos-agent.md section 17.

use super::amount::Amount;
use super::ranges::Ranges;
use super::resource::{Reservation, ReservationKind, Resource};
use crate::v1;
use crate::v1::resource::{AllocationInfo, ReservationInfo, RevocableInfo, SharedInfo};
use crate::v1::value::{self, Type};

/// In the format with `reservations`.
pub(super) fn post_refinement(resource: &Resource) -> v1::Resource {
    let mut message = v1::Resource {
        name: resource.name.clone(),
        reservations: resource.reservations.iter().map(reservation_info).collect(),
        disk: resource.disk().cloned().map(Box::new),
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
                message.reservation = Some(Box::new(info));
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

#[expect(
    deprecated,
    reason = "frameworks without RESERVATION_REFINEMENT read it here"
)]
fn set_old_role(message: &mut v1::Resource, role: &str) {
    message.role = Some(role.to_owned());
}
