//! A small binary form for the types of `program`: little-endian numbers, counted sequences.
//!
//! Both ends are built together and meet only through a sealed memfd, so there is no versioning;
//! reading is nevertheless checked at every byte.

/// The bytes do not hold a program: the two ends were built from different sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadProgram;

pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut &[u8]) -> Result<Self, BadProgram>;
}

/// All of a value.
pub(crate) fn encode(value: &impl Wire) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    value.put(&mut out);
    out
}

/// A value, and nothing after it.
pub(crate) fn decode<T: Wire>(mut bytes: &[u8]) -> Result<T, BadProgram> {
    let value = T::take(&mut bytes)?;
    if bytes.is_empty() {
        Ok(value)
    } else {
        Err(BadProgram)
    }
}

macro_rules! number {
    ($($t:ty),*) => {$(
        impl Wire for $t {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
                let (head, rest) = from.split_first_chunk().ok_or(BadProgram)?;
                *from = rest;
                Ok(<$t>::from_le_bytes(*head))
            }
        }
    )*};
}
number!(u8, u16, u32, i32, u64);

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadProgram),
        }
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self.as_bytes());
    }
    fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
        let len = u32::take(from)? as usize;
        let (head, rest) = from.split_at_checked(len).ok_or(BadProgram)?;
        *from = rest;
        String::from_utf8(head.to_vec()).map_err(|_utf8| BadProgram)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        self.iter().for_each(|item| item.put(out));
    }
    fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
        let len = u32::take(from)?;
        (0..len).map(|_| T::take(from)).collect()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|item| item.put(out));
    }
    fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
        Ok(if bool::take(from)? {
            Some(T::take(from)?)
        } else {
            None
        })
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

/// Implements [`Wire`] for a struct by listing its fields in wire order.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
            fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
                Ok(Self { $($field: Wire::take(from)?),* })
            }
        }
    };
}

/// Implements [`Wire`] for an enum by listing its variants with their tags.
macro_rules! wire_enum {
    ($name:ident { $($tag:literal => $variant:ident { $($field:ident),* }),* $(,)? }) => {
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$variant { $($field),* } => {
                        let tag: u8 = $tag;
                        tag.put(out);
                        $($field.put(out);)*
                    })*
                }
            }
            fn take(from: &mut &[u8]) -> Result<Self, BadProgram> {
                match u8::take(from)? {
                    $($tag => Ok($name::$variant { $($field: Wire::take(from)?),* }),)*
                    _ => Err(BadProgram),
                }
            }
        }
    };
}

pub(crate) use {wire_enum, wire_struct};
