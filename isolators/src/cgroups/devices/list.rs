//! cgroup v1: the kernel keeps a default and exceptions from it. Pure: rules become such a list, and
//! two lists the fewest writes that lead from one to the other.

#[cfg(any(test, fuzzing))]
pub mod kernel;

use super::rule::{Access, BadRule, Key, Kind, Rule};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    allow: bool,
    /// What is allowed although the default denies, or the other way round.
    exceptions: Exceptions,
}

/// Each device once, in the order of the rules, in which the kernel tells them, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Exceptions(Vec<(Key, Access)>);

impl Exceptions {
    /// Nothing, when it is none.
    fn of(&self, key: &Key) -> Access {
        let mut all = self.0.iter();
        let found = all.find(|(one, _)| one == key);
        found.map_or(Access(0), |(_, access)| *access)
    }

    fn add(&mut self, key: Key, more: Access) {
        match self.0.iter_mut().find(|(one, _)| *one == key) {
            Some((_, access)) => *access = access.or(more),
            None => self.0.push((key, more)),
        }
    }
}

/// `devices.allow` or `devices.deny`, and a line for it.
pub type Write = (&'static str, String);

impl Key {
    fn contains(&self, other: &Self) -> bool {
        self.meet(other) == Some(*other)
    }

    /// The devices that both are about.
    fn meet(&self, other: &Self) -> Option<Self> {
        let number = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) if a != b => None,
            (a, b) => Some(a.or(b)),
        };
        (self.kind == other.kind).then_some(())?;
        Some(Self {
            kind: self.kind,
            major: number(self.major, other.major)?,
            minor: number(self.minor, other.minor)?,
        })
    }

    fn rule(self, allow: bool, access: Access) -> Rule {
        Rule {
            allow,
            kind: Some(self.kind),
            major: self.major,
            minor: self.minor,
            access,
        }
    }
}

impl List {
    /// What the rules come to, in their order; without any, all is denied.
    pub fn of(rules: &[Rule]) -> Result<Self, BadRule> {
        let mut list = Self {
            allow: false,
            exceptions: Exceptions::default(),
        };
        for rule in rules {
            list.apply(rule)?;
        }
        if !list.allow {
            list.join();
        }
        Ok(list)
    }

    /// From `devices.list`, where a cgroup that allows by default does not tell its exceptions.
    pub fn parse(text: &str) -> Option<Self> {
        let mut exceptions = Exceptions::default();
        for line in text.lines() {
            let mut words = line.split([' ', ':']);
            let kind = match words.next()? {
                "a" => {
                    return Some(Self {
                        allow: true,
                        exceptions: Exceptions::default(),
                    });
                }
                "b" => Kind::Block,
                "c" => Kind::Char,
                _ => return None,
            };
            let mut number = || match words.next()? {
                "*" => Some(None),
                number => number.parse().ok().map(Some),
            };
            let (major, minor) = (number()?, number()?);
            let key = Key { kind, major, minor };
            exceptions.add(key, Access::parse(words.next()?)?);
        }
        let allow = false;
        Some(Self { allow, exceptions })
    }

    fn apply(&mut self, rule: &Rule) -> Result<(), BadRule> {
        if rule.is_whole() {
            self.allow = rule.allow;
            self.exceptions = Exceptions::default();
            return Ok(());
        }
        for key in rule.keys() {
            if rule.allow == self.allow {
                self.take_back(key, rule)?;
            } else {
                self.exceptions.add(key, rule.access);
            }
        }
        Ok(())
    }

    fn take_back(&mut self, key: Key, rule: &Rule) -> Result<(), BadRule> {
        for (wider, access) in &mut self.exceptions.0 {
            if wider.meet(&key).is_none() || access.and(rule.access).is_none() {
                continue;
            }
            if !key.contains(wider) {
                return Err(BadRule::Hole {
                    rule: *rule,
                    within: wider.rule(!rule.allow, *access),
                });
            }
            *access = access.without(rule.access);
        }
        self.exceptions.0.retain(|(_, access)| !access.is_none());
        Ok(())
    }

    /// The kernel allows to open a device when one exception allows all of that, so reading and writing
    /// that two of them allow together needs one of its own. (To make a device is asked for alone.)
    fn join(&mut self) {
        while let Some((key, access)) = self.lacking() {
            self.exceptions.add(key, access);
        }
    }

    fn lacking(&self) -> Option<(Key, Access)> {
        let all = &self.exceptions.0;
        let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (a, b)));
        pairs
            .filter_map(|((a, _), (b, _))| a.meet(b))
            .find_map(|key| {
                let about = all.iter().filter(|(wider, _)| wider.contains(&key));
                let to_open = |access: &Access| access.without(Access::MKNOD);
                let sum = about
                    .clone()
                    .fold(Access(0), |sum, (_, access)| sum.or(to_open(access)));
                let has_it = about.clone().any(|(_, access)| to_open(access) == sum);
                (!has_it).then_some((key, sum))
            })
    }

    pub fn writes_to(&self, wanted: &Self) -> Vec<Write> {
        const ALLOW: &str = "devices.allow";
        const DENY: &str = "devices.deny";
        let mut writes = Vec::new();
        let none = Exceptions::default();
        let mut now = &self.exceptions;
        // A default that allows hides its exceptions, so there it is begun anew, too.
        if wanted.allow || self.allow {
            let file = if wanted.allow { ALLOW } else { DENY };
            writes.push((file, "a".to_owned()));
            now = &none;
        }
        let (add, remove) = if wanted.allow {
            (DENY, ALLOW)
        } else {
            (ALLOW, DENY)
        };
        let mut change = |file, from: &Exceptions, to: &Exceptions| {
            for (key, access) in &from.0 {
                let rest = access.without(to.of(key));
                if !rest.is_none() {
                    writes.push((file, key.rule(true, rest).to_string()));
                }
            }
        };
        change(remove, now, &wanted.exceptions);
        change(add, &wanted.exceptions, now);
        writes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rule::many::{rules, uses};
    use super::super::rule::naive::allows;
    use super::super::rule::{DENY_ALL, defaults};
    use super::kernel::Kernel;
    use super::*;

    proptest! {
        #[test]
        fn the_kernel_decides_as_the_rules_read(
            first in rules(),
            second in rules(),
            uses in prop::collection::vec(uses(), 32),
        ) {
            let mut kernel = Kernel::fresh();
            for rules in [first, second] {
                if kernel.change(&rules).is_ok() {
                    for (device, access) in &uses {
                        prop_assert_eq!(kernel.allows(*device, *access), allows(&rules, *device, *access));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let mut rules: Vec<_> = [DENY_ALL].into_iter().chain(defaults()).collect();
        let list = List::of(&rules).expect("a list");
        let allow_all = List::parse("a *:* rwm\n").expect("a list");
        let writes = allow_all.writes_to(&list);
        assert_eq!(writes.len(), rules.len());
        assert_eq!(writes[0], ("devices.deny", "a".to_owned()));
        assert_eq!(list.writes_to(&list), []);
        rules.pop();
        let fewer = List::of(&rules).expect("a list");
        assert_eq!(
            list.writes_to(&fewer),
            [("devices.deny", "c 10:200 rwm".to_owned())]
        );
        assert_eq!(
            fewer.writes_to(&list),
            [("devices.allow", "c 10:200 rwm".to_owned())]
        );
    }

    #[test]
    fn entries_are_in_the_order_of_the_rules() {
        let key = |kind, major| Key {
            kind,
            major: Some(major),
            minor: Some(7),
        };
        let asked = [
            key(Kind::Char, 10),
            key(Kind::Block, 8),
            key(Kind::Block, 3),
        ];
        let asked = asked.map(|key| key.rule(true, Access(2)));
        let rules: Vec<_> = asked.into_iter().chain(defaults()).collect();
        let now = List::parse("").expect("a list");
        let writes = now.writes_to(&List::of(&rules).expect("a list"));
        let lines: Vec<_> = writes.iter().map(|(_, line)| line.as_str()).collect();
        let wanted = [
            "c 10:7 r",
            "b 8:7 r",
            "b 3:7 r",
            "c *:* m",
            "b *:* m",
            "c 1:3 rwm",
        ];
        assert_eq!(lines[..6], wanted);
        assert_eq!(lines.len(), rules.len());
    }

    #[test]
    fn a_hole_is_refused_and_told() {
        let wide = Key {
            kind: Kind::Char,
            major: Some(1),
            minor: None,
        };
        let narrow = Key {
            minor: Some(3),
            ..wide
        };
        let rules = [wide.rule(true, Access::ALL), narrow.rule(false, Access(2))];
        let error = List::of(&rules).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "\"c 1:3 r\" is to be denied, or allowed, apart from \"c 1:* rwm\", but cgroup v1 cannot \
             take a part out of a wider rule: name the parts that stay"
        );
    }
}
