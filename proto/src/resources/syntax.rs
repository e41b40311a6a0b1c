//! Resources as `--resources` writes them: text, `cpus:4;ports(web):[31000-32000]`, or a JSON array
//! of Resource messages. Source: spec/mesos-agent.md section 3.

use serde_json::Value;

use super::Resources;
use super::amount::{Amount, Kind};
use super::error::{BadResources, Problem};
use super::incoming::static_reservation;
use super::ranges::Ranges;
use super::resource::{ReservationKind, Resource};
use super::scalar::Scalar;
use super::set::Set;
use super::validity::{check, check_name};
use crate::v1::resource::disk_info::source;
use crate::{json, v1};

/// Reads either syntax. What names no role is reserved for `default_role` (`*`: unreserved).
pub(super) fn parse(input: &str, default_role: &str) -> Result<Resources, BadResources> {
    let input = input.trim();
    // Text begins with a name, and names have no brackets.
    let parsed = if input.starts_with(['[', '{']) {
        parse_json(input, default_role)?
    } else {
        parse_text(input, default_role)?
    };
    let mut kinds: Vec<(&str, Kind)> = Vec::new();
    let mut total = Resources::new();
    for (i, (what, resource)) in parsed.iter().enumerate() {
        let refuse = |problem: Problem| BadResources::at(i + 1, what, problem);
        check_configured(resource).map_err(refuse)?;
        let found = resource.amount.kind();
        match kinds.iter().find(|(name, _)| *name == resource.name) {
            Some(&(_, before)) if before != found => {
                return Err(refuse(Problem::MixedKinds { before, found }));
            }
            _ => kinds.push((&resource.name, found)),
        }
        let one = Resources::from(resource.clone());
        total = total
            .try_add(&one)
            .ok_or_else(|| refuse(Problem::CountedTwice))?;
    }
    Ok(total)
}

/// With each resource comes what to call it in an error.
type Parsed = Vec<(String, Resource)>;

fn parse_text(input: &str, default_role: &str) -> Result<Parsed, BadResources> {
    let items = input
        .split([';', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .enumerate()
        .map(|(i, item)| {
            let resource = parse_item(item, default_role);
            let resource = resource.map_err(|problem| BadResources::at(i + 1, item, problem))?;
            Ok((item.to_owned(), resource))
        })
        .collect()
}

fn parse_item(item: &str, default_role: &str) -> Result<Resource, Problem> {
    let (head, value) = match item.split_once('(') {
        // A bracket after the colon is not around a role.
        Some((name, rest)) if !name.contains(':') => {
            let (role, value) = rest.split_once(')').ok_or(Problem::Syntax)?;
            let value = value
                .trim_start()
                .strip_prefix(':')
                .ok_or(Problem::Syntax)?;
            ((name, role), value)
        }
        _ => {
            let (name, value) = item.split_once(':').ok_or(Problem::Syntax)?;
            ((name, default_role), value)
        }
    };
    let (name, role) = (head.0.trim(), head.1.trim());
    check_name(name)?;
    let mut resource = Resource::new(name, parse_amount(value.trim())?);
    if role != "*" {
        resource.reservations = vec![static_reservation(role.to_owned())?];
    }
    check(&resource)?;
    Ok(resource)
}

fn parse_amount(text: &str) -> Result<Amount, Problem> {
    match text.chars().next() {
        Some('[') => Ok(Amount::Ranges(Ranges::parse(text)?)),
        Some('{') => Ok(Amount::Set(Set::parse(text)?)),
        _ => match Scalar::parse(text) {
            Some(amount) => Ok(Amount::Scalar(amount)),
            None => Err(Problem::Value {
                text: text.to_owned(),
            }),
        },
    }
}

fn parse_json(input: &str, default_role: &str) -> Result<Parsed, BadResources> {
    let value: Value =
        json::parse(input.as_bytes()).map_err(|error| BadResources::whole(Problem::Json(error)))?;
    let items = value
        .as_array()
        .map_or(std::slice::from_ref(&value), Vec::as_slice);
    items
        .iter()
        .enumerate()
        .map(|(i, item)| {
            let name = item
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or("without a name");
            let refuse = |problem: Problem| BadResources::at(i + 1, name, problem);
            let message: v1::Resource =
                json::from_value(item).map_err(|error| refuse(Problem::Json(error)))?;
            let mut resource = Resource::try_from(&message).map_err(refuse)?;
            let names_a_role = item.get("role").is_some_and(|role| !role.is_null());
            if resource.reservations.is_empty() && !names_a_role && default_role != "*" {
                let reservation = static_reservation(default_role.to_owned()).map_err(refuse)?;
                resource.reservations = vec![reservation];
            }
            Ok((name.to_owned(), resource))
        })
        .collect()
}

/// A configuration says what the host has; what happens to it later is not configured.
fn check_configured(resource: &Resource) -> Result<(), Problem> {
    if resource.amount.is_empty() {
        return Err(Problem::Nothing);
    }
    if resource
        .reservations
        .iter()
        .any(|r| r.kind == ReservationKind::Dynamic)
    {
        return Err(Problem::ConfiguredDynamic);
    }
    if resource.is_persistent() || resource.disk().is_some_and(|disk| disk.volume.is_some()) {
        return Err(Problem::ConfiguredPersistence);
    }
    let source = resource.disk().and_then(|disk| disk.source.as_ref());
    if let Some(source) = source
        && !matches!(source.r#type(), source::Type::Path | source::Type::Mount)
    {
        return Err(Problem::ConfiguredSource);
    }
    let has_state = resource.revocable
        || resource.shared
        || resource.provider.is_some()
        || resource.allocation.is_some();
    if has_state {
        Err(Problem::ConfiguredState)
    } else {
        Ok(())
    }
}
