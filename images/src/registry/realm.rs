//! Where one logs in for a registry, and as whom. Credentials go to the registry itself, and to where it sends
//! us over a connection that nobody can have changed; a token goes to the registry alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderValue};

use super::ask::Place;
use super::challenge::Challenge;
use super::credentials::Login;
use super::{RegistryError, Repository};

const ANSWER_BYTES: usize = 1 << 20;

#[derive(serde::Deserialize)]
struct Tokens {
    token: Option<String>,
    access_token: Option<String>,
}

impl Repository<'_> {
    /// What a registry is to be shown; nothing where there is nothing to show.
    pub(super) async fn proof(
        &self,
        place: &Place,
        challenge: Challenge,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let token = match (challenge, &place.login) {
            (_, Some(Login::Token(token))) => token.clone(),
            (Challenge::Basic, login) => {
                return Ok(login.as_ref().and_then(basic));
            }
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                login,
            ) => {
                let url = realm_url(&realm, place.host(), place.is_plain());
                let url = url.ok_or_else(|| RegistryError::Realm {
                    registry: place.host().to_owned(),
                    realm,
                })?;
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.name));
                self.token(place, url, service, scope, login.as_ref())
                    .await?
            }
        };
        Ok(secret(&format!("Bearer {token}")))
    }

    async fn token(
        &self,
        place: &Place,
        mut url: Url,
        service: Option<String>,
        scope: String,
        login: Option<&Login>,
    ) -> Result<String, RegistryError> {
        let registry = || place.host().to_owned();
        let policy = &self.registries.settings.policy;
        let allowed = policy.host(url.host_str().unwrap_or_default());
        allowed.map_err(|source| RegistryError::Forbidden {
            registry: registry(),
            source,
        })?;
        let client = &self.registries.client;
        let request = match login {
            Some(Login::Identity(identity)) => {
                let mut form = url.clone();
                form.set_query(None);
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "longshore")
                    .append_pair("refresh_token", identity)
                    .append_pair("scope", &scope)
                    .extend_pairs(service.iter().map(|service| ("service", service)));
                let form = form.query().unwrap_or_default().to_owned();
                let kind = "application/x-www-form-urlencoded";
                let request = client.post(url).body(form);
                request.header(reqwest::header::CONTENT_TYPE, kind)
            }
            login => {
                url.query_pairs_mut().append_pair("scope", &scope);
                if let Some(service) = &service {
                    url.query_pairs_mut().append_pair("service", service);
                }
                let proof = login.and_then(basic);
                let request = client.get(url);
                match proof {
                    Some(proof) => request.header(AUTHORIZATION, proof),
                    None => request,
                }
            }
        };
        let failed = |error| self.failed(place, error);
        let mut answer = request.send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(match login {
                Some(_) if answer.status().is_client_error() => RegistryError::Denied {
                    registry: registry(),
                    who: "logged in as its credentials say",
                    remedy: "check them",
                },
                _ => RegistryError::NoToken {
                    registry: registry(),
                },
            });
        }
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            text.extend_from_slice(&piece);
            if text.len() > ANSWER_BYTES {
                return Err(RegistryError::NoToken {
                    registry: registry(),
                });
            }
        }
        let tokens = serde_json::from_slice(&text).ok();
        let token = tokens.and_then(|it: Tokens| it.token.or(it.access_token));
        let token = token.filter(|token| !token.is_empty());
        token.ok_or_else(|| RegistryError::NoToken {
            registry: registry(),
        })
    }
}

/// `plain`: the registry was asked by HTTP, so that whoever is on the way may have written the realm.
fn realm_url(realm: &str, registry: &str, plain: bool) -> Option<Url> {
    let url = Url::parse(realm).ok()?;
    let own = Url::parse(&format!("http://{registry}/")).ok()?;
    let is_own = url.host_str() == own.host_str();
    let has_login = !url.username().is_empty() || url.password().is_some();
    let allowed = match url.scheme() {
        "https" => !plain || is_own,
        "http" => plain && is_own,
        _ => false,
    };
    (allowed && !has_login).then_some(url)
}

fn basic(login: &Login) -> Option<HeaderValue> {
    match login {
        Login::Password { user, password } => {
            let both = STANDARD.encode(format!("{user}:{password}"));
            secret(&format!("Basic {both}"))
        }
        Login::Identity(_) | Login::Token(_) => None,
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_logs_in_only_where_nobody_else_can_have_sent_us() {
        for (realm, registry, plain, allowed) in [
            ("https://auth.example/token?x=1", "r.example", false, true),
            ("https://r.example/token", "r.example", false, true),
            ("http://r.example/token", "r.example", false, false),
            ("http://auth.example/token", "r.example", false, false),
            ("http://r.example:81/token", "r.example:5000", true, true),
            ("https://r.example/token", "r.example:5000", true, true),
            ("http://auth.example/token", "r.example:5000", true, false),
            ("https://auth.example/token", "r.example:5000", true, false),
            (
                "https://me:pw@auth.example/token",
                "r.example",
                false,
                false,
            ),
            ("file:///etc/passwd", "r.example", false, false),
            ("token", "r.example", false, false),
        ] {
            let found = realm_url(realm, registry, plain).is_some();
            assert_eq!(found, allowed, "{realm} of {registry}");
        }
    }
}
