//! Signatures as OpenSSH makes them (PROTOCOL.sshsig, PROTOCOL.u2f), read strictly.
//!
//! Two types of key: `sk-ssh-ed25519@openssh.com` (a security key, whose signature says whether somebody
//! touched it and whether it knew who) and plain `ssh-ed25519`. Ed25519 is verified strictly: one signature
//! of one text by one key has one spelling.
//!
//! Invariants: what parses prints to the same bytes; a [`Verified`] is made by [`Signature::verify`] alone,
//! and names the bytes it is for; nothing here says whether a touch is needed: that is the caller's policy.

mod key;
mod wire;

use ed25519_dalek::Signature as EdSignature;
use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

pub use self::key::{KeyType, PublicKey};
use self::wire::Wire;
use crate::digest::Digest;
use crate::limits::{SIGNATURE_ARMOUR_BYTES_MAX, SIGNATURE_BYTES_MAX};

/// The namespace of signatures under statements.
pub const STATEMENT_NAMESPACE: &str = "stele-statement-v1";
/// The application security keys are made for.
pub const SK_APPLICATION: &str = "ssh:";

const MAGIC: &[u8; 6] = b"SSHSIG";
const VERSION: u32 = 1;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const ARMOUR_LINE_CHARS: usize = 70;
const FLAG_PRESENT: u8 = 0x01;
const FLAG_VERIFIED: u8 = 0x04;

/// Why a key or a signature is not one, or not of this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// It is longer than anything we accept.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The lines around the base64 text, or the base64 text itself.
    #[error("the armour or its base64 text is damaged")]
    Armour,
    /// Something ends too early, has a length that is not there, or goes on after its end.
    #[error("the bytes of {0} are cut short or go on too long")]
    Length(&'static str),
    /// Not a signature of the kind we know.
    #[error("this is no SSHSIG signature of version 1")]
    Magic,
    /// Another type of key than the two we know.
    #[error("only keys of type sk-ssh-ed25519@openssh.com and ssh-ed25519 are known here")]
    KeyType,
    /// The security key was made for something else.
    #[error("the security key was made for another application than ssh:")]
    Application,
    /// The point is none, has another spelling, or anybody can sign for it.
    #[error("the public key is no sound Ed25519 point")]
    WeakKey,
    /// The signature was made for another purpose.
    #[error("the signature was made for another namespace")]
    Namespace,
    /// The text was hashed in another way than we know.
    #[error("the signature uses another hash than sha512 and sha256")]
    Hash,
    /// A field that must be empty, or a flag that nobody defined.
    #[error("the signature has something in {0}, which must be empty")]
    Reserved(&'static str),
    /// Key and signature are of different types.
    #[error("key and signature are of different types")]
    TypesDiffer,
    /// It does not verify.
    #[error("the signature is not of this text by this key")]
    Mismatch,
}

/// How the text was hashed before it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// What ssh-keygen uses unless told otherwise.
    Sha512,
    /// The other one of the protocol.
    Sha256,
}

impl HashKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha512 => "sha512",
            Self::Sha256 => "sha256",
        }
    }

    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha512 => Sha512::digest(message).to_vec(),
            Self::Sha256 => Sha256::digest(message).to_vec(),
        }
    }
}

/// A signature that was read and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    key: PublicKey,
    namespace: String,
    hash: HashKind,
    bytes: [u8; 64],
    /// What a security key adds: flags and counter.
    touch: Option<(u8, u32)>,
}

/// A signature that was verified, of the text whose digest it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    key: PublicKey,
    message: Digest,
    flags: u8,
    counter: Option<u32>,
}

impl Verified {
    /// Who signed.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// BLAKE3 of the text that was signed.
    #[must_use]
    pub const fn message(&self) -> Digest {
        self.message
    }

    /// Somebody touched the security key; false for plain keys, which cannot know.
    #[must_use]
    pub const fn user_present(&self) -> bool {
        self.flags & FLAG_PRESENT != 0
    }

    /// The security key knew who touched it (PIN or finger); false for plain keys.
    #[must_use]
    pub const fn user_verified(&self) -> bool {
        self.flags & FLAG_VERIFIED != 0
    }

    /// The security key's count of signatures; 0 where the key never counts, none for plain keys.
    #[must_use]
    pub const fn counter(&self) -> Option<u32> {
        self.counter
    }
}

impl Signature {
    /// Reads the text that `ssh-keygen -Y sign` writes: armour, lines of 70 characters, LF.
    ///
    /// # Errors
    /// [`SignatureError`], as for [`Signature::decode`].
    pub fn from_armour(text: &str) -> Result<Self, SignatureError> {
        if text.len() > SIGNATURE_ARMOUR_BYTES_MAX {
            return Err(SignatureError::TooLong {
                max: SIGNATURE_ARMOUR_BYTES_MAX,
            });
        }
        let mut lines = text.lines();
        if lines.next() != Some(BEGIN) {
            return Err(SignatureError::Armour);
        }
        let mut base64 = String::new();
        let ended = lines.by_ref().any(|line| {
            let end = line == END;
            if !end {
                base64.push_str(line);
            }
            end
        });
        if !ended || lines.next().is_some() {
            return Err(SignatureError::Armour);
        }
        let blob = wire::from_base64(&base64).ok_or(SignatureError::Armour)?;
        let signature = Self::decode(&blob)?;
        // One spelling: line lengths, padding and ends of lines as ssh-keygen has them.
        if signature.to_armour() == text {
            Ok(signature)
        } else {
            Err(SignatureError::Armour)
        }
    }

    /// Reads the bytes inside the armour, which is what records keep.
    ///
    /// # Errors
    /// [`SignatureError`]: not a signature in the one form that is accepted.
    pub fn decode(blob: &[u8]) -> Result<Self, SignatureError> {
        if blob.len() > SIGNATURE_BYTES_MAX {
            return Err(SignatureError::TooLong {
                max: SIGNATURE_BYTES_MAX,
            });
        }
        let mut wire = Wire::new(blob);
        if wire.take("magic", MAGIC.len()) != Ok(MAGIC) || wire.uint32("version") != Ok(VERSION) {
            return Err(SignatureError::Magic);
        }
        let key = PublicKey::from_blob(wire.string("public key")?)?;
        let namespace = core::str::from_utf8(wire.string("namespace")?)
            .map_err(|_| SignatureError::Namespace)?
            .to_owned();
        if !wire.string("reserved")?.is_empty() {
            return Err(SignatureError::Reserved("reserved"));
        }
        let hash = match wire.string("hash")? {
            b"sha512" => HashKind::Sha512,
            b"sha256" => HashKind::Sha256,
            _ => return Err(SignatureError::Hash),
        };
        let inner = wire.string("signature")?;
        wire.end("signature")?;
        let (bytes, touch) = read_inner(key, inner)?;
        Ok(Self {
            key,
            namespace,
            hash,
            bytes,
            touch,
        })
    }

    /// The bytes inside the armour.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut inner = Vec::new();
        wire::put(&mut inner, self.key.key_type().name().as_bytes());
        wire::put(&mut inner, &self.bytes);
        if let Some((flags, counter)) = self.touch {
            inner.push(flags);
            inner.extend_from_slice(&counter.to_be_bytes());
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        wire::put(&mut out, &self.key.to_blob());
        wire::put(&mut out, self.namespace.as_bytes());
        wire::put(&mut out, b"");
        wire::put(&mut out, self.hash.name().as_bytes());
        wire::put(&mut out, &inner);
        out
    }

    /// The text that `ssh-keygen -Y sign` would write.
    #[must_use]
    pub fn to_armour(&self) -> String {
        let base64 = wire::to_base64(&self.encode());
        let mut out = format!("{BEGIN}\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(ARMOUR_LINE_CHARS));
            out.push_str(line);
            out.push('\n');
            rest = more;
        }
        out.push_str(END);
        out.push('\n');
        out
    }

    /// The key it says it is by.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// Verifies it over `message`, made for `namespace`.
    ///
    /// # Errors
    /// [`SignatureError::Namespace`] and [`SignatureError::Mismatch`].
    pub fn verify(&self, message: &[u8], namespace: &str) -> Result<Verified, SignatureError> {
        if self.namespace != namespace {
            return Err(SignatureError::Namespace);
        }
        let signed = self.signed_bytes(message);
        self.key
            .verifying_key()?
            .verify_strict(&signed, &EdSignature::from_bytes(&self.bytes))
            .map_err(|_| SignatureError::Mismatch)?;
        Ok(Verified {
            key: self.key,
            message: Digest::of(message),
            flags: self.touch.map_or(0, |(flags, _)| flags),
            counter: self.touch.map(|(_, counter)| counter),
        })
    }

    /// What the Ed25519 signature is over: for a security key, what an authenticator signs.
    fn signed_bytes(&self, message: &[u8]) -> Vec<u8> {
        let wrapped = wrapped(&self.namespace, self.hash, message);
        match self.touch {
            None => wrapped,
            Some((flags, counter)) => {
                let mut out = Sha256::digest(SK_APPLICATION.as_bytes()).to_vec();
                out.push(flags);
                out.extend_from_slice(&counter.to_be_bytes());
                out.extend_from_slice(&Sha256::digest(&wrapped));
                out
            }
        }
    }
}

/// The bytes that PROTOCOL.sshsig has signed instead of the message.
fn wrapped(namespace: &str, hash: HashKind, message: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    wire::put(&mut out, namespace.as_bytes());
    wire::put(&mut out, b"");
    wire::put(&mut out, hash.name().as_bytes());
    wire::put(&mut out, &hash.of(message));
    out
}

type Inner = ([u8; 64], Option<(u8, u32)>);

fn read_inner(key: PublicKey, inner: &[u8]) -> Result<Inner, SignatureError> {
    let mut wire = Wire::new(inner);
    if wire.string("signature type")? != key.key_type().name().as_bytes() {
        return Err(SignatureError::TypesDiffer);
    }
    let bytes = wire
        .string("signature bytes")?
        .try_into()
        .map_err(|_| SignatureError::Length("signature bytes"))?;
    let touch = match key.key_type() {
        KeyType::Plain => None,
        KeyType::SecurityKey => {
            let flags = wire.byte("flags")?;
            if flags & !(FLAG_PRESENT | FLAG_VERIFIED) != 0 {
                return Err(SignatureError::Reserved("flags"));
            }
            Some((flags, wire.uint32("counter")?))
        }
    };
    wire.end("signature")?;
    Ok((bytes, touch))
}
