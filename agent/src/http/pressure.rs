//! For how long a container's processes have waited for what they wanted to use. Ours: Mesos has no
//! such key, and cgroup v1 no such numbers.

use containerizer::{Pressure, Stall};
use isolators::cgroups::Pressures;
use serde_json::{Map, Value, json};

/// `None` where nothing is measured.
pub fn pressure(pressures: &Pressures) -> Option<Value> {
    let Pressures { cpu, memory, io } = pressures;
    let all = [("cpu", cpu), ("memory", memory), ("io", io)];
    let measured = all.into_iter().filter_map(|(name, pressure)| {
        let pressure = pressure.as_ref()?;
        Some((name.to_owned(), of_one(pressure)))
    });
    let measured: Map<_, _> = measured.collect();
    (!measured.is_empty()).then_some(Value::Object(measured))
}

fn of_one(Pressure { some, full }: &Pressure) -> Value {
    let mut told = json!({"some": stall(*some)});
    if let Some(full) = full {
        told["full"] = stall(*full);
    }
    told
}

/// Percent, and seconds since the container began.
fn stall(stall: Stall) -> Value {
    json!({
        "avg10": stall.avg10, "avg60": stall.avg60, "avg300": stall.avg300,
        "total_secs": stall.total.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_measured_is_told_and_nothing_else() {
        let some = Stall {
            avg10: 1.5,
            avg60: 0.5,
            avg300: 0.25,
            total: Duration::from_millis(2500),
        };
        let pressures = Pressures {
            memory: Some(Pressure { some, full: None }),
            ..Pressures::default()
        };
        let some = json!({"avg10": 1.5, "avg60": 0.5, "avg300": 0.25, "total_secs": 2.5});
        let told = json!({"memory": {"some": some}});
        assert_eq!(pressure(&pressures), Some(told));
        assert_eq!(pressure(&Pressures::default()), None);
    }
}
