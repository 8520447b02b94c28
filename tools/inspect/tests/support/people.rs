//! People with security keys made of software, and a log of what they state, record by record.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256, Sha512};
use stele_format::digest::Digest;
use stele_format::label::VaultFlags;
use stele_format::limits::SCOPE_ENTRIES_MAX;
use stele_format::record::{
    Alloc, Body, ClientTag, Commit, Destroyed, EntryKind, Genesis, LockMode, LogWalk, Part,
    Placement, RecordHeader, Release, ReleaseReason, Scope, SegmentSpan, StatementBody,
    StoredEntry, Tombstone, Trim, VersionRef, encode_record, scope_digest,
};
use stele_format::sshsig::{KeyType, PublicKey, SK_APPLICATION, STATEMENT_NAMESPACE};
use stele_format::statement::{
    Act, Answer, Cut, Erase, Found, FoundKey, Head, Hold, Kind, Name, Nonce, Origin, Request, Role,
    Second, Statement, Verb,
};
use stele_format::units::{
    BucketId, DiskId, Epoch, Generation, KeyClass, KeyIndex, KeyIndexParts, LaneId, LogIndex,
    Month, ObjectId, PoolId, SegmentId, Sequence, UnitCount, UnixMillis, UploadId, VersionId,
};
use stele_inspect::audit::Auditor;
use stele_inspect::audit::report::AuditReport;
use stele_inspect::verdict::Ledger;

pub const POOL: PoolId = super::POOL;
pub const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;
/// When every log begins: a day in September 2026.
pub const BEGIN: u64 = 1_788_000_000_000;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A key; a security key says what its flags say.
#[derive(Clone)]
pub struct Token {
    secret: SigningKey,
    pub kind: KeyType,
    pub flags: u8,
    pub counter: u32,
}

impl Token {
    pub fn new(seed: &str) -> Self {
        let secret = SigningKey::from_bytes(Digest::of(seed.as_bytes()).as_bytes());
        Self {
            secret,
            kind: KeyType::SecurityKey,
            flags: 5,
            counter: 0,
        }
    }

    pub fn plain(seed: &str) -> Self {
        Self {
            kind: KeyType::Plain,
            ..Self::new(seed)
        }
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.kind, self.secret.verifying_key().to_bytes()).unwrap()
    }

    /// The bytes inside the armour of `ssh-keygen -Y sign`.
    pub fn sign(&mut self, message: &str) -> Vec<u8> {
        let mut wrapped = b"SSHSIG".to_vec();
        put(&mut wrapped, STATEMENT_NAMESPACE.as_bytes());
        put(&mut wrapped, b"");
        put(&mut wrapped, b"sha512");
        put(&mut wrapped, &Sha512::digest(message.as_bytes()));
        self.counter += 1;
        let mut inner = Vec::new();
        put(&mut inner, self.kind.name().as_bytes());
        if self.kind == KeyType::SecurityKey {
            let mut signed = Sha256::digest(SK_APPLICATION.as_bytes()).to_vec();
            signed.push(self.flags);
            signed.extend_from_slice(&self.counter.to_be_bytes());
            signed.extend_from_slice(&Sha256::digest(&wrapped));
            put(&mut inner, &self.secret.sign(&signed).to_bytes());
            inner.push(self.flags);
            inner.extend_from_slice(&self.counter.to_be_bytes());
        } else {
            put(&mut inner, &self.secret.sign(&wrapped).to_bytes());
        }
        let mut out = b"SSHSIG".to_vec();
        out.extend_from_slice(&1_u32.to_be_bytes());
        put(&mut out, &self.public().to_blob());
        put(&mut out, STATEMENT_NAMESPACE.as_bytes());
        put(&mut out, b"");
        put(&mut out, b"sha512");
        put(&mut out, &inner);
        out
    }
}

/// A record, its place in the log aside.
pub type Kept = (RecordHeader, Body, Vec<Vec<u8>>);

/// What the log of a vault would hold, given to an auditor record by record.
pub struct Book {
    pub auditor: Auditor,
    pub walk: LogWalk,
    pub now: u64,
    /// How far the wall clock is behind, and ahead.
    pub wall_behind: u64,
    pub wall_ahead: u64,
    /// The access key whose requests the records answer.
    pub client: ClientTag,
    /// Epoch of the records.
    pub epoch: u32,
    /// The log that statements name.
    pub origin: Origin,
    pub tokens: BTreeMap<String, Token>,
    nonce: u64,
    keys: Vec<(VersionRef, KeyIndex)>,
    first: Option<(RecordHeader, Body)>,
    /// Every record, for those who write them into a vault.
    pub kept: Option<Vec<Kept>>,
}

pub const STAFF: [(&str, Role); 9] = [
    ("olga", Role::Operator),
    ("oleg", Role::Operator),
    ("anna", Role::Approver),
    ("axel", Role::Approver),
    ("anke", Role::Approver),
    ("fay", Role::Officer),
    ("finn", Role::Officer),
    ("cora", Role::Custodian),
    ("udo", Role::Auditor),
];

impl Book {
    /// Genesis of a vault that keeps its keys in hardware, or of an evaluation vault.
    pub fn blank(flags: VaultFlags) -> Self {
        let mut book = Self {
            auditor: Auditor::new(POOL),
            walk: LogWalk::new(),
            now: BEGIN,
            wall_behind: 0,
            wall_ahead: 0,
            client: ClientTag::NONE,
            epoch: 1,
            origin: Origin::of(POOL),
            tokens: BTreeMap::new(),
            nonce: 0,
            keys: Vec::new(),
            first: None,
            kept: None,
        };
        let genesis = Genesis {
            format: Genesis::FORMAT.to_owned(),
            disks: vec![DiskId::from_bytes([1; 16])],
            unit_bytes: 65536,
            segment_units: UnitCount::new(4),
            flags,
            created_ms: UnixMillis::new(BEGIN),
        };
        book.record(RecordHeader::default(), Body::Genesis(genesis));
        book
    }

    /// A vault with its people.
    pub fn founded() -> Self {
        let mut book = Self::blank(VaultFlags::SINGLE_DISK);
        book.found(&STAFF, &[]);
        book
    }

    pub fn token(&mut self, person: &str) -> &mut Token {
        let fresh = || Token::new(person);
        self.tokens.entry(person.to_owned()).or_insert_with(fresh)
    }

    pub fn public(&mut self, person: &str) -> PublicKey {
        self.token(person).public()
    }

    pub fn found(&mut self, staff: &[(&str, Role)], policies: &[(&str, &str)]) -> LogIndex {
        let signers: Vec<&str> = staff.iter().map(|(person, _)| *person).collect();
        self.found_by(staff, policies, &signers)
    }

    pub fn found_by(
        &mut self,
        staff: &[(&str, Role)],
        policies: &[(&str, &str)],
        signers: &[&str],
    ) -> LogIndex {
        let keys = staff.iter().map(|(person, role)| FoundKey {
            person: name(person),
            role: *role,
            key: self.public(person),
        });
        let policies = policies.iter().map(|(key, value)| (name(key), name(value)));
        let found = Found {
            keys: keys.collect(),
            policies: policies.collect(),
        };
        let text = self.text(Kind::Found(found));
        let signatures = signers.iter().map(|person| self.token(person).sign(&text));
        let signatures = signatures.collect();
        self.statement(text, signatures)
    }

    pub fn text(&self, kind: Kind) -> String {
        Statement::new(self.origin, kind).unwrap().to_text()
    }

    pub fn statement(&mut self, text: String, signatures: Vec<Vec<u8>>) -> LogIndex {
        let body = StatementBody { text, signatures };
        self.record(RecordHeader::default(), Body::Statement(body))
    }

    /// Somebody states something, signed with their own token.
    pub fn say(&mut self, by: &str, kind: Kind) -> LogIndex {
        let text = self.text(kind);
        let signature = self.token(by).sign(&text);
        self.statement(text, vec![signature])
    }

    /// The next record of the log, now.
    pub fn record(&mut self, header: RecordHeader, body: Body) -> LogIndex {
        self.record_with(header, body, Vec::new())
    }

    pub fn record_with(
        &mut self,
        header: RecordHeader,
        body: Body,
        attachments: Vec<Vec<u8>>,
    ) -> LogIndex {
        let draft = RecordHeader {
            log_index: self.walk.next_index(),
            previous_header: self.walk.head(),
            epoch: Epoch::new(self.epoch),
            compliance_ms: UnixMillis::new(self.now),
            wall_ms: UnixMillis::new(self.now - self.wall_behind + self.wall_ahead),
            client: self.client,
            ..header
        };
        let slices: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
        let header = encode_record(draft, &body, &slices, &mut Vec::new()).unwrap();
        self.walk.advance(&header).unwrap();
        self.auditor.take(&header, &body);
        if header.log_index.is_zero() {
            self.first = Some((draft, body.clone()));
        }
        if let Some(kept) = &mut self.kept {
            kept.push((draft, body, attachments));
        }
        header.log_index
    }

    pub fn wait(&mut self, millis: u64) {
        self.now += millis;
    }

    /// A version without a lock.
    pub fn version(&mut self) -> VersionRef {
        self.locked(LockMode::None, 0)
    }

    /// A version under retention for so long.
    pub fn locked(&mut self, mode: LockMode, millis: u64) -> VersionRef {
        let until = if mode == LockMode::None {
            0
        } else {
            self.now + millis
        };
        self.stored(mode, until, false)
    }

    pub fn stored(&mut self, mode: LockMode, until: u64, hold: bool) -> VersionRef {
        self.placed(mode, until, hold, Placement::Inline)
    }

    /// A version without a lock whose content lies in these segments.
    pub fn on_segments(&mut self, first: u64, last: u64) -> VersionRef {
        let span = SegmentSpan::new(SegmentId::new(first), SegmentId::new(last));
        self.placed(LockMode::None, 0, false, Placement::DataLane(span.unwrap()))
    }

    fn placed(
        &mut self,
        mode: LockMode,
        until: u64,
        hold: bool,
        placement: Placement,
    ) -> VersionRef {
        let index = self.walk.next_index();
        let month = Month::of(UnixMillis::new(until.max(self.now))).unwrap();
        let parts = KeyIndexParts {
            month,
            class: KeyClass::Object,
            epoch: Epoch::new(1),
            counter: u32::try_from(index.get()).unwrap(),
        };
        let version = VersionRef {
            object: ObjectId::new([0x0b; 16]),
            version: VersionId::new(index, [7; 8]),
        };
        let key_index = KeyIndex::compose(parts).unwrap();
        self.keys.push((version, key_index));
        let header = RecordHeader {
            mode,
            hold,
            retain_until_ms: UnixMillis::new(until),
            key_index,
            bucket: BucketId::new([0xb0; 16]),
            ..about(&version)
        };
        let commit = Commit {
            placement,
            entries: match placement {
                Placement::Inline => Vec::new(),
                Placement::DataLane(_) => vec![chunk()],
            },
        };
        self.record_with(header, Body::Commit(commit), vec![vec![0xaa; 72]]);
        version
    }

    /// So many versions without locks, so that a few of them are no large list.
    pub fn crowd(&mut self, count: usize) -> Vec<VersionRef> {
        (0..count).map(|_| self.version()).collect()
    }

    pub fn retention(&mut self, version: &VersionRef, mode: LockMode, until: u64) -> LogIndex {
        let header = RecordHeader {
            mode,
            retain_until_ms: UnixMillis::new(until),
            ..about(version)
        };
        self.record(header, Body::Retention)
    }

    pub fn hold(&mut self, version: &VersionRef, hold: bool) -> LogIndex {
        self.record(
            RecordHeader {
                hold,
                ..about(version)
            },
            Body::Hold,
        )
    }

    pub fn release(&mut self, version: &VersionRef, reason: ReleaseReason) -> LogIndex {
        self.record(about(version), Body::Release(Release { reason }))
    }

    pub fn head(&self) -> Head {
        Head {
            size: self.walk.frontier().size(),
            root: self.walk.frontier().root(),
        }
    }

    /// Records a list; its digest.
    pub fn list(&mut self, versions: &[VersionRef]) -> Digest {
        let digest = scope_digest(versions);
        let pieces = u32::try_from(versions.len().div_ceil(SCOPE_ENTRIES_MAX)).unwrap();
        for (ordinal, entries) in versions.chunks(SCOPE_ENTRIES_MAX).enumerate() {
            let piece = Scope {
                digest,
                ordinal: u32::try_from(ordinal).unwrap(),
                pieces,
                entries: entries.to_vec(),
            };
            self.record(RecordHeader::default(), Body::Scope(piece));
        }
        digest
    }

    pub fn request(&self, by: &str, act: Act) -> Request {
        Request {
            act,
            head: self.head(),
            nonce: self.nonce(),
            reason: Digest::of(b"why"),
            by: name(by),
        }
    }

    fn nonce(&self) -> Nonce<16> {
        Nonce(self.nonce.to_le_bytes().repeat(2).try_into().unwrap())
    }

    fn fresh(&mut self) -> Nonce<16> {
        self.nonce += 1;
        self.nonce()
    }

    pub fn ask(&mut self, by: &str, act: Act) -> Asked {
        self.nonce += 1;
        let request = self.request(by, act);
        self.ask_as(by, request)
    }

    pub fn ask_as(&mut self, by: &str, request: Request) -> Asked {
        let text = self.text(Kind::Request(request));
        let digest = Digest::of(text.as_bytes());
        let signature = self.token(by).sign(&text);
        let index = self.statement(text, vec![signature]);
        Asked { index, digest }
    }

    pub fn erase_act(&mut self, versions: &[VersionRef]) -> Act {
        Act::Erase(self.erase(versions))
    }

    pub fn erase(&mut self, versions: &[VersionRef]) -> Erase {
        let scope = self.list(versions);
        let time = Second::of(UnixMillis::new(self.now)).unwrap();
        Erase {
            scope,
            count: versions.len() as u64,
            bytes: 1,
            cut: Cut::Leaves,
            governance: false,
            oldest: time,
            newest: time,
            latest_retention: None,
        }
    }

    pub fn answer(&mut self, by: &str, verb: Verb, asked: &Asked) -> LogIndex {
        let answer = Answer {
            verb,
            request: asked.index,
            digest: asked.digest,
            by: name(by),
        };
        self.say(by, Kind::Answer(answer))
    }

    pub fn put_case(&mut self, by: &str, case: &str, versions: &[VersionRef]) -> LogIndex {
        let scope = self.list(versions);
        let hold = Hold {
            case: Digest::of(case.as_bytes()),
            scope,
            count: versions.len() as u64,
            nonce: self.fresh(),
            by: name(by),
        };
        self.say(by, Kind::Hold(hold))
    }

    /// Asked for, approved by each, waited, executed unless the approval did it.
    pub fn through(&mut self, by: &str, approvers: &[&str], act: Act, wait: u64) -> Asked {
        let at_once = matches!(
            act,
            Act::Suspend { .. } | Act::Remove { .. } | Act::RemoveKey { .. }
        );
        let asked = self.ask(by, act);
        self.wait(HOUR);
        for approver in approvers {
            self.answer(approver, Verb::Approve, &asked);
        }
        self.wait(wait);
        if !at_once {
            self.answer(by, Verb::Execute, &asked);
        }
        asked
    }

    /// Everything that is destroyed, in as many pieces as it takes; the last of them.
    pub fn tombstone(&mut self, asked: &Asked, versions: &[VersionRef]) -> LogIndex {
        let pieces = versions.len().div_ceil(SCOPE_ENTRIES_MAX).max(1);
        let mut index = LogIndex::ZERO;
        for piece in 0..pieces {
            let from = piece * SCOPE_ENTRIES_MAX;
            let to = versions.len().min(from + SCOPE_ENTRIES_MAX);
            index = self.tombstone_as(Tombstone {
                request: asked.index,
                ordinal: u32::try_from(piece).unwrap(),
                last: piece + 1 == pieces,
                month: None,
                entries: versions[from..to].to_vec(),
            });
        }
        index
    }

    pub fn tombstone_as(&mut self, tombstone: Tombstone) -> LogIndex {
        self.record(RecordHeader::default(), Body::Tombstone(tombstone))
    }

    /// A segment gets its place.
    pub fn allocated(&mut self, lane: LaneId, segment: u64) {
        let alloc = Alloc {
            segment: SegmentId::new(segment),
            lane,
            units: UnitCount::new(1),
            placements: Vec::new(),
        };
        self.record(RecordHeader::default(), Body::Alloc(alloc));
    }

    /// Segments are given up.
    pub fn given_up(&mut self, segments: &[u64]) -> LogIndex {
        let segments = segments.iter().copied().map(SegmentId::new).collect();
        let through = None;
        let trim = Trim::Begun { segments, through };
        self.record(RecordHeader::default(), Body::Trim(trim))
    }

    /// Segments are wiped on a disk.
    pub fn wiped(&mut self, segments: &[u64]) -> LogIndex {
        let trim = Trim::Done {
            segments: segments.iter().copied().map(SegmentId::new).collect(),
            disk: DiskId::from_bytes([1; 16]),
        };
        self.record(RecordHeader::default(), Body::Trim(trim))
    }

    /// A part of an upload, its number in the log in the upload's id.
    pub fn part(&mut self, upload: UploadId, number: u16, segment: u64) -> LogIndex {
        let part = Part {
            number,
            placement: Placement::DataLane(SegmentSpan::of(SegmentId::new(segment))),
            entries: vec![chunk()],
        };
        let header = RecordHeader {
            version: VersionId::from_bytes(*upload.as_bytes()),
            ..RecordHeader::default()
        };
        self.record_with(header, Body::Part(part), vec![vec![0xaa; 72]])
    }

    /// An upload is given up.
    pub fn abort(&mut self, upload: UploadId) {
        let header = RecordHeader {
            version: VersionId::from_bytes(*upload.as_bytes()),
            ..RecordHeader::default()
        };
        self.record(header, Body::Abort);
    }

    pub fn destroyed(&mut self, request: LogIndex, generation: u64) -> LogIndex {
        let destroyed = Destroyed {
            request,
            generation: Generation::new(generation),
            disks: vec![DiskId::from_bytes([1; 16])],
            absent: Vec::new(),
            anchor: None,
        };
        self.record(RecordHeader::default(), Body::Destroyed(destroyed))
    }

    pub fn enacted(&mut self, request: LogIndex) -> LogIndex {
        self.record(RecordHeader::default(), Body::Enacted(request))
    }

    pub fn report(self) -> AuditReport {
        self.auditor.finish(Ledger::default().finish())
    }

    /// Name and record of everything unlawful.
    pub fn unlawful(self) -> Vec<(&'static str, u64)> {
        let report = self.report();
        assert_eq!(
            report.verdict,
            u8::from(!report.unlawful.is_empty()),
            "{report:#?}"
        );
        let lines = report.unlawful.iter();
        lines.map(|line| (line.name, line.index)).collect()
    }

    #[track_caller]
    pub fn lawful(self) -> AuditReport {
        let report = self.report();
        assert!(report.unlawful.is_empty(), "{:#?}", report.unlawful);
        assert_eq!(report.verdict, 0);
        report
    }

    /// Exactly this, in exactly this record.
    #[track_caller]
    pub fn breaks(self, rule: &'static str, index: LogIndex) {
        assert_eq!(self.unlawful(), [(rule, index.get())]);
    }
}

/// Some stored chunk.
fn chunk() -> StoredEntry {
    StoredEntry {
        kind: EntryKind::Chunk,
        digest: Digest([0x33; 32]),
        stored_bytes: 4_112,
    }
}

/// A request that stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub index: LogIndex,
    pub digest: Digest,
}

pub fn about(version: &VersionRef) -> RecordHeader {
    RecordHeader {
        object: version.object,
        version: version.version,
        ..RecordHeader::default()
    }
}

impl Book {
    /// The leaf a version of this book was given.
    pub fn kept_key(&self, version: &VersionRef) -> KeyIndex {
        let (_, key) = self
            .keys
            .iter()
            .find(|(known, _)| known == version)
            .unwrap();
        *key
    }
}

impl Book {
    /// A hold on nothing that exists, before anything else can be judged.
    pub fn put_case_text(&mut self, by: &str) -> LogIndex {
        let hold = Hold {
            case: Digest::of(b"case"),
            scope: Digest::of(b"no list"),
            count: 1,
            nonce: self.fresh(),
            by: name(by),
        };
        self.say(by, Kind::Hold(hold))
    }
}

impl Book {
    /// Keeps every record from here on; the book must be blank, so that genesis is among them.
    pub fn keeping(flags: VaultFlags) -> Self {
        let mut book = Self::blank(flags);
        let (draft, body) = book.first.clone().unwrap();
        book.kept = Some(vec![(draft, body, Vec::new())]);
        book
    }

    /// The headers of everything kept.
    pub fn headers(&self) -> Vec<RecordHeader> {
        let kept = self.kept.as_ref().unwrap().iter();
        let header = |(draft, body, attachments): &(RecordHeader, Body, Vec<Vec<u8>>)| {
            let slices: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
            encode_record(*draft, body, &slices, &mut Vec::new()).unwrap()
        };
        kept.map(header).collect()
    }

    /// Writes everything kept into a journal on so many disks, segment after segment.
    pub fn write(&self, disks: usize) -> super::Vault {
        let mut vault = super::Vault::blank(disks);
        let all: Vec<usize> = (0..disks).collect();
        let mut open = vault.open(LaneId::JOURNAL, &all, None);
        for records in self.kept.as_ref().unwrap().chunks(16) {
            let mut payload = Vec::new();
            for (draft, body, attachments) in records {
                let slices: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
                let header = encode_record(*draft, body, &slices, &mut payload).unwrap();
                vault.log.advance(&header).unwrap();
            }
            vault.frame(
                &mut open,
                &payload,
                u16::try_from(records.len()).unwrap(),
                false,
            );
            if open.end > 150 * 1024 {
                vault.seal(&open);
                open = vault.open(LaneId::JOURNAL, &all, Some(&open));
            }
        }
        let (id, last) = (open.id(), vault.committed);
        vault.label(|label| {
            label.journal_segment = id;
            label.watermark = Sequence::new(last);
        });
        vault.segments.insert(id.get(), open);
        vault
    }
}
