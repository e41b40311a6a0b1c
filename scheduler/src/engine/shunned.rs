//! Ports of agents at which an instance could not be launched. Somebody may have one there who does not hold it,
//! and an offer does not tell: so they are the last to be chosen, for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::app::Timestamp;

/// After that whoever had a port may have gone.
const MEMORY: Duration = Duration::from_secs(600);

/// Since when, by agent and port.
#[derive(Debug, Default)]
pub(super) struct Shunned(BTreeMap<(String, u16), Timestamp>);

impl Shunned {
    pub(super) fn add(&mut self, agent: &str, ports: &[u16], now: Timestamp) {
        self.0.retain(|_, since| is_remembered(*since, now));
        let ports = ports.iter().map(|port| ((agent.to_owned(), *port), now));
        self.0.extend(ports);
    }

    pub(super) fn of(&self, agent: &str, now: Timestamp) -> BTreeSet<u16> {
        let of_agent = (agent.to_owned(), 0)..=(agent.to_owned(), u16::MAX);
        let all = self.0.range(of_agent);
        let all = all.filter(|(_, since)| is_remembered(**since, now));
        all.map(|((_, port), _)| *port).collect()
    }
}

fn is_remembered(since: Timestamp, now: Timestamp) -> bool {
    let age = now.millis().saturating_sub(since.millis());
    // A clock that was set back makes nobody remember for longer.
    (0..MEMORY.as_millis() as i64).contains(&age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_shunned_on_its_agent_for_a_while() {
        let at = Timestamp::from_millis;
        let mut shunned = Shunned::default();
        shunned.add("a", &[31000, 31001], at(1_000));
        shunned.add("b", &[31002], at(600_999));
        assert_eq!(shunned.of("a", at(600_999)), [31000, 31001].into());
        assert_eq!(shunned.of("a", at(601_000)), [].into());
        assert_eq!(shunned.of("a", at(999)), [].into());
        assert_eq!(shunned.of("b", at(601_000)), [31002].into());
        shunned.add("b", &[], at(601_000));
        assert_eq!(shunned.0.len(), 1);
    }
}
