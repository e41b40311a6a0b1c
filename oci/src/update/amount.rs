//! Amounts of memory as people write them: `50M`, `1.5g`, `-1` for no limit.

/// Bytes; units are powers of 1024. `None`: it is no amount.
pub fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = lower.split_at(end.unwrap_or(lower.len()));
    let power = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let unit = 1_i64 << (10 * power);
    match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(unit),
        // A fraction is exact enough; f64 holds every such amount below 8 PiB.
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * unit as f64;
            (bytes < i64::MAX as f64).then_some(bytes as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_with_a_unit() {
        for (text, wanted) in [
            ("0", 0),
            ("4096", 4096),
            ("-1", -1),
            ("50M", 50 << 20),
            ("50mb", 50 << 20),
            ("1 GiB", 1 << 30),
            ("1.5k", 1536),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(bytes(text), Some(wanted), "{text}");
        }
        for bad in [
            "",
            "M",
            "-2",
            "-1M",
            "1X",
            "1MM",
            "1.2.3",
            ".",
            "9223372036854775808",
            "9000p",
            "1e3",
            "inf",
            "nan",
        ] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
