//! Public keys: their bytes, their line of text, their fingerprint.

use core::fmt;

use base64_simd::STANDARD_NO_PAD;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::wire::{self, Wire};
use super::{SK_APPLICATION, SignatureError};
use crate::limits::KEY_LINE_BYTES_MAX;

/// The types of key that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// `sk-ssh-ed25519@openssh.com`: the private half lives in a security key.
    SecurityKey,
    /// `ssh-ed25519`: the private half is a file.
    Plain,
}

impl KeyType {
    /// Its name in bytes and lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecurityKey => "sk-ssh-ed25519@openssh.com",
            Self::Plain => "ssh-ed25519",
        }
    }

    fn from_name(name: &[u8]) -> Result<Self, SignatureError> {
        [Self::SecurityKey, Self::Plain]
            .into_iter()
            .find(|known| known.name().as_bytes() == name)
            .ok_or(SignatureError::KeyType)
    }
}

/// A public key whose point is sound. A security key is always one for the application `ssh:`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    key_type: KeyType,
    point: [u8; 32],
}

impl PublicKey {
    /// A key of this type and point.
    ///
    /// # Errors
    /// [`SignatureError::WeakKey`]: no point, a second spelling of one, or of small order.
    pub fn new(key_type: KeyType, point: [u8; 32]) -> Result<Self, SignatureError> {
        let key = Self { key_type, point };
        let sound = key.verifying_key()?;
        if sound.is_weak() || sound.to_edwards().compress().to_bytes() != point {
            return Err(SignatureError::WeakKey);
        }
        Ok(key)
    }

    /// Reads the bytes that a line has in base64.
    ///
    /// # Errors
    /// [`SignatureError`]: not a key in the one form that is accepted.
    pub fn from_blob(blob: &[u8]) -> Result<Self, SignatureError> {
        let mut wire = Wire::new(blob);
        let key_type = KeyType::from_name(wire.string("key type")?)?;
        let point = wire
            .string("public key")?
            .try_into()
            .map_err(|_| SignatureError::Length("public key"))?;
        if key_type == KeyType::SecurityKey
            && wire.string("application")? != SK_APPLICATION.as_bytes()
        {
            return Err(SignatureError::Application);
        }
        wire.end("public key")?;
        Self::new(key_type, point)
    }

    /// The bytes that a line has in base64.
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        wire::put(&mut out, self.key_type.name().as_bytes());
        wire::put(&mut out, &self.point);
        if self.key_type == KeyType::SecurityKey {
            wire::put(&mut out, SK_APPLICATION.as_bytes());
        }
        out
    }

    /// Reads `type base64`, without a comment: as statements have it.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn from_text(text: &str) -> Result<Self, SignatureError> {
        if text.len() > KEY_LINE_BYTES_MAX {
            return Err(SignatureError::TooLong {
                max: KEY_LINE_BYTES_MAX,
            });
        }
        let (name, base64) = text.split_once(' ').ok_or(SignatureError::Armour)?;
        let key_type = KeyType::from_name(name.as_bytes())?;
        let blob = wire::from_base64(base64).ok_or(SignatureError::Armour)?;
        let key = Self::from_blob(&blob)?;
        if key.key_type == key_type {
            Ok(key)
        } else {
            Err(SignatureError::TypesDiffer)
        }
    }

    /// Reads a line of a `.pub` file: `type base64`, perhaps a comment, perhaps an end of line.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn from_line(line: &str) -> Result<Self, SignatureError> {
        if line.len() > KEY_LINE_BYTES_MAX {
            return Err(SignatureError::TooLong {
                max: KEY_LINE_BYTES_MAX,
            });
        }
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains(['\n', '\r']) {
            return Err(SignatureError::Armour);
        }
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next()) {
            (Some(name), Some(base64)) => Self::from_text(&format!("{name} {base64}")),
            _ => Err(SignatureError::Armour),
        }
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The point: keys of two types with one point have one private half.
    #[must_use]
    pub const fn point(&self) -> &[u8; 32] {
        &self.point
    }

    /// As `ssh-keygen -l` shows it: `SHA256:` and base64 without padding.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.to_blob());
        format!("SHA256:{}", STANDARD_NO_PAD.encode_to_string(digest))
    }

    pub(super) fn verifying_key(&self) -> Result<VerifyingKey, SignatureError> {
        VerifyingKey::from_bytes(&self.point).map_err(|_| SignatureError::WeakKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base64 = wire::to_base64(&self.to_blob());
        write!(f, "{} {base64}", self.key_type.name())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}
