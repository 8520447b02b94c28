//! How the register changes: pure, from one register to the next.

use stele_store::policy::{Grant, Right, Scope};

use super::network::Network;
use super::record::{Entry, Record, Tenant, is_name};
use super::{Clients, new_key_id, random_letters};
use crate::control::clients::{Bound, ClientWish};
use crate::error::Outcome;
use crate::limits::{
    CLIENT_COUNT_MAX, CLIENT_NAME_CHARS_MAX, CLIENT_NETWORK_COUNT_MAX, CLIENT_RECORD_BYTES_MAX,
};

/// Random letters of an owner.
const OWNER_RANDOM_CHARS: usize = 20;
/// What a new key may unless told otherwise: all but what releases versions.
const GRANTS_DEFAULT: [Grant; 4] = [Grant::Put, Grant::Get, Grant::List, Grant::Delete];

/// Why the register does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChanged {
    /// No such key.
    #[error("there is no client with this key id; see: stele client list")]
    NoSuchClient,
    /// It is revoked, which is for ever.
    #[error("the key was revoked, and stays so; add another one")]
    Revoked,
    /// A right that takes two people.
    #[error(
        "two people must sign before a client gets the right {0}: stele client grant drafts it, for a time; \
         without people only a vault for tests has it, when it is made: stele create --client-rights"
    )]
    TwoPeople(Right),
    /// No such right.
    #[error("there is no right {0:?}; there are put, get, list, delete and release")]
    NoSuchRight(String),
    /// Not a bucket with a prefix.
    #[error("{0:?} is not BUCKET or BUCKET/PREFIX, with a prefix of at most 1024 bytes")]
    Bucket(String),
    /// More buckets than a key may name.
    #[error(
        "a key names at most {} buckets and prefixes",
        stele_store::policy::limits::CLIENT_SCOPE_COUNT_MAX
    )]
    Buckets,
    /// Not a network.
    #[error("{0:?} is not a network such as 10.1.0.0/16, with zeros behind the bits that count")]
    Network(String),
    /// More networks than a key may name.
    #[error("a key names at most {CLIENT_NETWORK_COUNT_MAX} networks")]
    Networks,
    /// Not a name.
    #[error("a name has 1 to {CLIENT_NAME_CHARS_MAX} characters, and no control characters")]
    Name,
    /// A rate of nothing.
    #[error("a rate is at least 1, and at most {} writes in a minute", u32::MAX)]
    Rate,
    /// Nothing was to change.
    #[error("nothing was said that could change")]
    Nothing,
    /// Too many keys.
    #[error("there are {CLIENT_COUNT_MAX} keys that are not revoked, and no more is kept")]
    TooMany,
    /// Too many names, buckets and networks together.
    #[error(
        "the register of clients would be larger than {CLIENT_RECORD_BYTES_MAX} bytes; \
         name fewer buckets and networks"
    )]
    TooLarge,
}

impl Clients {
    /// A new key beside the others, and its id.
    ///
    /// # Errors
    /// [`NotChanged`], or that the kernel gives no random bytes.
    pub fn add(
        &self,
        wish: &ClientWish,
        same_owner_as: Option<&str>,
        now_ms: u64,
    ) -> Outcome<(Clients, String)> {
        let mut record = self.record.clone();
        let owner = match same_owner_as {
            Some(key_id) => living(&mut record, key_id)?.owner.clone(),
            None => random_letters(OWNER_RANDOM_CHARS)?.to_ascii_lowercase(),
        };
        if wish.name.as_deref().is_none_or(str::is_empty) {
            return Err(NotChanged::Name.into());
        }
        let mut entry = Entry {
            id: new_key_id()?,
            owner,
            grants: Some(names(&GRANTS_DEFAULT)),
            created_ms: Some(now_ms),
            ..Entry::default()
        };
        change(&mut entry, wish)?;
        bound(&mut record, &entry.owner, wish);
        if !record.make_room() {
            return Err(NotChanged::TooMany.into());
        }
        let id = entry.id.clone();
        record.clients.push(entry);
        Ok((Clients::checked(record)?, id))
    }

    /// The register with what is said changed.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub fn limit(&self, key_id: &str, wish: &ClientWish) -> Outcome<Clients> {
        let mut record = self.record.clone();
        if *wish == ClientWish::default() {
            return Err(NotChanged::Nothing.into());
        }
        let entry = living(&mut record, key_id)?;
        change(entry, wish)?;
        let owner = entry.owner.clone();
        bound(&mut record, &owner, wish);
        Clients::checked(record)
    }

    /// The register with a key revoked.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub fn revoke(&self, key_id: &str, now_ms: u64) -> Outcome<Clients> {
        let mut record = self.record.clone();
        living(&mut record, key_id)?.revoked_ms = Some(now_ms);
        Clients::checked(record)
    }

    /// Whether any key could store something now or later.
    pub fn any_can_put(&self) -> bool {
        let may_put = |entry: &Entry| match &entry.grants {
            None => true,
            Some(names) => names.iter().any(|name| name == Grant::Put.name()),
        };
        self.iter()
            .any(|entry| !entry.is_revoked() && may_put(entry))
    }

    /// A register that fits its record.
    fn checked(record: Record) -> Outcome<Clients> {
        if record.encode().is_none() {
            return Err(NotChanged::TooLarge.into());
        }
        Clients::of(record)
    }
}

fn names(grants: &[Grant]) -> Vec<String> {
    grants.iter().map(|grant| grant.name().to_owned()).collect()
}

/// A key that is not revoked.
fn living<'a>(record: &'a mut Record, key_id: &str) -> Result<&'a mut Entry, NotChanged> {
    let found = record.clients.iter_mut().find(|entry| entry.id == key_id);
    let entry = found.ok_or(NotChanged::NoSuchClient)?;
    if entry.is_revoked() {
        return Err(NotChanged::Revoked);
    }
    Ok(entry)
}

fn change(entry: &mut Entry, wish: &ClientWish) -> Result<(), NotChanged> {
    if let Some(name) = &wish.name {
        if name.is_empty() || !is_name(name) {
            return Err(NotChanged::Name);
        }
        entry.name.clone_from(name);
    }
    if let Some(rights) = &wish.rights {
        entry.grants = Some(granted(rights)?);
    }
    if let Some(buckets) = &wish.buckets {
        let scope = |text: &String| Scope::parse(text).ok_or(NotChanged::Bucket(text.clone()));
        let scopes = buckets.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
        if !stele_store::policy::Client::may_have(&scopes) {
            return Err(NotChanged::Buckets);
        }
        entry.buckets = scopes.iter().map(Scope::text).collect();
    }
    if let Some(networks) = &wish.networks {
        let network = |text: &String| Network::parse(text).ok_or(NotChanged::Network(text.clone()));
        let read = networks
            .iter()
            .map(network)
            .collect::<Result<Vec<_>, _>>()?;
        if read.len() > CLIENT_NETWORK_COUNT_MAX {
            return Err(NotChanged::Networks);
        }
        entry.networks = read.iter().map(Network::to_string).collect();
    }
    if let Some(bound) = wish.writes_per_minute {
        let rate = bound.number().map(u32::try_from).transpose();
        entry.writes_per_minute = at_least_one(rate.map_err(|_| NotChanged::Rate)?)?;
    }
    if let Some(bound) = wish.bytes_per_second {
        entry.bytes_per_second = at_least_one(bound.number())?;
    }
    if let Some(bound) = wish.expires_ms {
        entry.expires_ms = bound.number();
    }
    Ok(())
}

fn at_least_one<N: Default + PartialEq>(rate: Option<N>) -> Result<Option<N>, NotChanged> {
    if rate == Some(N::default()) {
        return Err(NotChanged::Rate);
    }
    Ok(rate)
}

/// Rights by name, each once and in their order. The special ones are not for one person to give.
fn granted(rights: &[String]) -> Result<Vec<String>, NotChanged> {
    let mut grants = Vec::new();
    for name in rights {
        if let Some(right) = Right::from_name(name) {
            return Err(NotChanged::TwoPeople(right));
        }
        let grant = Grant::from_name(name).ok_or(NotChanged::NoSuchRight(name.clone()))?;
        grants.push(grant);
    }
    grants.sort_unstable();
    grants.dedup();
    Ok(names(&grants))
}

/// Bounds of what an owner may store belong to the owner, with all their keys.
fn bound(record: &mut Record, owner: &str, wish: &ClientWish) {
    let at = record.tenants.iter().position(|t| t.owner == owner);
    let mut tenant = match at {
        Some(at) => record.tenants.remove(at),
        None => Tenant {
            owner: owner.to_owned(),
            ..Tenant::default()
        },
    };
    if let Some(bytes) = wish.quota_bytes {
        tenant.quota_bytes = Bound::number(bytes);
    }
    if let Some(versions) = wish.quota_versions {
        tenant.quota_versions = Bound::number(versions);
    }
    if tenant.quota() != stele_store::policy::Quota::default() {
        record.tenants.push(tenant);
    }
}
