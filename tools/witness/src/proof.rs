//! Proofs that one log is the beginning of another, as `stele-inspect prove --consistency` writes them.
//!
//! ```text
//! older <records> <root>
//! newer <records> <root>
//! <hash>                     none to 64 lines
//! ```

use stele_format::tree::TreeHash;
use stele_format::tree::proof::PROOF_HASHES_MAX;

use crate::error::Refusal;

/// A proof of consistency. What it says of roots is not needed and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// Records of the one.
    pub older: u64,
    /// Records of the other.
    pub newer: u64,
    /// Hashes of RFC 6962, 2.1.2.
    pub path: Vec<TreeHash>,
}

impl Consistency {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`Refusal::ProofForm`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut lines = text.lines();
        let mut size = |word| {
            let rest = lines.next()?.strip_prefix(word)?.strip_prefix(' ')?;
            let (size, root) = rest.split_once(' ')?;
            TreeHash::from_base64(root)?;
            size.parse().ok()
        };
        let older = size("older").ok_or(Refusal::ProofForm)?;
        let newer = size("newer").ok_or(Refusal::ProofForm)?;
        let path: Option<Vec<TreeHash>> = lines.map(TreeHash::from_base64).collect();
        let path = path.filter(|path| path.len() <= PROOF_HASHES_MAX);
        Ok(Self {
            older,
            newer,
            path: path.ok_or(Refusal::ProofForm)?,
        })
    }
}
