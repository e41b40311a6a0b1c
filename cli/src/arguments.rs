//! The command line before clap sees it.

use std::ffi::{OsStr, OsString};

/// Rewrites `--no-x` to `--x=false`, the way Mesos writes booleans. Words after `--` are left
/// alone, and those of `exec`, which may be another program's, and so are flags whose own name
/// begins with `no-` or `no_`.
pub fn rewrite(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut flags = true;
    words
        .into_iter()
        .enumerate()
        .map(|(place, word)| {
            flags &=
                word != OsStr::new("--") && (place, word.as_os_str()) != (1, OsStr::new("exec"));
            match negated(&word) {
                Some(name) if flags => OsString::from(format!("--{name}=false")),
                Some(_) | None => word,
            }
        })
        .collect()
}

fn negated(word: &OsStr) -> Option<&str> {
    let name = word.to_str()?.strip_prefix("--no-")?;
    let is_flag = !name.is_empty() && !name.contains('=');
    is_flag.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(words: &[&str]) -> Vec<String> {
        let words = rewrite(words.iter().map(OsString::from));
        words
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_negated_flag_becomes_a_false_value() {
        assert_eq!(
            rewritten(&["longshore", "agent", "--no-switch_user", "--port=1"]),
            ["longshore", "agent", "--switch_user=false", "--port=1"]
        );
    }

    #[test]
    fn another_programs_words_are_its_own() {
        let words = ["longshore", "exec", "task", "ls", "--no-group"];
        assert_eq!(rewritten(&words), words);
    }

    #[test]
    fn other_words_stay_as_they_are() {
        let words = [
            "longshore",
            "--no-",
            "--no-x=1",
            "-no-x",
            "no-x",
            "--",
            "--no-file",
        ];
        assert_eq!(rewritten(&words), words);
    }
}
