//! JSON to messages.

use std::collections::HashMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    Value as Field,
};
use serde_json::Value;

use super::MAX_DEPTH;
use super::error::{JsonError, Problem};
use crate::units;

/// Standard base64; some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a whole message.
pub(super) fn message(
    descriptor: &MessageDescriptor,
    value: &Value,
) -> Result<DynamicMessage, JsonError> {
    read_message(descriptor, value, 1)
}

fn read_message(
    descriptor: &MessageDescriptor,
    value: &Value,
    depth: usize,
) -> Result<DynamicMessage, JsonError> {
    if depth > MAX_DEPTH {
        return Err(Problem::TooDeep { max: MAX_DEPTH }.into());
    }
    if let Value::String(text) = value
        && descriptor.full_name() == "google.protobuf.Duration"
    {
        return read_duration(descriptor, text);
    }
    let Value::Object(object) = value else {
        return Err(JsonError::of_type("an object", value));
    };
    let mut message = DynamicMessage::new(descriptor.clone());
    for (key, value) in object {
        if value.is_null() {
            continue;
        }
        let Some(field) = descriptor.get_field_by_name(key) else {
            continue;
        };
        if let Some(value) = read_field(&field, value, depth).map_err(|e| e.within(key))? {
            message.set_field(&field, value);
        }
    }
    match descriptor
        .fields()
        .find(|field| field.is_required() && !message.has_field(field))
    {
        Some(missing) => Err(JsonError::from(Problem::Missing).within(missing.name())),
        None => Ok(message),
    }
}

/// `None` leaves the field unset.
fn read_field(
    field: &FieldDescriptor,
    value: &Value,
    depth: usize,
) -> Result<Option<Field>, JsonError> {
    let kind = field.kind();
    if field.is_map() {
        return read_map(&kind, value, depth).map(Some);
    }
    if field.is_list() {
        let bare = std::slice::from_ref(value);
        let items = value.as_array().map_or(bare, Vec::as_slice);
        let mut list = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            if !item.is_null() {
                list.extend(read_one(&kind, item, depth).map_err(|e| e.within_item(i))?);
            }
        }
        return Ok(Some(Field::List(list)));
    }
    let read = read_one(&kind, value, depth)?;
    match (&read, &kind, value) {
        (None, Kind::Enum(names), Value::String(name)) if field.is_required() => {
            let known: Vec<String> = names.values().map(|v| v.name().to_owned()).collect();
            Err(Problem::UnknownEnumValue {
                name: name.clone(),
                known: known.join(", "),
            }
            .into())
        }
        _ => Ok(read),
    }
}

fn read_map(kind: &Kind, value: &Value, depth: usize) -> Result<Field, JsonError> {
    let (Kind::Message(entry), Value::Object(object)) = (kind, value) else {
        return Err(JsonError::of_type("an object", value));
    };
    let kind = entry.map_entry_value_field().kind();
    let mut map = HashMap::with_capacity(object.len());
    for (key, value) in object {
        if value.is_null() {
            continue;
        }
        if let Some(value) = read_one(&kind, value, depth).map_err(|e| e.within(key))? {
            map.insert(MapKey::String(key.clone()), value);
        }
    }
    Ok(Field::Map(map))
}

/// `None` for an enum name that the schema does not know.
fn read_one(kind: &Kind, value: &Value, depth: usize) -> Result<Option<Field>, JsonError> {
    let field = match kind {
        Kind::Message(descriptor) => Field::Message(read_message(descriptor, value, depth + 1)?),
        Kind::Enum(names) => return read_enum(names, value),
        Kind::String => match value {
            Value::String(text) => Field::String(text.clone()),
            _ => return Err(JsonError::of_type("a text", value)),
        },
        Kind::Bytes => match value {
            Value::String(text) => {
                Field::Bytes(BASE64.decode(text).map_err(Problem::Base64)?.into())
            }
            _ => return Err(JsonError::of_type("base64 text", value)),
        },
        Kind::Bool => Field::Bool(read_bool(value)?),
        Kind::Double => Field::F64(read_double(value)?),
        Kind::Float => Field::F32(read_double(value)? as f32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Field::I32(read_integer(value, "a whole number of 32 bits")?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Field::I64(read_integer(value, "a whole number of 64 bits")?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Field::U32(read_integer(value, "a whole number from 0 to 4294967295")?)
        }
        Kind::Uint64 | Kind::Fixed64 => Field::U64(read_integer(
            value,
            "a whole number from 0 to 18446744073709551615",
        )?),
    };
    Ok(Some(field))
}

fn read_enum(names: &EnumDescriptor, value: &Value) -> Result<Option<Field>, JsonError> {
    match value {
        Value::String(name) => Ok(names
            .get_value_by_name(name)
            .map(|value| Field::EnumNumber(value.number()))),
        _ => Err(JsonError::of_type("the name of an enum value", value)),
    }
}

fn read_bool(value: &Value) -> Result<bool, JsonError> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err(JsonError::of_type("true or false", value)),
    }
}

fn read_double(value: &Value) -> Result<f64, JsonError> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            text => text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
        },
        _ => None,
    };
    number.ok_or_else(|| JsonError::of_type("a number", value))
}

/// Whole numbers may be written `2.0`, as clients without integers do.
fn read_integer<T: TryFrom<i128>>(value: &Value, expected: &'static str) -> Result<T, JsonError> {
    let whole = match value {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| whole_double(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse()
                .ok()
                .or_else(|| whole_double(text.parse().ok()?))
        }
        _ => return Err(JsonError::of_type(expected, value)),
    };
    let fitting = whole.and_then(|whole| T::try_from(whole).ok());
    fitting.ok_or_else(|| {
        Problem::Number {
            expected,
            value: value.to_string(),
        }
        .into()
    })
}

/// Beyond 2^64 nothing fits a field, and up to there the conversion is exact.
fn whole_double(number: f64) -> Option<i128> {
    const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;
    (number.fract() == 0.0 && number.abs() < TWO_TO_64).then_some(number as i128)
}

/// `600s` is how protobuf itself writes durations as JSON, `10mins` is how flags of Mesos do.
fn read_duration(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, JsonError> {
    let seconds = text
        .strip_suffix('s')
        .filter(|rest| rest.ends_with(|c: char| c.is_ascii_digit()));
    let duration = match seconds {
        Some(seconds) => units::parse_duration(&format!("{seconds}secs")),
        None => units::parse_duration(text),
    }
    .map_err(Problem::Duration)?;
    let mut message = DynamicMessage::new(descriptor.clone());
    // A parsed duration is at most i64::MAX nanoseconds.
    message.set_field_by_name("seconds", Field::I64(duration.as_secs() as i64));
    message.set_field_by_name("nanos", Field::I32(duration.subsec_nanos() as i32));
    Ok(message)
}
