//! The command line before clap sees it.

use std::ffi::{OsStr, OsString};

/// Rewrites `--no-x` to `--x=false`, the way Mesos writes booleans. Words after `--` are left
/// alone, and so are flags whose own name begins with `no-` or `no_`.
pub fn rewrite(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut flags = true;
    words
        .into_iter()
        .map(|word| {
            flags &= word != OsStr::new("--");
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
