//! Checksums of whole objects out of those of their parts.
//!
//! A COMPOSITE checksum is the checksum over the parts' checksums. A FULL_OBJECT one exists for CRCs
//! only: the CRC of two pieces follows from the CRC of each and the length of the second, since
//! appending bytes multiplies the polynomial of what is before by a power of x.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use s3s::crypto::{Checksum as Hasher, Crc32, Crc32c, Crc64Nvme};

use crate::message::ChecksumKind;

/// The checksum over the checksums of the parts.
pub(crate) fn composite(kind: ChecksumKind, parts: &[&[u8]]) -> Vec<u8> {
    let all = parts.concat();
    match kind {
        ChecksumKind::Crc32 => Crc32::checksum(&all).to_vec(),
        ChecksumKind::Crc32c => Crc32c::checksum(&all).to_vec(),
        ChecksumKind::Crc64Nvme => Crc64Nvme::checksum(&all).to_vec(),
        ChecksumKind::Sha1 => digest(&SHA1_FOR_LEGACY_USE_ONLY, &all).as_ref().to_vec(),
        ChecksumKind::Sha256 => digest(&SHA256, &all).as_ref().to_vec(),
    }
}

/// A CRC as polynomials modulo its own, bits reflected: the highest bit stands for 1.
#[derive(Clone, Copy)]
struct Field {
    bits: u32,
    polynomial: u64,
}

impl Field {
    fn of(kind: ChecksumKind) -> Option<Self> {
        let (bits, polynomial) = match kind {
            ChecksumKind::Crc32 => (32, 0xedb8_8320),
            ChecksumKind::Crc32c => (32, 0x82f6_3b78),
            ChecksumKind::Crc64Nvme => (64, 0x9a6c_9329_ac4b_c9b5),
            ChecksumKind::Sha1 | ChecksumKind::Sha256 => return None,
        };
        Some(Self { bits, polynomial })
    }

    const fn one(self) -> u64 {
        1 << (self.bits - 1)
    }

    fn times(self, a: u64, b: u64) -> u64 {
        let (mut product, mut power) = (0, b);
        for place in (0..self.bits).rev() {
            if a >> place & 1 == 1 {
                product ^= power;
            }
            let carry = power & 1 == 1;
            power >>= 1;
            if carry {
                power ^= self.polynomial;
            }
        }
        product
    }

    /// x to the number of bits in so many bytes.
    fn shift(self, bytes: u64) -> u64 {
        let (mut result, mut square, mut left) = (self.one(), self.one() >> 8, bytes);
        while left > 0 {
            if left & 1 == 1 {
                result = self.times(result, square);
            }
            square = self.times(square, square);
            left >>= 1;
        }
        result
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The CRC of all parts together, from the CRC and the length of each; none for what is no CRC.
pub(crate) fn full(kind: ChecksumKind, parts: &[(&[u8], u64)]) -> Option<Vec<u8>> {
    let field = Field::of(kind)?;
    let whole = parts.iter().fold(0, |before, (crc, bytes)| {
        field.times(before, field.shift(*bytes)) ^ number(crc)
    });
    let skipped = 8 - field.bits as usize / 8;
    whole.to_be_bytes().get(skipped..).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(kind: ChecksumKind, bytes: &[u8]) -> Vec<u8> {
        composite(kind, &[bytes])
    }

    #[test]
    fn the_crc_of_the_whole_follows_from_the_crcs_of_the_parts() {
        let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let kinds = [
            ChecksumKind::Crc32,
            ChecksumKind::Crc32c,
            ChecksumKind::Crc64Nvme,
        ];
        for kind in kinds {
            for cuts in [vec![], vec![0], vec![1], vec![7, 7, 65_536], vec![100_000]] {
                let mut parts = Vec::new();
                let mut start = 0;
                for end in cuts.iter().copied().chain([content.len()]) {
                    parts.push(&content[start..end]);
                    start = end;
                }
                let crcs: Vec<Vec<u8>> = parts.iter().map(|part| crc(kind, part)).collect();
                let named: Vec<(&[u8], u64)> = crcs
                    .iter()
                    .zip(&parts)
                    .map(|(crc, part)| (crc.as_slice(), part.len() as u64))
                    .collect();
                let whole = full(kind, &named);
                assert_eq!(whole, Some(crc(kind, &content)), "{kind:?} cut at {cuts:?}");
            }
        }
    }

    #[test]
    fn hashes_have_no_checksum_of_the_whole() {
        for kind in [ChecksumKind::Sha1, ChecksumKind::Sha256] {
            assert_eq!(full(kind, &[(&[0; 20], 1)]), None);
        }
    }
}
