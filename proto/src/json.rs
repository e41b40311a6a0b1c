//! The JSON form of messages, as every HTTP API of Mesos writes and reads it. It is *not* the standard
//! proto3 mapping.
//!
//! - Keys are field names as they stand in the schema; unknown keys are ignored, `null` is unset.
//! - Enums are value names. Reading: an unknown name leaves an optional field unset and is an error in
//!   a required one; numbers are errors.
//! - 64-bit integers are bare numbers; doubles always show a fraction or an exponent; bytes are
//!   base64. Reading: quoted numbers and booleans are fine, and so is `"Infinity"`.
//! - A repeated field may be a bare value instead of an array; a missing required field is an error.
//! - Writing: what is set, and unset fields with a default in the schema that are not deprecated.
//!   Empty arrays and maps are left out. An enum number without a name is left out as well.
//! - `google.protobuf.Duration` is written as the message it is, `{"seconds":600}`; texts such as
//!   `"600s"` and `"10mins"` are read too, since clients send them.
//!
//! Source: the header of spec/mesos-v1-messages.txt. The schema is read from the descriptors that the
//! build compiled, so no message is listed here.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

pub use error::{JsonError, Problem};

mod error;
mod read;
mod write;

/// How deep messages may be nested in each other on input.
pub const MAX_DEPTH: usize = 64;

/// Every message of the schema.
pub(crate) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let bytes: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schema.bin"));
    DescriptorPool::decode(bytes).expect("build.rs compiled these descriptors")
});

/// The JSON form of a message.
#[must_use]
pub fn to_value<M: prost::Message + prost::Name>(message: &M) -> Value {
    serde_json::to_value(write::View(&dynamic(message))).expect("keys are texts")
}

/// The JSON form of a message as a text of one line of ASCII: other characters are `\u` escapes.
/// Some clients of event streams compare the length of a record in characters with that in bytes.
#[must_use]
pub fn to_string<M: prost::Message + prost::Name>(message: &M) -> String {
    write::ascii(&write::View(&dynamic(message)))
}

/// Reads a message from JSON that is already parsed.
pub fn from_value<M>(value: &Value) -> Result<M, JsonError>
where
    M: prost::Message + prost::Name + Default,
{
    let message = read::message(&descriptor::<M>(), value)?;
    message.transcode_to().map_err(JsonError::schema)
}

/// Reads a message from JSON text. The text itself may be nested 128 levels deep.
pub fn from_slice<M>(bytes: &[u8]) -> Result<M, JsonError>
where
    M: prost::Message + prost::Name + Default,
{
    from_value(&parse(bytes)?)
}

/// Reads JSON text that is not a message, with the errors of one.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    serde_json::from_slice(bytes).map_err(JsonError::syntax)
}

/// The descriptor of a generated message.
pub(crate) fn descriptor<M: prost::Name>() -> MessageDescriptor {
    let name = M::full_name();
    POOL.get_message_by_name(&name)
        .expect("the generated code and POOL are of one schema")
}

/// Reading can only fail at prost's limit of 100 levels, far beyond [`MAX_DEPTH`]: then the part that
/// was read is written, since an endpoint must not fall over for a message that somebody built.
fn dynamic<M: prost::Message + prost::Name>(message: &M) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(descriptor::<M>());
    let _cut_off = dynamic.transcode_from(message).is_err();
    dynamic
}

#[cfg(test)]
mod tests;
