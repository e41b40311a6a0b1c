//! Changes of an app that exists.

use super::*;

#[test]
fn a_partial_update_replaces_whole_values_and_keeps_the_rest() {
    let before = with(
        json!({"cpus": 0.5, "env": {"A": "1"}, "resourceLimits": {"mem": 256},
                             "executorResources": {}}),
    );
    let after = before
        .update(&json!({"id": "/other", "env": {"B": "2"}}), true)
        .unwrap();
    let expected = App {
        env: BTreeMap::from([("B".to_owned(), EnvValue::Text("2".to_owned()))]),
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert!(!after.same_definition(&before));
    let scaled = before.update(&json!({"instances": 4}), true).unwrap();
    assert!(scaled.same_definition(&before) && scaled != before);
}

#[test]
fn a_full_update_puts_defaults_back() {
    let before = with(json!({"cpus": 0.5, "env": {"A": "1"}}));
    let after = before
        .update(&json!({"id": "/other", "cmd": "true"}), false)
        .unwrap();
    assert_eq!(after, with(json!({})));
}

#[test]
fn null_in_a_partial_update_removes() {
    let before = with(json!({"user": "nobody", "container": {"docker": {"image": "i"}}}));
    let after = before
        .update(&json!({"cmd": null, "user": null}), true)
        .unwrap();
    assert_eq!((after.cmd, after.user), (None, None));
}

#[test]
fn an_update_in_old_words_displaces_the_new_ones() {
    let change = |app: &App, change: Value| app.update(&change, true).unwrap();
    let before = with(json!({"fetch": [{"uri": "/a"}], "portDefinitions": [{"port": 80}]}));
    assert_eq!(change(&before, json!({"args": ["x"]})).cmd, None);
    assert_eq!(change(&before, json!({"uris": ["/b"]})).fetch[0].uri, "/b");
    assert!(
        change(&before, json!({"ports": []}))
            .port_definitions
            .is_empty()
    );
    let bridge = change(
        &before,
        json!({"container": {"docker": {
        "image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}}),
    );
    assert_eq!(
        bridge.networks,
        Networks::Bridge {
            labels: BTreeMap::new()
        }
    );
    let back = change(&bridge, json!({"networks": [{"mode": "host"}]}));
    assert!(back.container.unwrap().port_mappings.is_empty());
}

#[test]
fn a_version_alone_asks_to_roll_back() {
    let (old, new) = ("2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z");
    let current = Some(new.parse().unwrap());
    assert_eq!(rollback(&json!({"cmd": "x"}), current), Ok(None));
    let wanted = Ok(Some(old.parse().unwrap()));
    assert_eq!(
        rollback(&json!({"version": old, "id": "/a"}), current),
        wanted
    );
    // GET, edit, PUT.
    assert_eq!(
        rollback(&json!({"version": new, "cmd": "x"}), current),
        Ok(None)
    );
    let error = rollback(&json!({"version": old, "cmd": "x"}), current).unwrap_err();
    assert_eq!(
        error.message,
        "The 'version' field may only be combined with the 'id' field."
    );
    assert_eq!(
        rollback(&json!({"version": "soon"}), current)
            .unwrap_err()
            .status,
        422
    );
}
