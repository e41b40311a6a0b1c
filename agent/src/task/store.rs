//! As whom a task's own URIs of S3 are asked for: its environment says it, as for any program that speaks S3, and
//! may say it by secrets.

use fetcher::{S3, S3Credentials};

/// Nothing of a task that has no credentials: then it is whoever the agent is. Where there are several of a name,
/// the last one counts, as in the container.
pub fn of(environment: &[(String, String)]) -> Option<S3> {
    let set = |wanted: &str| {
        let mut found = environment.iter().rev();
        let (_, value) = found.find(|(name, _)| name == wanted)?;
        Some(value.clone()).filter(|value| !value.is_empty())
    };
    Some(S3 {
        endpoint: set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")),
        region: set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")),
        credentials: Some(S3Credentials {
            access_key: set("AWS_ACCESS_KEY_ID")?,
            secret_key: set("AWS_SECRET_ACCESS_KEY")?,
            session_token: set("AWS_SESSION_TOKEN"),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_task_that_has_credentials_is_who_they_say() {
        let found = of(&environment(&[
            ("AWS_ACCESS_KEY_ID", "operator's"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_REGION", "eu-central-1"),
        ]));
        let found = found.unwrap();
        let credentials = found.credentials.clone().unwrap();
        assert_eq!(credentials.access_key, "key");
        assert_eq!(credentials.secret_key, "hunter2");
        assert_eq!(found.region.as_deref(), Some("eu-central-1"));
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn half_of_it_or_a_store_alone_is_nothing() {
        for pairs in [
            &[][..],
            &[("AWS_ACCESS_KEY_ID", "key")],
            &[("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "")],
            &[("AWS_ENDPOINT_URL_S3", "http://evil")],
        ] {
            assert_eq!(of(&environment(pairs)), None);
        }
    }
}
