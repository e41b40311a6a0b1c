//! Which instances go first when there are too many. Source: spec/marathon-api.md, section 9.5.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::app::constraint::Operator;
use crate::app::{App, KillSelection};
use crate::instance::{Instance, InstanceId, Phase};

/// Chooses `count` of `instances`: from the most crowded group if `app` wants an even spread, then
/// the one that is least use, then by age.
pub fn choose(app: &App, mut instances: Vec<&Instance>, count: usize) -> Vec<InstanceId> {
    instances.sort_by_key(|i| {
        let age = i.staged_at.millis();
        let by_age = match app.kill_selection {
            KillSelection::OldestFirst => age,
            KillSelection::YoungestFirst => -age,
        };
        (usefulness(i), by_age, &i.id)
    });
    let spread = app
        .constraints
        .iter()
        .find(|c| matches!(c.operator, Operator::GroupBy(_)));
    let Some(field) = spread.map(|c| c.field.as_str()) else {
        return instances.iter().take(count).map(|i| i.id.clone()).collect();
    };
    let mut chosen = Vec::new();
    while chosen.len() < count && !instances.is_empty() {
        let mut crowds: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        for instance in &instances {
            *crowds.entry(instance.site.value(field)).or_insert(0) += 1;
        }
        let crowd_of = |i: &Instance| crowds.get(&i.site.value(field)).copied();
        // min_by_key takes the first of equals, so the order from above decides.
        let worst = (0..instances.len()).min_by_key(|at| Reverse(crowd_of(instances[*at])));
        let Some(at) = worst else { break };
        chosen.push(instances.remove(at).id.clone());
    }
    chosen
}

fn usefulness(instance: &Instance) -> u8 {
    match (instance.phase, instance.healthy) {
        (Phase::Unreachable { .. }, _) => 0,
        (Phase::Killing, _) => 1,
        (Phase::Staging, _) => 2,
        (Phase::Starting, _) => 3,
        (Phase::Running, Some(false)) => 4,
        (Phase::Running, None) if instance.is_checked => 4,
        (Phase::Running, _) => 5,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::app::Timestamp;
    use crate::placement::Site;

    fn app(more: Value) -> App {
        let mut body = json!({"id": "/a", "cmd": "true"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        App::create(&body).unwrap()
    }

    fn instance(number: u128, phase: Phase, rack: &str) -> Instance {
        let app: crate::app::AppId = "/a".parse().unwrap();
        let staged_at = Timestamp::from_millis(i64::try_from(number).unwrap());
        Instance {
            id: InstanceId::new(&app, Uuid::from_u128(number)),
            app,
            incarnation: 1,
            version: staged_at,
            definition: staged_at,
            agent_id: "agent".into(),
            site: Site {
                attributes: [("rack".into(), rack.into())].into(),
                ..Site::default()
            },
            ports: Vec::new(),
            addresses: Vec::new(),
            staged_at,
            started_at: None,
            phase,
            healthy: None,
            is_checked: false,
            ending: None,
        }
    }

    fn numbers(chosen: &[InstanceId]) -> Vec<u32> {
        let last_digit = |id: &InstanceId| id.as_str().chars().last().and_then(|c| c.to_digit(10));
        chosen.iter().map(|id| last_digit(id).unwrap()).collect()
    }

    #[test]
    fn the_least_useful_go_first_and_then_the_youngest() {
        let all = [
            instance(1, Phase::Running, ""),
            instance(2, Phase::Running, ""),
            instance(3, Phase::Staging, ""),
            instance(
                4,
                Phase::Unreachable {
                    since: Timestamp::from_millis(9),
                },
                "",
            ),
        ];
        let order = |app| numbers(&choose(&app, all.iter().collect(), 4));
        assert_eq!(order(app(json!({}))), [4, 3, 2, 1]);
        assert_eq!(
            order(app(json!({"killSelection": "OLDEST_FIRST"}))),
            [4, 3, 1, 2]
        );
    }

    #[test]
    fn an_even_spread_loses_from_its_most_crowded_group() {
        let all = [
            instance(1, Phase::Running, "x"),
            instance(2, Phase::Running, "x"),
            instance(3, Phase::Running, "x"),
            instance(4, Phase::Running, "y"),
        ];
        let app = app(json!({"constraints": [["rack", "GROUP_BY"]]}));
        assert_eq!(numbers(&choose(&app, all.iter().collect(), 2)), [3, 2]);
    }
}
