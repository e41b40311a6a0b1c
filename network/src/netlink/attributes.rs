//! Attributes: a length, a kind, and bytes that may be attributes again.

/// All begin at a multiple of it.
const ALIGNMENT: usize = 4;
const HEADER: usize = 4;
const NESTED: u16 = 0x8000;
/// Two bits of a kind tell how the bytes are to be read.
const KIND: u16 = 0x3fff;

/// In the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        // What is longer than the kernel takes is cut into several by who knows how.
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        let padded = self.0.len().next_multiple_of(ALIGNMENT);
        self.0.resize(padded, 0);
        self
    }

    pub fn nest(self, kind: u16, inner: Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    /// With the zero at its end that the kernel's texts have.
    pub fn text(self, kind: u16, text: &str) -> Self {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat())
    }

    pub fn u8(self, kind: u16, value: u8) -> Self {
        self.bytes(kind, &[value])
    }

    /// As rtnetlink has numbers.
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// As nf_tables has them.
    pub fn u32_be(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn then(mut self, more: &Attributes) -> Self {
        self.0.extend(&more.0);
        self
    }

    pub fn after(header: &[u8], attributes: &Attributes) -> Self {
        Self(header.to_vec()).then(attributes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Kinds and values. It ends where the bytes are no attributes any more.
pub fn parse(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = rest.split_first_chunk::<HEADER>()?;
        let [l0, l1, k0, k1] = *header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(HEADER..length)?;
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & KIND, value))
    })
}

/// The value of the first attribute of that kind.
pub fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    parse(attributes).find_map(|(found, value)| (found == kind).then_some(value))
}

pub fn u32_of(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    let text = value.get(..end.unwrap_or(value.len()));
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
