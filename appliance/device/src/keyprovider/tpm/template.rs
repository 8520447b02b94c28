//! What the objects of a vault in the TPM look like, their names, and the policy that opens them.
//!
//! All of it is computed here and compared with what the TPM answers; nothing is taken from it but the
//! parts that only it can know.

use sha2::{Digest, Sha256};

use super::CommandCode;
use super::message::Handle;
use super::note::PcrSet;
use super::wire::{Malformed, Reader, Writer};

pub(super) const SHA256: u16 = 0x000b;
/// AES with 128-bit keys in cipher feedback mode, for sessions and the storage key.
pub(super) const AES_128_CFB: [u8; 6] = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43];
const KEYED_HASH: u16 = 0x0008;
const ECC: u16 = 0x0023;
const NULL: u16 = 0x0010;
const NIST_P256: u16 = 0x0003;
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt.
const STORAGE_KEY: u32 = 0x0003_0472;
/// fixedTPM, fixedParent, adminWithPolicy, noDA. Not userWithAuth: only the policy opens it. noDA, since
/// power cuts and refusals would else lock everything out.
const SEALED: u32 = 0x0000_0492;
/// AUTHWRITE, a counter, AUTHREAD, NO_DA. Not ORDERLY: each step is durable before it is answered.
const COUNTER: u32 = 0x0204_0014;
const WRITTEN: u32 = 0x2000_0000;
pub(super) const COUNTER_BYTES: u16 = 8;
const POINT_PART_BYTES: usize = 32;
pub(super) const PCR_BYTES: usize = 32;
/// `TPM_EO_EQ`.
const EQUAL: u16 = 0;

/// The key that all objects of a vault lie under.
#[derive(Debug, Clone)]
pub(super) struct StorageKey {
    pub(super) handle: Handle,
    pub(super) x: [u8; POINT_PART_BYTES],
    y: [u8; POINT_PART_BYTES],
}

impl StorageKey {
    /// Its public area before a TPM filled it in.
    pub(super) fn template() -> Writer {
        storage_key_head().sized(&[]).sized(&[])
    }

    /// Reads what a TPM made of the template.
    pub(super) fn read(handle: u32, public: &[u8]) -> Result<StorageKey, Malformed> {
        let mut reader = Reader::new(public);
        let head = storage_key_head();
        if reader.take(head.as_slice().len())? != head.as_slice() {
            return Err(Malformed);
        }
        let (x, y) = (part(reader.sized()?)?, part(reader.sized()?)?);
        reader.finish()?;
        let name = name_of(public);
        let handle = Handle {
            value: handle,
            name,
        };
        Ok(StorageKey { handle, x, y })
    }

    /// Its point, uncompressed.
    pub(super) fn point(&self) -> Vec<u8> {
        [&[4], self.x.as_slice(), &self.y].concat()
    }
}

fn storage_key_head() -> Writer {
    Writer::new()
        .u16(ECC)
        .u16(SHA256)
        .u32(STORAGE_KEY)
        .sized(&[])
        .bytes(&AES_128_CFB)
        .u16(NULL)
        .u16(NIST_P256)
        .u16(NULL)
}

/// A coordinate; old TPMs leave leading zeroes out.
fn part(bytes: &[u8]) -> Result<[u8; POINT_PART_BYTES], Malformed> {
    let mut part = [0; POINT_PART_BYTES];
    let start = POINT_PART_BYTES.checked_sub(bytes.len()).ok_or(Malformed)?;
    part[start..].copy_from_slice(bytes);
    Ok(part)
}

/// The public area of a sealed key; `unique` is empty before a TPM filled it in.
pub(super) fn sealed_public(policy: &[u8; 32], unique: &[u8]) -> Writer {
    Writer::new()
        .u16(KEYED_HASH)
        .u16(SHA256)
        .u32(SEALED)
        .sized(policy)
        .u16(NULL)
        .sized(unique)
}

/// The public area of the counter at this place.
pub(super) fn counter_public(index: u32, written: bool) -> Writer {
    let attributes = if written { COUNTER | WRITTEN } else { COUNTER };
    Writer::new()
        .u32(index)
        .u16(SHA256)
        .u32(attributes)
        .sized(&[])
        .u16(COUNTER_BYTES)
}

/// The counter at this place, once it was incremented or before.
pub(super) fn counter(index: u32, written: bool) -> Handle {
    let public = counter_public(index, written);
    let name = name_of(public.as_slice());
    Handle { value: index, name }
}

/// The name of what has this public area.
pub(super) fn name_of(public: &[u8]) -> Vec<u8> {
    [SHA256.to_be_bytes().as_slice(), &Sha256::digest(public)].concat()
}

/// A selection of these registers.
pub(super) fn selection(pcrs: PcrSet) -> Writer {
    let [a, b, c, _] = pcrs.bits().to_le_bytes();
    Writer::new().u32(1).u16(SHA256).u8(3).bytes(&[a, b, c])
}

/// What the second step of the policy asks for, as parameters of the command.
pub(super) fn counter_equals(value: u64) -> Writer {
    Writer::new().sized(&value.to_be_bytes()).u16(0).u16(EQUAL)
}

/// The policy of a key that opens at one value of the counter.
pub(super) fn policy(index: u32, value: u64, pcrs: PcrSet, pcr_digest: &[u8; 32]) -> [u8; 32] {
    let mut policy = [0; 32];
    if !pcrs.is_empty() {
        policy = Sha256::new()
            .chain_update(policy)
            .chain_update(CommandCode::PolicyPcr.value().to_be_bytes())
            .chain_update(selection(pcrs).as_slice())
            .chain_update(pcr_digest)
            .finalize()
            .into();
    }
    let arguments = Sha256::new()
        .chain_update(value.to_be_bytes())
        .chain_update([0, 0])
        .chain_update(EQUAL.to_be_bytes())
        .finalize();
    Sha256::new()
        .chain_update(policy)
        .chain_update(CommandCode::PolicyNv.value().to_be_bytes())
        .chain_update(arguments)
        .chain_update(&counter(index, true).name)
        .finalize()
        .into()
}
