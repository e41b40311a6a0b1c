//! The part of a launch that is another's where an engine runs the task.

use std::path::Path;

use containerizer::Stopwatch;
use tokio::sync::mpsc;

use super::{Clock, Host, LaunchError, Stage, fetched, tell};
use crate::container::Container;
use crate::docker::plan::Plan;
use crate::sandbox::Sandbox;

/// `None` when nobody wants the container any more.
pub async fn contain(
    host: &Host,
    plan: Plan,
    (directory, sandbox): (&Path, Sandbox),
    clock: &Clock,
    mut watch: Stopwatch,
    listener: &mpsc::Sender<Stage>,
) -> Result<Option<Container>, LaunchError> {
    let log = &sandbox.stderr;
    tell(&plan.id, &plan.notes, log);
    let fetch = (&plan.fetch, plan.disk_limit);
    let Some(said) = fetched(host, fetch, log, clock, listener).await? else {
        return Ok(None);
    };
    watch.lap("fetch");
    let credentials = host.images.credentials(directory)?;
    let provided = host.docker.provide(&plan.image, &credentials, log);
    tokio::select! {
        provided = clock.bound("pulling its image", provided) => provided??,
        () = listener.closed() => return Ok(None),
    }
    watch.lap("image");
    // At once: a launch that is called off meanwhile would leave them.
    (host.secret_files).write(plan.id.as_str(), &plan.secrets, plan.owner)?;
    if listener.send(Stage::Fetched(said)).await.is_err() {
        return Ok(None);
    }
    let launch = host.docker.launch(plan, directory);
    let launched = clock.bound("starting its container with the Docker Engine", launch);
    Ok(Some(Container::Docker(launched.await??)))
}
