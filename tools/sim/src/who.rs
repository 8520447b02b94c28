//! Who asks: the vault itself, or one of a few clients.

use std::sync::Arc;

use stele_store::policy::{Asker, Client, Grant, Grants, OwnerId, Quotas, Rate, Rights, Scope};

/// A client of the simulated vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant {
    /// Owner of what it makes, with every right there.
    Owner,
    /// Another owner, who may not release, and reaches no more than a bucket and a prefix of another.
    Scoped,
    /// Reads what is the vault's own.
    Reader,
}

/// Who asks, with which special rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Who {
    /// Its special rights.
    pub rights: Rights,
    /// Which client; none for the vault.
    pub tenant: Option<Tenant>,
}

/// What `Scoped` reaches: bucket and prefix.
pub const SCOPES: [(&str, &[u8]); 2] = [("alpha", b"locks/"), ("beta", b"")];

impl Tenant {
    /// All of them.
    pub const ALL: [Tenant; 3] = [Tenant::Owner, Tenant::Scoped, Tenant::Reader];

    /// Whose its buckets are.
    #[must_use]
    pub fn owner(self) -> &'static str {
        match self {
            Tenant::Owner => "aa",
            Tenant::Scoped => "bb",
            Tenant::Reader => "",
        }
    }

    /// Its rights.
    #[must_use]
    pub fn grants(self) -> &'static [Grant] {
        match self {
            Tenant::Owner => &Grant::ALL,
            Tenant::Scoped => &[Grant::Put, Grant::Get, Grant::List, Grant::Delete],
            Tenant::Reader => &[Grant::Get, Grant::List],
        }
    }
}

impl Who {
    /// As the engine knows it.
    #[must_use]
    pub fn asker(self) -> Asker {
        let Some(tenant) = self.tenant else {
            return Asker::Vault(self.rights);
        };
        let grants: Grants = tenant.grants().iter().copied().collect();
        let scopes = match tenant {
            Tenant::Scoped => SCOPES.map(|(bucket, prefix)| Scope {
                bucket: bucket.to_owned(),
                prefix: prefix.to_vec(),
            }),
            Tenant::Owner | Tenant::Reader => return self.client(tenant, grants, Vec::new()),
        };
        self.client(tenant, grants, scopes.to_vec())
    }

    /// Whose the buckets are that it makes.
    #[must_use]
    pub fn owner(self) -> String {
        self.tenant.map_or("", Tenant::owner).to_owned()
    }

    fn client(self, tenant: Tenant, grants: Grants, scopes: Vec<Scope>) -> Asker {
        Asker::Client(Arc::new(Client {
            key_id: format!("{tenant:?}"),
            owner: OwnerId::new(tenant.owner()).unwrap_or_default(),
            grants,
            special: self.rights,
            scopes,
            rate: Rate::default(),
            quotas: Arc::new(Quotas::new()),
        }))
    }
}
