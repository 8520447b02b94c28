//! Sessions with the TPM: their key comes from ECDH to the storage key, so that who listens on the bus
//! learns nothing and who changes what is on it is noticed.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit as _};
use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::message::{Auth, CONTINUE, Command, Handle};
use super::template::{self, StorageKey};
use super::wire::{Malformed, Reader, Writer};
use super::{CommandCode, TpmError, TpmResult, Transact};

const DIGEST_BYTES: usize = 32;
const AES_BLOCK_BYTES: usize = 16;
const NULL: u32 = 0x4000_0007;
/// Session attributes: the first parameter of the command, or of the answer, is encrypted.
const DECRYPT: u8 = 0x20;
const ENCRYPT: u8 = 0x40;

/// What of a command is hidden from the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hide {
    Nothing,
    Command,
    Answer,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Proves the secret of an entity without showing it.
    Hmac,
    /// Proves that a policy is met.
    Policy,
}

/// A session under way.
pub(super) struct Session {
    pub(super) handle: Handle,
    kind: Kind,
    key: Zeroizing<[u8; DIGEST_BYTES]>,
    ours: [u8; DIGEST_BYTES],
    theirs: [u8; DIGEST_BYTES],
}

impl Session {
    /// Begins one, salted to the storage key.
    pub(super) fn start(
        tpm: &mut dyn Transact,
        parent: &StorageKey,
        kind: Kind,
    ) -> TpmResult<Session> {
        let command = CommandCode::StartAuthSession;
        let ours = random()?;
        let (point, salt) = agree(parent)?;
        let encrypted_salt = Writer::new()
            .sized(&point[1..1 + DIGEST_BYTES])
            .sized(&point[1 + DIGEST_BYTES..]);
        let parameters = Writer::new()
            .sized(&ours)
            .sized(encrypted_salt.as_slice())
            .u8(u8::from(kind == Kind::Policy))
            .bytes(&template::AES_128_CFB)
            .u16(template::SHA256);
        let null = Handle::itself(NULL);
        let handles = [&parent.handle, &null];
        let start = Command::new(command, &handles, parameters).giving_handle();
        let answer = start.run(tpm, Auth::None)?;
        let theirs = nonce_alone(&answer.parameters);
        let theirs = theirs.map_err(|_| TpmError::Malformed { command })?;
        Ok(Session {
            handle: Handle::itself(answer.handle),
            kind,
            key: kdf_a(salt.as_slice(), b"ATH", &theirs, &ours),
            ours,
            theirs,
        })
    }

    pub(super) fn new_nonce(&mut self) -> TpmResult<()> {
        self.ours = random()?;
        Ok(())
    }

    /// Encrypts the first parameter of a command, which has its length before it.
    pub(super) fn hide_first(&self, secret: &[u8], parameters: &mut [u8]) {
        let first = sized_range(parameters).expect("a command that hides something has it first");
        let stream = self.cipher(secret, &self.ours, &self.theirs);
        stream.encrypt(&mut parameters[first]);
    }

    /// The authorisation of a command with this digest.
    pub(super) fn authorise(&self, digest: &[u8], secret: &[u8], hide: Hide) -> Writer {
        let attributes = attributes(hide);
        let mac = self.mac(secret, digest, (&self.ours, &self.theirs), attributes);
        Writer::new()
            .u32(self.handle.value)
            .sized(&self.ours)
            .u8(attributes)
            .sized(&mac.finalize().into_bytes())
    }

    /// Checks the authorisation of a successful answer, and lays open what it hides.
    pub(super) fn check(
        &mut self,
        command: CommandCode,
        secret: &[u8],
        hide: Hide,
        parameters: &mut [u8],
        trailer: &[u8],
    ) -> TpmResult<()> {
        let malformed = |_: Malformed| TpmError::Malformed { command };
        let (nonce, attributes, code) = split_trailer(trailer).map_err(malformed)?;
        self.theirs = nonce;
        let mut digest = Sha256::new();
        digest.update([0; 4]);
        digest.update(command.value().to_be_bytes());
        digest.update(&*parameters);
        let nonces = (&self.theirs, &self.ours);
        let mac = self.mac(secret, &digest.finalize(), nonces, attributes);
        mac.verify_slice(code)
            .map_err(|_| TpmError::Forged { command })?;
        if hide == Hide::Answer {
            let first = sized_range(parameters).map_err(malformed)?;
            let stream = self.cipher(secret, &self.theirs, &self.ours);
            stream.decrypt(&mut parameters[first]);
        }
        Ok(())
    }

    fn mac(
        &self,
        secret: &[u8],
        digest: &[u8],
        (newer, older): (&[u8; DIGEST_BYTES], &[u8; DIGEST_BYTES]),
        attributes: u8,
    ) -> Hmac<Sha256> {
        // A policy session proves nothing but its policy: the secret of the object is no part of it.
        let secret = if self.kind == Kind::Policy {
            &[]
        } else {
            secret
        };
        let mut mac = hmac(&self.key_with(secret));
        mac.update(digest);
        mac.update(newer);
        mac.update(older);
        mac.update(&[attributes]);
        mac
    }

    fn key_with(&self, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.key.as_slice(), secret].concat())
    }

    fn cipher(&self, secret: &[u8], newer: &[u8], older: &[u8]) -> Cfb {
        let derived = kdf_a(&self.key_with(secret), b"CFB", newer, older);
        let (key, vector) = derived.split_at(AES_BLOCK_BYTES);
        let mut chain = [0; AES_BLOCK_BYTES];
        chain.copy_from_slice(vector);
        Cfb {
            cipher: Aes128::new_from_slice(key).expect("the key has 16 bytes"),
            chain,
        }
    }
}

fn attributes(hide: Hide) -> u8 {
    CONTINUE
        | match hide {
            Hide::Nothing => 0,
            Hide::Command => DECRYPT,
            Hide::Answer => ENCRYPT,
        }
}

/// AES-128 in cipher feedback mode over whole messages.
struct Cfb {
    cipher: Aes128,
    chain: [u8; AES_BLOCK_BYTES],
}

impl Cfb {
    fn encrypt(mut self, message: &mut [u8]) {
        for part in message.chunks_mut(AES_BLOCK_BYTES) {
            self.step(part);
            self.chain[..part.len()].copy_from_slice(part);
        }
    }

    fn decrypt(mut self, message: &mut [u8]) {
        for part in message.chunks_mut(AES_BLOCK_BYTES) {
            let mut ciphertext = [0; AES_BLOCK_BYTES];
            ciphertext[..part.len()].copy_from_slice(part);
            self.step(part);
            self.chain = ciphertext;
        }
    }

    fn step(&mut self, part: &mut [u8]) {
        let mut block = self.chain.into();
        self.cipher.encrypt_block(&mut block);
        for (byte, mask) in part.iter_mut().zip(block.iter()) {
            *byte ^= mask;
        }
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length is right")
}

/// The TPM's derivation with HMAC, for 256 bits.
fn kdf_a(key: &[u8], label: &[u8], newer: &[u8], older: &[u8]) -> Zeroizing<[u8; DIGEST_BYTES]> {
    let mut mac = hmac(key);
    mac.update(&1_u32.to_be_bytes());
    mac.update(label);
    mac.update(&[0]);
    mac.update(newer);
    mac.update(older);
    mac.update(&256_u32.to_be_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// A fresh point and the salt that the owner of the storage key derives from it.
fn agree(parent: &StorageKey) -> TpmResult<(Vec<u8>, Zeroizing<[u8; DIGEST_BYTES]>)> {
    let entropy = |_| TpmError::Entropy;
    let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new());
    let private = private.map_err(entropy)?;
    let point = private.compute_public_key().map_err(entropy)?;
    let point = point.as_ref().to_vec();
    let peer = UnparsedPublicKey::new(&ECDH_P256, parent.point());
    // A storage key whose point is not on the curve is none.
    let salt = agree_ephemeral(private, peer, TpmError::AnotherTpm, |shared| {
        let mut digest = Sha256::new();
        digest.update(1_u32.to_be_bytes());
        digest.update(shared);
        digest.update(b"SECRET\0");
        digest.update(&point[1..1 + DIGEST_BYTES]);
        digest.update(parent.x);
        Ok(Zeroizing::new(digest.finalize().into()))
    })?;
    Ok((point, salt))
}

pub(super) fn random<const N: usize>() -> TpmResult<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| TpmError::Entropy)?;
    Ok(bytes)
}

/// Where the bytes of a parameter are that follow their 16-bit length.
fn sized_range(parameters: &[u8]) -> Result<std::ops::Range<usize>, Malformed> {
    let count = Reader::new(parameters).sized()?.len();
    Ok(2..2 + count)
}

fn nonce_alone(parameters: &[u8]) -> Result<[u8; DIGEST_BYTES], Malformed> {
    let mut reader = Reader::new(parameters);
    let nonce = reader.sized()?;
    reader.finish()?;
    nonce.try_into().map_err(|_| Malformed)
}

/// Nonce, attributes and code.
pub(super) fn split_trailer(trailer: &[u8]) -> Result<([u8; DIGEST_BYTES], u8, &[u8]), Malformed> {
    let mut reader = Reader::new(trailer);
    let nonce = reader.sized()?.try_into().map_err(|_| Malformed)?;
    let attributes = reader.u8()?;
    let code = reader.sized()?;
    reader.finish()?;
    Ok((nonce, attributes, code))
}

#[cfg(test)]
mod tests {
    use super::{Cfb, kdf_a};
    use aes::Aes128;
    use aes::cipher::KeyInit;

    /// SP 800-38A, F.3.13 and F.3.14 (CFB128-AES128), the last block cut short.
    #[test]
    fn cipher_feedback_is_as_published() {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let stream = || Cfb {
            cipher: Aes128::new_from_slice(&key).expect("16 bytes"),
            chain: std::array::from_fn(|at| u8::try_from(at).expect("below 16")),
        };
        let plain = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let expected = hex("3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b");
        for length in [32, 21, 16, 3] {
            let mut message = plain[..length].to_vec();
            stream().encrypt(&mut message);
            assert_eq!(message, expected[..length]);
            stream().decrypt(&mut message);
            assert_eq!(message, plain[..length]);
        }
    }

    #[test]
    fn derivations_differ_by_label_and_nonces() {
        let base = kdf_a(b"key", b"ATH", b"a", b"b");
        assert_ne!(base, kdf_a(b"key", b"CFB", b"a", b"b"));
        assert_ne!(base, kdf_a(b"key", b"ATH", b"b", b"a"));
        assert_ne!(base, kdf_a(b"kez", b"ATH", b"a", b"b"));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks_exact(2);
        digits
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("ASCII");
                u8::from_str_radix(pair, 16).expect("hex")
            })
            .collect()
    }
}
