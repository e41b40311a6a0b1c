//! A step that could not be done.

use std::io;

use init::Stage;

#[derive(Debug)]
pub struct Failure {
    /// What was tried, as a phrase after "cannot".
    pub attempt: String,
    pub errno: i32,
    pub stage: Stage,
}

/// For `map_err`: names the attempt an I/O error belongs to.
pub fn because(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let attempt = attempt.into();
    move |error| Failure {
        attempt,
        errno: error.raw_os_error().unwrap_or(libc::EIO),
        stage: Stage::Setup {},
    }
}

impl Failure {
    pub fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }
}
