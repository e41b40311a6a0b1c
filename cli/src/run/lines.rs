//! Lines out of text that arrives in pieces.

/// Longer lines are shown in parts, so that a program without line breaks is seen too, in bytes.
const LONGEST: usize = 64 * 1024;

/// Keeps what follows the last line break until its line is complete.
#[derive(Debug, Default)]
pub struct Lines {
    rest: String,
}

impl Lines {
    /// The lines that `text` completes, without their breaks.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.rest.push_str(text);
        let mut lines = Vec::new();
        if let Some(end) = self.rest.rfind('\n') {
            let rest = self.rest.split_off(end + 1);
            let whole = std::mem::replace(&mut self.rest, rest);
            let each = whole.split_terminator('\n');
            lines.extend(each.map(|line| line.trim_end_matches('\r').to_owned()));
        }
        if self.rest.len() > LONGEST {
            lines.push(std::mem::take(&mut self.rest));
        }
        lines
    }

    /// What is left when no more comes.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_complete_with_its_break() {
        let mut lines = Lines::default();
        assert_eq!(lines.push("one\ntw"), ["one"]);
        assert_eq!(lines.push("o\r\n\nthree"), ["two", ""]);
        assert_eq!(lines.finish().as_deref(), Some("three"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn output_without_breaks_is_shown_in_parts() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(&"x".repeat(LONGEST + 1)).len(), 1);
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn any_cutting_gives_the_same_lines() {
        let text = "a\nbb\n\nccc\r\nd";
        for cut in 0..=text.len() {
            let mut lines = Lines::default();
            let mut all = lines.push(&text[..cut]);
            all.extend(lines.push(&text[cut..]));
            all.extend(lines.finish());
            assert_eq!(all, ["a", "bb", "", "ccc", "d"], "cut at {cut}");
        }
    }
}
