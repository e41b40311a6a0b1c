//! Credentials from a file as ~/.aws/credentials: a profile is a section, and its keys are lines. Pure.
//! Source: "Configuration and credential file settings", AWS CLI User Guide.

use super::S3Credentials;

/// Those of a profile, if the text has both of its keys. Of sections of one name, and of keys, the last counts.
pub fn credentials(text: &str, profile: &str) -> Option<S3Credentials> {
    let (mut access_key, mut secret_key, mut session_token) = (None, None, None);
    let mut is_ours = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default().trim();
            // As a file of settings has it.
            is_ours = name.strip_prefix("profile ").unwrap_or(name).trim() == profile;
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_ours) else {
            continue;
        };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => access_key = value,
            "aws_secret_access_key" => secret_key = value,
            "aws_session_token" => session_token = value,
            _ => {}
        }
    }
    Some(S3Credentials {
        access_key: access_key?,
        secret_key: secret_key?,
        session_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# ours
[default]
aws_access_key_id = AKIA
aws_secret_access_key=a+b/c==
region = eu-central-1

[profile builds]
AWS_ACCESS_KEY_ID=ASIA
aws_secret_access_key = s
; of an hour
aws_session_token = t
[half]
aws_access_key_id = x
aws_secret_access_key =
";

    fn found(profile: &str) -> Option<(String, String, Option<String>)> {
        let found = credentials(TEXT, profile)?;
        Some((found.access_key, found.secret_key, found.session_token))
    }

    #[test]
    fn a_profile_has_its_own_keys() {
        let owned = str::to_owned;
        assert_eq!(
            found("default"),
            Some((owned("AKIA"), owned("a+b/c=="), None))
        );
        let builds = Some((owned("ASIA"), owned("s"), Some(owned("t"))));
        assert_eq!(found("builds"), builds);
    }

    #[test]
    fn half_a_profile_is_none() {
        for profile in ["half", "other", ""] {
            assert_eq!(found(profile), None);
        }
    }
}
