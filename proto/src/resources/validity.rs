//! What must hold for a resource, whatever format or syntax it came in.

use super::amount::{Amount, Kind};
use super::error::Problem;
use super::resource::Resource;
use crate::ids;
use crate::v1::resource::DiskInfo;
use crate::v1::resource::disk_info::source;

/// Names whose type everybody relies on.
const KINDS: &[(&str, Kind)] = &[
    ("cpus", Kind::Scalar),
    ("gpus", Kind::Scalar),
    ("mem", Kind::Scalar),
    ("disk", Kind::Scalar),
    ("ports", Kind::Ranges),
];

pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "():;{}[],".contains(c);
    if name.is_empty() || name.contains(bad) {
        Err(Problem::Name)
    } else {
        Ok(())
    }
}

/// Whether the parts of a resource go together.
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
    if let Amount::Ranges(ranges) = &resource.amount
        && resource.name == "ports"
        && let Some(last) = ranges.ranges().last()
        && *last.end() > u64::from(u16::MAX)
    {
        return Err(Problem::Port { port: *last.end() });
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

/// Whether a resource can be reserved for `role`.
pub(super) fn check_reserved_role(role: &str) -> Result<(), Problem> {
    ids::check_role(role)?;
    if role == "*" {
        Err(Problem::ReservedForNobody)
    } else {
        Ok(())
    }
}
