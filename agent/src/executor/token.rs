//! The token by which an executor shows that it is the one that this agent started: a JWT that the agent signs
//! with a key of the operator's, and needs not remember. Pure.
//!
//! Source: spec/mesos-agent.md section 9; RFC 7515 (JWS), RFC 7519 (JWT), RFC 7518 section 3.2 (HS256).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::paths::Run;

/// What a token says of who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(rename = "fid")]
    pub framework: String,
    #[serde(rename = "eid")]
    pub executor: String,
    #[serde(rename = "cid")]
    pub container: String,
    /// In seconds since 1970. Ours have none: an executor may live for as long as it likes.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// What has to be understood, of which we understand nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// Without a quotation mark: they also stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("the token is not of the form header.claims.signature, each in base64url")]
    Form,
    #[error("the token is not signed with HS256")]
    Algorithm,
    #[error("the token is not signed with the key of this agent's --jwt_secret_key")]
    Signature,
    #[error("the token lacks a claim: it must say fid, eid and cid")]
    Claims,
    #[error("the token has expired")]
    Expired,
}

/// Signs tokens, and knows its own again.
#[derive(Debug, Clone)]
pub struct TokenKey(hmac::Key);

impl Claims {
    pub fn of(run: &Run) -> Claims {
        Claims {
            framework: run.framework.clone(),
            executor: run.executor.clone(),
            container: run.container.clone(),
            expires: None,
        }
    }
}

impl TokenKey {
    pub fn new(secret: &[u8]) -> TokenKey {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub fn issue(&self, claims: &Claims) -> String {
        let header = Header {
            alg: "HS256".to_owned(),
            typ: Some("JWT".to_owned()),
            crit: None,
        };
        let mut token = format!("{}.{}", part(&header), part(claims));
        let signature = hmac::sign(&self.0, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// What the token claims, which is true: it is one of ours.
    pub fn read(&self, token: &str, now: SystemTime) -> Result<Claims, BadToken> {
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(BadToken::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_bad| BadToken::Form);
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_no_header| BadToken::Form)?;
        if header.alg != "HS256" || header.crit.is_some() {
            return Err(BadToken::Algorithm);
        }
        // In a time that tells nothing of how much of it is right.
        hmac::verify(&self.0, signed.as_bytes(), &decode(signature)?)
            .map_err(|_unspecified| BadToken::Signature)?;
        let claims: Claims =
            serde_json::from_slice(&decode(claims)?).map_err(|_lacking| BadToken::Claims)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match claims.expires {
            Some(expires) if expires <= now => Err(BadToken::Expired),
            Some(_) | None => Ok(claims),
        }
    }
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"a secret of thirty-two bytes, no";

    fn claims() -> Claims {
        Claims {
            framework: "F".into(),
            executor: "E".into(),
            container: "C".into(),
            expires: None,
        }
    }

    fn key() -> TokenKey {
        TokenKey::new(SECRET)
    }

    fn signed(header: &str, claims: &str) -> String {
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = signed.join(".");
        let signature = hmac::sign(&key().0, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// As any other program for JWTs makes it: RFC 7515 appendix A.1 has the same signature by the same key.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let secret = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let theirs = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                      eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                      dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let read = |token: &str| TokenKey::new(&secret).read(token, UNIX_EPOCH);
        assert_eq!(read(theirs), Err(BadToken::Claims));
        assert_eq!(
            read(&theirs.replace("dBj", "dBk")),
            Err(BadToken::Signature)
        );
    }

    #[test]
    fn a_token_is_read_by_who_has_issued_it() {
        let (now, token) = (SystemTime::now(), key().issue(&claims()));
        assert_eq!(key().read(&token, now), Ok(claims()));
        // By the next agent, too.
        assert_eq!(TokenKey::new(SECRET).read(&token, now), Ok(claims()));
        assert_eq!(
            TokenKey::new(b"another").read(&token, now),
            Err(BadToken::Signature)
        );
    }

    #[test]
    fn what_is_no_token_of_ours_is_told_why() {
        let (ours, body) = (
            r#"{"alg":"HS256","typ":"JWT"}"#,
            r#"{"fid":"F","eid":"E","cid":"C"}"#,
        );
        let unsigned = ["{\"alg\":\"none\"}", body].map(|part| URL_SAFE_NO_PAD.encode(part));
        let table = [
            (signed(ours, body), Ok(claims())),
            (String::new(), Err(BadToken::Form)),
            ("a.b".into(), Err(BadToken::Form)),
            ("!.!.!".into(), Err(BadToken::Form)),
            (format!("{}.", unsigned.join(".")), Err(BadToken::Algorithm)),
            (signed(r#"{"alg":"none"}"#, body), Err(BadToken::Algorithm)),
            (
                signed(r#"{"alg":"HS256","crit":["b64"]}"#, body),
                Err(BadToken::Algorithm),
            ),
            (
                signed(ours, r#"{"fid":"F","eid":"E"}"#),
                Err(BadToken::Claims),
            ),
            (signed(ours, "[]"), Err(BadToken::Claims)),
        ];
        for (token, wanted) in table {
            assert_eq!(key().read(&token, SystemTime::now()), wanted, "{token}");
        }
        let past = Claims {
            expires: Some(100),
            ..claims()
        };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let token = key().issue(&past);
        assert_eq!(key().read(&token, at(99)), Ok(past));
        assert_eq!(key().read(&token, at(100)), Err(BadToken::Expired));
    }

    proptest! {
        #[test]
        fn no_other_bytes_are_a_token(place in 0_usize..200, other in any::<char>()) {
            let token = key().issue(&claims());
            let mut mangled: Vec<char> = token.chars().collect();
            let place = place % mangled.len();
            prop_assume!(mangled[place] != other);
            mangled[place] = other;
            let mangled: String = mangled.into_iter().collect();
            prop_assert!(key().read(&mangled, SystemTime::now()).is_err(), "{}", mangled);
        }

        #[test]
        fn nothing_that_is_sent_is_a_token_or_ends_the_agent(text in ".{0,200}") {
            prop_assert!(key().read(&text, SystemTime::now()).is_err());
        }
    }
}
