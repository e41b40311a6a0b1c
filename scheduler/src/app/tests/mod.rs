//! What users send, and what they get back.

mod errors;
mod forms;
mod properties;
mod updates;

use serde_json::json;

use super::*;

/// Keys that the strictest known client accepts in an app (spec/client-quirks.md).
const KNOWN_KEYS: &str = "acceptedResourceRoles args backoffFactor backoffSeconds cmd constraints \
    container cpus dependencies deployments disk env executor fetch gpus healthChecks id instances \
    ipAddress killSelection labels lastTaskFailure maxLaunchDelaySeconds mem networks \
    portDefinitions ports readinessCheckResults readinessChecks requirePorts residency role secrets \
    storeUrls taskKillGracePeriodSeconds taskRateLimit taskStats tasks tasksHealthy tasksRunning \
    tasksStaged tasksUnhealthy unreachableStrategy upgradeStrategy uris user version versionInfo";

fn app(body: Value) -> App {
    App::create(&body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// The app `/a` running `true`, with more keys.
fn with(more: Value) -> App {
    app(overlaid(more))
}

fn refused(more: Value) -> Invalid {
    App::create(&overlaid(more)).unwrap_err()
}

fn overlaid(more: Value) -> Value {
    let mut body = json!({"id": "a", "cmd": "true"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

fn written(app: &App) -> Value {
    Value::Object(app.to_json())
}
