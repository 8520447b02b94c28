//! The key state on the disks: two copies on each, every one a header block and a sealed body.
//!
//! Invariants: a disk's copies are written one after the other, the older or broken one first, each
//! flushed and read back before the next is touched, so that a power cut at any point leaves one
//! whole copy; a higher generation on a disk is never overwritten by a lower one. The highest
//! generation that opens, on whatever disk, counts.
//!
//! Loading fails with [`LoadError`], which tells missing copies from a wrong key file; saving gives
//! a result for each disk, and a disk whose save failed must not be trusted with writes.

use stele_device::buffer::{Buffer, BufferMut};
use stele_device::disk::{BlockingDisk, Disk, DiskError};
use stele_device::keyprovider::{KeyError, KeyProvider};
use stele_format::codec::{DecodeError, EncodeError, Fault};
use stele_format::geometry::DiskGeometry;
use stele_format::keystate::{KeyStateError, KeyStateExpectation, KeyStateHeader};
use stele_format::limits::{BLOCK_BYTES, KEYSTATE_COPIES};
use stele_format::units::{ByteOffset, DiskId, Generation, PoolId};

use super::state::{KeyState, SealedState};

const BLOCK: usize = BLOCK_BYTES as usize;

/// A disk as far as its key-state area is concerned. Nothing may be in flight on it.
pub struct KeyDisk<'a> {
    disk: &'a mut dyn Disk,
    id: DiskId,
    geometry: &'a DiskGeometry,
}

impl<'a> KeyDisk<'a> {
    /// Which disk it is.
    #[must_use]
    pub const fn id(&self) -> DiskId {
        self.id
    }

    /// The disk `id`, laid out by `geometry`.
    pub fn new(disk: &'a mut dyn Disk, id: DiskId, geometry: &'a DiskGeometry) -> Self {
        Self { disk, id, geometry }
    }

    /// The copy that can be spared: one that does not open, or else one of two that do.
    pub fn spare_copy(&mut self, provider: &dyn KeyProvider, pool: PoolId) -> u16 {
        let mut opens = |copy| {
            let sealed = self.read_copy(pool, copy).ok();
            sealed.is_some_and(|sealed| matches!(sealed.open(provider, pool), Ok(Some(_))))
        };
        u16::from(opens(0) && !opens(1))
    }

    fn read_copy(&mut self, pool: PoolId, copy: u16) -> Result<SealedState, CopyState> {
        let place = KeyStateExpectation {
            pool,
            disk: self.id,
            copy,
        };
        let offset = self
            .geometry
            .keystate_offset(copy)
            .ok_or(CopyState::Blank)?
            .get();
        let block = self
            .disk
            .read_at(offset, BLOCK)
            .map_err(CopyState::Unreadable)?;
        let header = KeyStateHeader::decode(&block).map_err(CopyState::of_header)?;
        let header = header.verify(place).map_err(CopyState::Damaged)?;
        if header.total_bytes() > u64::from(self.geometry.keystate_bytes) {
            return Err(CopyState::Damaged(KeyStateError::Body));
        }
        let after = offset + u64::from(BLOCK_BYTES);
        let bytes = self.disk.read_at(after, header.padded_body_bytes());
        let bytes = bytes.map_err(CopyState::Unreadable)?;
        let body = header
            .check_body(&bytes)
            .map_err(CopyState::Damaged)?
            .to_vec();
        Ok(SealedState {
            generation: header.generation,
            body,
        })
    }
}

/// What stands where a copy belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// The generation that was loaded.
    Current,
    /// A whole copy of an older generation.
    Older(Generation),
    /// Nothing was ever written there.
    Blank,
    /// The disk gives nothing back.
    Unreadable(DiskError),
    /// The bytes are no whole copy of this pool, disk and place.
    Damaged(KeyStateError),
    /// A whole copy, newer than the loaded one, that the provider does not open.
    Closed(KeyError),
    /// A whole copy the provider opens, but what is inside is no key state of its generation.
    Senseless,
}

impl CopyState {
    fn of_header(error: DecodeError) -> Self {
        match error.what {
            Fault::Blank => CopyState::Blank,
            _ => CopyState::Damaged(KeyStateError::Decode(error)),
        }
    }
}

/// One copy as found by [`load`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyReport {
    /// The disk it is on.
    pub disk: DiskId,
    /// Its number there, 0 or 1.
    pub copy: u16,
    /// What was found.
    pub state: CopyState,
}

/// A key state and what stands in every place it could have come from.
#[derive(Debug)]
pub struct Loaded {
    /// The newest that opens.
    pub state: KeyState,
    /// All places of the given disks.
    pub copies: Vec<CopyReport>,
}

/// Why no key state could be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No disk holds a whole copy that makes sense.
    #[error("no whole copy of the key state on any given disk")]
    NoCopy {
        /// What stands in each place.
        copies: Vec<CopyReport>,
    },
    /// There are whole copies, but this provider's key opens none: it is another vault's key.
    #[error("the key file does not belong to this vault: it opens no copy of the key state")]
    WrongKey {
        /// What stands in each place.
        copies: Vec<CopyReport>,
    },
    /// There are whole copies of this vault, but its provider keeps them shut. Above all: the disks are
    /// older than the anchor, so what they hold was given up.
    #[error("no copy of the key state can be opened: {error}")]
    Shut {
        /// Why the newest of them is shut.
        error: KeyError,
        /// What stands in each place.
        copies: Vec<CopyReport>,
    },
    /// The provider cannot work now.
    #[error("the key provider does not answer: {0}")]
    Provider(KeyError),
}

/// Why a disk does not hold the key state it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The disk failed.
    #[error("copy {copy}: {error}")]
    Disk {
        /// Which copy was being written.
        copy: u16,
        /// What the disk said.
        error: DiskError,
    },
    /// What was read back is not what was written.
    #[error("copy {copy} does not read back as written")]
    ReadBack {
        /// Which copy.
        copy: u16,
    },
    /// The disk already holds a higher generation, which is never overwritten.
    #[error("the disk holds generation {on_disk}, newer than the one to be written")]
    Newer {
        /// What it holds.
        on_disk: Generation,
    },
    /// The sealed key state does not fit its area.
    #[error("a key state of {bytes} sealed bytes does not fit a copy of {copy_bytes} bytes")]
    TooLarge {
        /// Length of the sealed body.
        bytes: usize,
        /// Room of a copy, header included.
        copy_bytes: u32,
    },
    /// The format refuses to write it.
    #[error(transparent)]
    Format(#[from] EncodeError),
}

/// What became of a disk in [`KeyState::save`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a disk whose save failed must not be trusted with writes"]
pub struct Saved {
    /// The disk.
    pub disk: DiskId,
    /// Whether it holds both copies durably.
    pub result: Result<(), SaveError>,
}

impl SealedState {
    /// Where copy `copy` (0 or 1) of disk `disk` lies and what is to be written there, for callers
    /// that write it themselves.
    ///
    /// # Errors
    /// [`SaveError::TooLarge`], [`SaveError::Format`].
    pub fn image(
        &self,
        pool: PoolId,
        disk: DiskId,
        geometry: &DiskGeometry,
        copy: u16,
    ) -> Result<(ByteOffset, Buffer), SaveError> {
        let place = KeyStateExpectation { pool, disk, copy };
        let bytes = KeyStateHeader::encode(place, self.generation, &self.body)?;
        let copy_bytes = geometry.keystate_bytes;
        let offset = geometry.keystate_offset(copy);
        match offset.filter(|_| u32::try_from(bytes.len()).is_ok_and(|len| len <= copy_bytes)) {
            Some(offset) => Ok((offset, BufferMut::padded(&bytes).freeze())),
            None => Err(SaveError::TooLarge {
                bytes: self.body.len(),
                copy_bytes,
            }),
        }
    }

    /// Writes both copies of one disk, each flushed and read back.
    ///
    /// Not for a state sealed for the next value of an anchor, nor over one that waits for it: the older
    /// copy, which goes first, is then the only one that opens. Such callers use `image`.
    ///
    /// # Errors
    /// [`SaveError`]; after a failure at the first copy the second is left as it was.
    pub fn write(&self, pool: PoolId, disk: &mut KeyDisk<'_>) -> Result<(), SaveError> {
        let mut copies = Vec::with_capacity(usize::from(KEYSTATE_COPIES));
        for copy in 0..KEYSTATE_COPIES {
            copies.push((
                disk.read_copy(pool, copy)
                    .ok()
                    .map(|found| found.generation),
                copy,
            ));
        }
        // Nothing readable sorts before any generation, so the better copy is touched last.
        copies.sort_unstable();
        if let Some(on_disk) = copies
            .iter()
            .filter_map(|(generation, _)| *generation)
            .max()
            && on_disk > self.generation
        {
            return Err(SaveError::Newer { on_disk });
        }
        copies
            .into_iter()
            .try_for_each(|(_, copy)| self.write_copy(pool, disk, copy))
    }

    /// Writes one copy of one disk, flushed and read back, and leaves the other as it is.
    ///
    /// # Errors
    /// [`SaveError`].
    pub fn write_copy(
        &self,
        pool: PoolId,
        disk: &mut KeyDisk<'_>,
        copy: u16,
    ) -> Result<(), SaveError> {
        let failed = |error| SaveError::Disk { copy, error };
        let (offset, image) = self.image(pool, disk.id, disk.geometry, copy)?;
        disk.disk
            .write_at(offset.get(), image.clone())
            .map_err(failed)?;
        disk.disk.flush().map_err(failed)?;
        let back = disk
            .disk
            .read_at(offset.get(), image.len())
            .map_err(failed)?;
        if *back == *image {
            Ok(())
        } else {
            Err(SaveError::ReadBack { copy })
        }
    }
}

impl KeyState {
    /// Seals this state and writes both copies on every given disk, disk after disk.
    ///
    /// A changed state needs a higher generation first. Saving the same one again, after a failure,
    /// is right.
    ///
    /// # Errors
    /// [`KeyError`] if the provider cannot seal, and then nothing was written; what became of each
    /// disk stands in the result.
    pub fn save<'a>(
        &self,
        provider: &dyn KeyProvider,
        pool: PoolId,
        disks: impl IntoIterator<Item = KeyDisk<'a>>,
    ) -> Result<Vec<Saved>, KeyError> {
        let sealed = self.seal(provider, pool)?;
        let written = disks.into_iter().map(|mut disk| Saved {
            disk: disk.id,
            result: sealed.write(pool, &mut disk),
        });
        Ok(written.collect())
    }
}

/// Reads both copies of every given disk and opens the newest that can be opened.
///
/// # Errors
/// [`LoadError`].
pub fn load<'a>(
    provider: &dyn KeyProvider,
    pool: PoolId,
    disks: impl IntoIterator<Item = KeyDisk<'a>>,
) -> Result<Loaded, LoadError> {
    let mut copies = Vec::new();
    let mut found = Vec::new();
    for mut disk in disks {
        for copy in 0..KEYSTATE_COPIES {
            let state = match disk.read_copy(pool, copy) {
                Ok(sealed) => {
                    let state = CopyState::Older(sealed.generation);
                    found.push((copies.len(), sealed));
                    state
                }
                Err(state) => state,
            };
            copies.push(CopyReport {
                disk: disk.id,
                copy,
                state,
            });
        }
    }
    open_newest(provider, pool, found, copies)
}

fn open_newest(
    provider: &dyn KeyProvider,
    pool: PoolId,
    mut found: Vec<(usize, SealedState)>,
    mut copies: Vec<CopyReport>,
) -> Result<Loaded, LoadError> {
    found.sort_by_key(|(_, sealed)| std::cmp::Reverse(sealed.generation));
    for (at, sealed) in &found {
        copies[*at].state = match sealed.open(provider, pool) {
            Ok(Some(state)) => {
                mark_current(&mut copies, state.generation);
                return Ok(Loaded { state, copies });
            }
            Ok(None) => CopyState::Senseless,
            Err(KeyError::Unavailable) => return Err(LoadError::Provider(KeyError::Unavailable)),
            Err(error) => CopyState::Closed(error),
        };
    }
    // The newest comes first. One that is known to be ours says more than one that is not.
    let shut = found.iter().find_map(|(at, _)| match copies[*at].state {
        CopyState::Closed(
            error @ (KeyError::Superseded | KeyError::NotYet | KeyError::OtherPlatform),
        ) => Some(error),
        _ => None,
    });
    if let Some(error) = shut {
        return Err(LoadError::Shut { error, copies });
    }
    if copies
        .iter()
        .any(|copy| copy.state == CopyState::Closed(KeyError::WrongKey))
    {
        Err(LoadError::WrongKey { copies })
    } else {
        Err(LoadError::NoCopy { copies })
    }
}

fn mark_current(copies: &mut [CopyReport], generation: Generation) {
    for copy in copies
        .iter_mut()
        .filter(|copy| copy.state == CopyState::Older(generation))
    {
        copy.state = CopyState::Current;
    }
}
