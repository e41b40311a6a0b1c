//! Flags that a command takes over from other crates.
//!
//! Each crate defines its flags as a `clap::Args`. A command that starts several parts decides some
//! of these itself (the agent's `--master`, say) and hands the others through: they stand in the
//! command's own help, and the crate they belong to reads what the user wrote.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command};

/// What a command makes of another crate's flags.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// By long name: not the user's, neither as words nor in the environment. The command sets
    /// these fields itself.
    pub decided: &'static [&'static str],
    /// By long name: other defaults than the crate has.
    pub defaults: &'static [(&'static str, &'static str)],
}

impl Terms {
    /// Adds to `command` the flags that are left to the user, below a heading of their own.
    pub fn offer<T: Args>(&self, command: Command, heading: &'static str) -> Command {
        let offered = self.flags::<T>().filter(|arg| !self.decides(arg));
        command.args(offered.map(|arg| arg.help_heading(heading)))
    }

    /// What `T` makes of the words among `matches`; environment variables and defaults fill the
    /// rest.
    pub fn read<T: Args>(&self, matches: &ArgMatches) -> Result<T, clap::Error> {
        let mut words = Vec::new();
        for arg in self.flags::<T>().filter(|arg| !self.decides(arg)) {
            words.extend(given(&arg, matches));
        }
        self.parse(words)
    }

    /// `T` as the environment and defaults have it.
    pub fn unasked<T: Args>(&self) -> Result<T, clap::Error> {
        self.parse(Vec::new())
    }

    fn parse<T: Args>(&self, words: Vec<OsString>) -> Result<T, clap::Error> {
        let command = Command::new("longshore").no_binary_name(true);
        let command = command.args(self.flags::<T>().map(|arg| match self.decides(&arg) {
            true => arg.env(Resettable::Reset),
            false => arg,
        }));
        T::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    fn flags<T: Args>(&self) -> impl Iterator<Item = Arg> {
        let theirs = T::augment_args(Command::new("theirs"));
        let flags: Vec<Arg> = theirs.get_arguments().cloned().collect();
        flags.into_iter().map(|arg| {
            let other = self.defaults.iter().find(|(name, _)| *name == long(&arg));
            match other {
                Some((_, value)) => arg.required(false).default_value(*value),
                None => arg,
            }
        })
    }

    fn decides(&self, arg: &Arg) -> bool {
        self.decided.contains(&long(arg))
    }
}

fn long(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// The words with which the user gave this flag.
fn given(arg: &Arg, matches: &ArgMatches) -> Vec<OsString> {
    let id = arg.get_id().as_str();
    let is_known = matches.try_contains_id(id).is_ok();
    if !is_known || matches.value_source(id) != Some(ValueSource::CommandLine) {
        return Vec::new();
    }
    let values = matches.get_raw(id).into_iter().flatten();
    let word = |value| {
        let mut word = OsString::from(format!("--{}=", long(arg)));
        word.push(value);
        word
    };
    values.map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Args)]
    struct Flags {
        #[arg(long = "master")]
        master: String,
        // There is always such a variable, and it is no number.
        #[arg(long = "port", env = "PATH", default_value_t = 1)]
        port: u16,
        #[arg(long = "resources")]
        resources: Option<String>,
        #[arg(long = "quick", num_args = 0..=1, require_equals = true,
              default_missing_value = "true", default_value_t = false,
              action = clap::ArgAction::Set)]
        quick: bool,
    }

    const TERMS: Terms = Terms {
        decided: &["master", "port"],
        defaults: &[("master", "decided later"), ("resources", "cpus:1")],
    };

    fn read(words: &[&str]) -> Result<Flags, clap::Error> {
        let ours = Command::new("ours").no_binary_name(true);
        let ours = TERMS.offer::<Flags>(ours.arg(Arg::new("ip").long("ip")), "Theirs");
        TERMS.read(&ours.try_get_matches_from(words)?)
    }

    #[test]
    fn words_are_read_by_their_owner() {
        let flags = read(&["--ip=::1", "--resources=cpus:2", "--quick"]).unwrap();
        assert_eq!(flags.resources.as_deref(), Some("cpus:2"));
        assert!(flags.quick);
    }

    #[test]
    fn defaults_are_those_of_the_command() {
        let flags = read(&[]).unwrap();
        assert_eq!(flags.resources.as_deref(), Some("cpus:1"));
        assert!(!flags.quick);
    }

    #[test]
    fn what_the_command_decides_is_nobody_elses() {
        assert!(read(&["--port=2"]).is_err());
        let flags: Flags = TERMS.unasked().unwrap();
        assert_eq!((flags.port, flags.master.as_str()), (1, "decided later"));
    }
}
