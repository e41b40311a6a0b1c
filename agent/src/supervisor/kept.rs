//! What stands behind every task that is to outlive this process: who the agent is, and who the framework. A
//! full disk may keep either from being written down; no task begins before that is made good.

use std::path::Path;
use std::time::Instant;

use proto::error::chain;
use proto::v1;

use super::Supervisor;
use crate::checkpoint::{self, CheckpointError, Durability};
use crate::complaint::Untold;

/// What is known and not written down.
#[derive(Debug, Default)]
pub struct Owed {
    id: bool,
    frameworks: std::collections::BTreeSet<String>,
}

impl Supervisor {
    /// Before a task of `framework` is taken.
    pub(super) async fn keep(
        &mut self,
        framework: &v1::FrameworkInfo,
    ) -> Result<(), CheckpointError> {
        if self.owed.id
            && framework.checkpoint()
            && let Some(id) = self.book.info.id.clone()
        {
            self.adopt_id(id).await?;
        }
        self.update_framework(framework.clone()).await
    }

    /// On disk before anything is run under that id.
    pub(super) async fn adopt_id(&mut self, id: v1::AgentId) -> Result<(), CheckpointError> {
        self.book.info.id = Some(id.clone());
        let (info, paths) = (self.book.info.clone(), self.host.paths.clone());
        let written = tokio::task::spawn_blocking(move || {
            checkpoint::write(&paths.agent_info(&id.value), &info, Durability::Reboot)?;
            let (link, target) = (paths.latest_agent(), Path::new(&id.value));
            checkpoint::relink(&link, target, Durability::Reboot)
        });
        let written = written.await.unwrap_or(Ok(()));
        self.owed.id = written.is_err();
        self.settled(&written, "cannot keep the agent id");
        written
    }

    /// Notes what a framework says of itself, on disk when it checkpoints.
    pub(super) async fn update_framework(
        &mut self,
        info: v1::FrameworkInfo,
    ) -> Result<(), CheckpointError> {
        let id = info.id.clone().unwrap_or_default().value;
        let known = self.book.frameworks.get(&id);
        let is_known = known.is_some_and(|f| f.info == info);
        let is_owed = self.owed.frameworks.contains(&id);
        if (is_known && !is_owed) || proto::ids::check(&id).is_err() {
            return Ok(());
        }
        let mut kept = Ok(());
        if let (true, Some(agent)) = (info.checkpoint(), &self.book.info.id) {
            let file = self.host.paths.framework_info(&agent.value, &id);
            let record = info.clone();
            let written = tokio::task::spawn_blocking(move || {
                checkpoint::write(&file, &record, Durability::Process)
            });
            kept = written.await.unwrap_or(Ok(()));
            self.settled(&kept, "cannot write down a framework");
        }
        match kept {
            Ok(()) => self.owed.frameworks.remove(&id),
            Err(_) => self.owed.frameworks.insert(id),
        };
        self.book.framework(&info);
        kept
    }

    /// Writes down what could not be yet.
    pub(super) async fn pay(&mut self) -> Result<(), CheckpointError> {
        if let (true, Some(id)) = (self.owed.id, self.book.info.id.clone()) {
            self.adopt_id(id).await?;
        }
        let frameworks = self.book.frameworks.iter();
        let owed: Vec<_> = frameworks
            .filter(|(id, _)| self.owed.frameworks.contains(*id))
            .map(|(_, framework)| framework.info.clone())
            .collect();
        for framework in owed {
            self.update_framework(framework).await?;
        }
        Ok(())
    }

    /// Says so in the agent's log.
    fn settled(&self, written: &Result<(), CheckpointError>, attempt: &'static str) {
        let Err(error) = written else { return };
        let error = chain(error);
        match self.host.complaint.renew(Instant::now()) {
            Some(Untold(untold)) => tracing::error!(
                error,
                untold,
                "{attempt}: no task begins before that is made good"
            ),
            None => tracing::debug!(error, "{attempt}"),
        }
    }
}
