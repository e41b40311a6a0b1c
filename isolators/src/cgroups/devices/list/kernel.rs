//! The kernel's side of a list: what the writes make of it.

use super::super::rule::{Access, BadRule, Key, Rule};
use super::{Exceptions, List, Write};

/// As security/device_cgroup.c has it.
#[derive(Debug, Clone)]
pub struct Kernel(List);

impl Kernel {
    pub fn fresh() -> Self {
        Self(List {
            allow: true,
            exceptions: Exceptions::default(),
        })
    }

    fn write(&mut self, (file, line): &Write) {
        let allow = *file == "devices.allow";
        if line == "a" {
            self.0 = List {
                allow,
                exceptions: Exceptions::default(),
            };
            return;
        }
        let parsed = List::parse(line).expect("a line");
        let (key, access) = *parsed.exceptions.0.first().expect("an exception");
        if allow == self.0.allow {
            for (one, had) in &mut self.0.exceptions.0 {
                if *one == key {
                    *had = had.without(access);
                }
            }
            self.0.exceptions.0.retain(|(_, access)| !access.is_none());
        } else {
            self.0.exceptions.add(key, access);
        }
    }

    pub fn allows(&self, device: Key, access: Access) -> bool {
        let mut about = self
            .0
            .exceptions
            .0
            .iter()
            .filter(|(key, _)| key.contains(&device));
        if self.0.allow {
            !about.any(|(_, exception)| !exception.and(access).is_none())
        } else {
            about.any(|(_, exception)| access.without(*exception).is_none())
        }
    }

    fn list(&self) -> String {
        if self.0.allow {
            return "a *:* rwm\n".to_owned();
        }
        let lines = self.0.exceptions.0.iter();
        lines
            .map(|(key, access)| format!("{}\n", key.rule(true, *access)))
            .collect()
    }

    pub fn change(&mut self, rules: &[Rule]) -> Result<(), BadRule> {
        let wanted = List::of(rules)?;
        let now = List::parse(&self.list()).expect("a list");
        now.writes_to(&wanted)
            .iter()
            .for_each(|write| self.write(write));
        Ok(())
    }
}
