//! The command line as it is read, and what is said where it is not understood.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::flags::Line;

/// What is shown instead of doing something.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// Asked for, as help is.
    Help(String),
    Refusal(String),
}

/// As manuals have it: what it is called, how it is called, what it knows.
const HELP: &str = "\
NAME:
   {name} - {about}

USAGE:
   {usage}

{all-args}
";

/// How many arguments verbs take, flags aside: at least, at most.
const ARGUMENTS: &[(&str, usize, Option<usize>)] = &[
    ("checkpoint", 0, None),
    ("create", 1, Some(1)),
    ("delete", 1, Some(1)),
    ("events", 1, Some(1)),
    ("exec", 1, None),
    ("features", 0, Some(0)),
    ("kill", 1, Some(2)),
    ("list", 0, Some(0)),
    ("pause", 1, Some(1)),
    ("ps", 1, None),
    ("restore", 0, None),
    ("resume", 1, Some(1)),
    ("run", 1, Some(1)),
    ("spec", 0, Some(0)),
    ("start", 1, Some(1)),
    ("state", 1, Some(1)),
    ("update", 1, Some(1)),
];

/// `arguments` begin with the name of the program, as it shall be shown.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Line, Shown> {
    let mut arguments = arguments.into_iter();
    let called = arguments.next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or(&called);
    let name = name.to_string_lossy().into_owned();
    let command = command(&name);
    let words: Vec<OsString> = std::iter::once(called).chain(arguments).collect();
    let matches = command.try_get_matches_from(&words);
    let line = matches.and_then(|matches| Line::from_arg_matches(&matches));
    line.map_err(|error| match error.use_stderr() {
        false => Shown::Help(error.to_string()),
        true => Shown::Refusal(refusal(&name, &words, &error)),
    })
}

fn command(name: &str) -> clap::Command {
    let common = |command: clap::Command, name: String| {
        // Of a flag that is given twice the last counts: engines add theirs to those of a user.
        command
            .display_name(name)
            .help_template(HELP)
            .args_override_self(true)
    };
    let command = common(Line::command(), name.to_owned()).bin_name(name);
    command.mut_subcommands(|verb| {
        let shown = format!("{name} {}", verb.get_name());
        common(verb, shown)
    })
}

fn refusal(name: &str, words: &[OsString], error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let one_lacks = error.kind() == ErrorKind::MissingRequiredArgument;
    let one_too_many = error.kind() == ErrorKind::UnknownArgument && !argument.starts_with('-');
    if error.kind() == ErrorKind::InvalidSubcommand {
        let verb = context(ContextKind::InvalidSubcommand);
        return format!("No help topic for '{verb}'\n\n{error}");
    }
    let verb = words.iter().skip(1).find_map(|word| {
        let row = |row: &&(&str, usize, Option<usize>)| word == row.0;
        ARGUMENTS.iter().find(row)
    });
    match verb {
        Some((verb, least, most)) if one_lacks || one_too_many => {
            let number = number(*least, *most, one_lacks);
            format!("{error}\n{name}: \"{verb}\" requires {number} argument(s)\n")
        }
        _ => error.to_string(),
    }
}

fn number(least: usize, most: Option<usize>, one_lacks: bool) -> String {
    match most {
        Some(most) if most == least => format!("exactly {most}"),
        Some(most) if !one_lacks => format!("a maximum of {most}"),
        _ => format!("a minimum of {least}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Shown {
        let words = std::iter::once("/usr/bin/some-oci").chain(line.split_whitespace());
        parse(words.map(OsString::from)).expect_err("is shown something")
    }

    #[test]
    fn help_begins_with_the_name_and_is_no_failure() {
        for (line, name) in [
            ("-h", "some-oci - "),
            ("--help", "some-oci - "),
            ("create -h", "some-oci create - "),
            ("exec --help", "some-oci exec - "),
            ("checkpoint -h", "some-oci checkpoint - "),
            ("restore --help", "some-oci restore - "),
        ] {
            let Shown::Help(text) = shown(line) else {
                panic!("{line}: refused")
            };
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("NAME:"), "{text}");
            let second = lines.next().unwrap_or_default();
            assert!(second.trim_start().starts_with(name), "{text}");
        }
    }

    #[test]
    fn a_version_has_three_lines_that_engines_read() {
        let Shown::Help(text) = shown("-v") else {
            panic!("refused")
        };
        let begins: Vec<_> = text.lines().collect();
        assert!(begins[0].starts_with("some-oci version 0."), "{text}");
        assert!(begins[1].starts_with("commit: "), "{text}");
        assert!(begins[2].starts_with("spec: 1."), "{text}");
    }

    #[test]
    fn a_wrong_number_of_arguments_is_told_with_the_right_one() {
        for (line, words) in [
            ("start", "\"start\" requires exactly 1 argument(s)"),
            ("state a b", "\"state\" requires exactly 1 argument(s)"),
            ("kill", "\"kill\" requires a minimum of 1 argument(s)"),
            ("kill a 9 b", "\"kill\" requires a maximum of 2 argument(s)"),
            (
                "--debug exec",
                "\"exec\" requires a minimum of 1 argument(s)",
            ),
            ("list x", "\"list\" requires exactly 0 argument(s)"),
        ] {
            let Shown::Refusal(text) = shown(line) else {
                panic!("{line}: help")
            };
            assert!(text.contains(words), "{text}");
            assert!(text.contains("Usage:"), "{text}");
        }
    }

    #[test]
    fn of_a_flag_that_is_given_twice_the_last_counts() {
        let words = "oci --root /a --root /b exec -e A=1 -e B=2 -u 1 -u 2 c1 env -u X";
        let line = parse(words.split(' ').map(OsString::from)).expect("is understood");
        assert_eq!(line.global.root, Some("/b".into()));
        let crate::flags::Verb::Exec(exec) = line.verb else {
            panic!("another verb")
        };
        assert_eq!(exec.env, ["A=1", "B=2"]);
        assert_eq!(exec.user.as_deref(), Some("2"));
        assert_eq!(exec.command, ["env", "-u", "X"]);
    }

    #[test]
    fn what_is_no_verb_has_no_help() {
        let Shown::Refusal(text) = shown("foo -h") else {
            panic!("help")
        };
        assert!(text.contains("No help topic for 'foo'"), "{text}");
    }

    #[test]
    fn every_verb_has_its_number_of_arguments() {
        let mut verbs: Vec<_> = Line::command()
            .get_subcommands()
            .map(|verb| verb.get_name().to_owned())
            .collect();
        verbs.sort();
        let listed: Vec<_> = ARGUMENTS.iter().map(|row| row.0).collect();
        assert_eq!(verbs, listed);
    }
}
