//! What every status of a task carries.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use proto::v1::{self, TaskStatus};

use super::Key;
use super::ending::Report;
use crate::networks::{Networks, address};
use crate::paths::{Paths, Run};

#[derive(Debug, Clone)]
pub struct Identity {
    pub key: Key,
    pub agent: v1::AgentId,
    /// `None` for a task that never got so far as to have an executor.
    pub run: Option<Run>,
    /// The container of a task of a group, which is nested in the run's.
    pub nested: Option<String>,
    /// Of the agent, for tasks that share the host's network.
    pub ip: IpAddr,
    pub networks: Networks,
}

impl Identity {
    /// A report as a status update with an id of its own; `pid` is the container's while it lives.
    pub fn status(&self, report: Report, pid: Option<u32>) -> TaskStatus {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        TaskStatus {
            task_id: self.key.task_id(),
            state: report.state as i32,
            message: report.message,
            agent_id: Some(self.agent.clone()),
            timestamp: Some(since_epoch.unwrap_or_default().as_secs_f64()),
            executor_id: self.run.as_ref().map(|run| v1::ExecutorId {
                value: run.executor.clone(),
            }),
            source: Some(report.source as i32),
            reason: report.reason.map(|reason| reason as i32),
            uuid: Some(uuid::Uuid::new_v4().as_bytes().to_vec()),
            container_status: self.run.as_ref().map(|run| self.container_status(run, pid)),
            limitation: report.limitation,
            healthy: report.healthy,
            check_status: report.check_status,
            ..Default::default()
        }
    }

    /// What a custom executor says of its task, with what the agent knows of where that runs.
    pub fn completed(&self, status: TaskStatus, pid: Option<u32>) -> TaskStatus {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since_epoch.unwrap_or_default().as_secs_f64();
        let ours = self.run.as_ref().map(|run| self.container_status(run, pid));
        let said = status.container_status.clone();
        let container_status = match (ours, said) {
            (Some(ours), Some(said)) => Some(v1::ContainerStatus {
                container_id: ours.container_id,
                executor_pid: ours.executor_pid,
                network_infos: match said.network_infos.is_empty() {
                    true => ours.network_infos,
                    false => said.network_infos,
                },
                ..said
            }),
            (ours, said) => ours.or(said),
        };
        TaskStatus {
            agent_id: Some(self.agent.clone()),
            executor_id: self.run.as_ref().map(|run| v1::ExecutorId {
                value: run.executor.clone(),
            }),
            source: Some(v1::task_status::Source::Executor as i32),
            timestamp: status.timestamp.or(Some(now)),
            container_status,
            ..status
        }
    }

    /// Of the container that is the task's own.
    pub fn container<'a>(&'a self, run: &'a Run) -> &'a str {
        self.nested.as_ref().unwrap_or(&run.container)
    }

    pub fn sandbox(&self, paths: &Paths, run: &Run) -> PathBuf {
        match &self.nested {
            Some(container) => paths.nested_sandbox(run, container),
            None => paths.sandbox(run),
        }
    }

    fn container_id(&self, run: &Run) -> v1::ContainerId {
        let own = |value: &String, parent| v1::ContainerId {
            value: value.clone(),
            parent,
        };
        let of_run = own(&run.container, None);
        match &self.nested {
            Some(nested) => own(nested, Some(Box::new(of_run))),
            None => of_run,
        }
    }

    fn container_status(&self, run: &Run, pid: Option<u32>) -> v1::ContainerStatus {
        let of_host = || {
            vec![v1::NetworkInfo {
                ip_addresses: vec![address(self.ip)],
                ..Default::default()
            }]
        };
        v1::ContainerStatus {
            container_id: Some(self.container_id(run)),
            // It is 0 once nobody knows it any more.
            executor_pid: pid.filter(|pid| *pid != 0),
            network_infos: (self.networks.infos(&run.container)).unwrap_or_else(of_host),
            ..Default::default()
        }
    }
}
