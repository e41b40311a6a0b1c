//! Amounts of scalar resources by name, which is all that fairness and thresholds look at.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use proto::resources::{Amount, Resources};

/// Thousandths by resource name; names with nothing are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quantities(BTreeMap<String, i64>);

impl Quantities {
    /// The non-revocable scalars of `resources`, whoever they are reserved for.
    pub fn of(resources: &Resources) -> Self {
        let mut sums = BTreeMap::new();
        for resource in resources.iter().filter(|resource| !resource.is_revocable()) {
            if let Amount::Scalar(scalar) = resource.amount() {
                let sum = sums.entry(resource.name().to_owned()).or_insert(0_i64);
                *sum = sum.saturating_add(thousandths(scalar.as_f64()));
            }
        }
        Self(sums)
    }

    /// What is no number counts as nothing.
    pub fn from_amounts<'a>(amounts: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        Self(
            amounts
                .into_iter()
                .map(|(name, n)| (name.to_owned(), thousandths(n)))
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let mine = self.0.entry(name.clone()).or_insert(0);
            *mine = mine.saturating_add(*amount);
        }
    }

    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(mine) = self.0.get_mut(name) {
                *mine = mine.saturating_sub(*amount);
            }
        }
        self.0.retain(|_, amount| *amount != 0);
    }

    pub fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(name, amount)| self.get(name) >= *amount)
    }

    /// The largest share of any one resource of `total`, from 0 up.
    pub fn dominant_share(&self, total: &Self) -> f64 {
        let share = |(name, amount): (&String, &i64)| match total.get(name) {
            0 => 0.0,
            all => *amount as f64 / all as f64,
        };
        self.0.iter().map(share).fold(0.0, f64::max)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0
            .iter()
            .map(|(name, amount)| (name.as_str(), *amount as f64 / 1000.0))
    }

    fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// Saturates, and is 0 for what is no number.
fn thousandths(amount: f64) -> i64 {
    (amount * 1000.0).round() as i64
}

#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read {0:?} as an amount of resources: write name:number;name:number, like cpus:0.01;mem:32"
)]
pub struct BadQuantities(String);

impl FromStr for Quantities {
    type Err = BadQuantities;
    fn from_str(text: &str) -> Result<Self, BadQuantities> {
        let bad = || BadQuantities(text.to_owned());
        let mut amounts = BTreeMap::new();
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            let (name, number) = part.split_once(':').ok_or_else(bad)?;
            let number = number
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite() && *n >= 0.0);
            amounts.insert(name.trim().to_owned(), thousandths(number.ok_or_else(bad)?));
        }
        Ok(Self(amounts))
    }
}

/// An agent is worth offering when what is free there covers one of the alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds(pub Vec<Quantities>);

impl Thresholds {
    pub fn met_by(&self, free: &Quantities) -> bool {
        self.0.is_empty() || self.0.iter().any(|alternative| free.covers(alternative))
    }
}

impl FromStr for Thresholds {
    type Err = BadQuantities;
    /// Alternatives are separated by `|`.
    fn from_str(text: &str) -> Result<Self, BadQuantities> {
        text.split('|')
            .filter(|part| !part.trim().is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Thresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, alternative) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "|" })?;
            for (j, (name, amount)) in alternative.0.iter().enumerate() {
                let separator = if j == 0 { "" } else { ";" };
                write!(f, "{separator}{name}:{}", *amount as f64 / 1000.0)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alternative_is_enough() {
        let thresholds: Thresholds = "cpus:0.01|mem:32".parse().unwrap();
        assert!(thresholds.met_by(&"cpus:0.01".parse().unwrap()));
        assert!(thresholds.met_by(&"mem:40;cpus:0".parse().unwrap()));
        assert!(!thresholds.met_by(&"cpus:0.009;mem:31".parse().unwrap()));
    }

    #[test]
    fn the_dominant_share_is_the_largest() {
        let total = "cpus:10;mem:1000".parse().unwrap();
        let used: Quantities = "cpus:1;mem:500".parse().unwrap();
        assert!((used.dominant_share(&total) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_bad_amount_is_quoted_with_the_right_form() {
        let error = "cpus=1".parse::<Quantities>().unwrap_err().to_string();
        assert!(
            error.contains("\"cpus=1\"") && error.contains("cpus:0.01;mem:32"),
            "{error}"
        );
    }
}
