//! Who may speak as an executor: whoever can reach the agent, or only who has the executor's token.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Key;
use super::token::{BadToken, Claims, TokenKey};
use crate::flags::Flags;
use crate::paths::Run;

/// A key that HS256 can be broken by sooner than by trying is shorter than its hash.
/// Source: RFC 7518 section 3.2.
const GOOD_LENGTH: usize = 32;

/// Where executors find their token.
pub const VARIABLE: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";

/// By default there are no tokens.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    key: Option<TokenKey>,
    is_demanded: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    #[error(
        "--authenticate_http_executors needs a key that tokens are signed with: name a file with one in \
         --jwt_secret_key"
    )]
    NoKey,
    #[error("cannot read the key of --jwt_secret_key {}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "every user of this host may get at the key of --jwt_secret_key {path}, and make tokens with it: \
         chmod 600 {path}",
        path = .0.display()
    )]
    Open(PathBuf),
    #[error("the key of --jwt_secret_key {} is empty: write some random bytes there, such as 32", .0.display())]
    Empty(PathBuf),
}

/// Why somebody is not taken for an executor at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("executors must say who they are: Authorization: Bearer and what {VARIABLE} says")]
    Nobody,
    #[error(transparent)]
    Token(#[from] BadToken),
}

/// Who has shown who it is speaks for somebody else.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the token is that of executor {theirs} in container {container}, which may not speak for {meant}"
)]
pub struct Impostor {
    theirs: Key,
    container: String,
    meant: Key,
}

impl Authentication {
    /// Blocks.
    pub fn of(flags: &Flags) -> Result<Authentication, AuthenticationError> {
        let is_demanded = flags.authenticate_http_executors;
        match &flags.jwt_secret_key {
            None if is_demanded => Err(AuthenticationError::NoKey),
            None => Ok(Authentication::default()),
            Some(path) => Ok(Authentication {
                key: Some(TokenKey::new(&secret(path)?)),
                is_demanded,
            }),
        }
    }

    /// For the environment of the executor that runs there, if there are tokens.
    pub fn token(&self, run: &Run) -> Option<String> {
        Some(self.key.as_ref()?.issue(&Claims::of(run)))
    }

    /// What is known of who sends such a header; `None` if everybody may speak.
    pub fn admit(&self, header: Option<&str>, now: SystemTime) -> Result<Option<Claims>, Unknown> {
        let Some(key) = self.key.as_ref().filter(|_| self.is_demanded) else {
            return Ok(None);
        };
        let token = header.and_then(bearer).ok_or(Unknown::Nobody)?;
        Ok(Some(key.read(token, now)?))
    }
}

impl Claims {
    /// `container`: the one that there is of that executor now, as far as that matters.
    pub fn may_speak_for(&self, meant: &Key, container: Option<&str>) -> Result<(), Impostor> {
        let theirs = Key {
            framework: self.framework.clone(),
            executor: self.executor.clone(),
        };
        if theirs == *meant && container.is_none_or(|container| container == self.container) {
            return Ok(());
        }
        Err(Impostor {
            theirs,
            container: self.container.clone(),
            meant: meant.clone(),
        })
    }
}

/// Source: RFC 7235 section 2.1, RFC 6750 section 2.1.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn secret(path: &Path) -> Result<Vec<u8>, AuthenticationError> {
    let unreadable = |source| AuthenticationError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mode = std::fs::metadata(path)
        .map_err(unreadable)?
        .permissions()
        .mode();
    if mode & 0o007 != 0 {
        return Err(AuthenticationError::Open(path.to_owned()));
    }
    let secret = std::fs::read(path).map_err(unreadable)?;
    match secret.len() {
        0 => return Err(AuthenticationError::Empty(path.to_owned())),
        length if length < GOOD_LENGTH => tracing::warn!(
            file = %path.display(),
            length,
            "the key of --jwt_secret_key is short: {GOOD_LENGTH} random bytes are as good as it gets"
        ),
        _ => {}
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::parse;

    fn run() -> Run {
        Run {
            agent: "S0".into(),
            framework: "F".into(),
            executor: "E".into(),
            container: "C".into(),
        }
    }

    fn executor(executor: &str) -> Key {
        Key {
            framework: "F".into(),
            executor: executor.into(),
        }
    }

    fn with_key(content: &[u8], mode: u32, more: &[&str]) -> Result<Authentication, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let key = format!("--jwt_secret_key={}", path.display());
        let flags = parse(&[&[key.as_str()], more].concat());
        Authentication::of(&flags).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_that_is_no_secret_is_refused() {
        assert!(with_key(&[7; 32], 0o600, &[]).is_ok());
        assert!(with_key(&[7; 32], 0o640, &[]).is_ok());
        for (content, mode, word) in [(&[7; 32][..], 0o604, "chmod 600"), (&[], 0o600, "is empty")]
        {
            let error = with_key(content, mode, &[]).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let none = parse(&["--authenticate_http_executors"]);
        let error = Authentication::of(&none).unwrap_err().to_string();
        assert!(error.contains("--jwt_secret_key"), "{error}");
        let missing = parse(&["--jwt_secret_key=/no/such/key"]);
        let error = Authentication::of(&missing).unwrap_err().to_string();
        assert!(error.contains("/no/such/key"), "{error}");
    }

    #[test]
    fn tokens_are_given_out_before_they_are_demanded() {
        let now = SystemTime::now();
        let none = Authentication::default();
        assert_eq!(
            (none.token(&run()), none.admit(None, now)),
            (None, Ok(None))
        );
        let given = with_key(&[7; 32], 0o600, &[]).unwrap();
        let token = given.token(&run()).unwrap();
        assert_eq!(given.admit(None, now), Ok(None));
        assert_eq!(given.admit(Some("Basic x"), now), Ok(None));
        let demanded = with_key(&[7; 32], 0o600, &["--authenticate_http_executors"]).unwrap();
        let claims = Some(Claims::of(&run()));
        for header in [format!("Bearer {token}"), format!("bearer  {token} ")] {
            assert_eq!(demanded.admit(Some(&header), now), Ok(claims.clone()));
        }
        for header in [None, Some(token.as_str()), Some("Basic x"), Some("Bearer")] {
            assert_eq!(demanded.admit(header, now), Err(Unknown::Nobody));
        }
        let bad = demanded.admit(Some("Bearer x"), now);
        assert_eq!(bad, Err(Unknown::Token(BadToken::Form)));
    }

    #[test]
    fn who_has_a_token_speaks_for_that_executor_in_that_container() {
        let claims = Claims::of(&run());
        assert_eq!(claims.may_speak_for(&executor("E"), None), Ok(()));
        assert_eq!(claims.may_speak_for(&executor("E"), Some("C")), Ok(()));
        assert!(claims.may_speak_for(&executor("E"), Some("D")).is_err());
        let other = claims.may_speak_for(&executor("D"), None).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the token is that of executor F/E in container C, which may not speak for F/D"
        );
    }

    #[test]
    fn what_is_logged_of_it_holds_no_secret() {
        let shown = format!("{:?}", with_key(&[b'k'; 32], 0o600, &[]).unwrap());
        assert!(!shown.contains("kkk") && !shown.contains("107"), "{shown}");
    }
}
