//! Which access key asked for a change: its id, packed into what a record header has room for.
//!
//! Ids of access keys are no secret and say nothing about what is stored, so they stand in the clear:
//! whoever has the log and no key can tell who did what.

use std::fmt;

/// Longest id that fits.
const CHARS_MAX: usize = 21;
const BITS: usize = 6;
const BYTES: usize = 16;

/// The id of an access key as record headers carry it: 1 to 21 letters and digits, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientTag(u128);

impl ClientTag {
    /// Nobody: the vault itself did it.
    pub const NONE: Self = Self(0);

    /// The tag of an id; none if it is empty, too long or has other characters than letters and digits.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        if id.is_empty() || id.len() > CHARS_MAX {
            return None;
        }
        let mut packed = 0;
        for (at, byte) in id.bytes().enumerate() {
            packed |= u128::from(code(byte)?) << shift(at);
        }
        Some(Self(packed))
    }

    /// Whether it names nobody.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The id as text; empty for nobody.
    #[must_use]
    pub fn text(self) -> String {
        let code_at = |at| u8::try_from(self.0 >> shift(at) & 0b11_1111).ok();
        (0..CHARS_MAX)
            .map_while(|at| code_at(at).and_then(letter))
            .collect()
    }

    /// As header bytes.
    #[must_use]
    pub(crate) const fn to_bytes(self) -> [u8; BYTES] {
        self.0.to_be_bytes()
    }

    /// What header bytes say; none for what no writer writes.
    #[must_use]
    pub(crate) fn from_bytes(bytes: [u8; BYTES]) -> Option<Self> {
        let read = Self(u128::from_be_bytes(bytes));
        let again = Self::new(&read.text()).unwrap_or_default();
        (again == read).then_some(read)
    }
}

impl fmt::Display for ClientTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Where a character lies: the first one behind two bits that are zero.
const fn shift(at: usize) -> usize {
    (CHARS_MAX - 1 - at) * BITS
}

/// 1 to 26 for A to Z, 27 to 52 for a to z, 53 to 62 for the digits.
const fn code(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A' + 1),
        b'a'..=b'z' => Some(byte - b'a' + 27),
        b'0'..=b'9' => Some(byte - b'0' + 53),
        _ => None,
    }
}

const fn letter(code: u8) -> Option<char> {
    match code {
        1..=26 => Some((b'A' + code - 1) as char),
        27..=52 => Some((b'a' + code - 27) as char),
        53..=62 => Some((b'0' + code - 53) as char),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, CHARS_MAX, ClientTag};

    #[test]
    fn what_is_packed_is_what_was_given() {
        for id in [
            "K",
            "STELEABCDEFGHIJKL234",
            "azAZ09",
            "999999999999999999999",
        ] {
            let tag = ClientTag::new(id).unwrap_or_default();
            assert_eq!(tag.text(), id);
            assert_eq!(ClientTag::from_bytes(tag.to_bytes()), Some(tag), "{id}");
        }
        assert_eq!(ClientTag::NONE.text(), "");
        assert_eq!(ClientTag::from_bytes([0; BYTES]), Some(ClientTag::NONE));
    }

    #[test]
    fn what_does_not_fit_is_no_tag() {
        let long = "A".repeat(CHARS_MAX + 1);
        for id in ["", "with space", "k\u{e9}y", "a-b", &long] {
            assert_eq!(ClientTag::new(id), None, "{id}");
        }
    }

    #[test]
    fn no_id_has_two_forms() {
        let tag = ClientTag::new("AB").unwrap_or_default().to_bytes();
        // The two bits in front, a character behind the end, and a code of no character.
        for (at, bits) in [(0, 0x80), (0, 0x40), (BYTES - 1, 1)] {
            let mut bytes = tag;
            bytes[at] |= bits;
            assert_eq!(ClientTag::from_bytes(bytes), None, "{at}");
        }
        assert_eq!(ClientTag::from_bytes([0x3f; BYTES]), None);
    }
}
