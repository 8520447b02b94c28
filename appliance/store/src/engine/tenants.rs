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
use crate::limits::{
    FEW_DIVISOR, KEPT_DIVISOR, METER_COUNT_MAX, REQUEST_COUNT_MAX, REQUEST_OF_OWNER_COUNT_MAX,
    STREAM_COUNT_MAX, STREAM_OF_OWNER_COUNT_MAX,
};
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
    /// Makes room for a meter. A full one says nothing; where none is, the one that would be soonest goes, so that its
    /// key gains least.
    fn forget_meters(&mut self, now_ms: u64) {
        let full_in_ms = |(rate, meter): &(Rate, Meter)| meter.full_in_ms(*rate, now_ms);
        self.meters.retain(|_, entry| full_in_ms(entry) > 0);
        if self.meters.len() >= METER_COUNT_MAX {
            let soonest = self
                .meters
                .iter()
                .min_by_key(|(_, entry)| full_in_ms(entry));
            let soonest = soonest.map(|(key_id, _)| key_id.clone());
            soonest.and_then(|key_id| self.meters.remove(&key_id));
        }
    }

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
            self.forget_meters(now_ms);
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

/// Whether an asker has all it may have at once of what there is so much of, where one owner may have a share and some
/// is kept for those that have few. The vault's own may have all but that and the share of one other.
fn has_all<'a>(
    asker: &Asker,
    (count, askers): (usize, impl Iterator<Item = &'a Asker>),
    (all, of_owner): (usize, usize),
) -> bool {
    if count >= all {
        return true;
    }
    let Some(client) = asker.client() else {
        return false;
    };
    let open_to_all = all - all / KEPT_DIVISOR;
    let most = match client.owner == OwnerId::default() {
        true => open_to_all - of_owner,
        false => of_owner,
    };
    // Nobody has more than there are: mostly none need be counted.
    if count < most {
        return false;
    }
    let theirs = |one: &&Client| one.owner == client.owner;
    let held = askers.filter_map(Asker::client).filter(theirs).count();
    held >= most || (count >= open_to_all && held >= all / FEW_DIVISOR)
}

impl Engine {
    /// Whether an asker may do what a command does, as things are now.
    pub(super) fn permit(&self, asker: &Asker, command: &Command) -> Result<(), Refusal> {
        access::permit(asker, &self.buckets, self.access_of(command))
    }

    /// Whether no more streams may be opened: by anybody, or by the clients of this owner.
    pub(super) fn has_all_streams(&self, asker: &Asker) -> bool {
        let puts = self.puts.values().map(|put| &put.asker);
        let askers = puts.chain(self.gets.values().map(|get| &get.asker));
        let count = self.puts.len() + self.gets.len();
        let most = (STREAM_COUNT_MAX, STREAM_OF_OWNER_COUNT_MAX);
        has_all(asker, (count, askers), most)
    }

    /// Whether no more requests are taken in: from anybody, or from the clients of this owner.
    pub(super) fn has_all_requests(&self, asker: &Asker) -> bool {
        let askers = self.pending.values().map(|pending| &pending.asker);
        let most = (REQUEST_COUNT_MAX, REQUEST_OF_OWNER_COUNT_MAX);
        has_all(asker, (self.pending.len(), askers), most)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Grants, Rights};
    use std::sync::Arc;

    const RATE: Rate = Rate {
        writes_per_minute: Some(2),
        bytes_per_second: None,
    };

    fn client(number: usize) -> Client {
        Client {
            key_id: format!("KEY{number}"),
            owner: OwnerId::default(),
            grants: Grants::all(),
            special: Rights::default(),
            scopes: Vec::new(),
            rate: RATE,
            quotas: Arc::default(),
        }
    }

    /// So many of the writes that a key may do at once.
    fn spend(tenants: &mut Tenants, number: usize, writes: usize, now_ms: u64) {
        let meter = tenants.meter(&client(number), now_ms);
        for _ in 0..writes {
            meter.take(RATE, now_ms).expect("not spent yet");
        }
    }

    fn has_spent(tenants: &mut Tenants, number: usize, now_ms: u64) -> bool {
        tenants
            .meter(&client(number), now_ms)
            .take(RATE, now_ms)
            .is_err()
    }

    #[test]
    fn one_key_more_than_are_remembered_gives_nobody_a_burst() {
        let mut tenants = Tenants::default();
        for number in 0..METER_COUNT_MAX - 1 {
            spend(&mut tenants, number, 2, 0);
        }
        // The one that has spent least.
        spend(&mut tenants, METER_COUNT_MAX - 1, 1, 0);
        spend(&mut tenants, METER_COUNT_MAX, 2, 1);
        assert_eq!(tenants.meters.len(), METER_COUNT_MAX);
        for number in (0..=METER_COUNT_MAX).filter(|number| *number != METER_COUNT_MAX - 1) {
            assert!(has_spent(&mut tenants, number, 2), "{number}");
        }
    }

    #[test]
    fn full_meters_make_room_before_others() {
        let mut tenants = Tenants::default();
        for number in 0..METER_COUNT_MAX / 2 {
            spend(&mut tenants, number, 1, 0);
        }
        let later_ms = 40_000;
        for number in METER_COUNT_MAX / 2..METER_COUNT_MAX {
            spend(&mut tenants, number, 2, later_ms);
        }
        spend(&mut tenants, METER_COUNT_MAX, 2, later_ms);
        assert_eq!(tenants.meters.len(), METER_COUNT_MAX / 2 + 1);
        for number in METER_COUNT_MAX / 2..=METER_COUNT_MAX {
            assert!(has_spent(&mut tenants, number, later_ms), "{number}");
        }
    }
}
