//! One resource: an amount, and the identity that decides what it may be added to.

use std::fmt;

use super::amount::Amount;
use crate::v1;
use crate::v1::resource::disk_info::source;

/// One resource of an agent, an offer or a task. Only those with the same identity (everything but
/// the amount) are added to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub(super) name: String,
    pub(super) amount: Amount,
    /// Bottom first: each refines the one before. Empty: unreserved.
    pub(super) reservations: Vec<Reservation>,
    pub(super) disk: Option<Disk>,
    pub(super) revocable: bool,
    pub(super) shared: bool,
    pub(super) provider: Option<String>,
    pub(super) allocation: Option<String>,
}

/// Who a resource is reserved for.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    pub kind: ReservationKind,
    pub role: String,
    pub principal: Option<String>,
    pub labels: Option<v1::Labels>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationKind {
    /// By the agent's configuration.
    Static,
    /// By a framework or an operator, at run time.
    Dynamic,
}

/// What makes a disk resource special. Kept as the message, which is passed through as it came.
#[derive(Debug, Clone)]
pub(super) struct Disk(pub(super) Box<v1::resource::DiskInfo>);

/// Where a volume appears in a container says how it is used, not which one it is.
impl PartialEq for Disk {
    fn eq(&self, other: &Self) -> bool {
        self.0.persistence == other.0.persistence && self.0.source == other.0.source
    }
}

impl Disk {
    /// A thing rather than an amount of something: volumes and whole devices are not added up.
    fn is_exclusive(&self) -> bool {
        let source = self.0.source.as_ref().map(|source| source.r#type());
        let device = matches!(
            source,
            Some(source::Type::Mount | source::Type::Block | source::Type::Raw)
        );
        device || self.0.persistence.is_some()
    }
}

impl Resource {
    /// An unreserved resource, such as what an agent finds on its host.
    #[must_use]
    pub fn new(name: &str, amount: Amount) -> Self {
        Self {
            name: name.to_owned(),
            amount,
            reservations: Vec::new(),
            disk: None,
            revocable: false,
            shared: false,
            provider: None,
            allocation: None,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn amount(&self) -> &Amount {
        &self.amount
    }

    /// Bottom first; empty for an unreserved resource.
    #[must_use]
    pub fn reservations(&self) -> &[Reservation] {
        &self.reservations
    }

    /// The role that may use it: that of the last refinement. `None`: unreserved.
    #[must_use]
    pub(super) fn reserved_role(&self) -> Option<&str> {
        self.reservations
            .last()
            .map(|reservation| reservation.role.as_str())
    }

    #[must_use]
    pub fn disk(&self) -> Option<&v1::resource::DiskInfo> {
        self.disk.as_ref().map(|disk| &*disk.0)
    }

    #[must_use]
    pub fn is_revocable(&self) -> bool {
        self.revocable
    }

    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    #[must_use]
    pub(super) fn is_persistent(&self) -> bool {
        self.disk().is_some_and(|disk| disk.persistence.is_some())
    }

    /// The role that it is allocated to, in offers and tasks.
    #[must_use]
    pub fn allocation_role(&self) -> Option<&str> {
        self.allocation.as_deref()
    }

    /// Its name in flat objects.
    pub(super) fn flat_name(&self) -> String {
        let suffix = if self.revocable { "_revocable" } else { "" };
        format!("{}{suffix}", self.name)
    }

    /// Whether it is all or nothing.
    pub(super) fn is_exclusive(&self) -> bool {
        self.shared || self.disk.as_ref().is_some_and(Disk::is_exclusive)
    }

    /// Whether amounts of the two may be added to and taken from each other.
    pub(super) fn has_identity_of(&self, other: &Self) -> bool {
        self.name == other.name
            && self.amount.kind() == other.amount.kind()
            && self.reservations == other.reservations
            && self.disk == other.disk
            && self.revocable == other.revocable
            && self.shared == other.shared
            && self.provider == other.provider
            && self.allocation == other.allocation
    }
}

/// As flags write it, `ports(web):[31000-32000]`. What flags cannot say is put in angle brackets.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let [
            Reservation {
                kind: ReservationKind::Static,
                role,
                ..
            },
        ] = &*self.reservations
        {
            write!(f, "({role})")?;
        } else {
            for Reservation { kind, role, .. } in &self.reservations {
                let kind = match kind {
                    ReservationKind::Static => "static",
                    ReservationKind::Dynamic => "dynamic",
                };
                write!(f, "<{kind} {role}>")?;
            }
        }
        if let Some(disk) = self.disk() {
            if let Some(persistence) = &disk.persistence {
                write!(f, "<volume {}>", persistence.id)?;
            }
            if let Some(source) = &disk.source {
                write!(f, "<{}>", source.r#type().as_str_name().to_lowercase())?;
            }
        }
        for (flag, name) in [(self.revocable, "<revocable>"), (self.shared, "<shared>")] {
            f.write_str(if flag { name } else { "" })?;
        }
        if let Some(role) = &self.allocation {
            write!(f, "<allocated to {role}>")?;
        }
        write!(f, ":{}", self.amount)
    }
}
