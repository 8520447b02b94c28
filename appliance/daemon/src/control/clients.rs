//! What is said on the control socket about clients and about default retention by prefix.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// What can be asked about clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClientAsk {
    /// A new key.
    Add {
        /// What it gets; what is not said is as for every new key.
        wish: ClientWish,
        /// The key whose owner it shares; else it gets an owner of its own.
        same_owner_as: Option<String>,
    },
    /// All keys.
    List,
    /// Changes what a key may.
    Limit {
        /// Its id.
        key_id: String,
        /// What is to change.
        wish: ClientWish,
    },
    /// Ends a key for ever.
    Revoke {
        /// Its id.
        key_id: String,
    },
}

/// What a key is to get; what is not said stays.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientWish {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Names of rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rights: Option<Vec<String>>,
    /// `BUCKET` or `BUCKET/PREFIX`; nothing for all buckets of its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Vec<String>>,
    /// Networks in CIDR form; nothing for anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// Bytes its owner may store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<Bound>,
    /// Versions its owner may store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_versions: Option<Bound>,
    /// Requests that add to the log, in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes_per_minute: Option<Bound>,
    /// Content bytes in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<Bound>,
    /// The first millisecond at which it is no longer good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<Bound>,
}

/// Names are nothing for logs.
impl std::fmt::Debug for ClientWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientWish(..)")
    }
}

/// A bound, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// No bound.
    None,
    /// This one.
    At(u64),
}

impl Bound {
    /// The number, if there is one.
    pub const fn number(self) -> Option<u64> {
        match self {
            Bound::None => None,
            Bound::At(number) => Some(number),
        }
    }
}

/// An answer about clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientReply {
    /// The new key.
    Added(Box<ClientAdded>),
    /// All keys.
    List(Vec<ClientStatus>),
    /// The key as it is now, and what else should be known, as sentences.
    Changed {
        /// The key.
        client: Box<ClientStatus>,
        /// Sentences.
        notes: Vec<String>,
    },
}

/// A new key and what is needed to use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAdded {
    /// The key.
    pub client: ClientStatus,
    /// Its secret; it is said once.
    pub secret: Secret,
    /// The URL of the vault.
    pub endpoint: String,
}

/// A secret, which `Debug` does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// Its id.
    pub key_id: String,
    /// What people call it.
    pub name: String,
    /// Whose it is; empty for the vault's own.
    pub owner: String,
    /// `good`, `expired` or `revoked`.
    pub state: String,
    /// Names of its rights.
    pub rights: Vec<String>,
    /// Names of its special rights.
    pub special_rights: Vec<String>,
    /// `BUCKET` or `BUCKET/PREFIX`; nothing for all buckets of its owner.
    pub buckets: Vec<String>,
    /// Networks in CIDR form; nothing for anywhere.
    pub networks: Vec<String>,
    /// Bytes its owner may store.
    pub quota_bytes: Option<u64>,
    /// Bytes its owner stores.
    pub used_bytes: u64,
    /// Versions its owner may store.
    pub quota_versions: Option<u64>,
    /// Versions its owner stores.
    pub used_versions: u64,
    /// Requests that add to the log, in a minute.
    pub writes_per_minute: Option<u32>,
    /// Content bytes in a second.
    pub bytes_per_second: Option<u64>,
    /// The first millisecond at which it is no longer good.
    pub expires_ms: Option<u64>,
    /// When it was made.
    pub created_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_ms: Option<u64>,
}

/// Names are nothing for logs.
impl std::fmt::Debug for ClientStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientStatus({}, {})", self.key_id, self.state)
    }
}

/// What can be asked about default retention by prefix.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleAsk {
    /// The bucket.
    pub bucket: String,
    /// What is to change; nothing to see the rules.
    pub change: Option<RuleChange>,
}

/// Names are nothing for logs.
impl std::fmt::Debug for RuleAsk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RuleAsk(..)")
    }
}

/// A rule that is to change.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleChange {
    /// What keys begin with.
    pub prefix: String,
    /// Days; none removes the rule.
    pub days: Option<u32>,
}

/// The rules of a bucket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReply {
    /// The bucket's default retention, as a sentence.
    pub default: Option<String>,
    /// Prefix and days.
    pub rules: Vec<Rule>,
}

/// Names are nothing for logs.
impl std::fmt::Debug for RuleReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RuleReply(..)")
    }
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What keys begin with.
    pub prefix: String,
    /// Days of default retention.
    pub days: u32,
}

/// Without the prefix, which may name somebody.
impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("days", &self.days)
            .finish_non_exhaustive()
    }
}
