//! Who is let in: signatures, and the register of clients.

use std::net::IpAddr;
use std::sync::Arc;

use stele_format::units::UnixMillis;
use stele_gateway::Domains;
use stele_gateway::claim::{Clients as Secrets, Verified};
use stele_gateway::message::{Claim, Refusal};
use stele_gateway::turns::party;

use super::spent::Spent;
use crate::clients::{NotAdmitted, Published};

/// What the door looks at. Clones look at the same.
#[derive(Debug, Clone)]
pub struct Door {
    /// Secrets of the access keys.
    pub secrets: Secrets,
    /// Who they are.
    pub register: Published,
    /// Names under which they reach the vault: what is signed means another bucket under another name.
    pub domains: Domains,
    /// What of theirs is not served twice.
    pub spent: Spent,
}

impl Door {
    /// Verifies a claim, then whether its client may come in from there.
    ///
    /// # Errors
    /// Why not. A client whose signature is wrong learns nothing else.
    pub fn admit(
        &self,
        claim: &Claim,
        source: IpAddr,
        now: UnixMillis,
    ) -> Result<Verified, Refusal> {
        let verified = self.secrets.verify(claim, &self.domains, now)?;
        let admitted = self.register.now().admit(&claim.key_id, source, now);
        admitted
            .map(|()| verified)
            .map_err(|refused| match refused {
                NotAdmitted::Unknown => Refusal::UnknownKey,
                NotAdmitted::Revoked | NotAdmitted::Expired | NotAdmitted::Network => {
                    Refusal::NotAllowed(refused.to_string())
                }
            })
    }

    /// Whose key it is; nothing for the vault's own.
    pub fn owner(&self, key_id: &str) -> String {
        let register = self.register.now();
        let entry = register.iter().find(|entry| entry.id == key_id);
        entry.map(|entry| entry.owner.clone()).unwrap_or_default()
    }

    /// Whose share of what is scarce a key takes from.
    pub fn party(&self, key_id: &str) -> Arc<str> {
        party(key_id, &self.owner(key_id)).into()
    }
}
