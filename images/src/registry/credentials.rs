//! Who a registry is told that we are: Docker's `config.json`, and the older `.dockercfg`. Pure but for the
//! helpers that an operator's may name.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::helper::{Helper, HelperError};
use crate::json::{self, BadJson};
use crate::reference::DOCKER_HUB;

/// For every registry, none or one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    logins: BTreeMap<String, Login>,
    /// Programs that know those of some registries.
    helpers: BTreeMap<String, Helper>,
    /// One that may know any.
    store: Option<Helper>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Password {
        user: String,
        password: String,
    },
    /// Is exchanged for one that lets in.
    Identity(String),
    /// Lets in by itself.
    Token(String),
}

#[derive(Debug, thiserror::Error)]
pub enum BadCredentials {
    #[error("the Docker config cannot be read")]
    Json(#[source] BadJson),
    #[error("the Docker config's \"auth\" of {0:?} is not user and password, in base64")]
    Auth(String),
    #[error(
        "the Docker config leaves the credentials to the helper program {0:?}, which is run for the operator's \
         only (--docker_config): log in without it, so that \"auths\" has them"
    )]
    Helper(String),
    #[error(
        "the Docker config names the helper program {0:?}: it must be letters, digits, '-', '_' and '.'"
    )]
    HelperName(String),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    auths: Option<BTreeMap<String, WrittenLogin>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(serde::Deserialize)]
struct WrittenLogin {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Credentials {
    /// Of a task: nothing that it brings is run.
    pub fn parse(text: &[u8]) -> Result<Credentials, BadCredentials> {
        let found = Credentials::of_operator(text)?;
        let Credentials {
            logins,
            helpers,
            store,
        } = found;
        let helper = store.into_iter().chain(helpers.into_values()).next();
        match helper {
            Some(helper) if logins.is_empty() => Err(BadCredentials::Helper(helper.name())),
            _ => Ok(Credentials {
                logins,
                ..Credentials::default()
            }),
        }
    }

    /// With the helper programs that it names.
    pub fn of_operator(text: &[u8]) -> Result<Credentials, BadCredentials> {
        let written: Written = json::parse(text).map_err(BadCredentials::Json)?;
        let has_helpers = written.creds_store.is_some() || written.cred_helpers.is_some();
        let logins = match written.auths {
            Some(logins) => logins,
            None if has_helpers => BTreeMap::new(),
            None => json::parse(text).map_err(BadCredentials::Json)?,
        };
        let mut known = Credentials::default();
        for (registry, login) in logins {
            if let Some(login) = login.login(&registry)? {
                known.logins.insert(host(&registry), login);
            }
        }
        let helper = |name: String| Helper::named(&name).ok_or(BadCredentials::HelperName(name));
        for (registry, name) in written.cred_helpers.into_iter().flatten() {
            known.helpers.insert(host(&registry), helper(name)?);
        }
        let store = written.creds_store.filter(|name| !name.is_empty());
        known.store = store.map(helper).transpose()?;
        Ok(known)
    }

    pub fn of(&self, registry: &str) -> Option<&Login> {
        self.logins.get(registry)
    }

    /// Those for one registry; helpers are asked.
    pub async fn for_registry(&self, registry: &str) -> Result<Credentials, HelperError> {
        let helper = self.helpers.get(registry).or(self.store.as_ref());
        let said = match helper {
            Some(helper) => helper.login(registry).await?,
            None => None,
        };
        let login = said.or_else(|| self.of(registry).cloned());
        let logins = login.map(|login| (registry.to_owned(), login));
        Ok(Credentials {
            logins: logins.into_iter().collect(),
            ..Credentials::default()
        })
    }

    /// Those of `other` count where both know a registry.
    pub fn or(mut self, other: Credentials) -> Credentials {
        for registry in other.logins.keys() {
            self.helpers.remove(registry);
        }
        // One that may know any registry is asked for what nobody else knows.
        self.logins.extend(other.logins);
        self.helpers.extend(other.helpers);
        self.store = other.store.or(self.store);
        self
    }
}

impl WrittenLogin {
    fn login(self, registry: &str) -> Result<Option<Login>, BadCredentials> {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = set(self.registrytoken) {
            return Ok(Some(Login::Token(token)));
        }
        if let Some(token) = set(self.identitytoken) {
            return Ok(Some(Login::Identity(token)));
        }
        if let (Some(user), Some(password)) = (set(self.username), set(self.password)) {
            return Ok(Some(Login::Password { user, password }));
        }
        let Some(auth) = set(self.auth) else {
            return Ok(None);
        };
        let bad = || BadCredentials::Auth(registry.to_owned());
        let plain = STANDARD.decode(auth.trim()).map_err(|_why| bad())?;
        let plain = String::from_utf8(plain).map_err(|_why| bad())?;
        let (user, password) = plain.split_once(':').ok_or_else(bad)?;
        Ok(Some(Login::Password {
            user: user.to_owned(),
            // Some programs pad it.
            password: password.trim_end_matches('\0').to_owned(),
        }))
    }
}

/// Of what stands there: a host, or an URL of the times of its first version.
fn host(registry: &str) -> String {
    let host = registry
        .split_once("://")
        .map_or(registry, |(_, host)| host);
    let host = host.split('/').next().unwrap_or_default();
    match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        other => other.to_owned(),
    }
}

/// Nothing of them is shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.logins.keys()).finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Login {
        let (user, password) = (user.to_owned(), password.to_owned());
        Login::Password { user, password }
    }

    #[test]
    fn a_registry_is_told_what_docker_would_tell_it() {
        let text = br#"{
            "auths": {
                "https://index.docker.io/v1/": {"auth": "bWU6cHc6dw=="},
                "r.example:5000": {"username": "a", "password": "b"},
                "http://plain.example/v2/": {"identitytoken": "i", "auth": "bWU6"},
                "t.example": {"registrytoken": "t"},
                "empty.example": {}
            },
            "credHelpers": {"h.example": "pass"}, "HttpHeaders": {}
        }"#;
        let known = Credentials::parse(text).unwrap();
        for (registry, login) in [
            ("docker.io", Some(password("me", "pw:w"))),
            ("r.example:5000", Some(password("a", "b"))),
            ("plain.example", Some(Login::Identity("i".into()))),
            ("t.example", Some(Login::Token("t".into()))),
            ("empty.example", None),
            ("r.example", None),
            ("x.r.example:5000", None),
        ] {
            assert_eq!(known.of(registry), login.as_ref(), "{registry}");
        }
        let old = Credentials::parse(br#"{"r.example": {"auth": "YTpi", "email": ""}}"#).unwrap();
        assert_eq!(old.of("r.example"), Some(&password("a", "b")));
        assert_eq!(
            old.clone().or(known).of("docker.io"),
            Some(&password("me", "pw:w"))
        );
        assert!(!format!("{old:?} {:?}", old.of("r.example")).contains("\"a\""));
    }

    #[test]
    fn what_is_no_config_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"auths": {"r": {"auth": "%"}}}"#,
            r#"{"auths": {"r": {"auth": "YQ=="}}}"#,
            r#"{"auths": {"r": {}, "r": {}}}"#,
            r#"{"credsStore": "desktop"}"#,
            r#"{"credsStore": "../evil", "auths": {"r": {"auth": "YTpi"}}}"#,
            r#"{"auths": {}, "credsStore": "desktop"}"#,
        ] {
            assert!(Credentials::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Credentials::parse(b"{}").unwrap(), Credentials::default());
    }
}
