//! Who may do what where, written a second time.

use stele_store::policy::{Grant, LifecycleRule};

use super::deed::{Asked, Deed};
use super::model::{Bucket, Model};
use super::rules::Verdict;
use super::upkeep::Upkeep;
use crate::who::{SCOPES, Tenant};

/// What a deed touches.
enum Touch<'a> {
    /// Nothing that belongs to anybody.
    Nothing,
    /// Something of the vault itself.
    Vault,
    /// The names of buckets.
    Names,
    /// That a bucket is there.
    Sight(&'a str),
    /// A new bucket.
    New(&'a str),
    /// What a bucket promises, or that there is one: its owner's.
    Promise(&'a str, Grant),
    /// Keys of a bucket that begin so.
    Keys(&'a str, &'a [u8], Grant),
}

fn touch(deed: &Deed) -> Touch<'_> {
    match deed {
        Deed::ListBuckets => Touch::Names,
        Deed::CreateBucket { name, .. } => Touch::New(name),
        Deed::HeadBucket { name } => Touch::Sight(name),
        Deed::DeleteBucket { name } => Touch::Promise(name, Grant::Delete),
        Deed::SetDefault { bucket, .. } | Deed::Upkeep(Upkeep::SetLifecycle { bucket, .. }) => {
            Touch::Promise(bucket, Grant::Put)
        }
        Deed::List(wish) | Deed::ListVersions(wish) | Deed::ListUploads(wish) => {
            Touch::Keys(&wish.bucket, &wish.prefix, Grant::List)
        }
        Deed::Head { at, .. } | Deed::OpenGet { at, .. } => {
            Touch::Keys(&at.bucket, &at.key, Grant::Get)
        }
        Deed::Delete { at, version, .. } => {
            let grant = match version {
                None => Grant::Delete,
                Some(_) => Grant::Release,
            };
            Touch::Keys(&at.bucket, &at.key, grant)
        }
        Deed::Upkeep(Upkeep::SetTags { at, .. })
        | Deed::OpenPut { at, .. }
        | Deed::Put { at, .. }
        | Deed::SetRetention { at, .. }
        | Deed::SetHold { at, .. }
        | Deed::CreateUpload { at, .. }
        | Deed::Part { at, .. }
        | Deed::Complete { at, .. }
        | Deed::AbortUpload { at, .. }
        | Deed::ListParts { at, .. } => Touch::Keys(&at.bucket, &at.key, Grant::Put),
        Deed::Upkeep(_) | Deed::PutConfig { .. } | Deed::GetConfig { .. } => Touch::Vault,
        Deed::Official(_) => Touch::Nothing,
    }
}

/// Whether a client sees a bucket at all.
#[must_use]
pub fn sees(tenant: Tenant, name: &str, owner: &str) -> bool {
    match tenant {
        Tenant::Scoped => SCOPES.iter().any(|(bucket, _)| *bucket == name),
        Tenant::Owner | Tenant::Reader => owner == tenant.owner(),
    }
}

fn reaches(tenant: Tenant, name: &str, key: &[u8]) -> bool {
    let mut scopes = SCOPES.iter();
    let inside = |(bucket, prefix): &(&str, &[u8])| *bucket == name && key.starts_with(prefix);
    tenant != Tenant::Scoped || scopes.any(inside)
}

/// What of it a client may not.
#[must_use]
pub fn judge(model: &Model, asked: &Asked) -> Verdict {
    let none = Verdict::default();
    let Some(tenant) = asked.who.tenant else {
        return none;
    };
    let has = |grant: Grant| tenant.grants().contains(&grant);
    let (name, key, grant) = match touch(&asked.deed) {
        Touch::Nothing => return none,
        Touch::Vault => return none.must("OnlyVault"),
        Touch::Names if has(Grant::List) => return none,
        Touch::Names => return none.must("NotGranted"),
        Touch::Sight(name) => (name, None, None),
        Touch::New(name) => (name, None, Some(Grant::Put)),
        Touch::Promise(name, grant) => (name, Some(&b""[..]), Some(grant)),
        // Who may not release may ask for it, and may take markers away.
        Touch::Keys(name, key, Grant::Release) if !has(Grant::Release) => {
            (name, Some(key), Some(Grant::Delete))
        }
        Touch::Keys(name, key, grant) => (name, Some(key), Some(grant)),
    };
    let is_new = matches!(touch(&asked.deed), Touch::New(_));
    let known = model.buckets.get(name).filter(|_| !is_new);
    let owner = known.map_or(tenant.owner(), |bucket| bucket.owner.as_str());
    let of_owner = matches!(touch(&asked.deed), Touch::Promise(..));
    let mut verdict = none;
    if grant.is_some_and(|grant| !has(grant)) {
        verdict = verdict.must("NotGranted");
    }
    if !sees(tenant, name, owner) || (of_owner && owner != tenant.owner()) {
        verdict = verdict.must("ForeignBucket");
    } else if key.is_some_and(|key| !reaches(tenant, name, key)) {
        verdict = verdict.must("OutsidePrefix");
    }
    if is_withheld(known, asked, has(Grant::Release)) {
        verdict = verdict.must("NotGranted");
    }
    if let Deed::Upkeep(Upkeep::SetLifecycle { rules, .. }) = &asked.deed {
        let takes = |rule: &LifecycleRule| rule.current.is_some() || rule.noncurrent.is_some();
        let may = has(Grant::Delete) && has(Grant::Release);
        if rules.iter().any(takes) && !may {
            verdict = verdict.must("NotGranted");
        }
    }
    verdict
}

/// A version is released by those alone who may.
fn is_withheld(bucket: Option<&Bucket>, asked: &Asked, may_release: bool) -> bool {
    let Deed::Delete {
        at,
        version: Some(id),
        ..
    } = &asked.deed
    else {
        return false;
    };
    let key = bucket.and_then(|bucket| bucket.keys.get(&at.key));
    let shown = key.and_then(|key| key.version(*id));
    !may_release && shown.is_some_and(|version| !version.marker)
}
