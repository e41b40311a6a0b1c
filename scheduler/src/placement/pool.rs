//! What is left of an offer while instances are cut from it.

use std::collections::BTreeSet;

use proto::v1;

/// Thousandths: the precision of scalar resources.
pub type Milli = i64;

/// Saturates; whatever is that large fits into no offer.
pub fn milli(amount: f64) -> Milli {
    (amount * 1000.0).round() as Milli
}

/// The resources of one offer that may be used. Pieces that are cut keep role, reservation and
/// allocation exactly as offered, since the master compares them.
#[derive(Debug, Clone)]
pub struct Pool {
    pieces: Vec<v1::Resource>,
    /// Ports that are taken by choice only where there are no others.
    shunned: BTreeSet<u16>,
}

impl Pool {
    /// Keeps what an ordinary task may use, reserved resources first so that the unreserved
    /// ones stay for others.
    pub fn new(offered: &[v1::Resource]) -> Self {
        let mut pieces: Vec<_> = offered.iter().filter(|r| is_ordinary(r)).cloned().collect();
        pieces.sort_by_key(|r| !is_reserved(r));
        Self {
            pieces,
            shunned: BTreeSet::new(),
        }
    }

    pub fn shunning(self, shunned: BTreeSet<u16>) -> Self {
        Self { shunned, ..self }
    }

    /// Only what belongs to roles that `accepts` names; unreserved resources belong to `*`.
    pub fn restricted(&self, accepts: impl Fn(&str) -> bool) -> Self {
        let pieces = self
            .pieces
            .iter()
            .filter(|r| accepts(role_of(r)))
            .cloned()
            .collect();
        Self {
            pieces,
            shunned: self.shunned.clone(),
        }
    }

    /// Puts back what became of a `restricted` part.
    pub fn replace(&mut self, part: Pool, accepts: impl Fn(&str) -> bool) {
        self.pieces.retain(|r| !accepts(role_of(r)));
        self.pieces.extend(part.pieces);
        self.pieces.sort_by_key(|r| !is_reserved(r));
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn scalar(&self, name: &str) -> Milli {
        self.pieces
            .iter()
            .filter(|r| r.name == name)
            .map(amount)
            .fold(0, Milli::saturating_add)
    }

    /// Cuts `wanted` of a scalar, from several pieces if need be. None if there is too little.
    pub fn take_scalar(&mut self, name: &str, wanted: Milli) -> Option<Vec<v1::Resource>> {
        if self.scalar(name) < wanted {
            return None;
        }
        let mut rest = wanted;
        let mut taken = Vec::new();
        for piece in self.pieces.iter_mut().filter(|r| r.name == name) {
            let cut = amount(piece).min(rest);
            if cut > 0 {
                taken.push(with_amount(piece, cut));
                *piece = with_amount(piece, amount(piece) - cut);
                rest -= cut;
            }
        }
        Some(taken)
    }

    /// All offered ports, ascending within each range.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.pieces
            .iter()
            .filter(|r| r.name == "ports")
            .flat_map(|r| r.ranges.iter().flat_map(|ranges| &ranges.range))
            .flat_map(|range| range.begin..=range.end)
            .filter_map(|port| u16::try_from(port).ok())
    }

    /// The same in the order in which they are to be chosen. `lot` is any number.
    pub fn free_ports(&self, lot: usize) -> Vec<u16> {
        let is_shunned = |port: &u16| self.shunned.contains(port);
        let (last, mut free): (Vec<_>, Vec<_>) = self.ports().partition(is_shunned);
        let start = lot.checked_rem(free.len()).unwrap_or(0);
        free.rotate_left(start);
        free.extend(last);
        free
    }

    /// Cuts exactly `port`. None if it is not here.
    pub fn take_port(&mut self, port: u16) -> Option<v1::Resource> {
        let wanted = u64::from(port);
        for piece in self.pieces.iter_mut().filter(|r| r.name == "ports") {
            let Some(ranges) = piece.ranges.as_mut() else {
                continue;
            };
            let Some(at) = ranges
                .range
                .iter()
                .position(|r| (r.begin..=r.end).contains(&wanted))
            else {
                continue;
            };
            let v1::value::Range { begin, end } = ranges.range.remove(at);
            if wanted < end {
                ranges.range.insert(
                    at,
                    v1::value::Range {
                        begin: wanted + 1,
                        end,
                    },
                );
            }
            if begin < wanted {
                ranges.range.insert(
                    at,
                    v1::value::Range {
                        begin,
                        end: wanted - 1,
                    },
                );
            }
            let cut = vec![v1::value::Range {
                begin: wanted,
                end: wanted,
            }];
            return Some(v1::Resource {
                ranges: Some(v1::value::Ranges { range: cut }),
                ..piece.clone()
            });
        }
        None
    }
}

fn amount(resource: &v1::Resource) -> Milli {
    resource.scalar.as_ref().map_or(0, |s| milli(s.value))
}

fn with_amount(resource: &v1::Resource, amount: Milli) -> v1::Resource {
    let scalar = Some(v1::value::Scalar {
        // Exact up to 2^53 thousandths.
        value: amount as f64 / 1000.0,
    });
    v1::Resource {
        scalar,
        ..resource.clone()
    }
}

fn is_ordinary(resource: &v1::Resource) -> bool {
    resource.revocable.is_none() && resource.shared.is_none() && resource.disk.is_none()
}

fn is_reserved(resource: &v1::Resource) -> bool {
    role_of(resource) != "*"
}

#[expect(
    deprecated,
    reason = "offers without refined reservations still say `role`"
)]
pub fn role_of(resource: &v1::Resource) -> &str {
    let refined = resource.reservations.last().and_then(|r| r.role.as_deref());
    refined.or(resource.role.as_deref()).unwrap_or("*")
}

/// Joins pieces that differ only in amount, as the master would.
pub fn join_ports(taken: Vec<v1::Resource>) -> Vec<v1::Resource> {
    let mut joined: Vec<v1::Resource> = Vec::new();
    for resource in taken {
        let shape = |r: &v1::Resource| v1::Resource {
            ranges: None,
            ..r.clone()
        };
        let same = joined.iter_mut().find(|j| shape(j) == shape(&resource));
        match (same.and_then(|s| s.ranges.as_mut()), &resource.ranges) {
            (Some(into), Some(more)) => {
                into.range.extend(more.range.iter().cloned());
                into.range.sort_by_key(|r| r.begin);
            }
            _ => joined.push(resource),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(name: &str, value: f64) -> v1::Resource {
        v1::Resource {
            name: name.into(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value }),
            ..v1::Resource::default()
        }
    }

    fn reserved(name: &str, value: f64, role: &str) -> v1::Resource {
        let info = v1::resource::ReservationInfo {
            role: Some(role.into()),
            ..v1::resource::ReservationInfo::default()
        };
        v1::Resource {
            reservations: vec![info],
            ..scalar(name, value)
        }
    }

    fn ports(ranges: &[(u64, u64)]) -> v1::Resource {
        let range = ranges
            .iter()
            .map(|&(begin, end)| v1::value::Range { begin, end })
            .collect();
        v1::Resource {
            name: "ports".into(),
            r#type: v1::value::Type::Ranges.into(),
            ranges: Some(v1::value::Ranges { range }),
            ..v1::Resource::default()
        }
    }

    #[test]
    fn reserved_resources_are_used_before_unreserved_ones() {
        let mut pool = Pool::new(&[scalar("cpus", 1.0), reserved("cpus", 0.5, "web")]);
        let taken = pool.take_scalar("cpus", 700).unwrap();
        assert_eq!(taken.len(), 2);
        assert_eq!(taken[0].reservations[0].role.as_deref(), Some("web"));
        assert_eq!(taken[0].scalar.as_ref().unwrap().value, 0.5);
        assert_eq!(taken[1].scalar.as_ref().unwrap().value, 0.2);
        assert_eq!(pool.scalar("cpus"), 800);
    }

    #[test]
    fn too_little_takes_nothing() {
        let mut pool = Pool::new(&[scalar("mem", 64.0)]);
        assert!(pool.take_scalar("mem", milli(65.0)).is_none());
        assert_eq!(pool.scalar("mem"), milli(64.0));
    }

    #[test]
    fn a_port_from_the_middle_splits_its_range() {
        let mut pool = Pool::new(&[ports(&[(100, 103), (200, 200)])]);
        assert!(pool.take_port(101).is_some());
        assert!(pool.take_port(200).is_some());
        assert!(pool.take_port(101).is_none());
        assert_eq!(pool.ports().collect::<Vec<_>>(), [100, 102, 103]);
    }

    #[test]
    fn ports_of_one_task_become_one_resource() {
        let mut pool = Pool::new(&[ports(&[(100, 110)])]);
        let taken = [105, 101].map(|p| pool.take_port(p).unwrap());
        let joined = join_ports(taken.into());
        assert_eq!(joined, [ports(&[(101, 101), (105, 105)])]);
    }
}
