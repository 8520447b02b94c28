//! A small engine in memory that speaks the gateway's messages, so that the real gateway can be
//! tested without disks. It keeps the S3 rules the tests look at and nothing more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stele_format::units::{UnixMillis, UploadId, VersionId};
use stele_gateway::chain::ChunkChain;
use stele_gateway::claim::Mandate;
use stele_gateway::message::{
    Answer, BucketInfo, BucketKind, Checksum, ChecksumKind, Conditions, Delivered, Envelope,
    LockMode, LockWish, Metadata, ObjectInfo, ObjectName, Period, Purpose, RangeWish, Refusal,
    Request, Retention, RetentionDateFault, SessionId, Stored, StreamId,
};
use stele_gateway::turns::is_page;
use stele_gateway::{Clients, Slab};
use tokio::sync::mpsc;

mod listing;
mod locks;
mod sessions;

pub use sessions::Held;

/// What tests look at and turn.
#[derive(Default)]
pub struct State {
    /// Buckets by name.
    pub buckets: BTreeMap<String, BucketInfo>,
    /// Versions of each object, oldest first.
    pub objects: BTreeMap<(String, String), Vec<Version>>,
    uploads: BTreeMap<UploadId, Upload>,
    /// What uploads became, and of how many parts.
    completed: BTreeMap<UploadId, (Stored, usize)>,
    puts: BTreeMap<StreamId, Put>,
    gets: BTreeMap<StreamId, Get>,
    next: u64,
    /// Uploads that were opened before their content came.
    pub opened: usize,
    /// Commits that were asked for.
    pub commits: usize,
    /// Aborts that were asked for.
    pub aborts: usize,
    /// Client data received so far, bytes.
    pub received_bytes: usize,
    /// Lengths of the slabs of the last upload.
    pub slab_bytes: Vec<usize>,
    /// Downloads fail after this many pieces.
    pub break_download_after: Option<usize>,
    /// The receipt of whatever is stored.
    pub receipt: Option<String>,
    /// Answers everything with this refusal.
    pub refuse: Option<Refusal>,
    /// Answers everything with this refusal once something is stored.
    pub refuse_after_commit: Option<Refusal>,
    /// Questions are carried out, but not answered: as an engine that dies right then.
    pub silent: bool,
    /// Pages are held back.
    pub holds_pages: bool,
    /// Those that are.
    pub held: Vec<Held>,
    /// So long it takes to answer anything.
    pub slow: Duration,
    /// The client may read nothing.
    pub blind: bool,
    /// The client may bypass governance and lift holds.
    pub rights: bool,
    /// Who asked last.
    /// Whose key every client has.
    pub owner: String,
    pub last_client: String,
    /// Whose the open sessions are.
    pub sessions: BTreeMap<SessionId, (String, Mandate)>,
    /// Of bodies whose chunks are signed.
    chains: BTreeMap<SessionId, ChunkChain>,
    /// Uploaded content is counted and thrown away.
    pub forget_content: bool,
}

/// A stored version or delete marker.
#[derive(Clone)]
pub struct Version {
    pub info: ObjectInfo,
    pub content: Vec<u8>,
    pub marker: bool,
}

struct Get {
    content: Vec<u8>,
    /// Bytes given out.
    given: usize,
    /// Pieces given out.
    pieces: usize,
}

struct Put {
    name: ObjectName,
    purpose: Purpose,
    content: Vec<u8>,
}

struct Upload {
    name: ObjectName,
    metadata: Metadata,
    lock: LockWish,
    started: UnixMillis,
    announced: Option<(ChecksumKind, bool)>,
    parts: BTreeMap<u16, Part>,
}

#[derive(Clone)]
struct Part {
    content: Vec<u8>,
    etag: String,
    checksums: Vec<Checksum>,
    modified: UnixMillis,
}

/// A handle on the engine's state.
#[derive(Clone, Default)]
pub struct Engine(Arc<Mutex<State>>);

impl Engine {
    /// Looks at or changes the state.
    pub fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.0.lock().expect("no test panics in here"))
    }

    /// The newest version of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Version> {
        let place = (bucket.to_owned(), key.to_owned());
        self.with(|state| {
            state
                .objects
                .get(&place)
                .and_then(|versions| versions.last().cloned())
        })
    }

    /// Answers until the gateway is gone.
    pub async fn run(self, mut questions: mpsc::Receiver<Envelope>, clients: Clients) {
        while let Some(envelope) = questions.recv().await {
            let Envelope {
                session,
                request,
                mut slab,
                answer: asker,
            } = envelope;
            let carried_out = !matches!(
                request,
                Request::SignIn { .. } | Request::VerifyChunks { .. }
            );
            let is_page = is_page(&request);
            let answer = self.with(|state| match request {
                Request::SignIn {
                    claim,
                    finished,
                    signs_chunks,
                    ..
                } => state.sign_in(&clients, (&claim, signs_chunks), finished),
                Request::VerifyChunks { proofs } => {
                    let chain = state.chains.get_mut(&session);
                    let chain = chain.ok_or(Refusal::Signature);
                    chain.and_then(|chain| chain.verify(&proofs).map(|()| Answer::Done))
                }
                request => {
                    let (client, mandate) =
                        state.sessions.get(&session).ok_or(Refusal::NoSession)?;
                    assert!(mandate.admits(&request), "nobody signed {request:?}");
                    state.last_client.clone_from(client);
                    state.refuse.clone().map_or(Ok(()), Err)?;
                    let answer = state.answer(request, slab.as_mut())?;
                    if matches!(answer, Answer::Stored(_)) {
                        state.refuse = state.refuse_after_commit.take();
                    }
                    if let Some((_, mandate)) = state.sessions.get_mut(&session) {
                        mandate.learn(&answer);
                    }
                    Ok(answer)
                }
            });
            let slow = self.with(|state| state.slow);
            // Else no client goes away between what is done and the answer.
            if !slow.is_zero() {
                tokio::time::sleep(slow).await;
            }
            let slab = slab.filter(|_| matches!(answer, Ok(Answer::Data)));
            let answer = answer.map(|answer| Delivered { answer, slab });
            if carried_out && self.with(|state| state.silent) {
                continue;
            }
            if is_page && self.with(|state| state.holds_pages) {
                self.with(|state| state.hold(answer, asker));
                continue;
            }
            // A client that went away needs no answer.
            let _unread = asker.send(answer);
        }
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    UnixMillis::new(u64::try_from(since.as_millis()).expect("before the year 500 million"))
}

fn later(period: Period) -> UnixMillis {
    let days = match period {
        Period::Days(days) => u64::from(days),
        Period::Years(years) => u64::from(years) * 365,
    };
    UnixMillis::new(now().get() + days * 86_400_000)
}

fn matches(condition: &str, etag: Option<&str>) -> bool {
    etag.is_some_and(|etag| condition == "*" || condition == etag)
}

impl State {
    /// Whether no upload or download is open.
    pub fn idle(&self) -> bool {
        self.puts.is_empty() && self.gets.is_empty()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn version(&mut self) -> VersionId {
        VersionId::new(self.number().into(), [7; 8])
    }

    fn bucket(&self, name: &str) -> Result<&BucketInfo, Refusal> {
        self.buckets.get(name).ok_or(Refusal::NoSuchBucket)
    }

    fn answer(&mut self, request: Request, slab: Option<&mut Slab>) -> Result<Answer, Refusal> {
        match request {
            // Answered before.
            Request::SignIn { .. } | Request::VerifyChunks { .. } => Err(Refusal::NoSession),
            Request::ListBuckets => Ok(Answer::Buckets(self.buckets.values().cloned().collect())),
            Request::CreateBucket { name, lock } => self.create_bucket(name, lock),
            Request::HeadBucket { name } => self.bucket(&name).cloned().map(Answer::Bucket),
            Request::DeleteBucket { name } => self.delete_bucket(&name),
            Request::SetDefaultRetention { bucket, default } => self.set_default(&bucket, default),
            Request::SetLifecycle { bucket, rules } => {
                let found = self.buckets.get_mut(&bucket);
                found.ok_or(Refusal::NoSuchBucket)?.lifecycle = rules;
                Ok(Answer::Done)
            }
            Request::OpenPut { name, purpose, .. } => {
                self.opened += 1;
                self.open_put(name, purpose)
            }
            Request::Put {
                name,
                purpose,
                content,
                md5,
                checksums,
                conditions,
            } => {
                let Answer::Stream(stream) = self.open_put(name, purpose)? else {
                    return Err(Refusal::NoSuchStream);
                };
                match slab {
                    Some(slab) => self.take(stream, slab.data())?,
                    None => self.take(stream, &content.0)?,
                }
                self.commits += 1;
                self.commit(stream, md5, checksums, &conditions)
            }
            Request::PutData { stream } => self.put_data(stream, slab.expect("with content")),
            Request::CommitPut {
                stream,
                md5,
                checksums,
                conditions,
            } => {
                self.commits += 1;
                self.commit(stream, md5, checksums, &conditions)
            }
            Request::AbortPut { stream } => {
                self.aborts += 1;
                self.puts.remove(&stream);
                Ok(Answer::Done)
            }
            Request::OpenGet {
                name,
                version,
                range,
            } => self.open_get(&name, version, range),
            Request::NextData { stream } => self.next_data(stream, slab.expect("with memory")),
            Request::CloseGet { stream } => {
                self.gets.remove(&stream);
                Ok(Answer::Done)
            }
            Request::Head { .. } if self.blind => {
                Err(Refusal::NotAllowed("the key lacks the right get".into()))
            }
            Request::Head { name, version } => {
                let found = self.find(&name, version)?;
                Ok(Answer::Object(Box::new(found.info.clone())))
            }
            Request::Delete {
                name,
                version,
                bypass,
            } => self.delete(name, version, bypass),
            Request::List(wish) => self.list(&wish).map(Answer::Listing),
            Request::ListVersions(wish) => self.list_versions(&wish).map(Answer::VersionListing),
            Request::ListUploads(wish) => self.list_uploads(&wish).map(Answer::Uploads),
            Request::SetRetention {
                name,
                version,
                retention,
                bypass,
            } => self.set_retention(&name, version, retention, bypass),
            Request::SetHold { name, version, on } => self.set_hold(&name, version, on),
            Request::CreateUpload {
                name,
                metadata,
                lock,
                checksum,
            } => self.create_upload(name, metadata, lock, checksum),
            Request::HeadUpload { upload, .. } => {
                let upload = self.uploads.get(&upload).ok_or(Refusal::NoSuchUpload)?;
                Ok(Answer::UploadInfo(upload.announced))
            }
            Request::Capacity => Ok(Answer::Capacity {
                total_bytes: 1000,
                free_bytes: 400,
            }),
            Request::SetTags {
                name,
                version,
                tags,
            } => {
                let found = &self.find(&name, version)?.info;
                let (wanted, versioned) = (found.version, found.versioned);
                let versions = self.objects.get_mut(&(name.bucket, name.key));
                let found = versions
                    .into_iter()
                    .flatten()
                    .find(|found| found.info.version == wanted);
                if let Some(found) = found {
                    found.info.metadata.tags = tags;
                }
                Ok(Answer::Tagged {
                    version: wanted,
                    versioned,
                })
            }
            Request::ListParts {
                upload,
                after,
                parts_max,
                ..
            } => self.list_parts(upload, after, parts_max),
            Request::CompleteUpload {
                upload,
                parts,
                checksums,
                conditions,
                ..
            } => self.complete(upload, &parts, checksums, &conditions),
            Request::AbortUpload { upload, .. } => self
                .uploads
                .remove(&upload)
                .map(|_| Answer::Done)
                .ok_or(Refusal::NoSuchUpload),
        }
    }

    fn create_bucket(&mut self, name: String, lock: bool) -> Result<Answer, Refusal> {
        if self.buckets.contains_key(&name) {
            return Err(Refusal::BucketExists);
        }
        let kind = match (lock, name.starts_with("plain")) {
            (true, _) => BucketKind::ClientLocked,
            (false, true) => BucketKind::Plain,
            (false, false) => BucketKind::DefaultLocked,
        };
        let default = match kind {
            BucketKind::DefaultLocked => Some((LockMode::Compliance, Period::Days(1))),
            _ => None,
        };
        let info = BucketInfo {
            name: name.clone(),
            kind,
            created: now(),
            default,
            owner: self.owner.clone(),
            lifecycle: Vec::new(),
        };
        self.buckets.insert(name, info.clone());
        Ok(Answer::Bucket(info))
    }

    fn delete_bucket(&mut self, name: &str) -> Result<Answer, Refusal> {
        self.bucket(name)?;
        if self
            .objects
            .iter()
            .any(|((b, _), versions)| b == name && !versions.is_empty())
        {
            return Err(Refusal::BucketNotEmpty);
        }
        self.buckets.remove(name);
        Ok(Answer::Done)
    }

    fn set_default(
        &mut self,
        name: &str,
        default: Option<(LockMode, Period)>,
    ) -> Result<Answer, Refusal> {
        if self.bucket(name)?.kind == BucketKind::Plain {
            return Err(Refusal::NoLockOnBucket);
        }
        self.buckets
            .entry(name.to_owned())
            .and_modify(|bucket| bucket.default = default);
        Ok(Answer::Done)
    }

    fn check_lock(&self, bucket: &str, lock: &LockWish) -> Result<(), Refusal> {
        let wished = lock.retention.is_some() || lock.hold.is_some();
        if wished && self.bucket(bucket)?.kind == BucketKind::Plain {
            return Err(Refusal::NoLockOnBucket);
        }
        match lock.retention {
            Some(retention) if retention.until <= now() => {
                Err(Refusal::RetentionDate(RetentionDateFault::Past))
            }
            _ => Ok(()),
        }
    }

    fn open_put(&mut self, name: ObjectName, purpose: Purpose) -> Result<Answer, Refusal> {
        self.bucket(&name.bucket)?;
        match &purpose {
            Purpose::Object { lock, .. } => self.check_lock(&name.bucket, lock)?,
            Purpose::Part { upload, .. } => {
                self.uploads.get(upload).ok_or(Refusal::NoSuchUpload)?;
            }
        }
        let stream = StreamId(self.number());
        self.slab_bytes.clear();
        self.puts.insert(
            stream,
            Put {
                name,
                purpose,
                content: Vec::new(),
            },
        );
        Ok(Answer::Stream(stream))
    }

    fn put_data(&mut self, stream: StreamId, slab: &Slab) -> Result<Answer, Refusal> {
        self.take(stream, slab.data())?;
        self.slab_bytes.push(slab.len);
        Ok(Answer::Done)
    }

    fn take(&mut self, stream: StreamId, content: &[u8]) -> Result<(), Refusal> {
        let put = self.puts.get_mut(&stream).ok_or(Refusal::NoSuchStream)?;
        if !self.forget_content {
            put.content.extend_from_slice(content);
        }
        self.received_bytes += content.len();
        Ok(())
    }

    fn check_conditions(&self, name: &ObjectName, wanted: &Conditions) -> Result<(), Refusal> {
        let etag = self
            .find(name, None)
            .ok()
            .map(|version| version.info.etag.as_str());
        if wanted.if_match.is_some() && etag.is_none() {
            return Err(Refusal::NoSuchKey { marker: None });
        }
        let matched = wanted.if_match.as_ref().is_none_or(|c| matches(c, etag));
        let unmatched = wanted
            .if_none_match
            .as_ref()
            .is_none_or(|c| !matches(c, etag));
        if matched && unmatched {
            Ok(())
        } else {
            Err(Refusal::Precondition)
        }
    }

    fn commit(
        &mut self,
        stream: StreamId,
        md5: Option<[u8; 16]>,
        checksums: Vec<Checksum>,
        conditions: &Conditions,
    ) -> Result<Answer, Refusal> {
        let put = self.puts.remove(&stream).ok_or(Refusal::NoSuchStream)?;
        let etag = match md5 {
            Some(md5) => md5.iter().map(|byte| format!("{byte:02x}")).collect(),
            None => format!("{:032x}-1", self.number()),
        };
        match put.purpose {
            Purpose::Object { metadata, lock } => {
                self.check_conditions(&put.name, conditions)?;
                let stored = self.store(put.name, put.content, etag, metadata, lock, checksums)?;
                Ok(Answer::Stored(stored))
            }
            Purpose::Part { upload, number } => {
                let upload = self.uploads.get_mut(&upload).ok_or(Refusal::NoSuchUpload)?;
                let part = Part {
                    content: put.content,
                    etag: etag.clone(),
                    checksums: checksums.clone(),
                    modified: now(),
                };
                upload.parts.insert(number, part);
                let stored = Stored {
                    version: None,
                    versioned: false,
                    etag,
                    checksums,
                    receipt: None,
                };
                Ok(Answer::Stored(stored))
            }
        }
    }

    fn store(
        &mut self,
        name: ObjectName,
        content: Vec<u8>,
        etag: String,
        metadata: Metadata,
        lock: LockWish,
        checksums: Vec<Checksum>,
    ) -> Result<Stored, Refusal> {
        let bucket = self.bucket(&name.bucket)?.clone();
        let versioned = bucket.kind != BucketKind::Plain;
        let default = bucket.default.map(|(mode, period)| Retention {
            mode,
            until: later(period),
        });
        let version = self.version();
        let info = ObjectInfo {
            version,
            versioned,
            content_bytes: u64::try_from(content.len()).expect("small"),
            etag: etag.clone(),
            modified: now(),
            metadata,
            checksums: checksums.clone(),
            retention: lock.retention.or(default),
            hold: lock.hold,
            part_sizes: Vec::new(),
            lock_enabled: versioned,
        };
        let versions = self.objects.entry((name.bucket, name.key)).or_default();
        if !versioned {
            versions.clear();
        }
        versions.push(Version {
            info,
            content,
            marker: false,
        });
        Ok(Stored {
            version: Some(version),
            versioned,
            etag,
            checksums,
            receipt: self.receipt.clone(),
        })
    }

    fn find(&self, name: &ObjectName, wanted: Option<VersionId>) -> Result<&Version, Refusal> {
        self.bucket(&name.bucket)?;
        let place = (name.bucket.clone(), name.key.clone());
        let versions = self.objects.get(&place).map_or(&[][..], Vec::as_slice);
        let found = match wanted {
            None => versions.last().ok_or(Refusal::NoSuchKey { marker: None })?,
            Some(id) => {
                let found = versions.iter().find(|version| version.info.version == id);
                found.ok_or(Refusal::NoSuchVersion)?
            }
        };
        match (found.marker, wanted) {
            (false, _) => Ok(found),
            (true, None) => Err(Refusal::NoSuchKey {
                marker: Some(found.info.version),
            }),
            (true, Some(version)) => Err(Refusal::IsMarker {
                version,
                modified: found.info.modified,
            }),
        }
    }

    fn find_mut(
        &mut self,
        name: &ObjectName,
        wanted: Option<VersionId>,
    ) -> Result<&mut Version, Refusal> {
        let version = self.find(name, wanted)?.info.version;
        let place = (name.bucket.clone(), name.key.clone());
        let versions = self.objects.get_mut(&place).ok_or(Refusal::NoSuchVersion)?;
        let found = versions
            .iter_mut()
            .find(|candidate| candidate.info.version == version);
        found.ok_or(Refusal::NoSuchVersion)
    }

    fn open_get(
        &mut self,
        name: &ObjectName,
        version: Option<VersionId>,
        range: Option<RangeWish>,
    ) -> Result<Answer, Refusal> {
        let found = self.find(name, version)?;
        let total = found.content.len();
        let refused = Refusal::Range {
            content_bytes: found.info.content_bytes,
        };
        let size = |bytes: u64| usize::try_from(bytes).expect("small");
        let (start, end) = match range {
            None => (0, total),
            Some(RangeWish::From { first, .. }) if size(first) >= total => return Err(refused),
            Some(RangeWish::From { first, last }) => (
                size(first),
                last.map_or(total, |last| total.min(size(last) + 1)),
            ),
            Some(RangeWish::Suffix(bytes)) if bytes == 0 || total == 0 => return Err(refused),
            Some(RangeWish::Suffix(bytes)) => (total.saturating_sub(size(bytes)), total),
        };
        let (info, content) = (
            Box::new(found.info.clone()),
            found.content[start..end].to_vec(),
        );
        let bytes = |n: usize| u64::try_from(n).expect("small");
        let stream = StreamId(self.number());
        self.gets.insert(
            stream,
            Get {
                content,
                given: 0,
                pieces: 0,
            },
        );
        Ok(Answer::Opened {
            stream,
            info,
            range: (bytes(start), bytes(end - start)),
        })
    }

    fn next_data(&mut self, stream: StreamId, slab: &mut Slab) -> Result<Answer, Refusal> {
        let broken = self.break_download_after;
        let get = self.gets.get_mut(&stream).ok_or(Refusal::NoSuchStream)?;
        if get.given == get.content.len() {
            return Ok(Answer::End);
        }
        if broken.is_some_and(|most| get.pieces >= most) {
            return Err(Refusal::Damaged {
                segment: 1,
                place: "frame 2".into(),
            });
        }
        get.pieces += 1;
        get.given += slab.append(&get.content[get.given..]);
        Ok(Answer::Data)
    }
}

fn marker_info(version: VersionId) -> ObjectInfo {
    ObjectInfo {
        version,
        versioned: true,
        content_bytes: 0,
        etag: String::new(),
        modified: now(),
        metadata: Metadata::default(),
        checksums: Vec::new(),
        retention: None,
        hold: None,
        part_sizes: Vec::new(),
        lock_enabled: true,
    }
}
