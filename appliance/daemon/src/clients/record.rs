//! What the configuration record of the clients holds.
//!
//! Fields were added since the first version and have defaults, so that what an earlier program wrote
//! reads as it did: a key with every ordinary right, of the vault's own owner, without any bound.

use serde::{Deserialize, Serialize};
use stele_store::policy::{Grant, Grants, OwnerId, Quota, Rate, Right, Rights, Scope};

use super::network::Network;
use crate::limits::{
    CLIENT_COUNT_MAX, CLIENT_NAME_CHARS_MAX, CLIENT_NETWORK_COUNT_MAX, CLIENT_RECORD_BYTES_MAX,
};

/// Every access key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub clients: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Tenant>,
}

/// One access key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The access key id.
    pub id: String,
    /// Names of its special rights.
    pub rights: Vec<String>,
    /// Names of its ordinary rights; none means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<String>>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whose key it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// `BUCKET` or `BUCKET/PREFIX`; nothing means all buckets of its owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<String>,
    /// Where it may come from, in CIDR form; nothing means anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// The first moment at which it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

/// Names of people, pharmacies and buckets are nothing for logs.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({}, ..)", self.id)
    }
}

/// How much an owner may store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_versions: Option<u64>,
}

impl Tenant {
    pub fn quota(&self) -> Quota {
        Quota {
            bytes_max: self.quota_bytes,
            versions_max: self.quota_versions,
        }
    }
}

/// An entry whose words all have a meaning.
pub struct Parsed {
    pub owner: OwnerId,
    pub grants: Grants,
    pub special: Rights,
    pub scopes: Vec<Scope>,
    pub networks: Vec<Network>,
    pub rate: Rate,
}

impl Entry {
    /// None if any word has no meaning, or there is too much of something.
    pub fn parse(&self) -> Option<Parsed> {
        let special: Option<Vec<Right>> = self
            .rights
            .iter()
            .map(|name| Right::from_name(name))
            .collect();
        let grants = match &self.grants {
            None => Grants::all(),
            Some(names) => names
                .iter()
                .map(|name| Grant::from_name(name))
                .collect::<Option<Grants>>()?,
        };
        let scopes: Vec<Scope> = self
            .buckets
            .iter()
            .map(|text| Scope::parse(text))
            .collect::<Option<_>>()?;
        let networks: Vec<Network> = self
            .networks
            .iter()
            .map(|text| Network::parse(text))
            .collect::<Option<_>>()?;
        let fits = stele_store::policy::Client::may_have(&scopes)
            && networks.len() <= CLIENT_NETWORK_COUNT_MAX
            && is_name(&self.name);
        fits.then_some(Parsed {
            owner: OwnerId::new(&self.owner)?,
            grants,
            special: special?.into_iter().fold(Rights::default(), Rights::with),
            scopes,
            networks,
            rate: Rate {
                writes_per_minute: self.writes_per_minute,
                bytes_per_second: self.bytes_per_second,
            },
        })
    }

    pub const fn is_revoked(&self) -> bool {
        self.revoked_ms.is_some()
    }
}

/// Whether people may call a client so.
pub fn is_name(text: &str) -> bool {
    text.chars().count() <= CLIENT_NAME_CHARS_MAX && !text.chars().any(char::is_control)
}

impl Record {
    /// The stored form; none if it is larger than a record may be.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let value = serde_json::to_vec(self).ok()?;
        (value.len() <= CLIENT_RECORD_BYTES_MAX).then_some(value)
    }

    /// Room for one more key: the keys revoked longest ago are forgotten for it.
    pub fn make_room(&mut self) -> bool {
        while self.clients.len() >= CLIENT_COUNT_MAX {
            let oldest = self
                .clients
                .iter()
                .enumerate()
                .filter_map(|(at, entry)| Some((entry.revoked_ms?, at)))
                .min();
            let Some((_, at)) = oldest else {
                return false;
            };
            self.clients.remove(at);
        }
        true
    }
}
