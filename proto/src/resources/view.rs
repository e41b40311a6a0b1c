//! What others read from resources: totals by name, and the flat objects of v0.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Amount, Ranges, Resource, Resources, Scalar};

/// Names that flat objects always have, as numbers.
const ALWAYS: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

impl Resources {
    /// All cpus, whoever they are reserved for.
    #[must_use]
    pub fn cpus(&self) -> f64 {
        self.scalar("cpus").as_f64()
    }

    /// All memory, in MB.
    #[must_use]
    pub fn mem(&self) -> f64 {
        self.scalar("mem").as_f64()
    }

    /// All disk space, in MB.
    #[must_use]
    pub fn disk(&self) -> f64 {
        self.scalar("disk").as_f64()
    }

    /// All GPUs.
    #[must_use]
    pub fn gpus(&self) -> f64 {
        self.scalar("gpus").as_f64()
    }

    /// All ports, whoever they are reserved for.
    #[must_use]
    pub fn ports(&self) -> Ranges {
        self.named("ports")
            .fold(Ranges::new(), |all, resource| match &resource.amount {
                Amount::Ranges(ranges) => all.union(ranges),
                Amount::Scalar(_) | Amount::Set(_) => all,
            })
    }

    /// The sum of all scalars of that name.
    #[must_use]
    pub fn scalar(&self, name: &str) -> Scalar {
        self.named(name)
            .map(|resource| match &resource.amount {
                Amount::Scalar(scalar) => *scalar,
                Amount::Ranges(_) | Amount::Set(_) => Scalar::ZERO,
            })
            .sum()
    }

    /// One value per name, as v0 endpoints show resources: always numbers for cpus, gpus, mem and
    /// disk; ranges and sets as text, `"ports":"[31000-32000]"`; revocable ones as
    /// `cpus_revocable`.
    #[must_use]
    pub fn flat_json(&self) -> Map<String, Value> {
        let mut amounts: BTreeMap<String, Amount> = ALWAYS
            .iter()
            .map(|&name| (name.to_owned(), Amount::Scalar(Scalar::ZERO)))
            .collect();
        for resource in self.iter() {
            let amount = &resource.amount;
            amounts
                .entry(resource.flat_name())
                // Two types under one name cannot be added; the first one is shown.
                .and_modify(|sum| *sum = sum.add(amount).unwrap_or_else(|| sum.clone()))
                .or_insert_with(|| amount.clone());
        }
        amounts
            .into_iter()
            .map(|(name, amount)| (name, flat_value(&amount)))
            .collect()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Resource> {
        self.iter().filter(move |resource| resource.name == name)
    }
}

fn flat_value(amount: &Amount) -> Value {
    match amount {
        Amount::Scalar(scalar) => Value::from(scalar.as_f64()),
        Amount::Ranges(ranges) => Value::from(ranges.to_string()),
        Amount::Set(set) => Value::from(set.to_string()),
    }
}
