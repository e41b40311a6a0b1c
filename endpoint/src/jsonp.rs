//! JSON answers, and the same wrapped in a call for pages that ask with `jsonp=`.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::Query;

/// The name of a function in a page. It becomes part of a script, so nothing else may be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "query parameter jsonp={0:?} is not the name of a function: use up to {MAX_NAME} letters, \
     digits, '_', '$' and '.'"
)]
pub struct BadCallback(String);

const MAX_NAME: usize = 256;

impl Callback {
    /// The value of `jsonp`; without one, the answer is plain JSON.
    pub fn asked_for(query: &Query) -> Result<Option<Self>, BadCallback> {
        let Some(name) = query.value("jsonp") else {
            return Ok(None);
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.');
        match name.len() <= MAX_NAME && name.chars().all(allowed) {
            true => Ok(Some(Self(name.to_owned()))),
            false => Err(BadCallback(name.chars().take(MAX_NAME).collect())),
        }
    }
}

/// `value` as JSON, or as a script that calls `callback` with it.
#[must_use]
pub fn answer<T: Serialize + ?Sized>(value: &T, callback: Option<&Callback>) -> Response {
    let value = match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    match callback {
        None => ([(CONTENT_TYPE, "application/json")], value).into_response(),
        Some(Callback(name)) => {
            let script = format!("{name}({value});");
            ([(CONTENT_TYPE, "text/javascript")], script).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Option<Callback>, BadCallback> {
        Callback::asked_for(&Query::parse(query))
    }

    #[test]
    fn only_the_name_of_a_function_is_taken() {
        let name = "jQuery_1.cb$2".to_owned();
        assert_eq!(asked("jsonp=jQuery_1.cb$2"), Ok(Some(Callback(name))));
        assert_eq!(asked("jsonp="), Ok(None));
        assert_eq!(asked("a=b"), Ok(None));
        let long = "a".repeat(MAX_NAME + 1);
        for bad in ["a;b", "a(b", "<script>", "a%20b", &long] {
            assert!(asked(&format!("jsonp={bad}")).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_callback_makes_a_script_of_the_answer() {
        let response = answer(&1, Some(&Callback("show".to_owned())));
        assert_eq!(response.headers()[CONTENT_TYPE], "text/javascript");
        let body = crate::bounded_body(response.into_body(), 100).await;
        assert_eq!(body.unwrap(), "show(1);");
    }
}
