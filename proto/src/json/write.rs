//! Messages to JSON.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use serde::Serialize;
use serde::ser::{SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::ser::Formatter;

/// A message that serializes as its JSON form.
pub(super) struct View<'a>(pub(super) &'a DynamicMessage);

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.0.descriptor().fields() {
            if !self.0.has_field(&field) && !has_visible_default(&field) {
                continue;
            }
            let kind = field.kind();
            let value = self.0.get_field(&field);
            let item = Item {
                kind: &kind,
                value: &value,
            };
            if item.has_form() {
                map.serialize_entry(field.name(), &item)?;
            }
        }
        map.end()
    }
}

fn has_visible_default(field: &FieldDescriptor) -> bool {
    let proto = field.field_descriptor_proto();
    proto.default_value.is_some() && !proto.options.as_ref().is_some_and(|o| o.deprecated())
}

/// One value of a field.
struct Item<'a> {
    kind: &'a Kind,
    value: &'a Value,
}

impl Item<'_> {
    /// False for an enum number that this version of the schema has no name for.
    fn has_form(&self) -> bool {
        match (self.value, self.kind) {
            (Value::EnumNumber(number), Kind::Enum(names)) => names.get_value(*number).is_some(),
            _ => true,
        }
    }
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::I64(value) => serializer.serialize_i64(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::U64(value) => serializer.serialize_u64(*value),
            Value::F32(value) => double(f64::from(*value), serializer),
            Value::F64(value) => double(*value, serializer),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&STANDARD.encode(value)),
            Value::EnumNumber(number) => {
                let name = self
                    .kind
                    .as_enum()
                    .and_then(|names| names.get_value(*number));
                name.as_ref()
                    .map(|value| value.name())
                    .serialize(serializer)
            }
            Value::Message(message) => View(message).serialize(serializer),
            Value::List(values) => {
                let mut list = serializer.serialize_seq(None)?;
                let items = values.iter().map(|value| Item {
                    kind: self.kind,
                    value,
                });
                for item in items.filter(Item::has_form) {
                    list.serialize_element(&item)?;
                }
                list.end()
            }
            Value::Map(values) => {
                let mut entries: Vec<(&str, &Value)> = values
                    .iter()
                    .filter_map(|(key, value)| Some((text(key)?, value)))
                    .collect();
                entries.sort_unstable_by_key(|&(key, _)| key);
                let kind = self
                    .kind
                    .as_message()
                    .map(|m| m.map_entry_value_field().kind());
                let kind = kind.as_ref().unwrap_or(self.kind);
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &Item { kind, value })?;
                }
                map.end()
            }
        }
    }
}

/// The schema has maps from texts only; a test holds that.
fn text(key: &MapKey) -> Option<&str> {
    key.as_str()
}

/// JSON has no number for these, and the readers of Mesos take these texts.
fn double<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(value)
    } else if value.is_nan() {
        serializer.serialize_str("NaN")
    } else if value > 0.0 {
        serializer.serialize_str("Infinity")
    } else {
        serializer.serialize_str("-Infinity")
    }
}

/// Writes compact JSON in ASCII.
pub(super) fn ascii(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(256);
    value
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, Ascii,
        ))
        .expect("keys are texts and memory can be written");
    String::from_utf8(bytes).expect("it is ASCII")
}

/// Escapes what is not ASCII; the rest is what serde_json does when compact.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(start) = rest.find(|c: char| !c.is_ascii()) {
            let (plain, tail) = rest.split_at(start);
            writer.write_all(plain.as_bytes())?;
            let end = tail.find(|c: char| c.is_ascii()).unwrap_or(tail.len());
            for unit in tail[..end].encode_utf16() {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &tail[end..];
        }
        writer.write_all(rest.as_bytes())
    }
}
