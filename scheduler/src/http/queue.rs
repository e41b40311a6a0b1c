//! /v2/queue: what waits to be launched, and what became of the offers it has seen.

use axum::http::{Method, StatusCode};
use proto::v1;
use serde_json::{Value, json};

use super::embed::embeds;
use super::error::ApiError;
use super::json as render;
use super::reply::Reply;
use super::{Api, Call};
use crate::app::{AppId, Timestamp};
use crate::engine::{Change, Demand, Engine, Unused};
use crate::placement::{Reason, role_of};

impl Api {
    pub(super) async fn queue(&self, call: &Call) -> Result<Reply, ApiError> {
        if call.method != Method::GET {
            return Ok(call.method_not_allowed("GET"));
        }
        let with_offers = embeds(&call.query, "lastUnusedOffers");
        let items: Vec<Value> = self
            .service
            .view(move |engine, now| {
                let waiting = engine.demands();
                let item = |(id, demand): (&AppId, &Demand)| {
                    let mut item = item(engine, id, demand, now)?;
                    if with_offers {
                        item["lastUnusedOffers"] =
                            demand.tally.newest.values().map(unused_offer).collect();
                    }
                    Some(item)
                };
                waiting.filter_map(item).collect()
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

fn item(engine: &Engine, id: &AppId, demand: &Demand, now: Timestamp) -> Option<Value> {
    let revision = engine.root().apps.get(id)?;
    let until = engine.delayed_until(id, now);
    let left = until.map_or(0, |until| {
        u64::try_from(until.millis() - now.millis()).unwrap_or(0)
    });
    let tally = &demand.tally;
    let attempt = |reason| tally.reasons.get(&reason).copied().unwrap_or(0);
    let newest = |reason| {
        let all = tally.newest.values();
        all.filter(|unused| unused.reason == reason).count()
    };
    let mut summary = json!({
        "processedOffersCount": tally.processed,
        "unusedOffersCount": tally.unused,
        "rejectSummaryLastOffers": funnel(tally.newest.len(), newest),
        "rejectSummaryLaunchAttempt": funnel(tally.unused, attempt),
    });
    if let Some(at) = tally.last_unused_at {
        summary["lastUnusedOfferAt"] = render::time(at);
    }
    if let Some(at) = tally.last_used_at {
        summary["lastUsedOfferAt"] = render::time(at);
    }
    Some(json!({
        "app": render::revision(revision),
        "count": demand.count,
        "delay": {"timeLeftSeconds": left.div_ceil(1000), "overdue": until.is_none()},
        "since": render::time(demand.since),
        "processedOffersSummary": summary,
    }))
}

/// What one check refuses does not get to the next.
fn funnel(unused: usize, declined: impl Fn(Reason) -> usize) -> Vec<Value> {
    let mut processed = unused;
    let row = |reason: &Reason| {
        let declined = declined(*reason);
        let row = json!({
            "reason": reason.name(), "declined": declined, "processed": processed,
        });
        processed = processed.saturating_sub(declined);
        row
    };
    Reason::ALL.iter().map(row).collect()
}

fn unused_offer(unused: &Unused) -> Value {
    let offer = &unused.offer;
    let resources: Vec<Value> = offer.resources.iter().map(resource).collect();
    let attributes: Vec<Value> = offer.attributes.iter().map(attribute).collect();
    json!({
        "offer": {
            "id": offer.id.value,
            "agentId": offer.agent_id.value,
            "hostname": offer.hostname,
            "resources": resources,
            "attributes": attributes,
        },
        "reason": [unused.reason.name()],
        "timestamp": render::time(unused.at),
    })
}

fn resource(resource: &v1::Resource) -> Value {
    let mut shown = json!({"name": resource.name, "role": role_of(resource)});
    let value = (&resource.scalar, &resource.ranges, &resource.set);
    add_value(&mut shown, value);
    shown
}

fn attribute(attribute: &v1::Attribute) -> Value {
    let mut shown = json!({"name": attribute.name});
    if let Some(text) = &attribute.text {
        shown["text"] = text.value.clone().into();
    }
    let value = (&attribute.scalar, &attribute.ranges, &attribute.set);
    add_value(&mut shown, value);
    shown
}

type OneOf<'a> = (
    &'a Option<v1::value::Scalar>,
    &'a Option<v1::value::Ranges>,
    &'a Option<v1::value::Set>,
);

fn add_value(shown: &mut Value, (scalar, ranges, set): OneOf<'_>) {
    if let Some(scalar) = scalar {
        shown["scalar"] = scalar.value.into();
    }
    if let Some(ranges) = ranges {
        let range = |r: &v1::value::Range| json!({"begin": r.begin, "end": r.end});
        shown["ranges"] = ranges.range.iter().map(range).collect();
    }
    if let Some(set) = set {
        shown["set"] = set.item.clone().into();
    }
}
