//! Who asks: what a client key may do, in which buckets, under which prefixes.
//!
//! Lives here: the owner of buckets, the rights every key is given (`put`, `get`, `list`, `delete`,
//! `release`), where they count, and the one table that says yes or no, [`Client::permits`].
//!
//! Invariants: a key reaches a bucket of another owner only where its own list names that bucket; a
//! key with no list reaches the buckets of its owner; the three special rights add nothing here and
//! nothing here adds to them; an asker nobody knows may nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::limits::{CLIENT_SCOPE_COUNT_MAX, OWNER_CHARS_MAX, SCOPE_PREFIX_BYTES_MAX};
use super::quota::{Quota, Rate};
use super::types::{Refusal, Rights};

/// Whose a bucket is: a stable opaque word. Empty for the vault's own, which is who the key of
/// `stele create` belongs to, and every bucket whose record names no owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(String);

impl OwnerId {
    /// The owner of this name; none if it is too long or has other characters than small letters and
    /// digits.
    #[must_use]
    pub fn new(text: &str) -> Option<OwnerId> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= OWNER_CHARS_MAX && text.bytes().all(plain);
        fits.then(|| OwnerId(text.to_owned()))
    }

    /// The owner a stored record names. What is no owner of ours is kept, and nobody's.
    #[must_use]
    pub fn of_record(text: &str) -> OwnerId {
        OwnerId(text.to_owned())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A right that a key is given or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// Store versions, make buckets, lock and hold.
    Put,
    /// Read versions.
    Get,
    /// List buckets, keys, versions and uploads.
    List,
    /// DELETE without a version id, and of an empty bucket.
    Delete,
    /// DELETE of a version by its id.
    Release,
}

impl Grant {
    /// All of them, as they are listed.
    pub const ALL: [Grant; 5] = [
        Grant::Put,
        Grant::Get,
        Grant::List,
        Grant::Delete,
        Grant::Release,
    ];

    /// Its name on command lines and screens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Grant::Put => "put",
            Grant::Get => "get",
            Grant::List => "list",
            Grant::Delete => "delete",
            Grant::Release => "release",
        }
    }

    /// The right of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Grant> {
        Grant::ALL.into_iter().find(|grant| grant.name() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            Grant::Put => 1,
            Grant::Get => 2,
            Grant::List => 4,
            Grant::Delete => 8,
            Grant::Release => 16,
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rights a key has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants(u8);

impl Grants {
    /// Every right.
    #[must_use]
    pub fn all() -> Grants {
        Grant::ALL.into_iter().collect()
    }

    /// Whether a right is among them.
    #[must_use]
    pub const fn has(self, grant: Grant) -> bool {
        self.0 & grant.bit() != 0
    }

    /// Which there are.
    pub fn iter(self) -> impl Iterator<Item = Grant> {
        Grant::ALL.into_iter().filter(move |grant| self.has(*grant))
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Grants {
        Grants(grants.into_iter().fold(0, |bits, grant| bits | grant.bit()))
    }
}

/// What is done to a bucket, or to a key in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// See that the bucket is there, and of what kind.
    See,
    /// List keys that begin with the key named.
    List,
    /// Read a version.
    Get,
    /// Store, lock or hold a version.
    Put,
    /// Hide a key.
    Delete,
    /// Release a version.
    Release,
    /// Make the bucket.
    Create,
    /// Change what the bucket promises.
    Change,
    /// Remove the empty bucket.
    Remove,
}

impl Act {
    /// The right it takes; none where any key of the bucket may.
    #[must_use]
    pub const fn needs(self) -> Option<Grant> {
        match self {
            Act::See => None,
            Act::List => Some(Grant::List),
            Act::Get => Some(Grant::Get),
            Act::Put | Act::Create | Act::Change => Some(Grant::Put),
            Act::Delete | Act::Remove => Some(Grant::Delete),
            Act::Release => Some(Grant::Release),
        }
    }

    /// Whether it concerns the bucket as a whole, which is a matter of its owner.
    const fn is_of_owner(self) -> bool {
        matches!(self, Act::Change | Act::Remove)
    }
}

/// A bucket as far as it matters who may touch it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whose it is.
    pub owner: &'a OwnerId,
}

/// A bucket, and the keys in it that begin with a prefix.
#[derive(Clone, PartialEq, Eq)]
pub struct Scope {
    /// The bucket's name.
    pub bucket: String,
    /// What keys must begin with; empty for all.
    pub prefix: Vec<u8>,
}

impl Scope {
    /// Reads `BUCKET` or `BUCKET/PREFIX`; bucket names hold no slash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Scope> {
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        let fits = !bucket.is_empty() && prefix.len() <= SCOPE_PREFIX_BYTES_MAX;
        fits.then(|| Scope {
            bucket: bucket.to_owned(),
            prefix: prefix.as_bytes().to_vec(),
        })
    }

    /// As [`Scope::parse`] reads it.
    #[must_use]
    pub fn text(&self) -> String {
        if self.prefix.is_empty() {
            return self.bucket.clone();
        }
        format!("{}/{}", self.bucket, String::from_utf8_lossy(&self.prefix))
    }
}

/// Names are PHI.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

/// Quotas by owner; one that is not named has none.
pub type Quotas = BTreeMap<OwnerId, Quota>;

/// A client key, as far as the engine must know it.
#[derive(Debug, Clone)]
pub struct Client {
    /// The access key id: streams belong to the key that opened them.
    pub key_id: String,
    /// Whose key it is; buckets it makes are theirs.
    pub owner: OwnerId,
    /// Its rights.
    pub grants: Grants,
    /// Its special rights.
    pub special: Rights,
    /// Where they count; nothing means all buckets of its owner.
    pub scopes: Vec<Scope>,
    /// How fast it may write.
    pub rate: Rate,
    /// How much each owner may store.
    pub quotas: Arc<Quotas>,
}

impl Client {
    /// Whether this key may do this: to the bucket, and where a key or a prefix is named, to it.
    ///
    /// # Errors
    /// [`Refusal::NotGranted`], [`Refusal::ForeignBucket`] or [`Refusal::OutsidePrefix`].
    pub fn permits(&self, act: Act, bucket: Place<'_>, key: Option<&[u8]>) -> Result<(), Refusal> {
        if let Some(grant) = act.needs().filter(|grant| !self.grants.has(*grant)) {
            return Err(Refusal::NotGranted(grant));
        }
        let own = *bucket.owner == self.owner;
        let mut named = self
            .scopes
            .iter()
            .filter(|scope| scope.bucket == bucket.name)
            .peekable();
        let reached = if self.scopes.is_empty() {
            own
        } else {
            named.peek().is_some()
        };
        if !reached || (act.is_of_owner() && !own) {
            return Err(Refusal::ForeignBucket);
        }
        if self.scopes.is_empty() || matches!(act, Act::See | Act::Create) {
            return Ok(());
        }
        let key = key.unwrap_or_default();
        if named.any(|scope| key.starts_with(&scope.prefix)) {
            Ok(())
        } else {
            Err(Refusal::OutsidePrefix)
        }
    }

    /// Whether a list of scopes is one a key can have.
    #[must_use]
    pub fn may_have(scopes: &[Scope]) -> bool {
        scopes.len() <= CLIENT_SCOPE_COUNT_MAX
    }
}

/// Who asks the engine.
#[derive(Debug, Clone, Default)]
pub enum Asker {
    /// The vault itself, or whoever drives the engine in a test, with these special rights.
    Vault(Rights),
    /// A client.
    Client(Arc<Client>),
    /// A key that is unknown, revoked or expired.
    #[default]
    Nobody,
}

impl Asker {
    /// Its special rights.
    #[must_use]
    pub fn special(&self) -> Rights {
        match self {
            Asker::Vault(rights) => *rights,
            Asker::Client(client) => client.special,
            Asker::Nobody => Rights::default(),
        }
    }

    /// Whose the buckets are that it makes.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        match self {
            Asker::Client(client) => client.owner.clone(),
            Asker::Vault(_) | Asker::Nobody => OwnerId::default(),
        }
    }

    /// The client behind it.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match self {
            Asker::Client(client) => Some(client),
            Asker::Vault(_) | Asker::Nobody => None,
        }
    }

    /// What bounds it in the buckets of this owner, if anything does.
    #[must_use]
    pub fn quota(&self, owner: &OwnerId) -> Option<&Quota> {
        let quota = self.client()?.quotas.get(owner);
        quota.filter(|quota| **quota != Quota::default())
    }

    /// Whether it has a right anywhere.
    ///
    /// # Errors
    /// [`Refusal::NotGranted`] or [`Refusal::UnknownClient`].
    pub fn has(&self, grant: Grant) -> Result<(), Refusal> {
        match self {
            Asker::Vault(_) => Ok(()),
            Asker::Client(client) if client.grants.has(grant) => Ok(()),
            Asker::Client(_) => Err(Refusal::NotGranted(grant)),
            Asker::Nobody => Err(Refusal::UnknownClient),
        }
    }

    /// Whether it may do this; the vault itself may everything.
    ///
    /// # Errors
    /// As [`Client::permits`], or [`Refusal::UnknownClient`].
    pub fn permits(&self, act: Act, bucket: Place<'_>, key: Option<&[u8]>) -> Result<(), Refusal> {
        match self {
            Asker::Vault(_) => Ok(()),
            Asker::Client(client) => client.permits(act, bucket, key),
            Asker::Nobody => Err(Refusal::UnknownClient),
        }
    }

    /// Whether two questions come from the same key.
    #[must_use]
    pub fn is(&self, other: &Asker) -> bool {
        match (self, other) {
            (Asker::Vault(_), Asker::Vault(_)) => true,
            (Asker::Client(one), Asker::Client(two)) => one.key_id == two.key_id,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(grants: &[Grant], scopes: &[&str]) -> Client {
        Client {
            key_id: "K".to_owned(),
            owner: owner("mine"),
            grants: grants.iter().copied().collect(),
            special: Rights::default(),
            scopes: scopes
                .iter()
                .map(|text| Scope::parse(text).expect("a scope"))
                .collect(),
            rate: Rate::default(),
            quotas: Arc::default(),
        }
    }

    fn owner(text: &str) -> OwnerId {
        OwnerId::new(text).expect("an owner")
    }

    #[test]
    fn every_act_needs_exactly_its_right() {
        let acts = [
            (Act::See, None),
            (Act::List, Some(Grant::List)),
            (Act::Get, Some(Grant::Get)),
            (Act::Put, Some(Grant::Put)),
            (Act::Create, Some(Grant::Put)),
            (Act::Change, Some(Grant::Put)),
            (Act::Delete, Some(Grant::Delete)),
            (Act::Remove, Some(Grant::Delete)),
            (Act::Release, Some(Grant::Release)),
        ];
        let mine = owner("mine");
        let bucket = Place {
            name: "b",
            owner: &mine,
        };
        for missing in Grant::ALL {
            let others: Vec<Grant> = Grant::ALL.into_iter().filter(|g| *g != missing).collect();
            for (act, needs) in acts {
                let answer = client(&others, &[]).permits(act, bucket, Some(b"k"));
                let expected = if needs == Some(missing) {
                    Err(Refusal::NotGranted(missing))
                } else {
                    Ok(())
                };
                assert_eq!(answer, expected, "{act:?} without {missing}");
            }
        }
    }

    #[test]
    fn where_a_key_reaches_is_a_table() {
        let foreign = Err(Refusal::ForeignBucket);
        let outside = Err(Refusal::OutsidePrefix);
        for (scopes, bucket, owned, act, key, expected) in [
            // No list: what the owner has, and nothing else.
            (&[][..], "b", true, Act::Put, Some("k"), Ok(())),
            (&[], "b", false, Act::Put, Some("k"), foreign),
            (&[], "b", false, Act::See, None, foreign),
            (&[], "b", true, Act::Remove, None, Ok(())),
            // A list: what it names, whoever owns it, and nothing else.
            (&["b"], "b", true, Act::Get, Some("k"), Ok(())),
            (&["b"], "b", false, Act::Get, Some("k"), Ok(())),
            (&["b"], "c", true, Act::Get, Some("k"), foreign),
            (&["b"], "bb", false, Act::Get, Some("k"), foreign),
            (&["b"], "b", false, Act::List, None, Ok(())),
            // The bucket as a whole is a matter of its owner.
            (&["b"], "b", false, Act::Change, None, foreign),
            (&["b"], "b", false, Act::Remove, None, foreign),
            (&["b"], "b", true, Act::Change, None, Ok(())),
            // Prefixes: of keys, and of what is listed.
            (&["b/in/"], "b", true, Act::Put, Some("in/k"), Ok(())),
            (&["b/in/"], "b", true, Act::Put, Some("in"), outside),
            (&["b/in/"], "b", true, Act::Put, Some("../in/"), outside),
            (&["b/in/"], "b", true, Act::List, Some("in/"), Ok(())),
            (&["b/in/"], "b", true, Act::List, Some("in/x"), Ok(())),
            (&["b/in/"], "b", true, Act::List, Some(""), outside),
            (&["b/in/"], "b", true, Act::List, None, outside),
            (&["b/in/"], "b", true, Act::Change, None, outside),
            (&["b/in/"], "b", true, Act::See, None, Ok(())),
            (&["b/in/"], "b", true, Act::Create, None, Ok(())),
            (&["b/in/", "b/x"], "b", true, Act::Get, Some("xy"), Ok(())),
            (&["b/in/", "c"], "b", true, Act::Get, Some("xy"), outside),
        ] {
            let owner = owner(if owned { "mine" } else { "theirs" });
            let place = Place {
                name: bucket,
                owner: &owner,
            };
            let client = client(&Grant::ALL, scopes);
            let answer = client.permits(act, place, key.map(str::as_bytes));
            assert_eq!(
                answer, expected,
                "{scopes:?} {bucket} {owned} {act:?} {key:?}"
            );
        }
    }

    #[test]
    fn nobody_may_nothing_and_the_vault_everything() {
        let theirs = owner("theirs");
        let bucket = Place {
            name: "b",
            owner: &theirs,
        };
        let vault = Asker::Vault(Rights::default());
        for grant in Grant::ALL {
            assert_eq!(Asker::Nobody.has(grant), Err(Refusal::UnknownClient));
            assert_eq!(vault.has(grant), Ok(()));
        }
        let denied = Asker::Nobody.permits(Act::See, bucket, None);
        assert_eq!(denied, Err(Refusal::UnknownClient));
        assert_eq!(vault.permits(Act::Remove, bucket, None), Ok(()));
        assert!(!Asker::Nobody.is(&Asker::Nobody));
    }

    #[test]
    fn owners_and_scopes_are_read_strictly() {
        for (text, fits) in [
            ("", true),
            ("a1", true),
            ("A", false),
            ("a b", false),
            ("\u{e4}", false),
            (&"a".repeat(OWNER_CHARS_MAX), true),
            (&"a".repeat(OWNER_CHARS_MAX + 1), false),
        ] {
            assert_eq!(OwnerId::new(text).is_some(), fits, "{text}");
        }
        for (text, expected) in [
            ("b", Some(("b", ""))),
            ("b/", Some(("b", ""))),
            ("b/a/b", Some(("b", "a/b"))),
            ("", None),
            ("/a", None),
        ] {
            let scope = Scope::parse(text);
            let found = scope.map(|scope| (scope.bucket, scope.prefix));
            let expected = expected.map(|(b, p): (&str, &str)| (b.to_owned(), p.into()));
            assert_eq!(found, expected, "{text}");
        }
        let long = format!("b/{}", "x".repeat(SCOPE_PREFIX_BYTES_MAX + 1));
        assert!(Scope::parse(&long).is_none());
    }
}
