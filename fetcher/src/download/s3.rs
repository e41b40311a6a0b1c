//! Objects of S3 and of what speaks like it, as requests by HTTP that are signed with version 4 of AWS'
//! signatures. Pure. Source: "Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference.

mod file;

use std::fmt;

use proto::redact::redacted;
use reqwest::Url;
use ring::{digest, hmac};

use crate::checksum::hex;

pub use file::credentials;

/// How to reach a store, and as whom.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct S3 {
    /// Of another store than Amazon's. With `{bucket}` in it each bucket has a host of its own there; else the
    /// bucket is the first part of the path.
    pub endpoint: Option<String>,
    /// `us-east-1` when there is none.
    pub region: Option<String>,
    /// Without any, what everybody may read.
    pub credentials: Option<S3Credentials>,
}

#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct S3Credentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("endpoint", &self.endpoint.as_deref().map(redacted))
            .field("region", &self.region)
            .field("credentials", &self.credentials)
            .finish()
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
}

/// Where the endpoint of a store has it, the bucket's name stands in its host.
const BUCKET: &str = "{bucket}";
const SERVICE: &str = "s3";
/// Of a request without a body.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl S3 {
    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    /// What a task says of its own, and what is said for all where it says nothing. Credentials go where who has
    /// them says.
    pub fn or(self, all: Self) -> Self {
        match &self.credentials {
            None => all,
            Some(_) => Self {
                endpoint: self.endpoint.or(all.endpoint),
                region: self.region.or(all.region),
                credentials: self.credentials,
            },
        }
    }

    /// Tells apart whom and where one asks, without saying it.
    pub fn digest(&self) -> String {
        let access_key = self.credentials.as_ref().map(|it| &it.access_key);
        let text = format!("{:?}", (&self.endpoint, &self.region, access_key));
        hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    }

    /// Amazon's buckets have hosts of their own, unless a dot in the name would be one too many for the
    /// certificate. Other stores rather have one host.
    pub fn url(&self, object: &Object) -> Result<Url, Box<dyn std::error::Error + Send + Sync>> {
        let Object { bucket, key } = object;
        let region = self.region();
        let text = match &self.endpoint {
            Some(endpoint) if endpoint.contains(BUCKET) => {
                let endpoint = endpoint
                    .trim_end_matches('/')
                    .replace(BUCKET, &encoded(bucket));
                format!("{endpoint}/{}", encoded(key))
            }
            Some(endpoint) => {
                let endpoint = endpoint.trim_end_matches('/');
                format!("{endpoint}/{}/{}", encoded(bucket), encoded(key))
            }
            None if bucket.contains('.') => format!(
                "https://s3.{region}.amazonaws.com/{}/{}",
                encoded(bucket),
                encoded(key)
            ),
            None => format!(
                "https://{}.s3.{region}.amazonaws.com/{}",
                encoded(bucket),
                encoded(key)
            ),
        };
        Ok(Url::parse(&text)?)
    }

    /// The headers that say who asks. `time` is like 20130524T000000Z; `more` are signed, too, and sorted.
    pub fn headers(
        &self,
        url: &Url,
        time: &str,
        more: &[(&str, &str)],
    ) -> Vec<(&'static str, String)> {
        let Some(credentials) = &self.credentials else {
            return Vec::new();
        };
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut signed = vec![
            ("host", host.as_str()),
            ("x-amz-content-sha256", NOTHING),
            ("x-amz-date", time),
        ];
        if let Some(token) = &credentials.session_token {
            signed.push(("x-amz-security-token", token));
        }
        signed.extend(more);
        signed.sort_unstable();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = signed
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let request = format!(
            "GET\n{}\n{}\n{lines}\n{names}\n{NOTHING}",
            url.path(),
            url.query().unwrap_or_default()
        );
        let (day, region) = (time.get(..8).unwrap_or_default(), self.region());
        let scope = format!("{day}/{region}/{SERVICE}/aws4_request");
        let request = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{request}");
        let secret = format!("AWS4{}", credentials.secret_key).into_bytes();
        let key = [day, region, SERVICE, "aws4_request"]
            .iter()
            .fold(secret, |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &to_sign));
        let access_key = &credentials.access_key;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope},SignedHeaders={names},Signature={signature}"
        );
        let mut headers = vec![
            ("authorization", authorization),
            ("x-amz-content-sha256", NOTHING.to_owned()),
            ("x-amz-date", time.to_owned()),
        ];
        let token = credentials.session_token.clone();
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        headers
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// As the signature wants it: all but unreserved characters and slashes.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bucket: &str, key: &str) -> Object {
        Object {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        }
    }

    fn documented() -> S3 {
        S3 {
            credentials: Some(S3Credentials {
                access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
                session_token: None,
            }),
            ..S3::default()
        }
    }

    /// "Example: GET Object" of the reference.
    #[test]
    fn a_request_is_signed_as_in_the_reference() {
        let url = Url::parse("https://examplebucket.s3.amazonaws.com/test.txt").unwrap();
        let range = [("range", "bytes=0-9")];
        let headers = documented().headers(&url, "20130524T000000Z", &range);
        assert_eq!(
            headers[0].1,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn a_bucket_has_a_host_of_its_own_where_it_can_have_one() {
        let mut s3 = documented();
        let url = |s3: &S3, bucket: &str| s3.url(&object(bucket, "a b/ü+x")).unwrap().to_string();
        let key = "a%20b/%C3%BC%2Bx";
        assert_eq!(
            url(&s3, "jars"),
            format!("https://jars.s3.us-east-1.amazonaws.com/{key}")
        );
        assert_eq!(
            url(&s3, "my.jars"),
            format!("https://s3.us-east-1.amazonaws.com/my.jars/{key}")
        );
        s3.endpoint = Some("http://minio:9000/".to_owned());
        assert_eq!(url(&s3, "jars"), format!("http://minio:9000/jars/{key}"));
        s3.endpoint = Some("https://{bucket}.oss.example/".to_owned());
        assert_eq!(url(&s3, "jars"), format!("https://jars.oss.example/{key}"));
        // No bucket makes another host of it.
        for bucket in ["a@evil.example", "evil.example#", "evil.example?"] {
            assert!(s3.url(&object(bucket, "x")).is_err(), "{bucket}");
        }
    }

    #[test]
    fn what_a_task_says_of_its_own_goes_before_what_is_said_for_all() {
        let all = S3 {
            endpoint: Some("http://minio:9000".to_owned()),
            region: Some("eu".to_owned()),
            credentials: None,
        };
        let own = documented().or(all.clone());
        assert_eq!(own.credentials, documented().credentials);
        assert_eq!((&own.endpoint, &own.region), (&all.endpoint, &all.region));
        // An endpoint alone would get what is signed with the agent's.
        let astray = S3 {
            endpoint: Some("http://evil".to_owned()),
            ..S3::default()
        };
        assert_eq!(astray.or(all.clone()), all);
        assert_ne!(own.digest(), all.digest());
    }

    #[test]
    fn who_has_no_credentials_asks_as_anybody_and_no_secret_is_shown() {
        let url = Url::parse("https://h/x").unwrap();
        let headers = S3::default().headers(&url, "20130524T000000Z", &[]);
        assert_eq!(headers, []);
        let ours = S3 {
            endpoint: Some("http://me:hunter2@minio:9000".to_owned()),
            ..documented()
        };
        let shown = format!("{ours:?}");
        assert!(
            !shown.contains("wJalr") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
