//! A security key made of software, for tests: it signs as a FIDO2 key does for OpenSSH, with flags and
//! counter as the test wishes. Everything is put together here by hand from PROTOCOL.sshsig and PROTOCOL.u2f,
//! so that the verifier is not tested against itself.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256, Sha512};

/// User present.
pub const UP: u8 = 1;
/// User verified.
pub const UV: u8 = 4;

/// A key, in software.
pub struct SoftKey {
    signing: SigningKey,
    /// A plain `ssh-ed25519` key instead of a security key.
    pub plain: bool,
}

/// What a signature says beside the text; change a field to make a bad one.
pub struct Wish<'a> {
    pub magic: &'a [u8],
    pub version: u32,
    pub namespace: &'a str,
    pub signed_namespace: &'a str,
    pub reserved: &'a [u8],
    pub hash: &'a str,
    pub application: &'a str,
    pub flags: u8,
    pub counter: u32,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Wish {
            magic: b"SSHSIG",
            version: 1,
            namespace: "stele-statement-v1",
            signed_namespace: "stele-statement-v1",
            reserved: b"",
            hash: "sha512",
            application: "ssh:",
            flags: UP | UV,
            counter: 1,
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

impl SoftKey {
    /// A security key made from a number.
    pub fn new(seed: u64) -> Self {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        SoftKey {
            signing: SigningKey::from_bytes(&secret),
            plain: false,
        }
    }

    /// A plain key made from a number.
    pub fn plain(seed: u64) -> Self {
        SoftKey {
            plain: true,
            ..SoftKey::new(seed)
        }
    }

    fn type_name(&self) -> &'static str {
        if self.plain {
            "ssh-ed25519"
        } else {
            "sk-ssh-ed25519@openssh.com"
        }
    }

    /// The point.
    pub fn point(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The public key's bytes.
    pub fn blob(&self, application: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.type_name().as_bytes());
        put(&mut out, &self.point());
        if !self.plain {
            put(&mut out, application.as_bytes());
        }
        out
    }

    /// The bytes of a signature, as they are inside the armour.
    pub fn sign_as(&self, message: &[u8], wish: &Wish<'_>) -> Vec<u8> {
        let digest = if wish.hash == "sha256" {
            Sha256::digest(message).to_vec()
        } else {
            Sha512::digest(message).to_vec()
        };
        let mut wrapped = b"SSHSIG".to_vec();
        put(&mut wrapped, wish.signed_namespace.as_bytes());
        put(&mut wrapped, b"");
        put(&mut wrapped, wish.hash.as_bytes());
        put(&mut wrapped, &digest);
        let touch = [vec![wish.flags], wish.counter.to_be_bytes().to_vec()].concat();
        let signed = if self.plain {
            wrapped
        } else {
            let application = Sha256::digest(wish.application.as_bytes()).to_vec();
            [
                application,
                touch.clone(),
                Sha256::digest(&wrapped).to_vec(),
            ]
            .concat()
        };
        let mut inner = Vec::new();
        put(&mut inner, self.type_name().as_bytes());
        put(&mut inner, &self.signing.sign(&signed).to_bytes());
        if !self.plain {
            inner.extend_from_slice(&touch);
        }
        let mut out = wish.magic.to_vec();
        out.extend_from_slice(&wish.version.to_be_bytes());
        put(&mut out, &self.blob(wish.application));
        put(&mut out, wish.namespace.as_bytes());
        put(&mut out, wish.reserved);
        put(&mut out, wish.hash.as_bytes());
        put(&mut out, &inner);
        out
    }

    /// The bytes of a statement's signature of a touched key that knew who touched it.
    pub fn sign(&self, message: &str) -> Vec<u8> {
        self.sign_as(message.as_bytes(), &Wish::default())
    }
}
