//! The links of a message: agents tell an end in Mesos' own words and go on with its causes, each after
//! a semicolon.

use super::story::Event;

/// How messages begin that are told like that. Others may have semicolons of their own.
const LINKED: &[&str] = &[
    "Command exited with status ",
    "Command terminated with signal ",
    "Memory limit exceeded: ",
    "A kill was requested before ",
];

impl Event {
    /// What the message says first.
    pub fn words(&self) -> Option<&str> {
        self.parts().next()
    }

    /// What it goes on with.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.parts().skip(1)
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        let message = self.message.as_deref();
        let is_linked = LINKED
            .iter()
            .any(|begin| message.is_some_and(|message| message.starts_with(begin)));
        let most = if is_linked { usize::MAX } else { 1 };
        message
            .into_iter()
            .flat_map(move |it| it.splitn(most, "; "))
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::TaskState::TaskFailed;

    use super::super::story::tests::event;

    #[test]
    fn only_an_end_is_told_in_links() {
        let mut failed = event(TaskFailed, 1.0);
        assert_eq!((failed.words(), failed.links().count()), (None, 0));
        let words = "Command terminated with signal Killed";
        failed.message = Some(format!("{words}; one; two"));
        assert_eq!(failed.words(), Some(words));
        assert_eq!(failed.links().collect::<Vec<_>>(), ["one", "two"]);
        let launch = "Failed to launch container: cannot run \"a; b\"";
        failed.message = Some(launch.to_owned());
        assert_eq!((failed.words(), failed.links().count()), (Some(launch), 0));
    }
}
