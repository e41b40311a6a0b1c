//! Programs that know credentials: `docker-credential-<name> get`, as Docker runs them.
//!
//! Source: the protocol of docker-credential-helpers: the registry on stdin, a JSON object on stdout.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::credentials::Login;
use crate::json::{self, BadJson};
use crate::reference::DOCKER_HUB;

const PATIENCE: Duration = Duration::from_secs(20);
const ANSWER_BYTES: u64 = 64 << 10;
/// What Docker's registry is called among them.
const HUB: &str = "https://index.docker.io/v1/";
/// Instead of a user, where the secret is a token that is exchanged for others.
const TOKEN_USER: &str = "<token>";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    program: String,
    /// Before what it is asked for.
    arguments: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    #[error("cannot run {program}, which the Docker config names: is it in the agent's PATH?")]
    Start { program: String, source: io::Error },
    #[error("cannot speak with {program}")]
    Speak { program: String, source: io::Error },
    #[error("{program} did not answer within {} s", PATIENCE.as_secs())]
    Slow { program: String },
    #[error("{program} ended with {status}")]
    Failed { program: String, status: ExitStatus },
    #[error("{program} did not answer with credentials")]
    Answer { program: String, source: BadJson },
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helper {
    pub fn named(name: &str) -> Option<Helper> {
        let is_odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let program = format!("docker-credential-{name}");
        (!name.is_empty() && !name.contains(is_odd)).then_some(Helper {
            program,
            arguments: Vec::new(),
        })
    }

    pub fn name(&self) -> String {
        self.program.clone()
    }

    /// Nothing where it knows none.
    pub async fn login(&self, registry: &str) -> Result<Option<Login>, HelperError> {
        let program = || self.program.clone();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| HelperError::Start {
                program: program(),
                source,
            })?;
        let server = if registry == DOCKER_HUB {
            HUB
        } else {
            registry
        };
        let said = timeout(PATIENCE, ask(child, server)).await;
        let said = said.map_err(|_elapsed| HelperError::Slow { program: program() })?;
        let (answer, status) = said.map_err(|source| HelperError::Speak {
            program: program(),
            source,
        })?;
        if !status.success() {
            // The words by which all of them say so.
            return match String::from_utf8_lossy(&answer).contains("credentials not found") {
                true => Ok(None),
                false => Err(HelperError::Failed {
                    program: program(),
                    status,
                }),
            };
        }
        let answer: Answer = json::parse(&answer).map_err(|source| HelperError::Answer {
            program: program(),
            source,
        })?;
        Ok(Some(match answer.username.as_str() {
            TOKEN_USER => Login::Identity(answer.secret),
            _ => Login::Password {
                user: answer.username,
                password: answer.secret,
            },
        }))
    }
}

async fn ask(mut child: Child, server: &str) -> io::Result<(Vec<u8>, ExitStatus)> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(server.as_bytes()).await {
            // It knows without being told.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    }
    Ok((answer, child.wait().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(script: &str) -> Result<Option<Login>, HelperError> {
        let helper = Helper {
            program: "/bin/sh".to_owned(),
            arguments: ["-c", script, "helper"].map(str::to_owned).to_vec(),
        };
        helper.login("r.example").await
    }

    #[tokio::test]
    async fn a_helper_is_asked_as_docker_asks_it() {
        let script = r#"read -r server; echo "{\"ServerURL\": \"\", \"Username\": \"$1\", \"Secret\": \"$server\"}""#;
        let login = Login::Password {
            user: "get".to_owned(),
            password: "r.example".to_owned(),
        };
        assert_eq!(said(script).await.expect("answers"), Some(login));
        let token = r#"echo '{"Username": "<token>", "Secret": "t"}'"#;
        assert_eq!(
            said(token).await.expect("answers"),
            Some(Login::Identity("t".to_owned()))
        );
        let none = "echo credentials not found in native keychain; exit 1";
        assert_eq!(said(none).await.expect("answers"), None);
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_named() {
        for (script, why) in [
            ("exit 3", "ended with exit status: 3"),
            ("echo {", "did not answer with credentials"),
            ("exec yes", "ended with signal"),
        ] {
            let error = said(script).await.expect_err("fails").to_string();
            assert!(error.contains(why), "{script}: {error}");
        }
        let error = Helper::named("none-such-here")
            .expect("a name")
            .login("r")
            .await;
        let error = error.expect_err("fails").to_string();
        assert!(
            error.starts_with("cannot run docker-credential-none-such-here"),
            "{error}"
        );
        assert_eq!(Helper::named("../x"), None);
    }
}
