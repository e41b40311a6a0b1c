use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn app(more: Value) -> App {
    let mut body = json!({"id": "/a", "cmd": "true", "cpus": 0.1, "mem": 10});
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    App::create(&body).unwrap()
}

fn offer(cpus: f64, mem: f64, ports: (u64, u64)) -> Pool {
    let scalar = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    let range = vec![v1::value::Range {
        begin: ports.0,
        end: ports.1,
    }];
    let ports = v1::Resource {
        name: "ports".into(),
        r#type: v1::value::Type::Ranges.into(),
        ranges: Some(v1::value::Ranges { range }),
        ..v1::Resource::default()
    };
    Pool::new(&[scalar("cpus", cpus), scalar("mem", mem), ports])
}

const NOBODY: Scene<'static> = Scene {
    placed: &[],
    candidates: &[],
    target: 1,
};

fn place_on(app: &App, pool: &mut Pool, lot: usize) -> Result<Share, Reason> {
    place(app, &Site::default(), pool, NOBODY, lot)
}

#[test]
fn the_first_check_that_fails_is_the_reason() {
    let table = [
        (
            json!({"acceptedResourceRoles": ["slave_public"]}),
            Reason::UnfulfilledRole,
        ),
        (
            json!({"constraints": [["rack", "CLUSTER", "1"]]}),
            Reason::UnfulfilledConstraint,
        ),
        (json!({"cpus": 3, "mem": 9000}), Reason::InsufficientCpus),
        (json!({"mem": 9000}), Reason::InsufficientMemory),
        (json!({"disk": 1}), Reason::InsufficientDisk),
        (json!({"ports": [0, 0, 0, 0]}), Reason::InsufficientPorts),
        (
            json!({"ports": [80], "requirePorts": true}),
            Reason::InsufficientPorts,
        ),
    ];
    for (more, reason) in table {
        let mut pool = offer(2.0, 512.0, (31000, 31002));
        assert_eq!(
            place_on(&app(more.clone()), &mut pool, 0),
            Err(reason),
            "{more}"
        );
        assert_eq!(pool.scalar("cpus"), 2000, "a refusal takes nothing");
    }
}

#[test]
fn required_ports_are_the_given_ones_and_others_come_from_the_offer() {
    let fixed = app(json!({"ports": [31001, 31000], "requirePorts": true}));
    let share = place_on(&fixed, &mut offer(1.0, 64.0, (31000, 31002)), 7).unwrap();
    assert_eq!(share.host_ports, [31001, 31000]);
    let free = app(json!({"ports": [80, 443]}));
    let share = place_on(&free, &mut offer(1.0, 64.0, (31000, 31002)), 5).unwrap();
    assert_eq!(share.host_ports, [31002, 31000]);
}

proptest! {
    #[test]
    fn shares_never_exceed_the_offer_and_never_share_a_port(
        cpus in 0u32..40, mem in 0u32..400, lots in proptest::collection::vec(any::<usize>(), 30),
    ) {
        let app = app(json!({"ports": [0, 0]}));
        let mut pool = offer(f64::from(cpus) / 10.0, f64::from(mem), (31000, 31040));
        let mut ports = Vec::new();
        let mut count = 0;
        for lot in lots {
            if let Ok(share) = place_on(&app, &mut pool, lot) {
                ports.extend(share.host_ports);
                count += 1;
            }
        }
        prop_assert_eq!(count, 20.min(cpus).min(mem / 10));
        let drawn = ports.len();
        ports.sort_unstable();
        ports.dedup();
        prop_assert_eq!(ports.len(), drawn);
        prop_assert_eq!(pool.scalar("cpus"), i64::from(cpus) * 100 - i64::from(count) * 100);
    }
}
