//! Changes the register while the vault serves: one change at a time, durable before it counts and
//! before it is answered.
//!
//! Order: record durable -> engine thread knows -> gateway knows -> answer. A crash in between leaves
//! either register, whole; a new key nobody has seen the secret of can be revoked like any other.

use std::sync::{Mutex, PoisonError};

use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_format::units::UnixMillis;
use stele_store::policy::{Asker, OwnerId, Usage};
use stele_store::request::{Answer, Command};
use stele_store::status::Status;

use super::{Clients, Entry, Published, RECORD};
use crate::control::clients::{
    ClientAdded, ClientAsk, ClientReply, ClientStatus, ClientWish, Rule, RuleAsk, RuleReply, Secret,
};
use crate::desk::default_words;
use crate::error::{Error, Outcome};
use crate::supervisor::Link;

/// Who changes the register.
pub struct Registrar {
    link: Link,
    gateway: stele_gateway::Clients,
    published: Published,
    endpoint: String,
    /// The register that counts. Whoever changes it holds it until the change is known everywhere.
    clients: Mutex<Clients>,
}

impl Registrar {
    /// Over a register that engine and gateway know already.
    pub fn new(
        link: Link,
        (gateway, published): (stele_gateway::Clients, Published),
        endpoint: String,
        clients: Clients,
    ) -> Registrar {
        Registrar {
            link,
            gateway,
            published,
            endpoint,
            clients: Mutex::new(clients),
        }
    }

    /// Does what is asked; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// Why not. Nothing was changed then, except as [`Error::RevokedUntilRestart`] says.
    pub fn clients(&self, ask: ClientAsk) -> Outcome<ClientReply> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        match ask {
            ClientAsk::List => {
                let status = self.link.status_now()?;
                let shown = clients.iter().map(|entry| shown(&clients, entry, &status));
                Ok(ClientReply::List(shown.collect()))
            }
            ClientAsk::Add {
                wish,
                same_owner_as,
            } => self.add(&mut clients, &wish, same_owner_as.as_deref()),
            ClientAsk::Limit { key_id, wish } => {
                let changed = clients.limit(&key_id, &wish)?;
                self.keep(&changed)?;
                self.tell(&mut clients, changed)?;
                let notes = notes(&clients);
                self.changed(&clients, &key_id, notes)
            }
            ClientAsk::Revoke { key_id } => self.revoke(&mut clients, &key_id),
        }
    }

    fn add(
        &self,
        clients: &mut Clients,
        wish: &ClientWish,
        same_owner_as: Option<&str>,
    ) -> Outcome<ClientReply> {
        let (changed, key_id) = clients.add(wish, same_owner_as, SystemClock.wall_ms())?;
        let secret = self.link.secret(&key_id)?;
        self.keep(&changed)?;
        self.tell(clients, changed)?;
        self.gateway.insert(key_id.clone(), secret.clone());
        let status = self.link.status_now()?;
        let client = clients
            .iter()
            .find(|entry| entry.id == key_id)
            .map(|entry| shown(clients, entry, &status));
        Ok(ClientReply::Added(Box::new(ClientAdded {
            client: client.unwrap_or_default(),
            secret: Secret(secret.as_str().to_owned()),
            endpoint: self.endpoint.clone(),
        })))
    }

    /// A key that must go goes even where nothing can be written: then until the next start.
    fn revoke(&self, clients: &mut Clients, key_id: &str) -> Outcome<ClientReply> {
        let changed = clients.revoke(key_id, SystemClock.wall_ms())?;
        // It goes at once, also where the vault is started again before it can be written down.
        self.gateway.remove(key_id);
        self.tell(clients, changed.clone())?;
        match self.keep(&changed) {
            Ok(()) => {
                let notes = notes(clients);
                self.changed(clients, key_id, notes)
            }
            Err(Error::Refused(why)) => Err(Error::RevokedUntilRestart(why)),
            Err(other) => Err(other),
        }
    }

    fn keep(&self, clients: &Clients) -> Outcome<()> {
        self.link.put_config(RECORD, &clients.encode()?)
    }

    fn tell(&self, clients: &mut Clients, changed: Clients) -> Outcome<()> {
        *clients = changed;
        self.published.replace(clients.clone());
        self.link.set_clients(clients.clone())
    }

    fn changed(&self, clients: &Clients, key_id: &str, notes: Vec<String>) -> Outcome<ClientReply> {
        let status = self.link.status_now()?;
        let entry = clients.iter().find(|entry| entry.id == key_id);
        let client = entry.map(|entry| shown(clients, entry, &status));
        Ok(ClientReply::Changed {
            client: Box::new(client.unwrap_or_default()),
            notes,
        })
    }

    /// Shows or changes the default retention of keys with a prefix; not for use on the asynchronous
    /// runtime.
    ///
    /// # Errors
    /// Why not.
    pub fn rules(&self, ask: RuleAsk) -> Outcome<RuleReply> {
        let RuleAsk { bucket, change } = ask;
        if let Some(change) = change {
            let command = || Command::SetRule {
                bucket: bucket.clone(),
                prefix: change.prefix.as_bytes().to_vec(),
                days: change.days,
            };
            self.link.ask(command).map_err(not_done)?;
        }
        let command = || Command::HeadBucket {
            name: bucket.clone(),
        };
        let Answer::Bucket(info) = self.link.ask(command).map_err(not_done)? else {
            return Err(Error::NoAnswer);
        };
        let rules = info.rules.iter().map(|rule| Rule {
            prefix: String::from_utf8_lossy(&rule.prefix).into_owned(),
            days: rule.days,
        });
        Ok(RuleReply {
            default: info.default.map(default_words),
            rules: rules.collect(),
        })
    }
}

fn not_done(error: Error) -> Error {
    match error {
        Error::Refused(refusal) => Error::NotDone(refusal),
        other => other,
    }
}

fn notes(clients: &Clients) -> Vec<String> {
    if clients.any_can_put() {
        return Vec::new();
    }
    vec![
        "no key that is left may put: nothing is backed up to this vault any more until one is added \
         with: stele client add"
            .to_owned(),
    ]
}

fn shown(clients: &Clients, entry: &Entry, status: &Status) -> ClientStatus {
    let now = status
        .compliance
        .max(UnixMillis::new(SystemClock.wall_ms()));
    let asker = clients.asker(&entry.id, now);
    let state = match (&asker, entry.is_revoked()) {
        (_, true) => "revoked",
        (Asker::Client(_), false) => "good",
        (_, false) => "expired",
    };
    let quota = clients.quota(&entry.owner);
    let owner = OwnerId::of_record(&entry.owner);
    let used: Usage = status.usage.get(&owner).copied().unwrap_or_default();
    let parsed = entry.parse();
    let rights = parsed.map(|parsed| parsed.grants);
    ClientStatus {
        key_id: entry.id.clone(),
        name: entry.name.clone(),
        owner: entry.owner.clone(),
        state: state.to_owned(),
        rights: rights
            .into_iter()
            .flat_map(stele_store::policy::Grants::iter)
            .map(|grant| grant.name().to_owned())
            .collect(),
        special_rights: entry.rights.clone(),
        buckets: entry.buckets.clone(),
        networks: entry.networks.clone(),
        quota_bytes: quota.bytes_max,
        used_bytes: used.bytes,
        quota_versions: quota.versions_max,
        used_versions: used.versions,
        writes_per_minute: entry.writes_per_minute,
        bytes_per_second: entry.bytes_per_second,
        expires_ms: entry.expires_ms,
        created_ms: entry.created_ms,
        revoked_ms: entry.revoked_ms,
    }
}
