//! The paths of the master, each with its methods and who answers.

use axum::http::Method;
use proto::link;
use serde_json::{Value, json};

use super::look::Look;
use crate::view;

/// Who answers.
#[derive(Clone, Copy)]
pub enum Endpoint {
    Home,
    Health,
    Redirect,
    Look(Look),
    Teardown,
    Operator,
    Scheduler,
    Link,
}

/// How a path may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// GET, and HEAD with it.
    Read,
    Post,
}

impl Verbs {
    pub fn include(self, method: &Method) -> bool {
        match self {
            Self::Read => matches!(*method, Method::GET | Method::HEAD),
            Self::Post => *method == Method::POST,
        }
    }

    /// For the header `Allow`.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD",
            Self::Post => "POST",
        }
    }
}

pub struct Route {
    pub path: &'static str,
    pub verbs: Verbs,
    pub endpoint: Endpoint,
}

const fn read(path: &'static str, endpoint: Endpoint) -> Route {
    let verbs = Verbs::Read;
    Route {
        path,
        verbs,
        endpoint,
    }
}

const fn look(path: &'static str, look: Look) -> Route {
    read(path, Endpoint::Look(look))
}

const fn post(path: &'static str, endpoint: Endpoint) -> Route {
    let verbs = Verbs::Post;
    Route {
        path,
        verbs,
        endpoint,
    }
}

/// Without the prefix, ending and slashes that `endpoint::path` takes away.
#[rustfmt::skip] // A path and who answers share a row.
const ROUTES: &[Route] = &[
    read("/", Endpoint::Home),
    read("/health", Endpoint::Health),
    read("/redirect", Endpoint::Redirect),
    look("/state", |cluster, _, about, _| Ok(view::state::state(cluster, about))),
    look("/state-summary", |cluster, _, about, _| Ok(view::summary::summary(cluster, about))),
    look("/slaves", |cluster, _, _, query| Ok(view::state::agents(cluster, query.value("slave_id")))),
    look("/frameworks", |cluster, _, _, query| Ok(view::state::frameworks(cluster, query.value("framework_id")))),
    look("/tasks", |cluster, _, _, query| view::tasks::tasks(cluster, query)),
    look("/roles", |cluster, _, _, _| Ok(view::roles::roles(cluster))),
    look("/metrics/snapshot", |cluster, now, _, _| Ok(view::metrics::snapshot(cluster, now))),
    look("/flags", |_, _, about, _| Ok(json!({ "flags": about.flags }))),
    look("/version", |_, _, _, _| Ok(Value::Object(proto::version::info()))),
    look("/system/stats", |_, _, _, _| Ok(Value::Object(view::system::read().stats()))),
    post("/teardown", Endpoint::Teardown),
    post("/api/v1", Endpoint::Operator),
    // One library calls it so.
    post("/api/v1/operator", Endpoint::Operator),
    post("/api/v1/scheduler", Endpoint::Scheduler),
    post(link::PATH, Endpoint::Link),
];

pub fn find(path: &str) -> Option<&'static Route> {
    let name = endpoint::path::endpoint(path, "master")?;
    ROUTES.iter().find(|route| route.path == name)
}

/// Every path, for those who asked for another.
pub fn paths() -> String {
    let paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    paths.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_route_is_found_in_every_spelling_and_nothing_else_is() {
        for route in ROUTES {
            let path = route.path;
            for spelling in [
                path.to_owned(),
                format!("/master{path}"),
                format!("{path}/"),
            ] {
                let found = find(&spelling).map(|found| found.path);
                assert_eq!(found, Some(path), "{spelling}");
            }
        }
        assert_eq!(find("/state.json").map(|found| found.path), Some("/state"));
        for path in ["/states", "/state/x", "/slave(1)/state", "/%ff"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_path_has_one_row() {
        let paths: BTreeSet<&str> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(paths.len(), ROUTES.len());
    }
}
