//! Sizes as flags write them: a whole number and a unit, such as `64MB`. Units are multiples of 1024.

/// Unit names and bytes, largest first.
const UNITS: &[(&str, u64)] = &[
    ("TB", 1 << 40),
    ("GB", 1 << 30),
    ("MB", 1 << 20),
    ("KB", 1 << 10),
    ("B", 1),
];

/// Reads a size such as `64MB` as bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = trimmed.split_at(end.unwrap_or(trimmed.len()));
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
    let (Some((_, bytes)), false) = (unit, number.is_empty()) else {
        return Err(format!(
            "size {text:?} must be a whole number and one of the units B, KB, MB, GB, TB, such as 64MB"
        ));
    };
    let number = number.parse::<u64>().ok();
    let size = number.and_then(|number| number.checked_mul(*bytes));
    size.ok_or_else(|| format!("size {text:?} is more than 64 bits can say in bytes"))
}

/// Writes bytes in the largest unit that needs no fraction.
#[must_use]
pub fn format_size(size: u64) -> String {
    let fits = |(_, bytes): &&(&str, u64)| size > 0 && size.is_multiple_of(*bytes);
    let (name, bytes) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
    format!("{}{name}", size / bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit_of_1024() {
        let table = [
            ("64MB", 64 << 20),
            ("1 KB", 1024),
            ("0B", 0),
            ("7B", 7),
            ("2TB", 2 << 40),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "64", "MB", "-1MB", "1.5MB", "64mb", "64M", "99999999TB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(size: u64) {
            prop_assert_eq!(parse_size(&format_size(size)), Ok(size));
        }
    }
}
