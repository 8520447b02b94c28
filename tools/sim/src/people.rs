//! The people of a simulated vault: who they are, and security keys made of software.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest as _, Sha256, Sha512};
use stele_format::sshsig::{PublicKey, STATEMENT_NAMESPACE};
use stele_format::statement::{Found, FoundKey, Kind, Name, Role};

/// Everybody, and as what. The founding names them in this order.
pub const PEOPLE: [(&str, Role); 7] = [
    ("oona", Role::Operator),
    ("otto", Role::Operator),
    ("anna", Role::Approver),
    ("axel", Role::Approver),
    ("sara", Role::Officer),
    ("sven", Role::Officer),
    ("ada", Role::Auditor),
];

const KEY_TYPE: &[u8] = b"sk-ssh-ed25519@openssh.com";
const APPLICATION: &[u8] = b"ssh:";
/// Touched, by somebody the key knows.
const FLAGS: u8 = 1 | 4;

/// A name that statements can have.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::new(text).expect("the names of the simulation are valid")
}

/// What somebody of this name is.
#[must_use]
pub fn role_of(who: &Name) -> Option<Role> {
    let found = PEOPLE.iter().find(|(name, _)| *name == who.as_str());
    found.map(|(_, role)| *role)
}

/// The people of one pool, with the keys that its seed gives them.
#[derive(Debug, Clone)]
pub struct Staff {
    seed: u64,
    signatures: u32,
}

impl Staff {
    /// The staff of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            signatures: 0,
        }
    }

    fn secret(&self, who: &str) -> SigningKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(who.as_bytes());
        SigningKey::from_bytes(hasher.finalize().as_bytes())
    }

    fn blob(&self, who: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, KEY_TYPE);
        put(&mut out, &self.secret(who).verifying_key().to_bytes());
        put(&mut out, APPLICATION);
        out
    }

    /// The key somebody signs with.
    #[must_use]
    pub fn key(&self, who: &str) -> PublicKey {
        PublicKey::from_blob(&self.blob(who)).expect("a key that was put together here")
    }

    /// What founds the vault.
    #[must_use]
    pub fn founding(&self) -> Kind {
        let keys = PEOPLE.iter().map(|(who, role)| FoundKey {
            person: name(who),
            role: *role,
            key: self.key(who),
        });
        Kind::Found(Found {
            keys: keys.collect(),
            policies: Vec::new(),
        })
    }

    /// A signature of somebody's security key over a text.
    pub fn sign(&mut self, who: &Name, text: &str) -> Vec<u8> {
        self.signatures += 1;
        let namespace = STATEMENT_NAMESPACE.as_bytes();
        let mut wrapped = b"SSHSIG".to_vec();
        put(&mut wrapped, namespace);
        put(&mut wrapped, b"");
        put(&mut wrapped, b"sha512");
        put(&mut wrapped, &Sha512::digest(text));
        let mut touch = vec![FLAGS];
        touch.extend_from_slice(&self.signatures.to_be_bytes());
        let mut signed = Sha256::digest(APPLICATION).to_vec();
        signed.extend_from_slice(&touch);
        signed.extend_from_slice(&Sha256::digest(&wrapped));
        let mut inner = Vec::new();
        put(&mut inner, KEY_TYPE);
        let signature = self.secret(who.as_str()).sign(&signed);
        put(&mut inner, &signature.to_bytes());
        inner.extend_from_slice(&touch);
        let mut out = b"SSHSIG".to_vec();
        out.extend_from_slice(&1_u32.to_be_bytes());
        put(&mut out, &self.blob(who.as_str()));
        put(&mut out, namespace);
        put(&mut out, b"");
        put(&mut out, b"sha512");
        put(&mut out, &inner);
        out
    }
}

/// A string of the wire format: its length, then its bytes.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::{Staff, name};
    use stele_format::sshsig::{STATEMENT_NAMESPACE, Signature};

    #[test]
    fn what_somebody_signs_verifies_as_theirs_and_as_nobody_elses() {
        let mut staff = Staff::new(7);
        let blob = staff.sign(&name("anna"), "text\n");
        let signature = Signature::decode(&blob).unwrap();
        let verified = signature.verify(b"text\n", STATEMENT_NAMESPACE).unwrap();
        assert_eq!(verified.key(), staff.key("anna"));
        assert_ne!(verified.key(), staff.key("axel"));
        assert_ne!(staff.key("anna"), Staff::new(8).key("anna"));
        assert!(signature.verify(b"other\n", STATEMENT_NAMESPACE).is_err());
    }
}
