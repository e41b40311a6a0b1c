//! Attributes of an agent, as `--attributes` writes them: `rack:1;region:ger;ports:[1-5]`.
//! Source: spec/mesos-agent.md section 3.

use serde_json::{Map, Value};

use crate::resources::{BadRanges, Ranges, Scalar};
use crate::v1;
use crate::v1::value::{self, Type};

/// Why a text is not a list of attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAttributes {
    #[error("attribute {item:?} must be key:value, such as rack:r7")]
    Syntax { item: String },
    #[error("attribute {item:?} is a set, which attributes cannot be: write a text, or ranges")]
    Set { item: String },
    #[error("attribute {item:?}: {source}")]
    Ranges { item: String, source: BadRanges },
}

/// Reads attributes. The shape of a value decides its type: a number is a SCALAR, `[a-b]` RANGES,
/// anything else TEXT.
pub fn parse(text: &str) -> Result<Vec<v1::Attribute>, BadAttributes> {
    let items = text
        .split([';', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items.map(parse_one).collect()
}

fn parse_one(item: &str) -> Result<v1::Attribute, BadAttributes> {
    let bad = || BadAttributes::Syntax {
        item: item.to_owned(),
    };
    let (name, text) = item.split_once(':').ok_or_else(bad)?;
    let (name, text) = (name.trim(), text.trim());
    if name.is_empty() || text.is_empty() {
        return Err(bad());
    }
    let mut attribute = v1::Attribute {
        name: name.to_owned(),
        ..v1::Attribute::default()
    };
    if text.starts_with('[') {
        let ranges = Ranges::parse(text).map_err(|source| BadAttributes::Ranges {
            item: item.to_owned(),
            source,
        })?;
        attribute.set_type(Type::Ranges);
        attribute.ranges = Some((&ranges).into());
    } else if text.starts_with('{') {
        return Err(BadAttributes::Set {
            item: item.to_owned(),
        });
    } else if let Some(value) = number(text) {
        attribute.set_type(Type::Scalar);
        attribute.scalar = Some(value::Scalar { value });
    } else {
        attribute.set_type(Type::Text);
        attribute.text = Some(value::Text {
            value: text.to_owned(),
        });
    }
    Ok(attribute)
}

/// Unlike an amount, an attribute may be negative. Words that `f64` reads, such as "inf", are texts.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    numeric
        .then(|| text.parse().ok())?
        .filter(|value: &f64| value.is_finite())
}

/// The object of v0 endpoints: numbers for scalars, texts for the rest.
#[must_use]
pub fn flat_json(attributes: &[v1::Attribute]) -> Map<String, Value> {
    let flat = |attribute: &v1::Attribute| {
        let value = match &attribute.scalar {
            Some(scalar) if attribute.r#type() == Type::Scalar => Value::from(scalar.value),
            _ => Value::from(text(attribute)),
        };
        (attribute.name.clone(), value)
    };
    attributes.iter().map(flat).collect()
}

/// The value as text, as constraints compare it: numbers with up to 3 decimals (`rack:1` is `1`).
#[must_use]
pub fn text(attribute: &v1::Attribute) -> String {
    match attribute.r#type() {
        Type::Scalar => number_text(attribute.scalar.map_or(0.0, |scalar| scalar.value)),
        Type::Ranges => {
            let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
            let texts: Vec<String> = ranges.map(|r| format!("{}-{}", r.begin, r.end)).collect();
            format!("[{}]", texts.join(","))
        }
        Type::Set => {
            let items = attribute.set.as_ref().map_or(&[][..], |set| &set.item);
            format!("{{{}}}", items.join(","))
        }
        Type::Text => attribute
            .text
            .as_ref()
            .map_or_else(String::new, |text| text.value.clone()),
    }
}

fn number_text(value: f64) -> String {
    match Scalar::from_f64(value.abs()) {
        Some(scalar) if value < 0.0 && !scalar.is_zero() => format!("-{scalar}"),
        Some(scalar) => scalar.to_string(),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> v1::Attribute {
        parse(text).unwrap().remove(0)
    }

    #[test]
    fn the_shape_of_a_value_decides_its_type() {
        for (item, expected, shown) in [
            ("rack:1", Type::Scalar, "1"),
            ("rack:-1.50", Type::Scalar, "-1.5"),
            ("ports:[5-9, 1-4]", Type::Ranges, "[1-9]"),
            ("region: ger ", Type::Text, "ger"),
            ("url:http://x:80/", Type::Text, "http://x:80/"),
            ("version:1.2.3", Type::Text, "1.2.3"),
            ("host:inf", Type::Text, "inf"),
            ("rack:1a", Type::Text, "1a"),
        ] {
            let attribute = one(item);
            assert_eq!(
                (attribute.r#type(), text(&attribute).as_str()),
                (expected, shown),
                "{item}"
            );
        }
    }

    #[test]
    fn v0_shows_numbers_and_texts() {
        let attributes = parse("rack:1;region:ger;disk:hdd;;p:[1-2]").unwrap();
        assert_eq!(
            Value::from(flat_json(&attributes)),
            json!({"rack": 1.0, "region": "ger", "disk": "hdd", "p": "[1-2]"})
        );
    }

    #[test]
    fn bad_attributes_are_explained() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(
            error("rack"),
            "attribute \"rack\" must be key:value, such as rack:r7"
        );
        assert!(error("a:1;:x").contains("\":x\""));
        assert!(error("a:").contains("must be key:value"));
        assert!(error("a:{x,y}").contains("is a set"));
        assert!(error("a:[5-1]").contains("write [1-5]"));
    }

    proptest! {
        #[test]
        fn a_text_attribute_is_shown_as_it_was_given(value in "[a-z][a-z0-9:/._-]{0,20}") {
            prop_assert_eq!(text(&one(&format!("key:{value}"))), value);
        }
    }
}
