//! A key file: the outermost key of an evaluation vault, beside its data.
//!
//! Two lines of text and a newline after each, so that a person can print it and type it in again:
//!
//! ```text
//! stele key file 1
//! <64 hex digits of key><16 hex digits of check>
//! ```
//!
//! The check is the start of a BLAKE3 derivation (context `"stele-device key file check v1"`) of
//! the key: a damaged file is told apart from the key of another vault. Only its owner may read
//! the file; copies of it, old or new, can undo any destruction of keys.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::open::sync_directory_of;
use crate::keyprovider::{
    Anchor, KeyError, KeyProvider, MASTER_BYTES, Master, ProviderKind, SALT_BYTES,
};
use crate::limits::KEY_FILE_BYTES_MAX;

const HEADER: &str = "stele key file 1";
const CHECK_CONTEXT: &str = "stele-device key file check v1";
const CHECK_BYTES: usize = 8;

/// Why a key file cannot be made or used. Never says anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("{}: no such key file", path.display())]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// A key file was to be created where something exists.
    #[error("{}: exists already; a key file is never overwritten", path.display())]
    Exists {
        /// The key file.
        path: PathBuf,
    },
    /// Others than the owner may read or write it.
    #[error("{}: open to others (mode {mode:04o}); it must be 0600 or less", path.display())]
    Permissive {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key file, or one whose bytes changed since it was written.
    #[error("{}: damaged or not a key file", path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
    },
    /// The kernel gave no random bytes for a new key.
    #[error("no random bytes for a new key")]
    Entropy,
    /// The kernel refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// A key read from a file.
pub struct KeyFile(Master);

impl KeyFile {
    /// Makes a new key and stores it under `path`, durably, readable by its owner only.
    ///
    /// # Errors
    /// When anything exists there already, or it cannot be written.
    pub fn create(path: &Path) -> Result<KeyFile, KeyFileError> {
        let mut key = Zeroizing::new([0; MASTER_BYTES]);
        getrandom::fill(key.as_mut_slice()).map_err(|_| KeyFileError::Entropy)?;
        write_private(path, &encode(&key))?;
        Ok(KeyFile(Master(key)))
    }

    /// Reads the key stored under `path`.
    ///
    /// # Errors
    /// When the file is missing, damaged, or open to others than its owner.
    pub fn open(path: &Path) -> Result<KeyFile, KeyFileError> {
        let text = read_private(path)?;
        match decode(&text) {
            Some(key) => Ok(KeyFile(Master(key))),
            None => Err(KeyFileError::Damaged {
                path: path.to_owned(),
            }),
        }
    }
}

impl KeyProvider for KeyFile {
    fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| KeyError::Unavailable)?;
        self.0.seal(&salt, context, plaintext)
    }

    fn seal_next(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.seal(context, plaintext)
    }

    fn advance(&self, sealed: &[u8]) -> Result<Anchor, KeyError> {
        self.0.recognise(sealed).map(|()| Anchor::NONE)
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.0.open(context, sealed)
    }

    fn anchor(&self) -> Result<Anchor, KeyError> {
        Ok(Anchor::NONE)
    }

    fn is_anchored(&self) -> bool {
        false
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::KeyFile
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile")
    }
}

/// Stores a secret under a new name, durably, readable by its owner only.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_CLOEXEC.bits())
        .open(path)
        .map_err(|source| io_error(path, source))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory_of(path))
        .map_err(|source| io_error(path, source))
}

/// Reads a secret, if nobody else can.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    // A pipe in place of the file must not block the start.
    let flags = (OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|source| io_error(path, source))?;
    let metadata = file.metadata().map_err(|source| io_error(path, source))?;
    if !metadata.is_file() {
        return Err(KeyFileError::Damaged {
            path: path.to_owned(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Permissive {
            path: path.to_owned(),
            mode,
        });
    }
    read_text(&file).map_err(|source| io_error(path, source))
}

/// One byte more than a key file may have is read, so that a longer file is seen as one. The
/// memory is reserved first: a growing vector would leave copies of the key behind.
fn read_text(file: &File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(2 * KEY_FILE_BYTES_MAX));
    let limit = crate::disk::byte_count(KEY_FILE_BYTES_MAX + 1);
    file.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

fn check_of(key: &[u8; MASTER_BYTES]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECK_CONTEXT);
    hasher.update(key);
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

fn encode(key: &[u8; MASTER_BYTES]) -> Zeroizing<String> {
    let digits = 2 * (MASTER_BYTES + CHECK_BYTES);
    let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + digits + 2));
    text.push_str(HEADER);
    text.push('\n');
    for byte in key.iter().chain(&check_of(key)) {
        text.push(hex_digit(byte >> 4));
        text.push(hex_digit(byte & 15));
    }
    text.push('\n');
    text
}

fn decode(text: &[u8]) -> Option<Zeroizing<[u8; MASTER_BYTES]>> {
    let line = text.strip_prefix(HEADER.as_bytes())?.strip_prefix(b"\n")?;
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.len() != 2 * (MASTER_BYTES + CHECK_BYTES) {
        return None;
    }
    let mut key = Zeroizing::new([0; MASTER_BYTES]);
    let mut check = [0; CHECK_BYTES];
    for (byte, pair) in key.iter_mut().chain(&mut check).zip(line.chunks_exact(2)) {
        *byte = (hex_value(pair[0])? << 4) | hex_value(pair[1])?;
    }
    (check_of(&key) == check).then_some(key)
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).expect("four bits are a hex digit")
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn io_error(path: &Path, source: std::io::Error) -> KeyFileError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => KeyFileError::Missing { path },
        ErrorKind::AlreadyExists => KeyFileError::Exists { path },
        _ => KeyFileError::Io { path, source },
    }
}

#[cfg(test)]
mod tests;
