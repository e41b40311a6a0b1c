//! One request, as data.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

/// What a path may have as it is: names of containers, and references of images with their slashes.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@');

#[derive(Debug, Clone)]
pub struct Call {
    /// For errors.
    pub what: String,
    pub method: Method,
    /// Below the version.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    /// Credentials, as `X-Registry-Auth` has them.
    pub registry_auth: Option<String>,
    /// The connection is to become something else.
    pub upgrades: bool,
}

impl Call {
    fn new(method: Method, what: String, path: String) -> Self {
        Self {
            what,
            method,
            path,
            query: Vec::new(),
            body: None,
            registry_auth: None,
            upgrades: false,
        }
    }

    pub fn get(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::GET, what.into(), path.into())
    }

    pub fn post(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::POST, what.into(), path.into())
    }

    pub fn delete(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, what.into(), path.into())
    }

    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.query.push((key, value.to_string()));
        self
    }

    pub fn upgraded(mut self) -> Self {
        self.upgrades = true;
        self
    }

    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

/// A name as part of a path: it can end none, nor begin a query.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_place_in_a_path() {
        assert_eq!(segment("mesos-0a1b_2.3"), "mesos-0a1b_2.3");
        assert_eq!(segment("a?force=1#x y%2f"), "a%3Fforce%3D1%23x%20y%252f");
        assert_eq!(
            segment("registry:5000/a/b@sha256:0c"),
            "registry:5000/a/b@sha256:0c"
        );
    }
}
