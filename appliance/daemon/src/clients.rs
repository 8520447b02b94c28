//! The clients of the vault: who they are, and what each may do.
//!
//! One configuration record of the log, under the box key, so no file beside the vault grants anything.
//! What the gateway says of a client's rights is never asked for: it names the client, and this register
//! says the rest. Secrets are not kept; they derive from the vault's access root.

mod change;
mod network;
mod record;
pub mod registrar;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use stele_format::units::UnixMillis;
use stele_store::policy::{Asker, Client, OwnerId, Quota, Quotas, Right};

use crate::error::{Error, Outcome};
use network::Network;
use record::Record;

pub use change::NotChanged;
pub use record::{Entry, Tenant};

/// The name of the configuration record.
pub const RECORD: &str = "clients";

/// First letters of every access key id.
const KEY_ID_PREFIX: &str = "STELE";
/// Random letters after them; with the prefix as long as the ids clients are used to.
const KEY_ID_RANDOM_CHARS: usize = 15;
const KEY_ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Every access key, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    record: Record,
    ready: HashMap<String, Ready>,
}

/// The register as the door looks at it. Clones show the same one.
#[derive(Debug, Clone)]
pub struct Published(Arc<RwLock<Arc<Clients>>>);

impl Published {
    /// Shows a register.
    pub fn new(clients: Clients) -> Published {
        Published(Arc::new(RwLock::new(Arc::new(clients))))
    }

    /// Shows another one from now on.
    pub fn replace(&self, clients: Clients) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(clients);
    }

    /// The one that counts now.
    pub fn now(&self) -> Arc<Clients> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is asked of a key, with all words understood.
#[derive(Debug, Clone)]
struct Ready {
    client: Arc<Client>,
    networks: Vec<Network>,
    expires: Option<UnixMillis>,
    revoked: bool,
}

/// Why a key is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// It is none of this vault.
    #[error("the access key id is not one of this vault")]
    Unknown,
    /// It was revoked.
    #[error("the access key was revoked")]
    Revoked,
    /// It is no longer good.
    #[error("the access key has expired")]
    Expired,
    /// It is not good from there.
    #[error("the access key may not be used from this network")]
    Network,
}

impl Clients {
    /// A register with one new key that may everything, and has these special rights.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn with_one(rights: &[Right]) -> Outcome<Clients> {
        let mut rights: Vec<String> = rights.iter().map(|right| right.name().to_owned()).collect();
        rights.sort();
        rights.dedup();
        let entry = Entry {
            id: new_key_id()?,
            rights,
            ..Entry::default()
        };
        Clients::of(Record {
            clients: vec![entry],
            tenants: Vec::new(),
        })
    }

    /// The register behind a record.
    fn of(record: Record) -> Outcome<Clients> {
        let damaged = || Error::Record { name: RECORD };
        let mut quotas = Quotas::new();
        for tenant in &record.tenants {
            let owner = OwnerId::new(&tenant.owner).ok_or_else(damaged)?;
            if quotas.insert(owner, tenant.quota()).is_some() {
                return Err(damaged());
            }
        }
        let quotas = Arc::new(quotas);
        let mut ready = HashMap::new();
        for entry in &record.clients {
            let parsed = entry.parse().ok_or_else(damaged)?;
            let client = Client {
                key_id: entry.id.clone(),
                owner: parsed.owner,
                grants: parsed.grants,
                special: parsed.special,
                scopes: parsed.scopes,
                rate: parsed.rate,
                quotas: Arc::clone(&quotas),
            };
            let state = Ready {
                client: Arc::new(client),
                networks: parsed.networks,
                expires: entry.expires_ms.map(UnixMillis::new),
                revoked: entry.is_revoked(),
            };
            if ready.insert(entry.id.clone(), state).is_some() {
                return Err(damaged());
            }
        }
        if ready.is_empty() {
            return Err(damaged());
        }
        Ok(Clients { record, ready })
    }

    /// The keys in the order of their making, revoked ones too; there is at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.record.clients.iter()
    }

    /// How much an owner may store.
    pub fn quota(&self, owner: &str) -> Quota {
        let tenant = self.record.tenants.iter().find(|t| t.owner == owner);
        tenant.map(Tenant::quota).unwrap_or_default()
    }

    /// Whether a key is let in from an address at this time.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, key_id: &str, source: IpAddr, wall: UnixMillis) -> Result<(), NotAdmitted> {
        let ready = self.good(key_id, wall)?;
        let near = |network: &Network| network.contains(source);
        if ready.networks.is_empty() || ready.networks.iter().any(near) {
            Ok(())
        } else {
            Err(NotAdmitted::Network)
        }
    }

    /// Who asks with this key at this time: nobody, if it is unknown, revoked or expired.
    pub fn asker(&self, key_id: &str, wall: UnixMillis) -> Asker {
        match self.good(key_id, wall) {
            Ok(ready) => Asker::Client(Arc::clone(&ready.client)),
            Err(_) => Asker::Nobody,
        }
    }

    fn good(&self, key_id: &str, wall: UnixMillis) -> Result<&Ready, NotAdmitted> {
        let ready = self.ready.get(key_id).ok_or(NotAdmitted::Unknown)?;
        if ready.revoked {
            return Err(NotAdmitted::Revoked);
        }
        match ready.expires {
            Some(expires) if expires <= wall => Err(NotAdmitted::Expired),
            _ => Ok(ready),
        }
    }

    /// The value of the configuration record.
    ///
    /// # Errors
    /// When it is larger than a record may be.
    pub fn encode(&self) -> Outcome<Vec<u8>> {
        self.record.encode().ok_or(NotChanged::TooLarge.into())
    }

    /// Reads the value of the configuration record.
    ///
    /// # Errors
    /// When it is not what `encode` writes, a word in it has no meaning, or it names no client.
    pub fn decode(value: &[u8]) -> Outcome<Clients> {
        let record = serde_json::from_slice(value).map_err(|_| Error::Record { name: RECORD })?;
        Clients::of(record)
    }
}

fn new_key_id() -> Outcome<String> {
    let mut id = KEY_ID_PREFIX.to_owned();
    id.push_str(&random_letters(KEY_ID_RANDOM_CHARS)?);
    Ok(id)
}

/// Capital letters and digits, five random bits each.
fn random_letters(count: usize) -> Outcome<String> {
    let mut random = vec![0; count];
    getrandom::fill(&mut random).map_err(|_| Error::Entropy)?;
    let letter = |byte: u8| char::from(KEY_ID_ALPHABET[usize::from(byte % 32)]);
    Ok(random.into_iter().map(letter).collect())
}

#[cfg(test)]
mod tests;
