//! What holds the outermost key of a vault, as chosen when it was made and kept in `vault.json`.

use std::path::PathBuf;
use std::str::FromStr;

use stele_device::keyprovider::tpm::{PcrSet, TpmKeys};
use stele_device::keyprovider::{AnchorKind, KeyProvider, ProviderKind};
use stele_device::linux::keyfile::KeyFile;
use stele_device::linux::tpm::{NotTpmAddress, TpmAddress, read_note, store_note};

use crate::control::protocol::KeysStatus;
use crate::error::Outcome;

/// What holds it: `file`, or a TPM as `tpm:/dev/tpmrm0`, `tpm:unix:/PATH` or `tpm:tcp:127.0.0.1:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeySource {
    /// A file beside the data.
    #[default]
    File,
    /// A TPM.
    Tpm(TpmAddress),
}

impl FromStr for KeySource {
    type Err = NotTpmAddress;

    fn from_str(text: &str) -> Result<KeySource, NotTpmAddress> {
        if text == "file" {
            return Ok(KeySource::File);
        }
        text.parse().map(KeySource::Tpm)
    }
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySource::File => f.write_str("file"),
            KeySource::Tpm(address) => address.fmt(f),
        }
    }
}

impl KeySource {
    /// For `stele status`.
    pub fn status(&self) -> KeysStatus {
        let (provider, anchor) = match self {
            KeySource::File => (ProviderKind::KeyFile, AnchorKind::None),
            KeySource::Tpm(_) => (ProviderKind::Tpm, AnchorKind::Tpm),
        };
        KeysStatus {
            provider: provider.to_string(),
            anchor: anchor.to_string(),
        }
    }
}

/// The keys of one vault.
#[derive(Debug, Clone)]
pub struct Keys {
    /// What holds them.
    pub source: KeySource,
    /// The key file, or the file that says where in the TPM they are.
    pub file: PathBuf,
}

impl Keys {
    /// Makes them for a new vault, with a TPM for these platform registers.
    ///
    /// # Errors
    /// When the file exists or cannot be written, or what the TPM reports.
    pub fn create(&self, pcrs: PcrSet) -> Outcome<Box<dyn KeyProvider>> {
        match &self.source {
            KeySource::File => Ok(Box::new(KeyFile::create(&self.file)?)),
            KeySource::Tpm(address) => {
                let keys = TpmKeys::create(Box::new(address.clone()), pcrs)?;
                if let Err(error) = store_note(&self.file, keys.note()) {
                    // The first error is the one to be told of.
                    drop(keys.undo());
                    return Err(error.into());
                }
                Ok(Box::new(keys))
            }
        }
    }

    /// Opens them. A TPM is asked whether it is the right one.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn open(&self) -> Outcome<Box<dyn KeyProvider>> {
        match &self.source {
            KeySource::File => Ok(Box::new(KeyFile::open(&self.file)?)),
            KeySource::Tpm(address) => {
                let keys = self.in_tpm(address)?;
                keys.check()?;
                Ok(Box::new(keys))
            }
        }
    }

    /// Takes back what `create` made outside the file, for a vault whose creation failed.
    pub fn undo(&self) {
        if let KeySource::Tpm(address) = &self.source {
            // What cannot be taken back is a counter of a few bytes that nobody uses.
            drop(self.in_tpm(address).map(TpmKeys::undo));
        }
    }

    fn in_tpm(&self, address: &TpmAddress) -> Outcome<TpmKeys> {
        let note = read_note(&self.file)?;
        Ok(TpmKeys::new(Box::new(address.clone()), note))
    }
}
