//! /v2/queue

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::error::ApiError;
use super::json as render;
use super::reply::Reply;
use super::{Api, Call};
use crate::app::AppId;
use crate::engine::Change;

impl Api {
    pub(super) async fn queue(&self, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let items: Vec<Value> = self
            .service
            .view(|engine, now| {
                let waiting = engine.demands();
                waiting
                    .filter_map(|(id, d)| render::queue_item(engine, id, d, now))
                    .collect()
            })
            .await?;
        Ok(Reply::json(json!({"queue": items})))
    }

    pub(super) async fn queue_delay(&self, app: AppId, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::DELETE {
            return Ok(call.method_not_allowed("DELETE"));
        }
        self.change(Change::ResetDelay { app }).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }
}
