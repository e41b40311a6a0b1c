//! What holds of every spec and word that is read here. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../fuzz/hold.rs"]
mod hold;

use std::path::{Component, Path};

use crate::{config, events, exec, id, signals, update};

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[("config", a_config), ("words", words)];

/// A spec that was read is read again as the same, once it has been stored.
fn a_config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = |text: &str| config::parse(text, Path::new("/b/config.json"));
    let Ok((spec, _)) = read(&text) else {
        return;
    };
    let stored = serde_json::to_string(&spec).expect("JSON");
    let (again, warnings) = read(&stored).expect("reads");
    assert_eq!(again, spec);
    assert_eq!(warnings, Vec::<String>::new());
    if config::check(&spec).is_ok() {
        let process = spec.process().as_ref().expect("a process");
        assert!(process.cwd().is_absolute());
    }
}

/// Of flags and arguments.
fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(id) = id::Id::try_from(&*text) {
        let components: Vec<_> = Path::new(id.as_str()).components().collect();
        assert!(matches!(components[..], [Component::Normal(_)]));
    }
    if let Ok(signal) = signals::parse(&text) {
        assert!((0..=64).contains(&signal));
    }
    if let Some(duration) = events::duration::parse(&text) {
        assert!(!duration.is_zero());
    }
    if let Some(bytes) = update::amount::bytes(&text) {
        assert!(bytes >= -1 && (bytes >= 0) == (text != "-1"));
    }
    if let Ok(user) = exec::parse_user(&text) {
        let fits = |id: &str| {
            user[id]
                .as_u64()
                .is_some_and(|id| u32::try_from(id).is_ok())
        };
        assert!(fits("uid") && fits("gid"));
    }
}

#[test]
fn what_holds_of_every_text_holds_of_seeds_and_what_is_near_them() {
    hold::all("oci", ALL);
}
