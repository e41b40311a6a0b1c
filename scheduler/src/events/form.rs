//! Events as clients read them. Strict ones refuse kinds that Marathon does not have.

use serde_json::{Value, json};

use crate::app::Timestamp;
use crate::deployment::{Deployment, Step};
use crate::engine::Notice;
use crate::http;
use crate::instance::Instance;

pub fn event(notice: &Notice, now: Timestamp) -> Value {
    let (kind, mut event) = match notice {
        Notice::Status {
            instance,
            state,
            message,
        } => ("status_update_event", status(instance, state, message)),
        Notice::Health { instance, is_alive } => (
            "health_status_changed_event",
            json!({
                "appId": instance.app.as_str(),
                "instanceId": instance.id.as_str(),
                "taskId": instance.task_id(),
                "version": instance.version.to_string(),
                "alive": is_alive,
            }),
        ),
        Notice::CheckFailed {
            app,
            instance,
            check,
        } => (
            "failed_health_check_event",
            json!({
                "appId": app.as_str(),
                "taskId": instance.as_str(),
                "instanceId": instance.as_str(),
                "healthCheck": check.to_json(),
            }),
        ),
        Notice::UnhealthyKill { instance, reason } => (
            "unhealthy_instance_kill_event",
            json!({
                "appId": instance.app.as_str(),
                "taskId": instance.task_id(),
                "instanceId": instance.id.as_str(),
                "version": instance.version.to_string(),
                "reason": reason,
                "host": instance.site.hostname,
                "slaveId": instance.agent_id,
            }),
        ),
        Notice::StepBegun(deployment) => ("deployment_info", step(deployment)),
        Notice::StepDone(deployment) => ("deployment_step_success", step(deployment)),
        Notice::Deployed(deployment) => (
            "deployment_success",
            json!({"id": deployment.id.to_string(), "plan": plan(deployment)}),
        ),
        Notice::Cancelled(deployment) => (
            "deployment_failed",
            json!({
                "id": deployment.id.to_string(),
                "plan": plan(deployment),
                "reason": "another deployment is in its place",
            }),
        ),
    };
    event["eventType"] = kind.into();
    event["timestamp"] = now.to_string().into();
    event
}

fn status(instance: &Instance, state: &str, message: &str) -> Value {
    let address = |it: &crate::instance::Address| json!({"ipAddress": it.ip, "protocol": it.version.as_str()});
    json!({
        "slaveId": instance.agent_id,
        "taskId": instance.task_id(),
        "taskStatus": state,
        "message": message,
        "appId": instance.app.as_str(),
        "host": instance.site.hostname,
        "ipAddresses": instance.addresses.iter().map(address).collect::<Vec<_>>(),
        "ports": instance.ports,
        "version": instance.version.to_string(),
    })
}

fn step(deployment: &Deployment) -> Value {
    let none = Step::new();
    let current = deployment.steps.get(deployment.current).unwrap_or(&none);
    json!({"plan": plan(deployment), "currentStep": http::step(current)})
}

/// In the light form: whole groups made the stream of a large cluster unusable.
fn plan(deployment: &Deployment) -> Value {
    let steps: Vec<Value> = deployment.steps.iter().map(http::step).collect();
    json!({
        "id": deployment.id.to_string(),
        "version": deployment.version.to_string(),
        "steps": steps,
    })
}
