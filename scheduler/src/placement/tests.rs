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
    offer_of(cpus, mem, &[ports])
}

fn offer_of(cpus: f64, mem: f64, ports: &[(u64, u64)]) -> Pool {
    let scalar = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    let range = |&(begin, end): &(u64, u64)| v1::value::Range { begin, end };
    let range = ports.iter().map(range).collect();
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

#[test]
fn ports_come_from_all_ranges_and_are_exhausted_one_by_one() {
    let ranges = [(31000, 31000), (31500, 31501), (32000, 32000)];
    let free = app(json!({"ports": [0, 0]}));
    let fixed = app(
        json!({"networks": [{"mode": "container/bridge"}], "container": {"portMappings": [
        {"hostPort": 31501, "protocol": "tcp"}, {"hostPort": 31501, "protocol": "udp"},
        {"hostPort": 0, "protocol": "udp,tcp"}, {"hostPort": 32000, "protocol": "udp,tcp"}]}}),
    );
    for lot in 0..5 {
        let mut pool = offer_of(1.0, 640.0, &ranges);
        let mut ports = Vec::new();
        for _ in 0..2 {
            ports.extend(place_on(&free, &mut pool, lot).unwrap().host_ports);
        }
        ports.sort_unstable();
        assert_eq!(ports, [31000, 31500, 31501, 32000]);
        let none = place_on(&free, &mut pool, lot);
        assert_eq!(none, Err(Reason::InsufficientPorts));

        let mut pool = offer_of(1.0, 640.0, &ranges);
        let share = place_on(&fixed, &mut pool, lot).unwrap();
        let chosen = share.host_ports[2];
        assert_eq!(share.host_ports, [31501, 31501, chosen, 32000]);
        assert!([31000, 31500].contains(&chosen), "{chosen}");
        let again = place_on(&fixed, &mut pool, lot);
        assert_eq!(again, Err(Reason::InsufficientPorts));
        assert_eq!(pool.ports().count(), 1, "a refusal takes nothing");
    }
}

#[test]
fn shunned_ports_are_the_last_to_be_chosen() {
    let (one, fixed) = (
        app(json!({"ports": [0]})),
        app(json!({"ports": [31001], "requirePorts": true})),
    );
    for lot in 0..5 {
        let pool = offer(1.0, 640.0, (31000, 31002)).shunning([31001, 31000].into());
        let mut rest = pool.clone();
        let mut chosen = Vec::new();
        for _ in 0..3 {
            chosen.extend(place_on(&one, &mut rest, lot).unwrap().host_ports);
        }
        assert_eq!(chosen, [31002, 31000, 31001]);
        let share = place_on(&fixed, &mut pool.clone(), lot).unwrap();
        assert_eq!(share.host_ports, [31001]);
    }
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
