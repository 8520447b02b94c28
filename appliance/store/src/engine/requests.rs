//! A request from its arrival to its answer.

mod answer;

use stele_format::record::{Body, ClientTag};
use stele_format::units::UnixMillis;

use super::admission::Claim;
use super::clock;
use super::commands::{
    After, Facts, Outcome, bucket, census, delete, destroy, expire, list, lock, multipart, object,
    people, tags, witness,
};
use super::damage::{Lost, Told};
use super::io::Purpose;
use super::tenants::Promise;
use super::view::{Gathered, Need, Stop, View, apply_live};
use super::{Engine, QueryFor, StopState};
use crate::draft::Origin;
use crate::index::rows::RecordLocation;
use crate::index::{Bundle, Fact, IndexReply, IndexRequest, IndexUsage, Query, QueryId, Scan};
use crate::policy::{Asker, Right};
use crate::read::{Content, VerifiedRecord};
use crate::request::{
    Answer, Command, ObjectName, ReadOnlyReason, Refusal, Request, RequestId, Whole,
};
use crate::sequence::Sequenced;

/// A request under way.
pub(crate) struct Pending {
    pub(crate) asker: Asker,
    pub(crate) command: Command,
    pub(crate) gathered: Gathered,
    /// Queries and reads it waits for.
    pub(crate) outstanding: u32,
    /// The chunk lists after they were moved to list chunks.
    pub(crate) spilled: Option<Content>,
    /// The version its first record made.
    made: Option<(
        stele_format::units::VersionId,
        stele_format::units::LogIndex,
    )>,
    /// What it is about to store, beside what its upload promised.
    pub(super) promise: Promise,
    random: [[u8; 16]; 2],
    /// The compliance clock when it arrived.
    asked: UnixMillis,
    pub(super) after: Option<After>,
    /// What an upload brought along, until it is opened.
    pub(super) whole: Option<Box<Whole>>,
}

impl Engine {
    pub(super) fn request(&mut self, request: Request) {
        let Request { id, asker, command } = request;
        // A stop takes nothing new in; open downloads go on as long as the engine runs.
        let goes_on = matches!(
            command,
            Command::NextData { .. } | Command::CloseGet { .. } | Command::AbortPut { .. }
        );
        if self.stop != StopState::Running && !goes_on {
            return self.io.reply(id, Err(Refusal::Stopping));
        }
        if let Err(refusal) = self.may_ask(&asker, &command) {
            return self.io.reply(id, Err(refusal));
        }
        match command {
            Command::PutData { stream, piece } => {
                let result = self.put_data(stream, piece).map(|()| Answer::Done);
                self.io.reply(id, result);
            }
            Command::AbortPut { stream } => {
                self.abort_put(stream);
                self.io.reply(id, Ok(Answer::Done));
            }
            Command::NextData { stream } => self.next_data(id, stream),
            Command::CloseGet { stream } => {
                self.close_get(stream);
                self.io.reply(id, Ok(Answer::Done));
            }
            Command::CommitPut {
                stream,
                md5,
                checksums,
                conditions,
            } => {
                self.commit_put(id, asker, stream, md5, checksums, conditions);
            }
            Command::AdvanceClock { by_ms } => {
                // Whoever is told to come back asks again, and time would go on each time.
                let advanced = match &asker {
                    _ if self.stranded => Err(Refusal::Rebuilding),
                    Asker::Vault(_) => self.advance_simulated(by_ms),
                    _ => Ok(()),
                };
                if let Err(refusal) = advanced {
                    return self.io.reply(id, Err(refusal));
                }
                self.begin(id, asker, Command::AdvanceClock { by_ms });
            }
            command => self.begin(id, asker, command),
        }
    }

    /// Takes a request in, and its claim.
    pub(super) fn begin(&mut self, id: RequestId, asker: Asker, command: Command) {
        let (command, whole) = match command {
            Command::Put {
                name,
                purpose,
                whole,
            } => (whole.opening(name, purpose), Some(whole)),
            command => (command, None),
        };
        let opens = matches!(command, Command::OpenPut { .. } | Command::OpenGet { .. });
        let streams_full = opens && self.has_all_streams(&asker);
        // What ends an upload is no more than there are streams, and would leave one open if it were refused.
        let ends = matches!(command, Command::CommitPut { .. });
        if (!ends && self.has_all_requests(&asker)) || streams_full {
            return self.io.reply(id, Err(Refusal::Busy));
        }
        let claim = self
            .permit(&asker, &command)
            .and_then(|()| self.claim_of(&asker, &command));
        let claim = match claim.and_then(|claim| self.take_rate(&asker, &command).map(|()| claim)) {
            Ok(claim) => claim,
            Err(refusal) => {
                self.note_refusal_of(&asker, &command, &refusal);
                return self.io.reply(id, Err(self.doubt(refusal)));
            }
        };
        let mut random = [[0; 16]; 2];
        random
            .iter_mut()
            .for_each(|bytes| self.world.entropy.fill(bytes));
        let gathered = Gathered::new(Bundle::new(self.memtable.generation()));
        let pending = Pending {
            asker,
            command,
            gathered,
            outstanding: 0,
            spilled: None,
            made: None,
            promise: Promise::default(),
            random,
            asked: self.clock.latest(),
            after: None,
            whole,
        };
        self.pending.insert(id, Box::new(pending));
        if claim.is_none_or(|claim| self.admission.claim(id, claim)) {
            self.advance(id);
        }
    }

    /// What a mutating command must hold alone; refuses it where nothing can be written.
    fn claim_of(&self, asker: &Asker, command: &Command) -> Result<Option<Claim>, Refusal> {
        let name_of = |name: &ObjectName| -> Result<Option<Claim>, Refusal> {
            let bucket = self
                .bucket_named(&name.bucket)
                .ok_or(Refusal::NoSuchBucket)?;
            Ok(Some(Claim::Name(bucket, name.key.clone())))
        };
        let claim = match command {
            Command::CreateBucket { .. }
            | Command::CreateBucketIn { .. }
            | Command::PutConfig { .. }
            | Command::PutScope(_) => Some(Claim::BucketNames),
            Command::State { .. }
            | Command::Cosign { .. }
            | Command::PlaceHolds { .. }
            | Command::ReleaseHolds { .. }
            | Command::AdvanceClock { .. }
            | Command::Rehome { .. }
            | Command::Tombstone { .. } => Some(Claim::Everything),
            Command::DeleteBucket { name }
            | Command::SetDefaultRetention { bucket: name, .. }
            | Command::SetLifecycle { bucket: name, .. }
            | Command::SetBound { bucket: name, .. }
            | Command::SetRule { bucket: name, .. } => Some(Claim::Bucket(
                self.bucket_named(name).ok_or(Refusal::NoSuchBucket)?,
            )),
            Command::CommitPut { stream, .. } => {
                let stream = self.puts.get(stream).ok_or(Refusal::NoSuchStream)?;
                name_of(&stream.name)?
            }
            Command::Delete { name, .. }
            | Command::Expire { name, .. }
            | Command::Unrelease { name, .. }
            | Command::SetRetention { name, .. }
            | Command::SetHold { name, .. }
            | Command::SetTags { name, .. }
            | Command::CreateUpload { name, .. }
            | Command::CompleteUpload { name, .. }
            | Command::AbortUpload { name, .. } => name_of(name)?,
            _ => None,
        };
        // A completion that is asked again is answered without a write, so that it is judged when it is decided.
        let judged_later = matches!(command, Command::CompleteUpload { .. });
        let writes = claim.is_some() || matches!(command, Command::OpenPut { .. });
        if writes && !judged_later {
            self.may_write(asker, command)?;
        }
        Ok(claim)
    }

    /// Refuses a command that writes where nothing, or nothing of its kind, can be written.
    fn may_write(&self, asker: &Asker, command: &Command) -> Result<(), Refusal> {
        if let Some(refusal) = self.why_read_only() {
            return Err(refusal);
        }
        let adds = matches!(
            command,
            Command::CreateBucket { .. }
                | Command::CreateBucketIn { .. }
                | Command::OpenPut { .. }
                | Command::CommitPut { .. }
                | Command::CreateUpload { .. }
                | Command::CompleteUpload { .. }
                | Command::SetTags { .. }
                // A marker, or the end of one: releasing what is not current makes nothing new.
                | Command::Expire { next: None, .. }
        );
        // What a rule does is a client's wish, and what is kept for the vault's own records is not for it.
        let of_client = asker.client().is_some() || matches!(command, Command::Expire { .. });
        let says = of_client && !self.pool.has_room_for_records();
        // Also while the journal goes on where it was begun, though others have joined.
        let alone = self.pool.is_alone() || self.journal.quorum() < self.pool.needed();
        if adds && alone {
            let missing = self.pool.idle_names();
            return Err(Refusal::ReadOnly(ReadOnlyReason::Alone { missing }));
        }
        match (adds && !self.has_room()) || says {
            true => Err(Refusal::Full),
            false => Ok(()),
        }
    }

    /// Whether new data may come in; the reserve is for everything else.
    pub(crate) fn has_room(&self) -> bool {
        !self.journal.is_full() && self.pool.has_room_for_data() && !self.index_is_full()
    }

    fn index_is_full(&self) -> bool {
        self.index_usage.as_ref().is_some_and(IndexUsage::is_full)
    }

    pub(crate) fn bucket_named(&self, name: &str) -> Option<stele_format::units::BucketId> {
        self.buckets
            .iter()
            .find(|(_, row)| row.name == name && !row.deleted)
            .map(|(id, _)| *id)
    }

    /// Decides, or fetches what is missing and decides later.
    pub(super) fn advance(&mut self, id: RequestId) {
        // While a finished index commit waits to take over, no request starts to read rows.
        if self.committed {
            self.parked.insert(id);
            return;
        }
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        if !self.memtable.is_current(&pending.gathered.bundle) {
            pending.gathered.bundle = Bundle::new(self.memtable.generation());
        }
        let asker = pending.asker.clone();
        match self.decide(id) {
            Ok(Outcome::Answer(answer)) => self.finish(id, Ok(answer)),
            Ok(Outcome::Stream) => self.open_put(id),
            Ok(Outcome::Config(location)) => self.config_read(id, location),
            Ok(Outcome::Download(download, info)) => {
                let answer = self.open_get(asker, *download, info);
                self.finish(id, Ok(answer));
            }
            Ok(Outcome::Write(drafts, after)) => self.write(id, drafts, after),
            Err(Stop::Need(needs)) => self.fetch(id, needs),
            Err(Stop::Refuse(refusal)) => {
                if let Refusal::Witness(why) = &refusal {
                    self.alarms.other_history(why, self.clock.latest());
                }
                self.refuse(id, refusal);
            }
            Err(Stop::Damaged(location)) => {
                self.name_damage(Told::Request(id), Lost::record(&location));
            }
            Err(Stop::Index(error)) => {
                self.alarms.index_contradiction(&error);
                self.index_lost = true;
                self.finish(id, Err(Refusal::Rebuilding));
            }
        }
    }

    fn decide(&mut self, id: RequestId) -> Result<Outcome, Stop> {
        let (outcome, used) = self.judge(id)?;
        if let (Outcome::Write(..), Some(right)) = (&outcome, used) {
            self.alarms.right_used(right, self.clock.latest());
        }
        Ok(outcome)
    }

    fn judge(&self, id: RequestId) -> Result<(Outcome, Option<Right>), Stop> {
        let pending = self.pending.get(&id).ok_or(Refusal::NoSuchStream)?;
        let facts = &Facts {
            id,
            pool: self.pool.id,
            keys: &self.keys,
            buckets: &self.buckets,
            asker: &pending.asker,
            time: self.time(),
            compliance: self.clock.latest(),
            wall: self.now.wall,
            approvals: &self.desk.approvals,
            cases: &self.desk.cases,
            rehomed: &self.desk.rehomed,
            lists: &self.desk.lists,
            leaves_due: self.desk.leaves_due,
            receipts: &self.receipts,
            versions: self.usages.versions(),
            next: self.journal.log().next,
            random: pending.random,
            asked: pending.asked,
            new_bucket: self.new_bucket,
            evaluation: self.pool.is_evaluation(),
            simulated: self.is_clock_simulated(),
            used: std::cell::Cell::new(None),
        };
        let view = &View::new(&self.memtable, &pending.gathered);
        let rights = self.desk.rights_of(&pending.asker, self.clock.latest());
        self.permit(&pending.asker, &pending.command)?;
        let outcome = match &pending.command {
            Command::ListBuckets => Ok(Outcome::Answer(bucket::all(facts))),
            Command::HeadBucket { name } => bucket::head(facts, name),
            Command::CreateBucket { name, lock } => bucket::create(facts, name, *lock),
            Command::CreateBucketIn {
                name,
                default,
                rules,
            } => bucket::create_in(facts, name, *default, rules),
            Command::DeleteBucket { name } => bucket::delete(facts, view, name),
            Command::SetDefaultRetention { bucket, default } => {
                bucket::set_default(facts, bucket, *default, rights)
            }
            Command::SetRule {
                bucket,
                prefix,
                days,
            } => bucket::set_rule(facts, bucket, prefix, *days),
            Command::SetBound { bucket, days_max } => bucket::set_bound(facts, bucket, *days_max),
            Command::SetLifecycle { bucket, rules } => bucket::set_lifecycle(facts, bucket, rules),
            Command::ListExpiring {
                bucket,
                after,
                done,
            } => expire::page(facts, view, bucket, after.as_ref(), *done),
            Command::Expire {
                name,
                version,
                next,
            } => expire::expire(facts, view, name, *version, *next),
            Command::OpenPut {
                name,
                purpose,
                content_bytes,
            } => {
                object::may_open(facts, view, name, purpose, *content_bytes)?;
                Ok(Outcome::Stream)
            }
            Command::CommitPut {
                stream,
                md5,
                checksums,
                conditions,
            } => {
                let stream = self.puts.get(stream).ok_or(Refusal::NoSuchStream)?;
                let commit = (*md5, checksums.as_slice(), conditions);
                stream.decide(facts, view, commit, pending.spilled.as_ref())
            }
            Command::OpenGet {
                name,
                version,
                range,
            } => object::open(facts, view, name, *version, *range),
            Command::Head { name, version } => object::head(facts, view, name, *version),
            Command::Delete {
                name,
                version,
                bypass,
            } => delete::delete(facts, view, name, *version, *bypass, rights),
            Command::SetRetention {
                name,
                version,
                retention,
                bypass,
            } => lock::set_retention(facts, view, name, *version, *retention, *bypass, rights),
            Command::SetHold { name, version, on } => {
                lock::set_hold(facts, view, name, *version, *on, rights)
            }
            Command::SetTags {
                name,
                version,
                tags,
            } => tags::set(facts, view, name, *version, tags),
            Command::Unrelease { name, version } => delete::unrelease(facts, view, name, *version),
            Command::ListReleased(wish) => list::page(facts, view, list::Kind::Released, wish),
            Command::List(wish) => list::page(facts, view, list::Kind::Objects, wish),
            Command::ListVersions(wish) => list::page(facts, view, list::Kind::Versions, wish),
            Command::ListUploads(wish) => list::page(facts, view, list::Kind::Uploads, wish),
            Command::CreateUpload {
                name,
                metadata,
                lock,
                announced,
            } => multipart::create(facts, name, metadata, *lock, *announced),
            Command::HeadUpload { name, upload } => multipart::head(facts, view, name, *upload),
            Command::ListParts {
                name,
                upload,
                after,
                parts_max,
            } => multipart::list_parts(facts, view, name, *upload, *after, *parts_max),
            Command::CompleteUpload {
                name,
                upload,
                parts,
                checksums,
                conditions,
            } => {
                let named = multipart::Completion {
                    name,
                    upload: *upload,
                    parts,
                    checksums,
                    may_write: &self.may_write(&pending.asker, &pending.command),
                };
                multipart::complete(facts, view, &named, conditions, pending.spilled.as_ref())
            }
            Command::AbortUpload { name, upload } => multipart::abort(facts, view, name, *upload),
            Command::ListOldUploads { after } => multipart::list_old(facts, view, *after),
            Command::Capacity => Ok(Outcome::Answer(self.capacity(&pending.asker))),
            Command::PutConfig { name, value } => Ok(bucket::put_config(facts, name, value)),
            Command::GetConfig { name } => bucket::get_config(view, name),
            Command::Census { after } => census::page(facts, view, after.as_deref()),
            Command::AdvanceClock { by_ms } => Ok(clock::advanced(facts, *by_ms)),
            Command::PutScope(scope) => destroy::put_scope(facts, view, scope),
            Command::State {
                text,
                signatures,
                note,
            } => {
                let brought = people::Brought {
                    text,
                    signatures,
                    note: note.as_deref(),
                };
                people::state(facts, view, &brought)
            }
            Command::Cosign { note } => witness::cosign(facts, &self.receipts, note),
            Command::People => Ok(people::shown(self.people_view())),
            Command::Note { statement } => people::note(facts, view, *statement),
            Command::Effect { request } => destroy::effect(view, *request),
            Command::Rehome { request, after } => {
                let erasure = destroy::Erasure::of(facts, *request)?;
                destroy::rehome(facts, view, &erasure, after.as_deref())
            }
            Command::Tombstone { request, ordinal } => {
                let erasure = destroy::Erasure::of(facts, *request)?;
                destroy::tombstone(facts, view, erasure, *ordinal)
            }
            Command::PlaceHolds { statement, ordinal } => {
                people::place_holds(facts, view, *statement, *ordinal)
            }
            Command::ReleaseHolds { request, ordinal } => {
                people::release_holds(facts, view, *request, *ordinal)
            }
            Command::Put { .. }
            | Command::PutData { .. }
            | Command::AbortPut { .. }
            | Command::NextData { .. }
            | Command::CloseGet { .. } => Err(Refusal::NoSuchStream.into()),
        };
        Ok((outcome?, facts.used.get()))
    }

    /// Hands a decision's records to the journal; the answer follows when they are applied.
    fn write(&mut self, id: RequestId, mut drafts: Vec<crate::draft::Draft>, after: After) {
        if let Some(refusal) = self.why_read_only() {
            return self.finish(id, Err(refusal));
        }
        if let Err(refusal) = self.promise_records(id, &drafts, &after) {
            return self.finish(id, Err(refusal));
        }
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        pending.after = Some(after);
        if let Command::CommitPut { stream, .. } = &pending.command
            && let Some(stream) = self.puts.get_mut(stream)
            && let Some(draft) = drafts.first_mut()
        {
            draft.inline = stream.take_held();
        }
        let client = pending.asker.client();
        let client = client.and_then(|client| ClientTag::new(&client.key_id));
        for mut draft in drafts {
            draft.client = client.unwrap_or_default();
            self.journal.push(draft);
        }
    }

    fn fetch(&mut self, id: RequestId, needs: Vec<Need>) {
        let mut gets = Vec::new();
        let mut scans: Vec<Scan> = Vec::new();
        let mut records: Vec<RecordLocation> = Vec::new();
        for need in needs {
            match need {
                Need::Row(table, key) => gets.push((table, key)),
                Need::Range(scan) => scans.push(scan),
                Need::Record(location) => records.push(location),
                Need::Lists(content) => return self.spill(id, content),
            }
        }
        let ask = !gets.is_empty() || !scans.is_empty();
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.outstanding = u32::from(ask) + u32::try_from(records.len()).unwrap_or(u32::MAX);
        }
        if ask {
            let query = QueryId(self.number());
            self.queries.insert(query, QueryFor::Request(id));
            self.io
                .action(super::Action::Index(IndexRequest::Query(Query {
                    id: query,
                    gets,
                    scans,
                })));
        }
        for location in records {
            self.read_record(id, location);
        }
    }

    /// One thing a request waited for has come.
    pub(super) fn fetched(&mut self, id: RequestId) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        pending.outstanding = pending.outstanding.saturating_sub(1);
        if pending.outstanding == 0 {
            self.advance(id);
        }
    }

    /// A record a request wanted was read.
    pub(super) fn record_fetched(
        &mut self,
        id: RequestId,
        location: RecordLocation,
        record: VerifiedRecord,
    ) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        let key = (location.segment, location.offset.get());
        let record = std::sync::Arc::new(record);
        pending.gathered.records.insert(key, record);
        self.fetched(id);
    }

    pub(super) fn index_reply(&mut self, reply: IndexReply) {
        match reply {
            IndexReply::Answer { id, bundle } => match self.queries.remove(&id) {
                Some(QueryFor::Request(request)) => {
                    if let Some(pending) = self.pending.get_mut(&request) {
                        pending.gathered.take_in(bundle);
                        self.fetched(request);
                    }
                }
                Some(QueryFor::Read(read)) => self.chunk_located(read, &bundle),
                Some(QueryFor::Nobody) | None => {}
            },
            IndexReply::Committed { usage, .. } => {
                self.index_usage = Some(usage);
                self.snapshot_committed();
            }
            IndexReply::Verified(result) => self.rows_verified(result),
            IndexReply::Mirrored { usage } => self.mirrored(usage),
            IndexReply::Forgotten => {}
            IndexReply::Failed {
                query: Some(query), ..
            } => {
                self.index_lost = true;
                match self.queries.remove(&query) {
                    Some(QueryFor::Request(id)) => self.finish(id, Err(Refusal::Rebuilding)),
                    Some(QueryFor::Read(read)) => self.chunk_not_located(read),
                    Some(QueryFor::Nobody) | None => {}
                }
            }
            IndexReply::Failed { query: None, error } => self.snapshot_failed(error),
        }
    }

    /// A record is durable: it enters the index, and its request may be answered.
    pub(super) fn applied(&mut self, mut record: Sequenced) {
        record
            .facts
            .iter_mut()
            .for_each(|fact| self.usages.complete(fact));
        let mut nothing = Bundle::new(self.memtable.generation());
        for fact in &record.facts {
            let bundle = match record.origin {
                Origin::Request { id, .. } => match self.pending.get_mut(&id) {
                    Some(pending) => &mut pending.gathered.bundle,
                    None => &mut nothing,
                },
                Origin::Engine => &mut nothing,
            };
            let applied = apply_live(fact, &mut self.memtable, bundle);
            let effect = applied
                .expect("every row a durable record needs was fetched before it was decided");
            self.remember(fact);
            if let (Fact::VersionAdded { .. } | Fact::PartAdded { .. }, Some(id)) =
                (fact, record.origin.request())
            {
                self.settle_request(id);
            }
            self.usages.note(fact);
            self.usages.change(&effect);
        }
        if let (Body::Commit(_) | Body::Complete(..), Origin::Request { id, .. }) =
            (&record.body, record.origin)
            && let Some(pending) = self.pending.get_mut(&id)
        {
            pending.made = Some((record.version, record.log_index));
        }
        self.effect_applied(&record.facts);
        if let (Body::DeleteMarker | Body::Release(_) | Body::Bucket, Origin::Request { id, .. }) =
            (&record.body, record.origin)
        {
            self.note_act(id);
        }
        match (&record.body, record.origin) {
            (Body::Alloc(alloc), _) if alloc.lane.is_journal() => {
                self.journal.allocated(alloc.segment);
            }
            (Body::Alloc(alloc), _) => self.lane.allocated(alloc.segment),
            (Body::Seal(seal), _) => {
                self.pool.note_seal(seal, self.clock.latest());
                self.journal.sealed(seal.segment);
            }
            (Body::Relocate(relocate), _) => self.relocated(relocate),
            (Body::Trim(trim), _) => self.trimmed(trim),
            (Body::Statement(_), Origin::Request { id, .. }) => self.answer_statement(id, &record),
            (_, Origin::Request { id, last: true }) => self.answer(id, &record),
            _ => {}
        }
    }

    /// Applies a fact of the engine itself, which reads no row.
    pub(super) fn apply_own(&mut self, fact: &Fact) {
        let mut nothing = Bundle::new(self.memtable.generation());
        let applied = apply_live(fact, &mut self.memtable, &mut nothing);
        applied.expect("placing a chunk reads no row");
    }

    /// A vault that lacks records of its log does not say of anything that it does not exist: clients would take that
    /// for what became of it.
    fn doubt(&self, refusal: Refusal) -> Refusal {
        match &self.lacks_records {
            Some(why) if refusal.is_absence() => Refusal::MayBeLost(why.clone()),
            _ => refusal,
        }
    }

    /// Whether any request has records in the journal that are not applied yet.
    pub(super) fn is_writing(&self) -> bool {
        self.pending.values().any(|pending| pending.after.is_some())
    }

    /// The purpose of a read, for the disks.
    pub(super) fn read_purpose(read: u64) -> Purpose {
        Purpose::Read(read)
    }
}
