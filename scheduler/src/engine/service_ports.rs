//! Service ports: a number for each port of an app, for load balancers, unique over all apps.
//! Source: spec/marathon-api.md, section 6.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::app::App;
use crate::app::ports::service_ports;

/// Every number of the range is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted(pub RangeInclusive<u16>);

/// Gives every port of `app` that has no number the one it had in `previous`, else the lowest
/// number of `range` that nobody has. Required ports stay as they are: for those the number is also
/// the host port, and 0 leaves the choice to the offer.
pub fn assign(
    app: &mut App,
    previous: Option<&App>,
    taken: &BTreeSet<u16>,
    range: RangeInclusive<u16>,
) -> Result<(), Exhausted> {
    let before = previous.map(service_ports).unwrap_or_default();
    let mut mine: BTreeSet<u16> = service_ports(app).into_iter().collect();
    let require_ports = app.require_ports;
    let definitions = app.port_definitions.iter_mut().filter(|_| !require_ports);
    let mappings = app.container.iter_mut().flat_map(|c| &mut c.port_mappings);
    let ports = definitions
        .map(|d| &mut d.port)
        .chain(mappings.map(|m| &mut m.service_port));
    for (at, port) in ports.enumerate().filter(|(_, port)| **port == 0) {
        let kept = before
            .get(at)
            .copied()
            .filter(|p| *p != 0 && !mine.contains(p));
        let lowest = || {
            range
                .clone()
                .find(|p| !taken.contains(p) && !mine.contains(p))
        };
        *port = kept
            .or_else(lowest)
            .ok_or_else(|| Exhausted(range.clone()))?;
        mine.insert(*port);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn app(ports: &[u16]) -> App {
        App::create(&json!({"id": "/a", "cmd": "true", "ports": ports})).unwrap()
    }

    #[test]
    fn a_port_keeps_its_number_or_gets_the_lowest_free_one() {
        let taken = BTreeSet::from([10000, 10002]);
        let mut first = app(&[0, 80, 0]);
        assign(&mut first, None, &taken, 10000..=10009).unwrap();
        assert_eq!(service_ports(&first), [10001, 80, 10003]);
        let mut second = app(&[0, 80, 0, 0]);
        assign(&mut second, Some(&first), &taken, 10000..=10009).unwrap();
        assert_eq!(service_ports(&second), [10001, 80, 10003, 10004]);
    }

    #[test]
    fn a_full_range_is_an_error() {
        let taken = BTreeSet::from([1, 2]);
        assert_eq!(
            assign(&mut app(&[0]), None, &taken, 1..=2),
            Err(Exhausted(1..=2))
        );
    }

    #[test]
    fn a_required_port_is_not_chosen_here() {
        let body = json!({"id": "/a", "cmd": "true", "ports": [0], "requirePorts": true});
        let mut app = App::create(&body).unwrap();
        assign(&mut app, None, &BTreeSet::new(), 1..=2).unwrap();
        assert_eq!(service_ports(&app), [0]);
    }
}
