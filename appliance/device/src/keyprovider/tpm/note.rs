//! What a vault keeps beside its disks to find its counter in the TPM again.
//!
//! Lines of text, each with a newline, so that a person can print them:
//!
//! ```text
//! stele tpm key 1
//! index <8 hex digits: the NV index of the counter>
//! auth <64 hex digits: the secret that reads and increments it>
//! parent <68 hex digits: the name of the storage key>
//! pcrs <comma list of register numbers, or none>
//! check <16 hex digits>
//! ```
//!
//! The check is the start of a BLAKE3 derivation (context `"stele-device tpm key file check v1"`) of all
//! lines before it. The secret opens no sealed state: the TPM does, at the right value of the counter. Who
//! has it and the TPM can increment the counter, which shuts the vault.

use std::fmt::Write as _;

use zeroize::Zeroizing;

const HEADER: &str = "stele tpm key 1\n";
const CHECK_CONTEXT: &str = "stele-device tpm key file check v1";
const CHECK_BYTES: usize = 8;
/// Longest text that is written.
const TEXT_BYTES_MAX: usize = 512;
const PCR_COUNT: u32 = 24;
pub(super) const AUTH_BYTES: usize = 32;
pub(super) const NAME_BYTES: usize = 34;

/// A set of platform registers of the SHA-256 bank, numbers 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PcrSet(u32);

impl PcrSet {
    /// The set of these bits, register 0 the lowest; none if there are more than registers.
    #[must_use]
    pub fn from_bits(bits: u32) -> Option<PcrSet> {
        (bits < 1 << PCR_COUNT).then_some(PcrSet(bits))
    }

    /// Register 0 is the lowest bit.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for PcrSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let numbers = (0..PCR_COUNT).filter(|number| self.0 & 1 << number != 0);
        let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
        f.write_str(&numbers.join(","))
    }
}

impl std::str::FromStr for PcrSet {
    type Err = NotPcrs;

    /// Ascending numbers with commas, or `none`.
    fn from_str(text: &str) -> Result<PcrSet, NotPcrs> {
        let mut bits = 0;
        if text != "none" {
            for number in text.split(',') {
                let number = number.parse().map_err(|_| NotPcrs)?;
                bits |= 1_u32.checked_shl(number).ok_or(NotPcrs)?;
            }
        }
        let set = PcrSet::from_bits(bits).ok_or(NotPcrs)?;
        // Only the one way of writing it, so that a set is the same bytes everywhere.
        if set.to_string() == text {
            Ok(set)
        } else {
            Err(NotPcrs)
        }
    }
}

/// A text is no set of platform registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not ascending register numbers 0 to 23 with commas, nor `none`")]
pub struct NotPcrs;

/// Where a vault's counter is.
#[derive(Clone, PartialEq, Eq)]
pub struct Note {
    pub(super) index: u32,
    pub(super) auth: Zeroizing<[u8; AUTH_BYTES]>,
    pub(super) parent: [u8; NAME_BYTES],
    pub(super) pcrs: PcrSet,
}

impl Note {
    /// The registers that a state is sealed for.
    #[must_use]
    pub fn pcrs(&self) -> PcrSet {
        self.pcrs
    }

    /// Its text.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
        text.push_str(HEADER);
        let written = write!(text, "index {:08x}\nauth ", self.index)
            .and_then(|()| hex(&mut text, self.auth.as_slice()))
            .and_then(|()| text.write_str("\nparent "))
            .and_then(|()| hex(&mut text, &self.parent))
            .and_then(|()| write!(text, "\npcrs {}\ncheck ", self.pcrs));
        let check = check_of(text.strip_suffix("check ").unwrap_or_default());
        let written = written
            .and_then(|()| hex(&mut text, &check))
            .and_then(|()| text.write_str("\n"));
        written.expect("writing to memory cannot fail");
        text
    }

    /// Reads what `encode` wrote; none for anything else.
    #[must_use]
    pub fn decode(text: &str) -> Option<Note> {
        let mut lines = text.strip_prefix(HEADER)?.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let note = Note {
            index: u32::from_str_radix(value("index")?, 16).ok()?,
            auth: unhex(value("auth")?)?,
            parent: *unhex(value("parent")?)?,
            pcrs: value("pcrs")?.parse().ok()?,
        };
        (note.encode().as_str() == text).then_some(note)
    }
}

impl std::fmt::Debug for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Note({:08x})", self.index)
    }
}

fn check_of(text: &str) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
    hasher.update(text.as_bytes());
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

fn hex(text: &mut String, bytes: &[u8]) -> std::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(text, "{byte:02x}"))
}

fn unhex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    let digit = |digit: u8| char::from(digit).to_digit(16)?.try_into().ok();
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (high, low): (u8, u8) = (digit(pair[0])?, digit(pair[1])?);
        *byte = high << 4 | low;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{AUTH_BYTES, NAME_BYTES, Note, PcrSet};
    use zeroize::Zeroizing;

    impl Note {
        /// One that no TPM knows.
        pub(crate) fn example(pcrs: PcrSet) -> Note {
            Note {
                index: 0x0180_1234,
                auth: Zeroizing::new([0xa5; AUTH_BYTES]),
                parent: [3; NAME_BYTES],
                pcrs,
            }
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for pcrs in ["none", "0", "0,2,7,23"] {
            let note = Note::example(pcrs.parse().expect("registers"));
            assert_eq!(note.pcrs().to_string(), pcrs);
            assert_eq!(Note::decode(&note.encode()), Some(note.clone()));
        }
        let text = Note::example(PcrSet::default()).encode();
        for at in 0..text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(Note::decode(head), None, "cut at {at}");
            for other in ["0", "f", "A", "\n", " ", "+"] {
                let changed = format!("{head}{other}{}", &tail[1..]);
                let same = changed == text.as_str();
                assert_eq!(Note::decode(&changed).is_some(), same, "{at} {other:?}");
            }
        }
        assert_eq!(Note::decode(&format!("{}\n", text.as_str())), None);
    }

    #[test]
    fn registers_are_written_in_one_way() {
        for bad in [
            "",
            "24",
            "1,0",
            "1,1",
            "01",
            "+1",
            "0,",
            "none,1",
            "4294967296",
            "-1",
            "32",
        ] {
            assert!(bad.parse::<PcrSet>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_note_does_not_show_its_secret() {
        let note = Note::example(PcrSet::default());
        assert_eq!(format!("{note:?}"), "Note(01801234)");
    }
}
