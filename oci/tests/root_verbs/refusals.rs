//! What cannot be done, in the words that callers look for.

use crate::support::Bundle;

#[test]
fn root_what_cannot_be_done_is_told_and_changes_nothing() {
    let bundle = Bundle::new("refusals", "sleep 1000");
    let other = "longshore-test-nobody";
    for verb in [
        "state", "start", "kill", "delete", "ps", "pause", "resume", "events", "update",
    ] {
        bundle
            .call(&[verb, other])
            .refuses("container does not exist");
    }
    let said = bundle.call(&["exec", other, "true"]);
    assert_eq!(said.status, Some(255), "{said:?}");
    bundle
        .call(&["create", "a/b"])
        .refuses("invalid character '/' in container ID");
    bundle
        .call(&["create", ".."])
        .refuses("invalid container ID format");
    bundle.call(&["spec"]).refuses("config.json exists");
    // Another root than the default may be misspelt.
    bundle
        .call(&["--root", "/nowhere", "list"])
        .refuses("/nowhere");

    for verb in ["checkpoint", "restore"] {
        bundle
            .call(&[verb, "--image-path", "/x", other])
            .refuses(&format!("{verb} is not supported"));
    }
    bundle.output(&["create", &bundle.id]);
    let before = bundle.state();
    bundle
        .call(&["create", &bundle.id])
        .refuses("already exists");
    bundle
        .call(&["kill", &bundle.id, "NOPE"])
        .refuses("unknown signal");
    assert_eq!(bundle.state(), before);
    bundle.output(&["start", &bundle.id]);
    bundle
        .call(&["start", &bundle.id])
        .refuses("cannot start an already running container");
    bundle
        .call(&["delete", &bundle.id])
        .refuses("that is not stopped: running");
    let id = format!("{}\n", bundle.id);
    assert_eq!(bundle.output(&["list", "-q"]), id);
}
