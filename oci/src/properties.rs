//! What holds of every spec and word that is read here. See `fuzz/README.md`.

#[cfg(test)]
#[path = "../../fuzz/hold.rs"]
mod hold;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};
use std::sync::LazyLock;

use oci_spec::runtime::Spec;

use crate::store::Stored;
use crate::usage::Shown;
use crate::{config, events, exec, id, place, ps, signals, update, usage};

/// A name, as of its folder of seeds, and what panics where it does not hold.
pub type Property = (&'static str, fn(&[u8]));

pub const ALL: &[Property] = &[
    ("command_line", a_command_line),
    ("config", a_config),
    ("process", a_process),
    ("processes", processes),
    ("resources", resources),
    ("state", a_state),
    ("words", words),
];

/// Has all that a spec can have.
static EVERYTHING: LazyLock<Spec> = LazyLock::new(|| {
    let text = include_str!("../../fuzz/seeds/oci/config/everything.json");
    config::parse(text, Path::new("/b/config.json"))
        .expect("a spec")
        .0
});

/// Words that end with a null byte each: they say what to do, or it is said why not.
fn a_command_line(bytes: &[u8]) {
    let words = bytes.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let words = [OsStr::new("oci")].into_iter().chain(words);
    match usage::parse(words.map(ToOwned::to_owned)) {
        Ok(line) => assert!(!format!("{:?}", line.verb).is_empty()),
        Err(Shown::Help(text) | Shown::Refusal(text)) => assert!(!text.trim().is_empty()),
    }
}

/// Of exec: read again as the same, and without anything to be ignored.
fn a_process(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new("/p.json");
    let Ok((process, _)) = exec::parse(&text, path) else {
        return;
    };
    assert!(process.cwd().is_absolute());
    assert!(process.args().as_ref().is_some_and(|args| !args.is_empty()));
    let again = serde_json::to_string(&process).expect("JSON");
    let (again, warnings) = exec::parse(&again, path).expect("reads");
    assert_eq!((again, warnings), (process, vec![]));
}

/// What ps(1) and the kernel say of them.
fn processes(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(shown) = ps::rows(&text, &[1, 12]) {
        // What a line ends with is not its own.
        let plain = |line: &'_ str| line.trim_end_matches('\r').to_owned();
        let known: Vec<String> = text.lines().map(plain).collect();
        let mut lines = shown.lines().map(plain);
        assert_eq!(lines.next().as_ref(), known.first());
        assert!(lines.all(|line| known.contains(&line) && line.contains('1')));
    }
    // No name of a cgroup hides it, or makes another of it.
    let name: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| *byte != b'\n')
        .collect();
    let line = [b"3:cpu:/a\n0::/", &name[..], b"\n"].concat();
    let wanted = [b"/", &name[..]].concat();
    let found = place::on_v2(&line).expect("a line of v2");
    assert_eq!(found.as_os_str().as_bytes(), wanted);
    let asked: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Ok(places) = place::parse(&asked) {
        assert!(!places.contains_key(&None) || places.len() == 1);
        assert!(!places.contains_key(&Some(String::new())));
    }
}

/// Of update: what is asked for twice is there once.
fn resources(bytes: &[u8]) {
    let Ok(asked) = update::asked::from_text(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let once = update::with(&EVERYTHING, asked.clone()).expect("a change");
    let twice = update::with(&once, asked.clone()).expect("a change");
    assert_eq!(once, twice);
    let text = asked.to_string();
    assert_eq!(update::asked::from_text(&text).ok(), Some(asked));
}

/// What one call has stored the next one reads, and would store again.
fn a_state(bytes: &[u8]) {
    if let Ok(stored) = serde_json::from_slice::<Stored>(bytes) {
        let again = serde_json::to_vec(&stored).expect("JSON");
        assert_eq!(serde_json::from_slice::<Stored>(&again).ok(), Some(stored));
    }
}

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

/// Or nothing would be held of any.
#[test]
fn seeds_are_understood() {
    let process = include_str!("../../fuzz/seeds/oci/process/everything.json");
    assert!(exec::parse(process, Path::new("/p.json")).is_ok());
    let resources = include_str!("../../fuzz/seeds/oci/resources/everything.json");
    assert!(update::asked::from_text(resources).is_ok());
    let state = include_bytes!("../../fuzz/seeds/oci/state/usual.json");
    assert!(serde_json::from_slice::<Stored>(state).is_ok());
    let line = include_str!("../../fuzz/seeds/oci/command_line/update");
    let words = ["oci"].into_iter().chain(line.split('\0'));
    assert!(usage::parse(words.map(Into::into)).is_ok());
}
