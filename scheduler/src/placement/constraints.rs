//! Where an app wants its instances: the operators of spec/marathon-api.md, section 8.

use std::collections::BTreeMap;

use proto::v1;
use serde::{Deserialize, Serialize};

use crate::app::constraint::{Constraint, Operator};

/// What constraints can see of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Site {
    pub hostname: String,
    pub region: Option<String>,
    pub zone: Option<String>,
    pub attributes: BTreeMap<String, String>,
}

impl Site {
    pub fn of(offer: &v1::Offer) -> Self {
        let domain = offer.domain.as_ref().and_then(|d| d.fault_domain.as_ref());
        Self {
            hostname: offer.hostname.clone(),
            region: domain.map(|d| d.region.name.clone()),
            zone: domain.map(|d| d.zone.name.clone()),
            attributes: offer
                .attributes
                .iter()
                .map(|a| (a.name.clone(), proto::attributes::text(a)))
                .collect(),
        }
    }

    /// The text a constraint on `field` compares, if this agent has any.
    pub fn value(&self, field: &str) -> Option<&str> {
        match field {
            "hostname" | "@hostname" => Some(&self.hostname),
            "@region" => self.region.as_deref(),
            "@zone" => self.zone.as_deref(),
            attribute => self.attributes.get(attribute).map(String::as_str),
        }
    }
}

/// What is known when an agent is judged for one more instance.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Agents of the live instances of the app's present definition, one entry per instance.
    pub placed: &'a [&'a Site],
    /// Agents that could be chosen now.
    pub candidates: &'a [&'a Site],
    /// How many instances the app shall have.
    pub target: u32,
}

/// Whether `site` may take one more instance.
pub fn fits(constraint: &Constraint, site: &Site, scene: Scene<'_>) -> bool {
    let field = constraint.field.as_str();
    let Some(here) = site.value(field) else {
        return matches!(constraint.operator, Operator::Unlike(_));
    };
    match &constraint.operator {
        Operator::Unique => count_of(scene.placed, field, here) == 0,
        Operator::Cluster(Some(wanted)) => here == wanted,
        Operator::Cluster(None) => scene.placed.iter().all(|p| p.value(field) == Some(here)),
        Operator::Like(pattern) => pattern.matches(here),
        Operator::Unlike(pattern) => !pattern.matches(here),
        Operator::MaxPer(most) => count_of(scene.placed, field, here) < *most as usize,
        Operator::Is(wanted) => same_value(wanted, here),
        Operator::GroupBy(Some(groups)) => spreads(field, here, *groups as usize, scene),
        Operator::GroupBy(None) => is_least_used(field, here, scene),
    }
}

fn count_of(placed: &[&Site], field: &str, value: &str) -> usize {
    placed
        .iter()
        .filter(|p| p.value(field) == Some(value))
        .count()
}

fn same_value(wanted: &str, here: &str) -> bool {
    match (wanted.parse::<f64>(), here.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() < 0.0005,
        _ => wanted == here,
    }
}

/// At most `groups` values, each with the same number of instances or one more.
fn spreads(field: &str, here: &str, groups: usize, scene: Scene<'_>) -> bool {
    let counts = counts_by_value(scene.placed, field);
    let target = scene.target as usize;
    let (share, extra) = (target / groups, target % groups);
    let count = counts.get(here).copied().unwrap_or(0);
    if count == 0 && counts.len() >= groups {
        return false;
    }
    let with_extra = counts.values().filter(|c| **c > share).count();
    count < share || (count == share && with_extra < extra)
}

/// How many groups there are is unknown: fill up the emptiest one that can be seen.
fn is_least_used(field: &str, here: &str, scene: Scene<'_>) -> bool {
    let mut counts = counts_by_value(scene.placed, field);
    for value in scene.candidates.iter().filter_map(|c| c.value(field)) {
        counts.entry(value).or_insert(0);
    }
    let count = counts.get(here).copied().unwrap_or(0);
    counts.values().all(|c| count <= *c)
}

fn counts_by_value<'a>(placed: &[&'a Site], field: &str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for value in placed.iter().filter_map(|p| p.value(field)) {
        *counts.entry(value).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(hostname: &str, rack: &str) -> Site {
        Site {
            hostname: hostname.into(),
            attributes: [("rack".to_owned(), rack.to_owned())].into(),
            ..Site::default()
        }
    }

    fn constraint(words: &[&str]) -> Constraint {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        Constraint::parse(&words).unwrap()
    }

    #[test]
    fn each_operator_judges_host_a_in_rack_1() {
        let (a, b, c) = (site("a", "1"), site("b", "1"), site("c", "2"));
        #[rustfmt::skip]
        let table: &[(&[&str], &[&Site], bool)] = &[
            (&["hostname", "UNIQUE"], &[], true),
            (&["hostname", "UNIQUE"], &[&b, &c], true),
            (&["hostname", "UNIQUE"], &[&a], false),
            (&["@hostname", "UNIQUE"], &[&a], false),
            (&["rack", "UNIQUE"], &[&b], false),
            (&["rack", "CLUSTER"], &[], true),
            (&["rack", "CLUSTER"], &[&b], true),
            (&["rack", "CLUSTER"], &[&c], false),
            (&["rack", "CLUSTER", "1"], &[&c], true),
            (&["rack", "CLUSTER", "2"], &[], false),
            (&["hostname", "LIKE", "a|b"], &[], true),
            (&["hostname", "LIKE", "[b-z]"], &[], false),
            (&["hostname", "LIKE", "b|aa"], &[], false),
            (&["hostname", "UNLIKE", "a.*"], &[], false),
            (&["hostname", "UNLIKE", "b.*"], &[], true),
            (&["disk", "LIKE", ".*"], &[], false),
            (&["disk", "UNLIKE", ".*"], &[], true),
            (&["disk", "UNIQUE"], &[], false),
            (&["rack", "MAX_PER", "2"], &[&b], true),
            (&["rack", "MAX_PER", "2"], &[&b, &b], false),
            (&["rack", "IS", "1"], &[], true),
            (&["rack", "IS", "1.0"], &[], true),
            (&["rack", "IS", "2"], &[], false),
            (&["rack", "GROUP_BY", "2"], &[&b, &c], true),
            (&["rack", "GROUP_BY", "2"], &[&b, &b], false),
            (&["rack", "GROUP_BY", "1"], &[&c], false),
            (&["rack", "GROUP_BY"], &[&b], false),
            (&["rack", "GROUP_BY"], &[&b, &c], true),
            (&["@zone", "CLUSTER"], &[], false),
        ];
        let candidates = [&a, &b, &c];
        for (words, placed, expected) in table {
            let scene = Scene {
                placed,
                candidates: &candidates,
                target: 4,
            };
            assert_eq!(
                fits(&constraint(words), &a, scene),
                *expected,
                "{words:?} {placed:?}"
            );
        }
    }

    #[test]
    fn group_by_gives_the_remainder_to_only_so_many_groups() {
        let (a, b) = (site("a", "1"), site("b", "2"));
        let by_rack = constraint(&["rack", "GROUP_BY", "2"]);
        let after_two = Scene {
            placed: &[&a, &b],
            candidates: &[],
            target: 3,
        };
        assert!(fits(&by_rack, &a, after_two));
        let after_three = Scene {
            placed: &[&a, &a, &b],
            candidates: &[],
            target: 3,
        };
        assert!(!fits(&by_rack, &b, after_three));
    }
}
