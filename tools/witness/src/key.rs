//! The key of a witness, in a file: three lines, for its owner alone.
//!
//! ```text
//! stele-witness-key v1
//! name <name in signature lines>
//! seed <64 hexadecimal digits>
//! ```

use std::path::Path;

use ed25519_dalek::{Signer, SigningKey};
use stele_format::checkpoint::{CheckpointError, UnverifiedCheckpoint, WitnessKey};

use crate::error::Refusal;
use crate::files;

const FIRST_LINE: &str = "stele-witness-key v1";

/// Both halves of a witness's key.
pub struct Pair {
    secret: SigningKey,
    public: WitnessKey,
}

impl Pair {
    fn of(name: &str, seed: &[u8; 32]) -> Result<Self, CheckpointError> {
        let secret = SigningKey::from_bytes(seed);
        let public = WitnessKey::new(name, secret.verifying_key().as_bytes())?;
        Ok(Self { secret, public })
    }

    /// A new key, written to a file that must not exist.
    ///
    /// # Errors
    /// The name is none, or the file cannot be made.
    pub fn make(name: &str, path: &Path) -> Result<Self, Refusal> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(Refusal::Entropy)?;
        let pair = Self::of(name, &seed)?;
        let text = format!("{FIRST_LINE}\nname {name}\nseed {}\n", hex(&seed));
        files::create(path, &text)?;
        Ok(pair)
    }

    /// The key in a file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let refused = || Refusal::Key(path.to_owned());
        let text = files::read(path)?;
        let mut lines = text.lines();
        let (first, name, seed) = (lines.next(), lines.next(), lines.next());
        let name = name.and_then(|line| line.strip_prefix("name "));
        let seed = seed.and_then(|line| line.strip_prefix("seed "));
        match (first, name, seed.and_then(unhex), lines.next()) {
            (Some(FIRST_LINE), Some(name), Some(seed), None) => {
                Self::of(name, &seed).map_err(|_| refused())
            }
            _ => Err(refused()),
        }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &WitnessKey {
        &self.public
    }

    /// Adds this witness's line to a note.
    ///
    /// # Errors
    /// When it has one, or as many lines as a note may have.
    pub fn cosign(
        &self,
        note: &UnverifiedCheckpoint,
        seconds: u64,
    ) -> Result<UnverifiedCheckpoint, CheckpointError> {
        let text = note.claims().cosigned_text(seconds);
        let signature = self.secret.sign(text.as_bytes()).to_bytes();
        note.with_cosignature(&self.public, seconds, &signature)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let (pairs, _) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}
