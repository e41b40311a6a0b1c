//! Why a body was refused, in the shape that clients read.

use std::fmt;

use serde_json::{Value, json};

/// A refused request body. Source: spec/marathon-api.md section 1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// HTTP status, 400 or 422.
    pub status: u16,
    pub message: String,
    pub details: Details,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Details {
    None,
    Text(String),
    /// Paths like `/container/volumes(0)/mode`, each with all that is wrong there.
    Paths(Vec<(String, Vec<String>)>),
}

impl Invalid {
    /// The body is not JSON at all.
    pub fn not_json(error: &serde_json::Error) -> Invalid {
        Invalid {
            status: 400,
            message: "Invalid JSON".to_owned(),
            details: Details::Text(error.to_string()),
        }
    }

    /// JSON with missing keys or values of the wrong type.
    pub fn syntax(paths: Vec<(String, Vec<String>)>) -> Invalid {
        Invalid {
            status: 422,
            message: "Invalid JSON".to_owned(),
            details: Details::Paths(paths),
        }
    }

    /// Well-formed, but against a rule.
    pub fn rules(paths: Vec<(String, Vec<String>)>) -> Invalid {
        Invalid {
            status: 422,
            message: "Object is not valid".to_owned(),
            details: Details::Paths(paths),
        }
    }

    /// An argument that cannot be used, e.g. a timestamp.
    pub fn argument(message: impl Into<String>) -> Invalid {
        Invalid {
            status: 422,
            message: message.into(),
            details: Details::None,
        }
    }

    /// The same of a document that stands at `path` of a greater one, such as `/apps(2)`; empty if
    /// it is all there is.
    pub fn below(mut self, path: &str) -> Invalid {
        if let Details::Paths(paths) = &mut self.details
            && !path.is_empty()
        {
            for (inner, _) in paths {
                let rest = inner.strip_prefix('/').filter(|rest| !rest.is_empty());
                *inner = rest.map_or(path.to_owned(), |rest| format!("{path}/{rest}"));
            }
        }
        self
    }

    /// `{"message", "details"}`.
    pub fn body(&self) -> Value {
        match &self.details {
            Details::None => json!({"message": self.message}),
            Details::Text(text) => json!({"message": self.message, "details": text}),
            Details::Paths(paths) => {
                let details: Vec<Value> = paths
                    .iter()
                    .map(|(path, errors)| json!({"path": path, "errors": errors}))
                    .collect();
                json!({"message": self.message, "details": details})
            }
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.details {
            Details::None => Ok(()),
            Details::Text(text) => write!(f, ": {text}"),
            Details::Paths(paths) => {
                for (i, (path, errors)) in paths.iter().enumerate() {
                    let separator = if i == 0 { ": " } else { "; " };
                    write!(f, "{separator}{path}: {}", errors.join(", "))?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_shape_that_clients_read() {
        let invalid = Invalid::syntax(vec![(
            "/id".to_owned(),
            vec!["error.path.missing".to_owned()],
        )]);
        assert_eq!(invalid.status, 422);
        assert_eq!(
            invalid.body(),
            json!({"message": "Invalid JSON",
                   "details": [{"path": "/id", "errors": ["error.path.missing"]}]})
        );
        assert_eq!(invalid.to_string(), "Invalid JSON: /id: error.path.missing");
    }

    #[test]
    fn errors_of_an_element_begin_with_its_path() {
        let rules = |path: &str| Invalid::rules(vec![(path.to_owned(), vec![])]);
        assert_eq!(rules("/cmd").below("/apps(2)"), rules("/apps(2)/cmd"));
        assert_eq!(rules("/").below("/apps(2)"), rules("/apps(2)"));
        assert_eq!(rules("/").below(""), rules("/"));
    }
}
