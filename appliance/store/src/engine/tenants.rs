//! What each owner may still store and each key may still write, at the moment a request would do so.
//!
//! A quota is exact: whoever would store promises it first, an upload with its declared length when it
//! opens, and what is stored and what is promised together never pass the quota, but for the first marker
//! over each version. A promise is kept by the record (then the bytes are counted as stored) or ends with its upload.

use std::collections::BTreeMap;

use super::Engine;
use super::access;
use super::commands::After;
use crate::draft::Draft;
use crate::limits::{METER_COUNT_MAX, STREAM_COUNT_MAX, STREAM_OF_OWNER_COUNT_MAX};
use crate::policy::{Asker, Client, Meter, OwnerId, Rate, Usage};
use crate::request::{Command, Refusal, RequestId, StreamId};
use stele_format::record::RecordType;
use stele_format::units::BucketId;

/// Promises and meters. Nothing here outlives the engine: after a start nothing is under way.
#[derive(Default)]
pub(crate) struct Tenants {
    promised: BTreeMap<OwnerId, Usage>,
    /// By key; one whose rate was changed starts anew.
    meters: BTreeMap<String, (Rate, Meter)>,
}

/// What somebody is about to store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promise {
    owner: OwnerId,
    usage: Usage,
}

impl Tenants {
    fn promise(&mut self, owner: &OwnerId, more: Usage) {
        if more == Usage::default() {
            return;
        }
        let promised = self.promised.entry(owner.clone()).or_default();
        *promised = promised.plus(more);
    }

    fn settle(&mut self, promise: &Promise) {
        if promise.usage == Usage::default() {
            return;
        }
        if let Some(promised) = self.promised.get_mut(&promise.owner) {
            *promised = promised.minus(promise.usage);
            if *promised == Usage::default() {
                self.promised.remove(&promise.owner);
            }
        }
    }

    /// How many owners something is promised for.
    pub(crate) fn promises(&self) -> usize {
        self.promised.len()
    }

    fn meter(&mut self, client: &Client, now_ms: u64) -> &mut Meter {
        if self.meters.len() >= METER_COUNT_MAX && !self.meters.contains_key(&client.key_id) {
            self.meters.clear();
        }
        let full = || (client.rate, Meter::full(client.rate, now_ms));
        let entry = self.meters.entry(client.key_id.clone());
        let (rate, meter) = entry.or_insert_with(full);
        if *rate != client.rate {
            (*rate, *meter) = full();
        }
        meter
    }
}

impl Engine {
    /// Whether an asker may do what a command does, as things are now.
    pub(super) fn permit(&self, asker: &Asker, command: &Command) -> Result<(), Refusal> {
        access::permit(asker, &self.buckets, self.access_of(command))
    }

    /// Whether no more streams may be opened: by anybody, or by the clients of this owner. The vault's own may have all
    /// but what is kept for one other.
    pub(super) fn has_all_streams(&self, asker: &Asker) -> bool {
        if self.puts.len() + self.gets.len() >= STREAM_COUNT_MAX {
            return true;
        }
        let Some(client) = asker.client() else {
            return false;
        };
        let most = match client.owner == OwnerId::default() {
            true => STREAM_COUNT_MAX - STREAM_OF_OWNER_COUNT_MAX,
            false => STREAM_OF_OWNER_COUNT_MAX,
        };
        let puts = self.puts.values().map(|put| &put.asker);
        let askers = puts.chain(self.gets.values().map(|get| &get.asker));
        let of_owner = askers.filter_map(Asker::client);
        let count = of_owner.filter(|one| one.owner == client.owner).count();
        count >= most
    }

    /// Counts a request that adds to the log against the rate of its key. What an upload adds at its end
    /// was counted at its beginning.
    pub(super) fn take_rate(&mut self, asker: &Asker, command: &Command) -> Result<(), Refusal> {
        let adds = matches!(
            command,
            Command::OpenPut { .. }
                | Command::CreateUpload { .. }
                | Command::Delete { .. }
                | Command::SetRetention { .. }
                | Command::SetHold { .. }
                | Command::SetTags { .. }
                | Command::CreateBucket { .. }
                | Command::DeleteBucket { .. }
                | Command::SetDefaultRetention { .. }
                | Command::SetLifecycle { .. }
        );
        let bounded = |client: &&Client| adds && client.rate != Rate::default();
        let Some(client) = asker.client().filter(bounded) else {
            return Ok(());
        };
        let now = self.now.monotonic_ms;
        let meter = self.tenants.meter(client, now);
        Ok(meter.take(client.rate, now)?)
    }

    /// What an owner stores.
    pub(crate) fn stored_by(&self, owner: &OwnerId) -> Usage {
        let of_owner = |bucket: &BucketId| {
            let row = self.buckets.get(bucket);
            row.is_some_and(|row| row.owner == *owner)
        };
        let used = self.usages.buckets.iter();
        used.filter(|(bucket, _)| of_owner(bucket))
            .fold(Usage::default(), |sum, (_, usage)| sum.plus(*usage))
    }

    /// Whether an owner may store more, beside what is stored and what others have promised.
    fn within(
        &self,
        asker: &Asker,
        promise: &Promise,
        already: Option<&Promise>,
    ) -> Result<(), Refusal> {
        let Some(quota) = asker.quota(&promise.owner) else {
            return Ok(());
        };
        let promised = self.tenants.promised.get(&promise.owner);
        let mut used = self.stored_by(&promise.owner);
        used = used.plus(promised.copied().unwrap_or_default());
        if let Some(already) = already.filter(|already| already.owner == promise.owner) {
            used = used.minus(already.usage);
        }
        Ok(quota.check(used, promise.usage)?)
    }

    /// Promises what an upload says it will bring.
    pub(super) fn promise_upload(
        &mut self,
        asker: &Asker,
        bucket: &str,
        usage: Usage,
    ) -> Result<Promise, Refusal> {
        let id = self.bucket_named(bucket).ok_or(Refusal::NoSuchBucket)?;
        let promise = Promise {
            owner: self.owner_of(id),
            usage,
        };
        self.within(asker, &promise, None)?;
        self.tenants.promise(&promise.owner, usage);
        Ok(promise)
    }

    /// An upload has brought so many bytes; what it did not say before it promises now.
    pub(super) fn grow_upload(&mut self, stream: StreamId, bytes: u64) -> Result<(), Refusal> {
        let Some(put) = self.puts.get(&stream) else {
            return Ok(());
        };
        let asker = put.asker.clone();
        let before = put.promise.clone();
        if bytes <= before.usage.bytes {
            return Ok(());
        }
        let mut grown = before.clone();
        grown.usage.bytes = bytes;
        self.within(&asker, &grown, Some(&before))?;
        self.tenants.settle(&before);
        self.tenants.promise(&grown.owner, grown.usage);
        if let Some(put) = self.puts.get_mut(&stream) {
            put.promise = grown;
        }
        Ok(())
    }

    /// Pays for bytes of a body.
    pub(super) fn pay_rate(&mut self, stream: StreamId, bytes: u64) {
        let client = self.puts.get(&stream).and_then(|put| put.asker.client());
        if let Some(client) = client.filter(|client| client.rate.bytes_per_second.is_some()) {
            let now = self.now.monotonic_ms;
            self.tenants.meter(client, now).pay(client.rate, bytes);
        }
    }

    fn owner_of(&self, bucket: BucketId) -> OwnerId {
        let row = self.buckets.get(&bucket);
        row.map(|row| row.owner.clone()).unwrap_or_default()
    }

    /// The last look before records go to the journal: what a request stores must be promised. For an
    /// upload it is, but quotas may have changed since. The first marker over a version is promised beyond the quota:
    /// whoever has none left still deletes.
    pub(super) fn promise_records(
        &mut self,
        id: RequestId,
        drafts: &[Draft],
        after: &After,
    ) -> Result<(), Refusal> {
        let Some(pending) = self.pending.get(&id) else {
            return Ok(());
        };
        if let Command::CommitPut { stream, .. } = &pending.command {
            let promise = self.puts.get(stream).map(|put| &put.promise);
            return match promise {
                Some(promise) => self.within(&pending.asker, promise, Some(promise)),
                None => Ok(()),
            };
        }
        let adds =
            |draft: &&Draft| matches!(draft.kind, RecordType::DeleteMarker | RecordType::Complete);
        let Some(first) = drafts.iter().find(adds) else {
            return Ok(());
        };
        let promise = Promise {
            owner: self.owner_of(first.bucket),
            usage: Usage {
                bytes: 0,
                versions: 1,
            },
        };
        if !matches!(after, After::Marker { first: true, .. }) {
            self.within(&pending.asker, &promise, None)?;
        }
        self.tenants.promise(&promise.owner, promise.usage);
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.promise = promise;
        }
        Ok(())
    }

    /// What a request promised is stored, or will not be.
    pub(super) fn settle_request(&mut self, id: RequestId) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        let promise = std::mem::take(&mut pending.promise);
        self.tenants.settle(&promise);
        if let Command::CommitPut { stream, .. } = &pending.command {
            let stream = *stream;
            self.settle_upload(stream);
        }
    }

    /// What an upload promised is stored, or will not be.
    pub(super) fn settle_upload(&mut self, stream: StreamId) {
        if let Some(put) = self.puts.get_mut(&stream) {
            let promise = std::mem::take(&mut put.promise);
            self.tenants.settle(&promise);
        }
    }
}
