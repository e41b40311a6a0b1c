//! Which pairs there are, and how far they are tried. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use failpoint::Point;

/// Where an agent dies, and where the next one.
pub type Pair = (Point, Point);

#[derive(Debug, Default)]
pub struct Ledger {
    /// By the first point of a pair, the second points that nobody has tried yet.
    open: BTreeMap<Point, BTreeSet<Point>>,
    /// Pairs that there are: something was seen to come to the second point after the first.
    pairs: usize,
    recorded: usize,
    /// Both deaths were died, and all was well.
    reached: BTreeSet<Pair>,
    /// To be tried alone.
    alone: BTreeSet<Pair>,
    /// Tried, and the second point was not come to.
    missed: BTreeSet<Pair>,
    failed: BTreeSet<Pair>,
    /// Chains that failed, though each of their pairs may be well.
    failed_chains: usize,
    unreached: Vec<Point>,
}

impl Ledger {
    pub fn none_comes_to(&mut self, point: Point) {
        self.unreached.push(point);
    }

    pub fn unreached(&self) -> &[Point] {
        &self.unreached
    }

    pub fn can_follow(&mut self, first: Point, seconds: impl Iterator<Item = Point>) {
        let seconds: BTreeSet<_> = seconds.collect();
        self.pairs += seconds.len();
        self.recorded += 1;
        self.open.insert(first, seconds);
    }

    /// A point to begin a chain with: the one that most is to be tried after, if it is near.
    pub fn head(&self, is_near: impl Fn(Point) -> bool) -> Option<Point> {
        let open = self.open.iter().filter(|(_, seconds)| !seconds.is_empty());
        let most = open.max_by_key(|(first, seconds)| (is_near(**first), seconds.len()));
        most.map(|(first, _)| *first)
    }

    /// Takes the next point after `last`: of those that are `possible` the one that most is to be tried
    /// after, so that a chain goes on.
    pub fn next(&mut self, last: Point, possible: impl Fn(Point) -> bool) -> Option<Point> {
        let left = |point: &Point| self.open.get(point).map_or(0, BTreeSet::len);
        let seconds = self.open.get(&last)?.iter().copied();
        let next = seconds.filter(|point| possible(*point)).max_by_key(left)?;
        self.open.get_mut(&last)?.remove(&next);
        Some(next)
    }

    /// `links`: where agents died after `first`, one after the other; the last may not have.
    pub fn chain_done(&mut self, first: Point, links: &[(Point, bool)]) {
        for (pair, died) in pairs(first, links) {
            match died {
                true => self.reached.insert(pair),
                false => self.alone.insert(pair),
            };
        }
    }

    pub fn chain_failed(&mut self, first: Point, links: &[(Point, bool)]) {
        self.failed_chains += 1;
        self.alone.extend(pairs(first, links).map(|(pair, _)| pair));
        if links.is_empty() {
            // It did not even come to its first death: that is none to begin with.
            let seconds = self.open.remove(&first).unwrap_or_default();
            self.failed
                .extend(seconds.into_iter().map(|it| (first, it)));
        }
    }

    /// Those that no chain has shown anything of.
    pub fn alone(&mut self) -> BTreeSet<Pair> {
        std::mem::take(&mut self.alone)
    }

    pub fn tried_alone(&mut self, pair: Pair, died: bool, failed: bool) {
        match (failed, died) {
            (true, _) => self.failed.insert(pair),
            (false, true) => self.reached.insert(pair),
            (false, false) => self.missed.insert(pair),
        };
    }

    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.failed_chains == 0 && self.unreached.is_empty()
    }
}

fn pairs(first: Point, links: &[(Point, bool)]) -> impl Iterator<Item = (Pair, bool)> {
    let firsts = [first]
        .into_iter()
        .chain(links.iter().map(|(point, _)| *point));
    firsts
        .zip(links)
        .map(|(first, (second, died))| ((first, *second), *died))
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cannot_follow = self.recorded * failpoint::ALL.len() - self.pairs + self.missed.len();
        let (reached, failed) = (self.reached.len(), self.failed.len());
        write!(
            f,
            "{} tried, {reached} reached, {cannot_follow} cannot follow, {} points not reached, {} chains \
             failed, {failed} failed",
            reached + failed + self.missed.len(),
            self.unreached.len(),
            self.failed_chains
        )
    }
}
