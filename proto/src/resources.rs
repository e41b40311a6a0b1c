//! Resources and their arithmetic: what an agent has, an offer shows and a task takes.
//!
//! [`Resources`] hold at most one entry per identity (name, type, reservations, disk, revocable,
//! shared, provider, allocation role); amounts of one identity are added up. Persistent volumes and
//! whole devices are things, not amounts: they are never split or joined, and shared volumes are
//! counted. Source: spec/mesos-agent.md sections 3 and 17.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use amount::{Amount, Kind};
pub use error::{BadResources, Problem};
pub use ranges::{BadRanges, Ranges};
pub use resource::{Reservation, ReservationKind, Resource};
pub use scalar::Scalar;
pub use set::{BadSet, Set};

use crate::v1;
use incoming::Format;

mod amount;
mod error;
mod incoming;
mod outgoing;
mod ranges;
mod resource;
mod scalar;
mod set;
mod syntax;
mod validity;
mod view;

#[cfg(test)]
mod tests;

/// Some resources; nothing in it is empty. Equal when they hold the same, in any order.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    resource: Resource,
    /// More than 1 only for a shared volume that several use.
    copies: u32,
}

impl Resources {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Takes the messages of one list, in the format before or after reservation refinement.
    /// Amounts of zero vanish. Both formats in one list are an error.
    pub fn from_protos(messages: &[v1::Resource]) -> Result<Self, BadResources> {
        let mut resources = Self::new();
        let mut seen = Format::Either;
        for (i, message) in messages.iter().enumerate() {
            let refuse = |problem| BadResources::at(i + 1, &message.name, problem);
            let format = incoming::format(message);
            if format != Format::Either {
                if seen != Format::Either && seen != format {
                    return Err(refuse(Problem::MixedFormats));
                }
                seen = format;
            }
            resources.put(Resource::try_from(message).map_err(refuse)?, 1);
        }
        Ok(resources)
    }

    /// In the newer format: `reservations`, no `role`.
    #[must_use]
    pub fn to_protos(&self) -> Vec<v1::Resource> {
        self.singly().map(outgoing::post_refinement).collect()
    }

    /// In the older format, for frameworks without RESERVATION_REFINEMENT: `role` and
    /// `reservation`. An error for a refined reservation, which must not be shown to them.
    pub fn to_protos_pre_refinement(&self) -> Result<Vec<v1::Resource>, BadResources> {
        let convert = |(i, resource)| {
            outgoing::pre_refinement(resource)
                .ok_or_else(|| BadResources::at(i + 1, &resource.to_string(), Problem::Refined))
        };
        self.singly().enumerate().map(convert).collect()
    }

    /// In both formats at once, for the `*_full` keys of `/state`.
    #[must_use]
    pub(crate) fn to_protos_for_endpoints(&self) -> Vec<v1::Resource> {
        self.singly().map(outgoing::endpoint).collect()
    }

    /// Reads the value of `--resources`: text, or JSON. What names no role is reserved for
    /// `default_role`, with `*` for unreserved.
    pub fn parse(text_or_json: &str, default_role: &str) -> Result<Self, BadResources> {
        syntax::parse(text_or_json, default_role)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every resource; a shared volume comes once, however many use it.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.entries.iter().map(|entry| &entry.resource)
    }

    /// The names that occur.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.iter().map(Resource::name).collect()
    }

    /// Whether all of `other` is here, identity by identity.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.try_sub(other).is_some()
    }

    /// The sum. Ranges and sets are united, so what both have is there once; scalars saturate.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum += other;
        sum
    }

    /// The sum, or `None` if it would count a port or an item twice.
    #[must_use]
    pub fn try_add(&self, other: &Self) -> Option<Self> {
        let mut sum = self.clone();
        for entry in &other.entries {
            if let Some(i) = sum.position(&entry.resource)
                && sum.entries[i]
                    .resource
                    .amount
                    .overlaps(&entry.resource.amount)
            {
                return None;
            }
            sum.put(entry.resource.clone(), entry.copies);
        }
        Some(sum)
    }

    /// What is left without `other`, or `None` unless all of `other` is here.
    #[must_use]
    pub fn try_sub(&self, other: &Self) -> Option<Self> {
        let mut rest = self.clone();
        for entry in &other.entries {
            rest.take(entry)?;
        }
        Some(rest)
    }

    /// The same, allocated to `role`.
    #[must_use]
    pub fn allocate(&self, role: &str) -> Self {
        self.map(|resource| resource.allocation = Some(role.to_owned()))
    }

    /// The same, allocated to nobody.
    #[must_use]
    pub fn unallocate(&self) -> Self {
        self.map(|resource| resource.allocation = None)
    }

    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(|resource| resource.reserved_role().is_none())
    }

    /// What is reserved, by the role that may use it.
    #[must_use]
    pub fn reserved(&self) -> BTreeMap<String, Self> {
        let mut by_role: BTreeMap<String, Self> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(role) = entry.resource.reserved_role() {
                let resources = by_role.entry(role.to_owned()).or_default();
                resources.put(entry.resource.clone(), entry.copies);
            }
        }
        by_role
    }

    /// Those that `keep` wants.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        let entries = self.entries.iter().filter(|entry| keep(&entry.resource));
        Self {
            entries: entries.cloned().collect(),
        }
    }

    /// Every resource, a shared volume as often as it is counted.
    fn singly(&self) -> impl Iterator<Item = &Resource> {
        let times = |entry: &Entry| usize::try_from(entry.copies).unwrap_or(usize::MAX);
        self.entries
            .iter()
            .flat_map(move |e| std::iter::repeat_n(&e.resource, times(e)))
    }

    /// Builds anew, since entries may come to have the same identity.
    fn map(&self, change: impl Fn(&mut Resource)) -> Self {
        let mut changed = Self::new();
        for entry in &self.entries {
            let mut resource = entry.resource.clone();
            change(&mut resource);
            changed.put(resource, entry.copies);
        }
        changed
    }

    /// The entry that `resource` can be added to.
    fn position(&self, resource: &Resource) -> Option<usize> {
        if resource.shared {
            return self
                .entries
                .iter()
                .position(|entry| entry.resource == *resource);
        }
        if resource.is_exclusive() {
            return None;
        }
        self.entries
            .iter()
            .position(|entry| entry.resource.has_identity_of(resource))
    }

    fn put(&mut self, resource: Resource, copies: u32) {
        if resource.amount.is_empty() {
            return;
        }
        match self.position(&resource) {
            Some(i) if resource.shared => {
                self.entries[i].copies = self.entries[i].copies.saturating_add(copies);
            }
            Some(i) => {
                let entry = &mut self.entries[i].resource;
                // The same identity includes the same kind of amount.
                if let Some(sum) = entry.amount.add(&resource.amount) {
                    entry.amount = sum;
                }
            }
            None => self.entries.push(Entry { resource, copies }),
        }
    }

    fn take(&mut self, wanted: &Entry) -> Option<()> {
        let resource = &wanted.resource;
        if resource.is_exclusive() {
            let i = self
                .entries
                .iter()
                .position(|entry| entry.resource == *resource)?;
            let copies = self.entries[i].copies.checked_sub(wanted.copies)?;
            self.entries[i].copies = copies;
            if copies == 0 {
                self.entries.remove(i);
            }
        } else {
            let i = self.position(resource)?;
            let rest = self.entries[i].resource.amount.try_sub(&resource.amount)?;
            if rest.is_empty() {
                self.entries.remove(i);
            } else {
                self.entries[i].resource.amount = rest;
            }
        }
        Some(())
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.try_sub(other).is_some_and(|rest| rest.is_empty())
    }
}

impl std::ops::AddAssign<&Self> for Resources {
    fn add_assign(&mut self, other: &Self) {
        for entry in &other.entries {
            self.put(entry.resource.clone(), entry.copies);
        }
    }
}

impl From<Resource> for Resources {
    fn from(resource: Resource) -> Self {
        Self::from_iter([resource])
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        let mut all = Self::new();
        for resource in resources {
            all.put(resource, 1);
        }
        all
    }
}

/// As flags write them: `cpus:4;mem:1024;ports:[31000-32000]`.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, resource) in self.singly().enumerate() {
            let separator = if i == 0 { "" } else { ";" };
            write!(f, "{separator}{resource}")?;
        }
        Ok(())
    }
}
