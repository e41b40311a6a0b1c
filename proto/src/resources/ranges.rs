//! Sets of numbers such as ports, kept as ranges.

use std::fmt;
use std::ops::RangeInclusive;

/// A set of numbers: inclusive ranges that are sorted, do not touch and do not overlap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ranges {
    ranges: Vec<(u64, u64)>,
}

/// Why something is not a list of ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRanges {
    #[error("{text:?} is not a list of ranges: write [begin-end,begin-end], such as [31000-32000]")]
    Syntax { text: String },
    #[error("range {begin}-{end} ends before it begins: write [{end}-{begin}]")]
    Inverted { begin: u64, end: u64 },
    #[error("ranges overlap at {at}: name each number once")]
    Overlap { at: u64 },
}

impl Ranges {
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Takes inclusive ranges in any order. An error if one is inverted or two overlap.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, BadRanges> {
        let mut ranges: Vec<(u64, u64)> = pairs.into_iter().collect();
        if let Some(&(begin, end)) = ranges.iter().find(|(begin, end)| begin > end) {
            return Err(BadRanges::Inverted { begin, end });
        }
        ranges.sort_unstable();
        let overlap = ranges.windows(2).find(|pair| pair[0].1 >= pair[1].0);
        match overlap {
            Some(pair) => Err(BadRanges::Overlap { at: pair[1].0 }),
            None => Ok(Self {
                ranges: coalesce(ranges),
            }),
        }
    }

    /// Reads `[31000-32000,5000-5000]`. Blanks are fine, and so is a single number for a range.
    pub fn parse(text: &str) -> Result<Self, BadRanges> {
        let bad = || BadRanges::Syntax {
            text: text.to_owned(),
        };
        let inner = text
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let inner = inner.ok_or_else(bad)?.trim();
        if inner.is_empty() {
            return Ok(Self::new());
        }
        let number = |text: &str| {
            let text = text.trim();
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let pair = |item: &str| {
            let (begin, end) = item.split_once('-').unwrap_or((item, item));
            Some((number(begin)?, number(end)?))
        };
        let pairs: Option<Vec<(u64, u64)>> = inner.split(',').map(pair).collect();
        Self::from_pairs(pairs.ok_or_else(bad)?)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers there are; `u64::MAX` also stands for one more than that.
    #[must_use]
    pub fn len(&self) -> u64 {
        let size = |&(begin, end): &(u64, u64)| (end - begin).saturating_add(1);
        self.ranges.iter().map(size).fold(0, u64::saturating_add)
    }

    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let after = self.ranges.partition_point(|&(begin, _)| begin <= number);
        after > 0 && self.ranges[after - 1].1 >= number
    }

    /// Whether every number of `other` is here.
    #[must_use]
    pub(super) fn contains_all(&self, other: &Self) -> bool {
        other.subtract(self).is_empty()
    }

    #[must_use]
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        !self.intersect(other).is_empty()
    }

    /// Every number, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|&(begin, end)| begin..=end)
    }

    /// Every range, smallest first.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|&(begin, end)| begin..=end)
    }

    #[must_use]
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut ranges = [self.ranges.as_slice(), other.ranges.as_slice()].concat();
        ranges.sort_unstable();
        Self {
            ranges: coalesce(ranges),
        }
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.ranges.len());
        let mut holes = other.ranges.iter().copied().peekable();
        for &(begin, end) in &self.ranges {
            let mut begin = Some(begin);
            while let Some(from) = begin {
                // Ranges of ours come sorted, so a hole that ends before this one is done with.
                while holes.next_if(|hole| hole.1 < from).is_some() {}
                match holes.peek() {
                    Some(&(hole, hole_end)) if hole <= end => {
                        if hole > from {
                            left.push((from, hole - 1));
                        }
                        begin = hole_end.checked_add(1).filter(|&next| next <= end);
                    }
                    _ => {
                        left.push((from, end));
                        begin = None;
                    }
                }
            }
        }
        Self { ranges: left }
    }

    #[must_use]
    fn intersect(&self, other: &Self) -> Self {
        self.subtract(&self.subtract(other))
    }
}

/// Joins sorted ranges that touch or overlap.
fn coalesce(sorted: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
    for (begin, end) in sorted {
        match joined.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => joined.push((begin, end)),
        }
    }
    joined
}

/// The range of those numbers; empty if it is inverted.
impl From<RangeInclusive<u64>> for Ranges {
    fn from(range: RangeInclusive<u64>) -> Self {
        let (begin, end) = range.into_inner();
        Self {
            ranges: if begin <= end {
                vec![(begin, end)]
            } else {
                Vec::new()
            },
        }
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut ranges: Vec<(u64, u64)> = numbers.into_iter().map(|n| (n, n)).collect();
        ranges.sort_unstable();
        Self {
            ranges: coalesce(ranges),
        }
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (begin, end)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{begin}-{end}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(text: &str) -> Ranges {
        Ranges::parse(text).unwrap()
    }

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(ranges("[6-9, 1-5,20-20]").to_string(), "[1-9,20-20]");
        assert_eq!(ranges("[7]").to_string(), "[7-7]");
        assert_eq!(ranges("[]"), Ranges::new());
        assert_eq!(ranges("[0-18446744073709551615]").len(), u64::MAX);
    }

    #[test]
    fn bad_ranges_are_explained() {
        let error = |text| Ranges::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("[5-1]"),
            "range 5-1 ends before it begins: write [1-5]"
        );
        assert_eq!(
            error("[1-5,3-8]"),
            "ranges overlap at 3: name each number once"
        );
        for text in [
            "", "1-5", "[1-5", "[a-b]", "[1-2-3]", "[1-]", "[-1]", "[1-5,]", "[1;2]",
        ] {
            assert!(error(text).contains("is not a list of ranges"), "{text}");
        }
    }

    #[test]
    fn the_largest_number_is_no_special_case() {
        let all = Ranges::from(0..=u64::MAX);
        let last = Ranges::from(u64::MAX..=u64::MAX);
        assert_eq!(all.subtract(&last), Ranges::from(0..=u64::MAX - 1));
        assert_eq!(all.union(&last), all);
        assert!(all.subtract(&all).is_empty());
        assert!(all.contains(u64::MAX));
    }

    fn model() -> impl Strategy<Value = BTreeSet<u64>> {
        prop::collection::btree_set(0u64..40, 0..25)
    }

    fn of(model: &BTreeSet<u64>) -> Ranges {
        model.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn ranges_are_a_set_of_numbers(a in model(), b in model(), n in 0u64..42) {
            let (x, y) = (of(&a), of(&b));
            prop_assert!(x.iter().eq(a.iter().copied()));
            prop_assert_eq!(x.len(), a.len() as u64);
            prop_assert_eq!(x.contains(n), a.contains(&n));
            prop_assert_eq!(x.union(&y), of(&(&a | &b)));
            prop_assert_eq!(x.subtract(&y), of(&(&a - &b)));
            prop_assert_eq!(x.intersect(&y), of(&(&a & &b)));
            prop_assert_eq!(x.contains_all(&y), a.is_superset(&b));
            prop_assert_eq!(x.overlaps(&y), !a.is_disjoint(&b));
        }

        #[test]
        fn written_ranges_read_back(a in model()) {
            prop_assert_eq!(Ranges::parse(&of(&a).to_string()), Ok(of(&a)));
        }
    }
}
