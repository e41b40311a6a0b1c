//! /v2/deployments

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::apps::deployed;
use super::error::ApiError;
use super::json as render;
use super::reply::Reply;
use super::{Api, Call};
use crate::deployment::DeploymentId;
use crate::engine::Change;

impl Api {
    pub(super) async fn deployments(&self, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let all: Vec<Value> = self
            .view(|e| e.deployments().map(render::deployment).collect())
            .await?;
        Ok(Reply::json(all.into()))
    }

    pub(super) async fn deployment(&self, id: &str, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::DELETE {
            return Ok(call.method_not_allowed("DELETE"));
        }
        let unknown = || ApiError::not_found(format!("DeploymentPlan {id} does not exist"));
        let deployment = DeploymentId::parse(id).ok_or_else(unknown)?;
        if call.query.flag("force", false) {
            self.change(Change::StopDeployment { deployment }).await?;
            return Ok(Reply::empty(StatusCode::ACCEPTED));
        }
        Ok(deployed(
            self.change(Change::RollBack { deployment }).await?,
        ))
    }
}
