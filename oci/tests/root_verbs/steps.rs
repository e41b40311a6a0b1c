//! `--debug`.

use crate::support::Bundle;

#[test]
fn root_debug_tells_the_steps_and_only_then() {
    let bundle = Bundle::new("debug", "true");
    let said = bundle.call(&["--debug", "run", &bundle.id]);
    assert!(said.succeeded(), "{said:?}");
    let lines: Vec<_> = said.stderr.lines().collect();
    assert!(lines.len() >= 3, "{said:?}");
    for line in lines {
        assert!(line.contains(" level=debug msg="), "{line}");
    }
    let said = bundle.call(&["run", &bundle.id]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));

    // With a log of its own, stderr is the container's alone.
    let said = bundle.call(&["--debug", "--log", "log", "run", &bundle.id]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    let log = std::fs::read_to_string(bundle.path("log")).expect("is written");
    assert!(log.contains("level=debug"), "{log}");
}
