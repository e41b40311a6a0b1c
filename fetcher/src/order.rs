//! What the agent writes to the child's stdin.

use std::borrow::Cow;

use crate::Request;
use crate::settings::Settings;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Order<'a> {
    #[serde(flatten)]
    pub request: Cow<'a, Request>,
    /// Bytes that everything fetched and unpacked may take together.
    #[serde(default)]
    pub disk_limit: Option<u64>,
    pub settings: Cow<'a, Settings>,
}
