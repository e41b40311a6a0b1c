//! One command line for several parts of the cluster: flags that belong to another crate.
//!
//! Each crate defines its flags as a `clap::Args`, and some have the same names (`--ip`). A command
//! that starts several parts takes the flags of each but a few that it decides itself, keeps the
//! words, and has the crate read them.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command};

/// The flags of `T` that `command` has not got yet, without those named in `except`.
fn flags<T: Args>(command: &Command, except: &[&str]) -> Vec<Arg> {
    let theirs = T::augment_args(Command::new("theirs"));
    let is_taken = |arg: &Arg| {
        command
            .get_arguments()
            .any(|a| a.get_id() == arg.get_id() || a.get_long() == arg.get_long())
    };
    let wanted = |arg: &&Arg| !except.contains(&arg.get_long().unwrap_or_default());
    theirs
        .get_arguments()
        .filter(wanted)
        .filter(|arg| !is_taken(arg))
        .cloned()
        .collect()
}

/// Adds the flags of `T` to `command`, below a heading of their own.
pub fn add<T: Args>(command: Command, heading: &'static str, except: &[&str]) -> Command {
    let borrowed = flags::<T>(&command, except);
    command.args(borrowed.into_iter().map(|arg| arg.help_heading(heading)))
}

/// The flags of `T` that were given among `matches`, as words.
pub fn words<T: Args>(matches: &ArgMatches, except: &[&str]) -> Vec<OsString> {
    let mut words = Vec::new();
    for arg in flags::<T>(&Command::new("none"), except) {
        let id = arg.get_id().as_str();
        let given = matches!(
            matches
                .try_contains_id(id)
                .ok()
                .and_then(|_| matches.value_source(id)),
            Some(ValueSource::CommandLine)
        );
        let (Some(long), true) = (arg.get_long(), given) else {
            continue;
        };
        for value in matches.get_raw(id).into_iter().flatten() {
            let mut word = OsString::from(format!("--{long}="));
            word.push(value);
            words.push(word);
        }
    }
    words
}

/// What `T` makes of words; environment variables and defaults fill the rest.
pub fn read<T: Args>(words: &[OsString]) -> anyhow::Result<T> {
    let command = T::augment_args(Command::new("longshore").no_binary_name(true));
    let matches = command.try_get_matches_from(words)?;
    Ok(T::from_arg_matches(&matches)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Args)]
    struct Flags {
        #[arg(long = "ip", default_value = "127.0.0.1")]
        ip: String,
        #[arg(long = "resources")]
        resources: Option<String>,
    }

    fn ours() -> Command {
        add::<Flags>(
            Command::new("ours").arg(Arg::new("ip").long("ip")),
            "Theirs",
            &[],
        )
    }

    #[test]
    fn a_flag_that_both_have_stays_ours() {
        ours().debug_assert();
        let matches = ours().get_matches_from(["ours", "--ip=::1", "--resources=cpus:1"]);
        assert_eq!(words::<Flags>(&matches, &["ip"]), ["--resources=cpus:1"]);
    }

    #[test]
    fn words_are_read_by_their_owner() {
        let flags: Flags = read(&["--resources=cpus:1".into()]).unwrap();
        assert_eq!(
            (flags.ip.as_str(), flags.resources.as_deref()),
            ("127.0.0.1", Some("cpus:1"))
        );
        assert!(read::<Flags>(&["--resource=x".into()]).is_err());
    }
}
