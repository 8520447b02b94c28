//! The clients of the vault and their special rights, as one configuration record of its log.
//!
//! The record lies under the box key, so no file beside the vault grants anything. What the
//! gateway says of a client's rights is never asked for: it names the client, and this register
//! says the rest. Secrets are not kept; they derive from the vault's access root.

use serde::{Deserialize, Serialize};
use stele_store::policy::{Right, Rights};

use crate::error::{Error, Outcome};

/// The name of the configuration record.
pub const RECORD: &str = "clients";

/// First letters of every access key id.
const KEY_ID_PREFIX: &str = "STELE";
/// Random letters after them; with the prefix as long as the ids clients are used to.
const KEY_ID_RANDOM_CHARS: usize = 15;
const KEY_ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// One access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The access key id.
    pub id: String,
    /// Names of its special rights.
    rights: Vec<String>,
}

/// Every access key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    clients: Vec<Client>,
}

impl Clients {
    /// A register with one new key that has these rights.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn with_one(rights: &[Right]) -> Outcome<Clients> {
        let mut random = [0; KEY_ID_RANDOM_CHARS];
        getrandom::fill(&mut random).map_err(|_| Error::Entropy)?;
        let mut id = KEY_ID_PREFIX.to_owned();
        for byte in random {
            id.push(char::from(KEY_ID_ALPHABET[usize::from(byte % 32)]));
        }
        let mut rights: Vec<String> = rights.iter().map(|right| right.name().to_owned()).collect();
        rights.sort();
        rights.dedup();
        Ok(Clients {
            clients: vec![Client { id, rights }],
        })
    }

    /// The keys in the order of their making; there is at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter()
    }

    /// The rights of a key; an unknown one has none.
    pub fn rights(&self, id: &str) -> Rights {
        let names = self
            .clients
            .iter()
            .find(|client| client.id == id)
            .map(|client| &client.rights);
        let known = names
            .into_iter()
            .flatten()
            .filter_map(|name| Right::from_name(name));
        known.fold(Rights::default(), Rights::with)
    }

    /// The value of the configuration record.
    ///
    /// # Errors
    /// Never in practice; the fields are plain.
    pub fn encode(&self) -> Outcome<Vec<u8>> {
        serde_json::to_vec(self).map_err(|_| Error::Record { name: RECORD })
    }

    /// Reads the value of the configuration record.
    ///
    /// # Errors
    /// When it is not what `encode` writes, names an unknown right, or no client.
    pub fn decode(value: &[u8]) -> Outcome<Clients> {
        let damaged = || Error::Record { name: RECORD };
        let clients: Clients = serde_json::from_slice(value).map_err(|_| damaged())?;
        let rights = clients.clients.iter().flat_map(|client| &client.rights);
        let known = rights
            .map(|name| Right::from_name(name))
            .all(|right| right.is_some());
        if clients.clients.is_empty() || !known {
            return Err(damaged());
        }
        Ok(clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_of_the_record_and_nobody_elses() {
        let granted = [Right::HoldOff, Right::LockAdmin, Right::HoldOff];
        let clients = Clients::with_one(&granted).expect("made");
        let again = Clients::decode(&clients.encode().expect("encoded")).expect("decoded");
        assert_eq!(again, clients);
        let id = again.iter().next().expect("one").id.clone();
        assert_eq!(id.len(), 20);
        let rights = again.rights(&id);
        let expected = Rights::default()
            .with(Right::HoldOff)
            .with(Right::LockAdmin);
        assert_eq!(rights, expected);
        assert_eq!(again.rights("STELEUNKNOWN"), Rights::default());
        assert_eq!(again.rights(""), Rights::default());
    }

    #[test]
    fn damaged_records_are_refused() {
        let check = |text: &str| assert!(Clients::decode(text.as_bytes()).is_err(), "{text}");
        check("");
        check("{}");
        check(r#"{"clients":[]}"#);
        check(r#"{"clients":[{"id":"A","rights":["root"]}]}"#);
        check(r#"{"clients":[{"id":"A"}]}"#);
        check(r#"{"clients":[{"id":"A","rights":[],"more":1}]}"#);
    }
}
