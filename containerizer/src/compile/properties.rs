//! What holds of every spec, whoever wrote it.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use init::mount_attributes::RDONLY;
use init::{Origin, Program, Step, Then};
use oci_spec::runtime::Spec;
use serde_json::Value;

use super::memory_policy::nodes;
use super::options;
pub use super::seccomp::properties as seccomp;
use super::{Attached, CompileError, Facts, Filters, Kind, Lines, compile, takes_cradle};

/// Has all that a spec can have.
const EVERYTHING: &str = include_str!("../../../fuzz/seeds/containerizer/spec/everything.json");

pub fn a_spec(bytes: &[u8]) {
    if let Ok(spec) = serde_json::from_slice(bytes) {
        compiles_to_a_sound_program(&spec);
    }
}

/// Each four bytes are a change of a good spec: where, what, and which.
pub fn an_edited_spec(bytes: &[u8]) {
    let mut spec: Value = serde_json::from_str(EVERYTHING).expect("JSON");
    for edit in bytes.chunks_exact(4).take(8) {
        let at = u16::from_le_bytes([edit[0], edit[1]]);
        change(&mut spec, at.into(), edit[2], edit[3].into());
    }
    if let Ok(spec) = serde_json::from_value(spec) {
        compiles_to_a_sound_program(&spec);
    }
}

/// Of what values are read as, and what paths and numbers go wrong with.
const TEXTS: &[&str] = &[
    "",
    "/",
    ".",
    "..",
    "/..",
    "/../x",
    "../x",
    "x",
    "/x",
    "//x/./y",
    "/proc",
    "/proc/self/x",
    "/sys",
    "/dev",
    "/dev/pts",
    "/file",
    "/missing",
    "/missing/x",
    "a\0b",
    "/a\0b",
    "a=b",
    "=",
    "bind",
    "rbind",
    "ro",
    "rro",
    "remount",
    "shared",
    "rslave",
    "idmap",
    "tmpcopyup",
    "copyup",
    "mode=755",
    "tmpfs",
    "proc",
    "sysfs",
    "cgroup",
    "mqueue",
    "none",
    "net.x",
    "kernel.shmmax",
    "fs.mqueue.x",
    "0-3",
    "CAP_KILL",
];
const NUMBERS: &[i64] = &[
    -1,
    0,
    1,
    2,
    65_535,
    65_536,
    i32::MAX as i64,
    u32::MAX as i64,
    u32::MAX as i64 + 1,
    i64::MIN,
    i64::MAX,
];

fn change(spec: &mut Value, at: usize, what: u8, which: usize) {
    let mut places = Vec::new();
    list(spec, String::new(), &mut places);
    let pick = |n: usize| places.get(n % places.len()).cloned().unwrap_or_default();
    let other = spec
        .pointer(&pick(which * 31 + at))
        .cloned()
        .unwrap_or_default();
    let Some(value) = spec.pointer_mut(&pick(at)) else {
        return;
    };
    match what % 8 {
        0 => *value = Value::Null,
        1 => *value = Value::from(TEXTS[which % TEXTS.len()]),
        2 => *value = Value::from(NUMBERS[which % NUMBERS.len()]),
        3 => *value = Value::from(which & 1 == 0),
        4 => *value = other,
        5 => match value {
            Value::Array(items) => items.push(other),
            Value::Object(members) => drop(members.insert("x".to_owned(), other)),
            value => *value = Value::Array(vec![]),
        },
        6 => match value {
            Value::Array(items) => drop(items.pop()),
            Value::Object(members) => {
                let key = members.keys().nth(which % members.len().max(1)).cloned();
                key.and_then(|key| members.remove(&key));
            }
            value => *value = Value::Null,
        },
        _ => match value {
            Value::Array(items) => items.reverse(),
            Value::String(text) => text.push_str(TEXTS[which % TEXTS.len()]),
            value => *value = other,
        },
    }
}

/// JSON pointers to all values.
fn list(value: &Value, at: String, places: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, item)| list(item, format!("{at}/{n}"), places)),
        Value::Object(members) => members
            .iter()
            .for_each(|(key, member)| list(member, format!("{at}/{}", escaped(key)), places)),
        _ => {}
    }
    places.push(at);
}

fn compiles_to_a_sound_program(spec: &Spec) {
    for engine in [false, true] {
        let compiled = compiled(spec, engine);
        assert_eq!(self::compiled(spec, engine), compiled);
        match compiled {
            Ok(program) => is_sound(&program),
            Err(error) => says_where(&error.to_string()),
        }
    }
}

/// By a JSON path, so that whoever wrote the spec finds it.
fn says_where(error: &str) {
    let parts = [
        "domainname",
        "hooks",
        "hostname",
        "linux",
        "mounts",
        "process",
        "root",
    ];
    let named = parts.iter().find_map(|part| error.strip_prefix(part));
    assert!(
        named.is_some_and(|rest| rest.starts_with(['.', '[', ':', ' '])),
        "{error}"
    );
}

/// As an agent launches a spec, or as an engine has it launched.
fn compiled(spec: &Spec, engine: bool) -> Result<Program, CompileError> {
    let facts = Facts {
        cgroup_files: 2,
        cgroup: Path::new("/mesos/c1"),
        cgroup_v1_mounts: &[],
        staging: Path::new("/run/longshore/containers/c1"),
        lookup: &lookup,
        filters: &Filters::default(),
        then: match engine {
            true => Then::Become {},
            false => Then::Supervise {},
        },
        attached: Attached {
            gate: engine,
            console: engine.then_some(Lines::Terminal),
            hooks: engine,
            cradle: !engine && takes_cradle(spec),
            holds_mounts: !engine,
            engine,
            ..Attached::default()
        },
    };
    compile(spec, &facts)
}

fn lookup(path: &Path) -> Option<Kind> {
    let has = |wanted: &str| path.to_str().is_some_and(|path| path.contains(wanted));
    match () {
        () if has("missing") => None,
        () if has("file") => Some(Kind::File),
        () => Some(Kind::Directory),
    }
}

/// What `init` counts on.
fn is_sound(program: &Program) {
    assert_eq!(Program::decode(&program.encode()).as_ref(), Ok(program));
    let exec = &program.exec;
    let texts = exec
        .argv
        .iter()
        .chain(&exec.env)
        .chain([&exec.path, &exec.cwd]);
    for text in texts {
        assert!(!text.contains('\0'), "{text:?}");
    }
    let ids = exec.groups.iter().chain([&exec.uid, &exec.gid]);
    assert!(ids.into_iter().all(|id| *id != u32::MAX));
    let filter = exec.seccomp.as_ref();
    assert!(filter.is_none_or(|filter| filter.instructions.len() <= 4096));
    let mut sources = 0;
    let mut roots = 0;
    let mut has_left = false;
    for step in &program.steps {
        assert!(!has_left || !looks_for_the_hosts(step), "{step:?}");
        has_left |= matches!(step, Step::Cradle { .. });
        match step {
            Step::OpenSources {
                sources: opened, ..
            } => sources += opened.len(),
            Step::Bind { origin, target, .. } => {
                if let Origin::Opened { source } = origin {
                    assert!((*source as usize) < sources, "{step:?}");
                }
                is_straight(target);
            }
            Step::NewRoot { source, .. } => assert!((*source as usize) < sources, "{step:?}"),
            Step::PivotRoot {} | Step::ChangeRoot {} => roots += 1,
            Step::Mount { mount } => is_straight(&mount.target),
            Step::MakeDir { path, .. }
            | Step::MakeFile { path, .. }
            | Step::Mirror { path }
            | Step::Mask { path }
            | Step::ReadOnly { path, .. }
            | Step::Device { path, .. }
            | Step::Symlink { path, .. } => is_inside(path),
            _ => {}
        }
    }
    assert!(roots <= 1);
}

/// Of which there is nothing in an empty mount namespace.
fn looks_for_the_hosts(step: &Step) -> bool {
    match step {
        Step::Bind { origin, .. } => matches!(origin, Origin::Host { .. }),
        Step::NewRoot { on, .. } => on != "/",
        Step::Mount { mount } => mount.copy_up,
        Step::SetNamespace { .. }
        | Step::MirrorRoot { .. }
        | Step::Mirror { .. }
        | Step::OpenSources { .. }
        | Step::PivotRoot {}
        | Step::Hooks { .. }
        | Step::Await { .. }
        | Step::Cradle { .. } => true,
        _ => false,
    }
}

/// What climbs is held by `init`, which never leaves the root; nothing is mounted there.
#[track_caller]
fn is_inside(path: &str) {
    assert!(path.starts_with('/') && !path.contains('\0'), "{path:?}");
}

#[track_caller]
fn is_straight(path: &str) {
    is_inside(path);
    let mut parts = Path::new(path).components();
    assert!(parts.all(|part| part != Component::ParentDir), "{path:?}");
}

/// A list names its nodes, and no other.
pub fn memory_nodes(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Some(words) = nodes(&text) else {
        return;
    };
    let is_set = |node: &usize| {
        words
            .get(node / 64)
            .is_some_and(|word| word >> (node % 64) & 1 == 1)
    };
    let found: BTreeSet<usize> = (0..words.len() * 64).filter(is_set).collect();
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let ranges = text
        .split(',')
        .map(str::trim)
        .filter(|_| !text.trim().is_empty());
    let named = ranges.flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        number(first)..=number(last)
    });
    assert_eq!(found, named.collect::<BTreeSet<_>>());
}

/// The last of opposite options counts, and nothing is both set and cleared but the group that has to be.
pub fn mount_options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<String> = text.split(',').map(str::to_owned).collect();
    let parsed = options::parse(&words);
    for (read_only, writable, attributes) in [("ro", "rw", parsed.top), ("rro", "rrw", parsed.all)]
    {
        let last = words
            .iter()
            .rev()
            .find(|word| [read_only, writable].contains(&word.as_str()));
        assert_eq!(
            attributes.set & RDONLY != 0,
            last.is_some_and(|last| last == read_only)
        );
        assert_eq!(
            attributes.clear & RDONLY != 0,
            last.is_some_and(|last| last == writable)
        );
        const ACCESS_TIME: u64 = 0x70;
        assert_eq!(attributes.set & attributes.clear & !ACCESS_TIME, 0);
        let said = attributes.set & ACCESS_TIME;
        assert!(said == 0 || attributes.clear & ACCESS_TIME == ACCESS_TIME);
        assert!(matches!(said, 0 | 0x10 | 0x20));
    }
    assert!(parsed.bind || !parsed.recursive);
    let known: BTreeSet<&str> = options::names().collect();
    let data = words.iter().filter(|word| !known.contains(word.as_str()));
    assert_eq!(parsed.data.len(), data.count());
}

#[test]
fn the_spec_that_edits_begin_with_is_good() {
    let spec = serde_json::from_str(EVERYTHING).expect("a spec");
    assert_eq!(compiled(&spec, true).map(|_program| ()), Ok(()));
}
