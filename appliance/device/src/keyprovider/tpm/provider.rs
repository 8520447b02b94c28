//! The key provider over a TPM.
//!
//! Invariants: a key is used for one sealed form; the counter moves only to the value of a form that this
//! TPM has just recognised as made here, and only by one.

use zeroize::Zeroizing;

use super::form::Header;
use super::link::{Conditions, Link, Sealed, Unsealed, is_foreign_object};
use super::note::{AUTH_BYTES, NAME_BYTES, Note, PcrSet};
use super::session::random;
use super::{Connect, TpmError, TpmResult};
use crate::keyprovider::{
    Anchor, AnchorKind, KeyError, KeyProvider, MASTER_BYTES, Master, ProviderKind, SALT_BYTES,
};
use crate::limits::{SEAL_BYTES_MAX, TPM_INDEX_TRIES_MAX};

/// NV indexes that the owner of a TPM gives out.
const INDEX_FIRST: u32 = 0x0180_0000;
const INDEX_MASK: u32 = 0x003f_ffff;

/// The keys of one vault in a TPM.
pub struct TpmKeys {
    note: Note,
    connect: Box<dyn Connect>,
}

impl TpmKeys {
    /// Makes a counter in the TPM for a new vault. The note must be kept: without it the vault is shut.
    ///
    /// # Errors
    /// What the TPM reports; nothing stays in it then, as far as it can be reached.
    pub fn create(connect: Box<dyn Connect>, pcrs: PcrSet) -> TpmResult<TpmKeys> {
        let mut auth: Zeroizing<[u8; AUTH_BYTES]> = Zeroizing::new(random()?);
        // TPMs cut zeroes off the end of a secret.
        auth[AUTH_BYTES - 1] |= 1;
        let (index, parent) = define(&*connect, &auth)?;
        let note = Note {
            index,
            auth,
            parent,
            pcrs,
        };
        Ok(TpmKeys { note, connect })
    }

    /// The keys that `note` tells of. The TPM is not asked; see `check`.
    #[must_use]
    pub fn new(connect: Box<dyn Connect>, note: Note) -> TpmKeys {
        TpmKeys { note, connect }
    }

    /// What must be kept to open the same keys again.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Where the counter stands.
    ///
    /// # Errors
    /// What is wrong with the TPM, in more detail than a key provider tells.
    pub fn check(&self) -> TpmResult<u64> {
        self.value(&mut self.link()?)
    }

    /// Deletes the counter of a vault whose creation failed: all that was sealed is shut for ever.
    ///
    /// # Errors
    /// What the TPM reports.
    pub fn undo(self) -> TpmResult<()> {
        self.link()?.undefine_counter(self.note.index, true)
    }

    fn link(&self) -> TpmResult<Link<'_>> {
        Link::open(&*self.connect, Some(&self.note.parent))
    }

    fn value(&self, link: &mut Link<'_>) -> TpmResult<u64> {
        link.read_counter(self.note.index, self.note.auth.as_slice())
    }

    fn seal_at(&self, steps: u64, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        if plaintext.len() > SEAL_BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        let key: Zeroizing<[u8; MASTER_BYTES]> = Zeroizing::new(random().map_err(key_error)?);
        let salt: [u8; SALT_BYTES] = random().map_err(key_error)?;
        let header = self.seal_key(&key, steps).map_err(key_error)?.encode();
        let message = Master(key).seal(&salt, &[&header, context].concat(), plaintext)?;
        Ok([header, message].concat())
    }

    /// Shuts a key in the TPM until the counter has gone on so many steps.
    fn seal_key(&self, key: &[u8; MASTER_BYTES], steps: u64) -> TpmResult<Header> {
        let mut link = self.link()?;
        let value = self.value(&mut link)?.saturating_add(steps);
        let pcrs = self.note.pcrs;
        let pcr_digest = link.pcr_digest(pcrs)?;
        let conditions = Conditions {
            index: self.note.index,
            value,
            pcrs,
            pcr_digest: &pcr_digest,
        };
        let Sealed { private, unique } = link.seal(key, &conditions.policy())?;
        Ok(Header {
            value,
            pcrs,
            pcr_digest,
            unique,
            private,
        })
    }

    /// Has the TPM recognise a header, and does something with the loaded key and the counter's value.
    fn with_key<T>(
        &self,
        header: &Header,
        then: impl FnOnce(&mut Link<'_>, &super::message::Handle, u64) -> TpmResult<T>,
    ) -> Result<T, KeyError> {
        let mut link = self.link().map_err(key_error)?;
        let sealed = Sealed {
            private: header.private.clone(),
            unique: header.unique,
        };
        let policy = self.conditions(header).policy();
        let object = link.load(&sealed, &policy).map_err(load_error)?;
        let value = self.value(&mut link);
        let outcome = value.and_then(|value| then(&mut link, &object, value));
        link.flush(&object);
        outcome.map_err(key_error)
    }

    fn conditions<'h>(&self, header: &'h Header) -> Conditions<'h> {
        Conditions {
            index: self.note.index,
            value: header.value,
            pcrs: header.pcrs,
            pcr_digest: &header.pcr_digest,
        }
    }
}

/// A counter at a place that was free, incremented for the first time, and the storage key's name.
fn define(connect: &dyn Connect, auth: &[u8; AUTH_BYTES]) -> TpmResult<(u32, [u8; NAME_BYTES])> {
    for _ in 0..TPM_INDEX_TRIES_MAX {
        let index = INDEX_FIRST | u32::from_be_bytes(random()?) & INDEX_MASK;
        let mut ours = false;
        match define_at(connect, index, auth, &mut ours) {
            Ok(Some(parent)) => return Ok((index, parent)),
            Ok(None) => {}
            Err(error) => {
                take_back(connect, index, ours);
                return Err(error);
            }
        }
    }
    Err(TpmError::NoPlace)
}

/// None if the place is taken. `ours` says afterwards whether it is known to hold our counter.
fn define_at(
    connect: &dyn Connect,
    index: u32,
    auth: &[u8; AUTH_BYTES],
    ours: &mut bool,
) -> TpmResult<Option<[u8; NAME_BYTES]>> {
    let mut link = Link::open(connect, None)?;
    *ours = link.define_counter(index, auth)?;
    if !*ours {
        return Ok(None);
    }
    link.increment(index, auth.as_slice(), true)?;
    let name = link.parent_name().try_into();
    name.map(Some).map_err(|_| TpmError::AnotherTpm)
}

/// Deletes a counter that nobody will know of, as far as the TPM can be reached: what failed may have been
/// done all the same. One that may be another vault's has been incremented, and is not touched.
fn take_back(connect: &dyn Connect, index: u32, ours: bool) {
    let Ok(mut link) = Link::open(connect, None) else {
        return;
    };
    drop(link.undefine_counter(index, false));
    if ours {
        drop(link.undefine_counter(index, true));
    }
}

/// Whether a form is of another value than the counter, and then which way.
fn compare(header: &Header, counter: u64) -> Result<(), KeyError> {
    match header.value.cmp(&counter) {
        std::cmp::Ordering::Less => Err(KeyError::Superseded),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(KeyError::NotYet),
    }
}

impl KeyProvider for TpmKeys {
    fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.seal_at(0, context, plaintext)
    }

    fn seal_next(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.seal_at(1, context, plaintext)
    }

    fn advance(&self, sealed: &[u8]) -> Result<Anchor, KeyError> {
        let (header, _, _) = Header::split(sealed)?;
        let value = self.with_key(&header, |link, _, value| {
            if value.checked_add(1) != Some(header.value) {
                return Ok(value);
            }
            link.increment(self.note.index, self.note.auth.as_slice(), false)?;
            self.value(link)
        })?;
        compare(&header, value)?;
        let kind = AnchorKind::Tpm;
        Ok(Anchor { kind, value })
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (header, head, message) = Header::split(sealed)?;
        let conditions = self.conditions(&header);
        let key = self.with_key(&header, |link, object, value| {
            // The TPM is asked in any case: the comparison here only chooses the words.
            let unsealed = link.unseal(object, &conditions, self.note.auth.as_slice())?;
            Ok(match unsealed {
                Unsealed::Opened(key) => Ok(key),
                Unsealed::OtherPlatform => {
                    compare(&header, value).and(Err(KeyError::OtherPlatform))
                }
                Unsealed::OtherValue => compare(&header, value).and(Err(KeyError::Unavailable)),
            })
        })??;
        Master(key).open(&[head, context].concat(), message)
    }

    fn anchor(&self) -> Result<Anchor, KeyError> {
        let value = self.check().map_err(key_error)?;
        let kind = AnchorKind::Tpm;
        Ok(Anchor { kind, value })
    }

    fn is_anchored(&self) -> bool {
        true
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Tpm
    }
}

impl std::fmt::Debug for TpmKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TpmKeys({:?})", self.note)
    }
}

/// Loading fails where the object was made elsewhere or is damaged.
fn load_error(error: TpmError) -> KeyError {
    match error {
        TpmError::Refused { code, .. } if is_foreign_object(code) => KeyError::WrongKey,
        other => key_error(other),
    }
}

fn key_error(error: TpmError) -> KeyError {
    match error {
        TpmError::AnotherTpm | TpmError::NoCounter => KeyError::WrongKey,
        TpmError::Io(_)
        | TpmError::Malformed { .. }
        | TpmError::Forged { .. }
        | TpmError::Refused { .. }
        | TpmError::NoPlace
        | TpmError::OwnerPassword
        | TpmError::Entropy => KeyError::Unavailable,
    }
}
