//! Signatures over the pieces of an aws-chunked body, each over the one before it.
//!
//! The gateway hashes each chunk and holds no key; the engine's side verifies the chain. Until it has said that
//! all of it is right, what was read must not become an object.
//!
//! Source: the AWS documentation, "Signature Calculations for the Authorization Header: Transferring Payload in
//! Multiple Chunks" and its form with trailing headers (AWS Signature Version 4).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use crate::claim::{Claim, SigningKey};
use crate::refusal::Refusal;
use crate::text::hex;

/// What a signature is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signed {
    /// The content of one chunk.
    Chunk,
    /// The trailers behind the last one.
    Trailers,
}

/// A signature that came with a body, and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkProof {
    /// What it is over.
    pub signed: Signed,
    /// SHA-256 of that.
    pub digest: [u8; 32],
    /// The signature.
    pub signature: [u8; 32],
}

/// The chain of one body, as far as it was verified.
pub struct ChunkChain {
    key: hmac::Key,
    /// Date and scope, the second and third line of every string to sign.
    scope: String,
    previous: String,
}

impl std::fmt::Debug for ChunkChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkChain(..)")
    }
}

impl ChunkChain {
    /// A chain that starts at a request's own verified signature, with the key it was verified with.
    #[must_use]
    pub fn new(key: &SigningKey, claim: &Claim) -> Self {
        let Claim {
            date, day, region, ..
        } = claim;
        Self {
            key: key.hmac(),
            scope: format!("{date}\n{day}/{region}/s3/aws4_request"),
            previous: hex(&claim.signature),
        }
    }

    /// Verifies what follows.
    ///
    /// # Errors
    /// `Signature`; the chain is over then.
    pub fn verify(&mut self, proofs: &[ChunkProof]) -> Result<(), Refusal> {
        for proof in proofs {
            let tag = self.sign(proof.signed, &proof.digest);
            verify_slices_are_equal(&tag, &proof.signature).map_err(|_| Refusal::Signature)?;
            self.previous = hex(&tag);
        }
        Ok(())
    }

    /// The signature of what follows.
    fn sign(&self, signed: Signed, content: &[u8; 32]) -> [u8; 32] {
        let Self {
            scope, previous, ..
        } = self;
        let content = hex(content);
        let text = match signed {
            Signed::Chunk => {
                let nothing = hex(digest(&SHA256, b"").as_ref());
                format!("AWS4-HMAC-SHA256-PAYLOAD\n{scope}\n{previous}\n{nothing}\n{content}")
            }
            Signed::Trailers => {
                format!("AWS4-HMAC-SHA256-TRAILER\n{scope}\n{previous}\n{content}")
            }
        };
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.key, text.as_bytes()).as_ref());
        tag
    }

    /// Signs what follows as a client does.
    #[cfg(test)]
    pub(crate) fn extend(&mut self, signed: Signed, content: &[u8; 32]) -> String {
        self.previous = hex(&self.sign(signed, content));
        self.previous.clone()
    }
}
