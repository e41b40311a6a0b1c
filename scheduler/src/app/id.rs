//! App ids: paths of DNS-like segments.

use std::fmt;
use std::str::FromStr;

/// The last segments that name sub-resources in URLs.
const RESERVED: &[&str] = &["restart", "tasks", "versions", ".", ".."];

/// The canonical, absolute id of an app or of a group other than the root: `/a/b`.
///
/// Each segment is one or more labels of `a-z`, `0-9` and inner `-`, joined by dots.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAppId {
    #[error("must not be root")]
    Root,
    #[error(
        "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*\
         ([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])$': segment '{0}' does not"
    )]
    Segment(String),
    #[error(
        "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."
    )]
    Reserved,
    #[error("'..' leads above the root group")]
    AboveRoot,
}

impl AppId {
    /// Reads an id, relative ones below `group` (the root when `None`). Doubled and trailing
    /// slashes do not count, `.` and `..` are resolved, and upper case becomes lower case, since
    /// old training material posts ids like `Play`.
    pub fn resolve(group: Option<&AppId>, text: &str) -> Result<AppId, BadAppId> {
        let mut segments: Vec<String> = match group {
            Some(group) if !text.starts_with('/') => group.segments().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        for segment in text.split('/').filter(|s| !s.is_empty()) {
            match segment {
                "." => {}
                ".." => {
                    segments.pop().ok_or(BadAppId::AboveRoot)?;
                }
                label => segments.push(canonical_segment(label)?),
            }
        }
        match segments.last() {
            None => Err(BadAppId::Root),
            Some(last) if RESERVED.contains(&last.as_str()) => Err(BadAppId::Reserved),
            Some(_) => Ok(AppId(format!("/{}", segments.join("/")))),
        }
    }

    /// Stands in for an id that could not be read, while the rest of its document is.
    pub(super) fn stand_in() -> AppId {
        AppId("/unnamed".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the root inwards.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0[1..].split('/')
    }

    /// The enclosing group; `None` is the root.
    pub fn parent(&self) -> Option<AppId> {
        match self.0.rfind('/') {
            Some(0) | None => None,
            Some(end) => Some(AppId(self.0[..end].to_owned())),
        }
    }

    /// Whether `self` lies somewhere below the group `group`.
    pub fn is_below(&self, group: &AppId) -> bool {
        self.0
            .strip_prefix(group.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The name of tasks: segments from the inside out, joined by dots. `/counters/forward/fc` is
    /// `fc.forward.counters`.
    pub fn task_name(&self) -> String {
        self.segments().rev().collect::<Vec<_>>().join(".")
    }

    /// The id as it begins instance and task ids: `a_b`. No segment holds `_`, so [`AppId::from_safe_name`]
    /// undoes it.
    pub fn safe_name(&self) -> String {
        self.0[1..].replace('/', "_")
    }

    /// The app whose [`AppId::safe_name`] is `name`.
    pub fn from_safe_name(name: &str) -> Result<AppId, BadAppId> {
        AppId::resolve(None, &name.replace('_', "/"))
    }
}

fn canonical_segment(text: &str) -> Result<String, BadAppId> {
    let segment = text.to_ascii_lowercase();
    let label_fits = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if segment.split('.').all(label_fits) {
        Ok(segment)
    } else {
        Err(BadAppId::Segment(text.to_owned()))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppId {
    type Err = BadAppId;

    fn from_str(text: &str) -> Result<AppId, BadAppId> {
        AppId::resolve(None, text)
    }
}

impl TryFrom<String> for AppId {
    type Error = BadAppId;

    fn try_from(text: String) -> Result<AppId, BadAppId> {
        text.parse()
    }
}

impl From<AppId> for String {
    fn from(id: AppId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> AppId {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_made_absolute_and_canonical() {
        for (text, canonical) in [
            ("a", "/a"),
            ("/a", "/a"),
            ("//a//b/", "/a/b"),
            ("Play", "/play"),
            ("/a/../b/./c", "/b/c"),
            ("v1.2/web-1", "/v1.2/web-1"),
        ] {
            assert_eq!(id(text).as_str(), canonical, "{text}");
        }
    }

    #[test]
    fn a_relative_id_is_taken_in_its_group() {
        let group = id("/prod/web");
        let resolve = |text| AppId::resolve(Some(&group), text).unwrap().to_string();
        assert_eq!(resolve("db"), "/prod/web/db");
        assert_eq!(resolve("../db"), "/prod/db");
        assert_eq!(resolve("/db"), "/db");
    }

    #[test]
    fn bad_ids_say_why() {
        for (text, why) in [
            ("", BadAppId::Root),
            ("/", BadAppId::Root),
            ("a/..", BadAppId::Root),
            ("..", BadAppId::AboveRoot),
            ("a_b", BadAppId::Segment("a_b".to_owned())),
            ("a/-b", BadAppId::Segment("-b".to_owned())),
            ("a..b", BadAppId::Segment("a..b".to_owned())),
            ("ä", BadAppId::Segment("ä".to_owned())),
            ("/a/tasks", BadAppId::Reserved),
            ("/a/Versions", BadAppId::Reserved),
        ] {
            assert_eq!(text.parse::<AppId>(), Err(why), "{text:?}");
        }
        let error = "a_b".parse::<AppId>().unwrap_err().to_string();
        assert!(
            error.starts_with("must fully match regular expression '^(("),
            "{error}"
        );
    }

    #[test]
    fn names_derived_from_an_id() {
        let fc = id("/counters/forward/fc");
        assert_eq!(fc.task_name(), "fc.forward.counters");
        assert_eq!(fc.safe_name(), "counters_forward_fc");
        assert_eq!(fc.parent(), Some(id("/counters/forward")));
        assert!(fc.is_below(&id("/counters")) && !fc.is_below(&id("/count")));
        assert_eq!(id("/fc").parent(), None);
    }

    proptest! {
        #[test]
        fn a_safe_name_leads_back_to_its_id(text in "(/[a-z0-9]([a-z0-9-]{0,4}[a-z0-9])?){1,4}") {
            if let Ok(id) = text.parse::<AppId>() {
                prop_assert_eq!(AppId::from_safe_name(&id.safe_name()), Ok(id));
            }
        }

        #[test]
        fn any_text_either_fails_or_is_stable(text in "[/a-zA-Z0-9._-]{0,12}") {
            if let Ok(id) = text.parse::<AppId>() {
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
        }
    }
}
