//! `taskStats` of an app: how many instances run which definition, and how long they live.
//! Source: spec/marathon-api.md, section 4.6.

use serde_json::{Map, Value, json};

use super::json::Counts;
use crate::app::Timestamp;
use crate::instance::Instance;
use crate::root::Revision;

type Belongs<'a> = &'a dyn Fn(&Instance) -> bool;

/// Keys of groups without instances are left out.
pub fn task_stats(revision: &Revision, instances: &[&Instance], now: Timestamp) -> Value {
    let is_latest = |i: &Instance| i.definition == revision.last_config_change_at;
    let groups: [(&str, Belongs<'_>); 4] = [
        ("startedAfterLastScaling", &|i| {
            i.staged_at >= revision.last_scaling_at
        }),
        ("withLatestConfig", &is_latest),
        ("withOutdatedConfig", &|i| !is_latest(i)),
        ("totalSummary", &|_| true),
    ];
    let mut stats = Map::new();
    for (key, belongs) in groups {
        let members: Vec<&Instance> = instances.iter().copied().filter(|i| belongs(i)).collect();
        if !members.is_empty() {
            stats.insert(key.to_owned(), json!({"stats": summary(&members, now)}));
        }
    }
    Value::Object(stats)
}

fn summary(instances: &[&Instance], now: Timestamp) -> Value {
    let counts = Counts::of(instances);
    let mut summary = json!({"counts": {
        "staged": counts.staged,
        "running": counts.running,
        "healthy": counts.healthy,
        "unhealthy": counts.unhealthy,
    }});
    // Milliseconds and counts are exact as f64 up to 2^53.
    let age = |i: &&Instance| Some((now.millis() - i.started_at?.millis()).max(0) as f64 / 1000.0);
    let mut ages: Vec<f64> = instances.iter().filter_map(age).collect();
    ages.sort_by(f64::total_cmp);
    if let Some(median) = median(&ages) {
        let average = ages.iter().sum::<f64>() / ages.len() as f64;
        summary["lifeTime"] = json!({"averageSeconds": average, "medianSeconds": median});
    }
    summary
}

fn median(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    let upper = sorted.get(half)?;
    let below = half.checked_sub(1).and_then(|at| sorted.get(at));
    Some(match below {
        Some(lower) if sorted.len().is_multiple_of(2) => (lower + upper) / 2.0,
        _ => *upper,
    })
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 3.0]), Some(2.0));
        assert_eq!(median(&[1.0, 3.0, 9.0]), Some(3.0));
    }
}
