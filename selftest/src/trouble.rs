//! Why an attack could not be carried out.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("cannot open the containerizer")]
    Open(#[from] containerizer::OpenError),
    #[error("cannot plan a container")]
    Plan(#[from] isolators::PlanError),
    #[error("cannot find the user root")]
    User(#[from] isolators::BadUser),
    #[error("cannot use this host's cgroups")]
    Hierarchy(#[from] isolators::cgroups::BadHierarchy),
    #[error("cannot {attempt}")]
    Prepare { attempt: String, source: io::Error },
    #[error("cannot write a container's spec")]
    Spec(#[from] serde_json::Error),
    #[error("the hostile container was not launched: {0}")]
    NotLaunched(String),
    #[error("the hostile program did not come to its end, and said {0:?}")]
    CutShort(String),
    #[error("still running after {0} s")]
    Late(u64),
    #[error("left behind: {0}")]
    Left(String),
    #[error("no program at {}, which is to run as an OCI runtime", .0.display())]
    NoRuntime(PathBuf),
}

pub fn cannot(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Trouble {
    let attempt = attempt.into();
    move |source| Trouble::Prepare { attempt, source }
}

/// An error and its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
