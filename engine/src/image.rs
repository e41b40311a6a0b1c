//! What can be asked of images.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::{Deserialize, Serialize};

use crate::call::{Call, segment};
use crate::client::Engine;
use crate::error::EngineError;
use crate::inspected::null_is_empty;
use crate::lines::Lines;

/// One that is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    pub id: String,
    /// `repository@sha256:…`, by which others know it.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub repo_digests: Vec<String>,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
}

/// For the registry of an image. Their text is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    pub identity_token: String,
    #[serde(rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    pub registry_token: String,
    #[serde(rename = "serveraddress")]
    pub server: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// How far one layer of an image has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Of the layer; empty of what is said of the image.
    pub id: String,
    /// In the engine's words, as "Downloading".
    pub status: String,
    /// Bytes.
    pub current: u64,
    /// Bytes; 0 when it is not known.
    pub total: u64,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: String,
    #[serde(rename = "progressDetail", default)]
    detail: Detail,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    current: i64,
    total: i64,
}

/// A pull that goes on. Dropped, it ends.
#[derive(Debug)]
pub struct Pull {
    what: String,
    lines: Lines,
}

impl Pull {
    /// `None` when the image is there. Errors: why it is not.
    pub async fn next(&mut self) -> Result<Option<Progress>, EngineError> {
        let Some(told) = self.lines.next::<Told>().await? else {
            return Ok(None);
        };
        if let Some(message) = told.error {
            return Err(EngineError::Refused {
                what: self.what.clone(),
                status: None,
                message,
            });
        }
        let bytes = |n: i64| u64::try_from(n).unwrap_or_default();
        Ok(Some(Progress {
            id: told.id,
            status: told.status,
            current: bytes(told.detail.current),
            total: bytes(told.detail.total),
        }))
    }

    /// Waits until the image is there.
    pub async fn finish(mut self) -> Result<(), EngineError> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

impl Engine {
    /// `None`: it is not there.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        let path = format!("images/{}/json", segment(reference));
        match self
            .json(&Call::get(format!("inspect image {reference}"), path))
            .await
        {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `tag`: or a digest.
    pub async fn pull(
        &self,
        repository: &str,
        tag: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Pull, EngineError> {
        let what = format!("pull image {repository} ({tag})");
        let call = Call::post(what.as_str(), "images/create");
        let mut call = call.with("fromImage", repository).with("tag", tag);
        call.registry_auth = credentials.map(header);
        let lines = Lines::of(&call, self.send(&call).await?);
        Ok(Pull { what, lines })
    }

    /// Of an image that nothing needs any more. Errors: `is_conflict`: a container does.
    pub async fn remove_image(&self, reference: &str) -> Result<(), EngineError> {
        let path = format!("images/{}", segment(reference));
        let call = Call::delete(format!("remove image {reference}"), path);
        self.done(&call).await.map(drop)
    }
}

fn header(credentials: &Credentials) -> String {
    URL_SAFE.encode(serde_json::to_vec(credentials).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_to_the_engine_and_to_nobody_else() {
        let credentials = Credentials {
            username: "me".to_owned(),
            password: "geheim".to_owned(),
            identity_token: String::new(),
            registry_token: String::new(),
            server: "registry:5000".to_owned(),
        };
        assert!(!format!("{credentials:?}").contains("geheim"));
        let told = URL_SAFE.decode(header(&credentials)).expect("base64");
        let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
        let wanted = serde_json::json!({
            "username": "me", "password": "geheim", "serveraddress": "registry:5000",
        });
        assert_eq!(told, wanted);
    }
}
