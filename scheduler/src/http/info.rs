//! What the scheduler says of itself.

use axum::http::Method;
use proto::address::Master;
use serde_json::{Value, json};

use super::error::ApiError;
use super::reply::Reply;
use super::{Api, Call, Wants};
use crate::flags::Flags;
use crate::instance::Phase;
use crate::service::Stopped;

/// The Marathon whose API this is.
const VERSION: &str = "1.10.0";

/// What does not change while the process runs.
#[derive(Debug, Clone)]
pub struct About {
    pub flags: Flags,
    pub hostname: String,
    pub port: u16,
}

impl About {
    pub fn leader(&self) -> String {
        format!("{}:{}", self.hostname, self.port)
    }
}

impl Api {
    /// Refused once the engine is gone, so that whoever watches over us sees it.
    pub(super) fn ping(&self, call: &Call) -> Result<Reply, ApiError> {
        if self.service.is_stopped() {
            return Err(Stopped.into());
        }
        Ok(match call.wants {
            Wants::Json => Reply::json(json!("pong")),
            Wants::Text | Wants::Events | Wants::Any => Reply::text("pong\n".to_owned()),
        })
    }

    pub(super) fn leader(&self, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        Ok(Reply::json(json!({"leader": self.about.leader()})))
    }

    pub(super) async fn info(&self, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let framework_id = self.view(|e| e.framework_id().map(str::to_owned)).await?;
        let about = &self.about;
        let flags = &about.flags;
        Ok(Reply::json(json!({
            "name": flags.framework_name,
            "version": VERSION,
            "buildref": concat!("longshore-", env!("CARGO_PKG_VERSION")),
            "elected": true,
            "leader": about.leader(),
            "frameworkId": framework_id,
            "marathon_config": config(flags, &about.hostname),
            "zookeeper_config": {"zk_max_versions": flags.zk_max_versions},
            "http_config": {"http_port": about.port, "https_port": Value::Null},
        })))
    }

    pub(super) async fn metrics(&self, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let gauges = self.view(|engine| {
            let phases: Vec<Phase> = engine.all_instances().map(|i| i.phase).collect();
            let count = |is: fn(&Phase) -> bool| phases.iter().filter(|p| is(p)).count();
            let gauge = |value: usize| json!({"value": value});
            json!({
                "marathon.apps.active.gauge": gauge(engine.root().apps.len()),
                "marathon.deployments.active.gauge": gauge(engine.deployments().count()),
                "marathon.instances.running.gauge": gauge(count(|p| *p == Phase::Running)),
                "marathon.instances.staged.gauge":
                    gauge(count(|p| matches!(p, Phase::Staging | Phase::Starting))),
            })
        });
        Ok(Reply::json(json!({
            "version": "4.0.0", "gauges": gauges.await?,
            "counters": {}, "histograms": {}, "meters": {}, "timers": {},
        })))
    }
}

fn config(flags: &Flags, hostname: &str) -> Value {
    let page = match &flags.master {
        Master::At(address) => Some(format!("http://{address}/")),
        // It may be somewhere else the next time.
        Master::In(_file) => None,
    };
    json!({
        "master": flags.master.to_string(),
        "mesos_leader_ui_url": page,
        "hostname": hostname,
        "framework_name": flags.framework_name,
        "failover_timeout": flags.failover_timeout,
        "mesos_role": flags.mesos_role,
        "mesos_user": flags.mesos_user,
        "checkpoint": true,
        "ha": false,
        "executor": "//cmd",
        "features": [],
        "local_port_min": flags.local_port_min,
        "local_port_max": flags.local_port_max,
        "max_instances_per_offer": flags.max_instances_per_offer,
        "decline_offer_duration": flags.decline_offer_duration,
        "task_launch_timeout": flags.task_launch_timeout,
        "reconciliation_initial_delay": flags.reconciliation_initial_delay,
        "reconciliation_interval": flags.reconciliation_interval,
        "webui_url": Value::Null,
    })
}
