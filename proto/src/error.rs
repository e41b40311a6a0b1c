//! How errors are told: in one line, from what was tried to what went wrong.

/// An error and its causes, joined by `: `. For the one place that logs or answers with it.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the registry")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the disk is gone")]
    struct Inner;

    #[test]
    fn causes_follow_the_attempt() {
        let text = chain(&Outer(Inner));
        assert_eq!(text, "cannot read the registry: the disk is gone");
    }
}
