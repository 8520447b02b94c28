//! The sealed form with an anchor; see the table in the module above.

use super::note::PcrSet;
use crate::keyprovider::KeyError;
use crate::limits::TPM_PRIVATE_BYTES_MAX;

const MAGIC: &[u8; 4] = b"SKA1";
const PRIVATE_AT: usize = 82;

/// What stands before the sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Value of the counter.
    pub(super) value: u64,
    pub(super) pcrs: PcrSet,
    pub(super) pcr_digest: [u8; 32],
    pub(super) unique: [u8; 32],
    pub(super) private: Vec<u8>,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let private_bytes =
            u16::try_from(self.private.len()).expect("a TPM's private area is short");
        [
            MAGIC.as_slice(),
            &self.value.to_le_bytes(),
            &self.pcrs.bits().to_le_bytes(),
            &self.pcr_digest,
            &self.unique,
            &private_bytes.to_le_bytes(),
            &self.private,
        ]
        .concat()
    }

    /// Takes a sealed form apart: what the header says, its bytes, the sealed message.
    pub(super) fn split(sealed: &[u8]) -> Result<(Header, &[u8], &[u8]), KeyError> {
        let header = Header::decode(sealed).ok_or(KeyError::Malformed)?;
        let end = PRIVATE_AT + header.private.len();
        let (head, message) = sealed.split_at(end);
        Ok((header, head, message))
    }

    fn decode(sealed: &[u8]) -> Option<Header> {
        let rest = sealed.strip_prefix(MAGIC)?;
        let (value, rest) = rest.split_first_chunk()?;
        let (pcrs, rest) = rest.split_first_chunk()?;
        let (pcr_digest, rest) = rest.split_first_chunk()?;
        let (unique, rest) = rest.split_first_chunk()?;
        let (private_bytes, rest) = rest.split_first_chunk()?;
        let private_bytes = usize::from(u16::from_le_bytes(*private_bytes));
        let private = rest.get(..private_bytes)?.to_vec();
        let header = Header {
            value: u64::from_le_bytes(*value),
            pcrs: PcrSet::from_bits(u32::from_le_bytes(*pcrs))?,
            pcr_digest: *pcr_digest,
            unique: *unique,
            private,
        };
        let plain = !header.pcrs.is_empty() || header.pcr_digest == [0; 32];
        let sizes = (1..=TPM_PRIVATE_BYTES_MAX).contains(&private_bytes);
        (plain && sizes).then_some(header)
    }
}
