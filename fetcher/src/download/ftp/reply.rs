//! What a server answers. Pure.

/// One answer, whose lines were one line at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Of its last line.
    pub text: String,
}

/// A line of an answer: whether more of them follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Last(Reply),
    /// `None` for one in between.
    More(Option<u16>),
}

/// `begun` is the code of the answer that this line belongs to; `None` when the line makes no sense.
pub fn line(text: &str, begun: Option<u16>) -> Option<Line> {
    let text = text.trim_end_matches(['\r', '\n']);
    let code = text
        .get(..3)
        .filter(|code| code.bytes().all(|digit| digit.is_ascii_digit()));
    let code = code.and_then(|code| code.parse::<u16>().ok());
    let known = code.filter(|code| (100..600).contains(code));
    match (known, text.as_bytes().get(3), begun) {
        (Some(code), None | Some(b' '), _) if begun.is_none_or(|begun| begun == code) => {
            let text = text.get(4..).unwrap_or_default().to_owned();
            Some(Line::Last(Reply { code, text }))
        }
        (Some(code), Some(b'-'), None) => Some(Line::More(Some(code))),
        (_, _, Some(_)) => Some(Line::More(None)),
        (_, _, None) => None,
    }
}

/// Of an answer to EPSV: `Entering Extended Passive Mode (|||6446|)`.
pub fn extended_port(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let mark = inside.chars().next()?;
    let mut parts = inside.split(mark);
    let port = parts.nth(3)?.parse().ok()?;
    (port != 0).then_some(port)
}

/// Of an answer to PASV: six numbers, the last two of which are the port. The others, an address, are not heeded: a
/// server could send us anywhere.
pub fn port(text: &str) -> Option<u16> {
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let numbers = text[from..]
        .split(|c: char| !c.is_ascii_digit() && c != ',')
        .next()?;
    let numbers: Option<Vec<u8>> = numbers
        .split(',')
        .map(|number| number.parse().ok())
        .collect();
    match numbers?[..] {
        [_, _, _, _, high, low] if (high, low) != (0, 0) => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_have_many_lines() {
        let last = |code, text: &str| {
            let text = text.to_owned();
            Some(Line::Last(Reply { code, text }))
        };
        assert_eq!(line("220 ready\r\n", None), last(220, "ready"));
        assert_eq!(line("230\r\n", None), last(230, ""));
        assert_eq!(line("220-hello\r\n", None), Some(Line::More(Some(220))));
        for between in ["anything", "221 other", "220-still", ""] {
            assert_eq!(line(between, Some(220)), Some(Line::More(None)));
        }
        assert_eq!(line("220 end", Some(220)), last(220, "end"));
        for nonsense in ["", "hello", "22 x", "999 x", "2200", "ü20 x"] {
            assert_eq!(line(nonsense, None), None, "{nonsense}");
        }
    }

    #[test]
    fn the_port_is_found_in_either_answer_and_never_an_address() {
        assert_eq!(extended_port("Entering (|||6446|)"), Some(6446));
        assert_eq!(port("Entering (10,0,0,1,25,46)."), Some(25 * 256 + 46));
        assert_eq!(port("10,0,0,1,25,46"), Some(25 * 256 + 46));
        for bad in ["", "(|||0|)", "(|||70000|)", "(||)", "("] {
            assert_eq!(extended_port(bad), None, "{bad}");
        }
        for bad in ["", "1,2,3", "1,2,3,4,0,0", "1,2,3,4,256,1", "1,2,3,4,5,6,7"] {
            assert_eq!(port(bad), None, "{bad}");
        }
    }
}
