//! A vault on simulated disks, driven step by step without threads.
#![allow(dead_code, reason = "each test binary uses its own part of the rig")]

pub mod locks;
pub mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_device::buffer::BufferMut;
use stele_device::disk::{Disk, Op};
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::entropy::SimEntropy;
use stele_device::sim::fault::Loss;
use stele_device::sim::keyprovider::{SimCounter, SimKeys};
use stele_device::sim::power::Power;
use stele_format::frame::{FrameDraft, FrameHeader};
use stele_format::record::{Body, RecordHeader, RecordReader};
use stele_format::segment::SEAL_MAGIC;
use stele_format::units::{ByteCount, KeyIndex, UnixMillis};
use stele_store::engine::{
    Action, Attachment, DiskRefusal, DiskSlot, DrainRefusal, Engine, Event, LabelAge, Now, World,
};
use stele_store::index::{IndexRequest, IndexStore};
use stele_store::job::Job;
use stele_store::keys::chunk::AwsLc;
use stele_store::policy::wiping::NotWiped;
use stele_store::policy::{Asker, Rights};
use stele_store::recovery::{
    CreateParams, OpenOptions, OpenReport, create, open, read_label, write_static_label,
};
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, ObjectName, Piece, Purpose, RangeWish,
    Refusal, Request, RequestId, StreamId, Whole,
};
use stele_store::wipe::WipeDone;

pub const DISK_BYTES: u64 = 96 << 20;
pub const PARAMS: CreateParams = CreateParams {
    unit_bytes: 256 << 10,
    segment_units: 16,
    keystate_bytes: 16 << 10,
    index_bytes: 16 << 20,
    simulated_clock: false,
};

/// Disks that outlive the process.
pub struct Rig {
    pub handles: Vec<Option<SimDiskHandle>>,
    /// What all disks hang on.
    pub power: Power,
    pub clock_ms: u64,
    pub monotonic_ms: u64,
    pub rights: Rights,
    pub options: OpenOptions,
    /// The anchor of the vault's keys, if they have one.
    pub anchor: Option<SimCounter>,
    seed: u64,
}

/// A running engine.
pub struct Running {
    pub engine: Engine,
    pub index: IndexStore,
    pub disks: Vec<Option<Box<dyn Disk>>>,
    pub report: OpenReport,
    pub replies: BTreeMap<RequestId, Result<Answer, Refusal>>,
    pub rights: Rights,
    /// Who asks, if not the vault itself.
    pub asker: Option<Asker>,
    /// While set, workers are busy: jobs gather here until [`Running::work`].
    pub busy: Option<Vec<Job>>,
    /// While set, the index is busy: questions gather here until [`Running::answer_index`].
    pub index_busy: Option<Vec<IndexRequest>>,
    /// Seal blocks given to disks.
    pub seals: usize,
    pub now: Now,
    next: u64,
}

impl Rig {
    pub fn create(disks: usize) -> Self {
        Self::create_with(&vec![DISK_BYTES; disks])
    }

    /// A vault on disks of these sizes.
    pub fn create_with(disk_bytes: &[u64]) -> Self {
        Self::create_on(disk_bytes, None)
    }

    /// A vault on disks of these sizes, its keys under this anchor.
    pub fn create_on(disk_bytes: &[u64], anchor: Option<SimCounter>) -> Self {
        Self::create_as(&PARAMS, disk_bytes, anchor)
    }

    /// The same with parameters of its own.
    pub fn create_as(
        params: &CreateParams,
        disk_bytes: &[u64],
        anchor: Option<SimCounter>,
    ) -> Self {
        Self::build(params, disk_bytes, anchor, 7)
    }

    /// A vault that shares no identity with those that others make.
    pub fn create_another(disks: usize) -> Self {
        Self::build(&PARAMS, &vec![DISK_BYTES; disks], None, 1_000)
    }

    fn build(
        params: &CreateParams,
        disk_bytes: &[u64],
        anchor: Option<SimCounter>,
        seed: u64,
    ) -> Self {
        let power = Power::new();
        let disk = |(seed, bytes): (u64, &u64)| {
            SimDiskHandle::with(&format!("sim-{seed:x}"), *bytes, seed, &power)
        };
        let handles = (0..).zip(disk_bytes).map(disk).map(Some).collect();
        let mut rig = Self {
            handles,
            power,
            clock_ms: 1_700_000_000_000,
            monotonic_ms: 1,
            rights: Rights::default(),
            options: OpenOptions {
                cache_bytes: 1 << 20,
                ..OpenOptions::default()
            },
            anchor,
            seed,
        };
        let opened: Vec<Box<dyn Disk>> = rig
            .handles
            .iter()
            .flatten()
            .map(|handle| Box::new(handle.open()) as Box<dyn Disk>)
            .collect();
        let mut world = rig.world();
        create(opened, params, &mut world, rig.now()).expect("a vault on blank disks");
        rig
    }

    pub fn world(&mut self) -> World {
        self.seed += 1;
        World {
            entropy: Box::new(SimEntropy::new(self.seed)),
            keys: Box::new(self.keys()),
            aead: Arc::new(AwsLc),
        }
    }

    /// What seals the key state.
    pub fn keys(&self) -> SimKeys {
        match &self.anchor {
            None => SimKeys::new(42),
            Some(counter) => SimKeys::anchored(42, counter),
        }
    }

    pub fn now(&self) -> Now {
        Now {
            wall: UnixMillis::new(self.clock_ms),
            monotonic_ms: self.monotonic_ms,
        }
    }

    /// Every frame on a disk, by its place there.
    fn frames(handle: &SimDiskHandle) -> impl Iterator<Item = (u64, FrameHeader)> {
        (0..DISK_BYTES).step_by(4096).filter_map(|at| {
            let header = FrameHeader::decode(&handle.peek(at, 256)).ok()?;
            Some((at, *header.claims()))
        })
    }

    /// The frames of journal or data lanes in order, each once.
    pub fn frames_of(&self, journal: bool) -> Vec<FrameHeader> {
        let mut frames: Vec<FrameHeader> = self
            .handles
            .iter()
            .flatten()
            .flat_map(Self::frames)
            .map(|(_, frame)| frame)
            .filter(|frame| frame.lane.is_journal() == journal)
            .collect();
        frames.sort_unstable_by_key(|frame| (frame.segment, frame.frame_index));
        frames.dedup();
        frames
    }

    /// The disks that hold a frame.
    pub fn disks_of(&self, frame: &FrameHeader) -> Vec<usize> {
        let holds = |handle: &SimDiskHandle| Self::frames(handle).any(|(_, other)| other == *frame);
        let disks = self.handles.iter().enumerate();
        disks
            .filter(|(_, handle)| handle.as_ref().is_some_and(holds))
            .map(|(disk, _)| disk)
            .collect()
    }

    /// Where a frame lies: disks, and offsets there.
    pub fn places_of(&self, frame: &FrameHeader) -> Vec<(usize, u64)> {
        let disks = self.handles.iter().enumerate();
        let disks = disks.filter_map(|(disk, handle)| Some((disk, handle.as_ref()?)));
        disks
            .flat_map(|(disk, handle)| Self::frames(handle).map(move |(at, f)| (disk, at, f)))
            .filter(|(_, _, other)| other == frame)
            .map(|(disk, at, _)| (disk, at))
            .collect()
    }

    /// A byte of a frame rots on every disk that holds it, `skip` bytes from its beginning.
    pub fn rot_everywhere(&self, frame: &FrameHeader, skip: u64) {
        for handle in self.handles.iter().flatten() {
            for (at, _) in Self::frames(handle).filter(|(_, other)| other == frame) {
                handle.rot(at + skip, 0xff);
            }
        }
    }

    /// Where the copies of a frame lie: disk, and byte on it.
    pub fn copies_of(&self, frame: &FrameHeader) -> Vec<(usize, u64)> {
        let disks = self.handles.iter().enumerate();
        disks
            .filter_map(|(disk, handle)| Some((disk, handle.as_ref()?)))
            .flat_map(|(disk, handle)| {
                Self::frames(handle).map(move |(at, other)| (disk, at, other))
            })
            .filter(|(_, _, other)| other == frame)
            .map(|(disk, at, _)| (disk, at))
            .collect()
    }

    /// A sector of a frame was never written on any disk, `skip` bytes from the frame's beginning.
    pub fn tear_everywhere(&self, frame: &FrameHeader, skip: u64) {
        for (disk, at) in self.copies_of(frame) {
            let handle = self.handles[disk].as_ref().expect("a disk that holds it");
            handle.tamper(at + skip, &[0; 512]);
        }
    }

    /// Bodies of the journal's records in order, each once.
    pub fn records(&self) -> Vec<Body> {
        let bodies = self.log().into_iter();
        bodies.map(|(_, body)| body).collect()
    }

    /// Headers and bodies of the journal's records in order, each once.
    pub fn log(&self) -> Vec<(RecordHeader, Body)> {
        let frames = self.frames_of(true);
        let records = frames.iter().flat_map(|frame| self.records_in(frame));
        records.collect()
    }

    /// Headers and bodies of a frame's records.
    pub fn records_in(&self, frame: &FrameHeader) -> Vec<(RecordHeader, Body)> {
        let (disk, at) = self.copies_of(frame)[0];
        let handle = self.handles[disk].as_ref().expect("a disk that holds it");
        let payload = handle.peek(at + 256, frame.payload_bytes as usize);
        let records = RecordReader::new(&payload, frame.record_count).filter_map(|record| {
            let record = record.ok()?.verify().ok()?;
            Some((record.header, record.body().clone()))
        });
        records.collect()
    }

    /// The leaves of the keys that seal something in the journal.
    pub fn keyed_records(&self) -> Vec<KeyIndex> {
        let log = self.log().into_iter();
        let leaves = log.map(|(header, _)| header.key_index);
        leaves.filter(|leaf| !leaf.is_none()).collect()
    }

    /// Power is lost: every sector not yet flushed may be kept, lost or torn.
    pub fn crash(&self) {
        self.handles
            .iter()
            .flatten()
            .for_each(|handle| handle.crash(Loss::Seeded));
    }

    pub fn start(&mut self) -> Running {
        self.try_start().expect("the vault opens")
    }

    pub fn try_start(&mut self) -> Result<Running, stele_store::recovery::OpenError> {
        let open = |handle: &SimDiskHandle| Box::new(handle.open()) as Box<dyn Disk>;
        let disks = self.handles.iter();
        let disks = disks.map(|handle| handle.as_ref().map(open)).collect();
        self.try_start_on(disks)
    }

    /// Starts on these disks, which are those of the handles in some guise.
    pub fn try_start_on(
        &mut self,
        disks: Vec<Option<Box<dyn Disk>>>,
    ) -> Result<Running, stele_store::recovery::OpenError> {
        let world = self.world();
        let now = self.now();
        let handles = &self.handles;
        let mut area = |slot: DiskSlot, offset: u64, bytes: u64| {
            let handle = handles[usize::from(slot.0)]
                .as_ref()
                .expect("an attached disk");
            Ok(Box::new(handle.area(offset, bytes)?) as Box<dyn stele_device::area::Area>)
        };
        let opened = open(disks, &mut area, world, &self.options, now)?;
        Ok(Running {
            engine: opened.engine,
            index: opened.index,
            disks: opened.disks,
            report: opened.report,
            replies: BTreeMap::new(),
            rights: self.rights,
            asker: None,
            busy: None,
            index_busy: None,
            seals: 0,
            now,
            next: 0,
        })
    }
}

impl Running {
    /// Sends a command and runs until its answer.
    pub fn ask(&mut self, command: Command) -> Result<Answer, Refusal> {
        let id = self.send(command);
        for _ in 0..10_000 {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            self.turn();
        }
        panic!("no answer to {id:?}");
    }

    pub fn send(&mut self, command: Command) -> RequestId {
        self.next += 1;
        let id = RequestId(self.next);
        self.event(Event::Request(Request {
            id,
            asker: match &self.asker {
                Some(asker) => asker.clone(),
                None => Asker::Vault(self.rights),
            },
            command,
        }));
        id
    }

    pub fn event(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.engine.step(self.now, event, &mut actions);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Disk { slot, id, op } => {
                let disk = self.disks[usize::from(slot.0)]
                    .as_mut()
                    .expect("an attached disk");
                if let Op::Write { data, .. } | Op::WriteDurable { data, .. } = &op {
                    self.seals += usize::from(data.starts_with(&SEAL_MAGIC));
                }
                disk.submit(id, op);
            }
            Action::Job(job) => match &mut self.busy {
                Some(jobs) => jobs.push(job),
                None => self.event(Event::Job(job.run(&AwsLc))),
            },
            Action::Index(request) => match &mut self.index_busy {
                Some(requests) => requests.push(request),
                None => {
                    let reply = self.index.execute(request);
                    self.event(Event::Index(reply));
                }
            },
            Action::Reply { id, result } => {
                self.replies.insert(id, result);
            }
        }
    }

    /// The workers do what has gathered, and are busy no more.
    pub fn work(&mut self) {
        for job in self.busy.take().unwrap_or_default() {
            self.event(Event::Job(job.run(&AwsLc)));
        }
    }

    /// What the index was asked while it was busy, to be answered later.
    pub fn asked_of_index(&mut self) -> Vec<IndexRequest> {
        self.index_busy.take().unwrap_or_default()
    }

    /// The index answers.
    pub fn answer_index(&mut self, requests: Vec<IndexRequest>) {
        for request in requests {
            let reply = self.index.execute(request);
            self.event(Event::Index(reply));
        }
    }

    /// Hours pass on both clocks with nothing going on.
    pub fn sleep(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall = UnixMillis::new(self.now.wall.get() + ms);
        self.event(Event::Tick);
    }

    /// The wall clock jumps, and nothing else.
    pub fn wall_jumps(&mut self, ms: u64) {
        self.set_wall(self.now.wall.get() + ms);
    }

    /// The wall clock is set, and nothing else.
    pub fn set_wall(&mut self, ms: u64) {
        self.now.wall = UnixMillis::new(ms);
        self.event(Event::Tick);
    }

    /// Gives the running engine a disk for the place of disk `number` (from 1), or for a new one, as a
    /// driver does: with a static label, unless it has that very one.
    pub fn attach(
        &mut self,
        number: Option<u16>,
        handle: &SimDiskHandle,
    ) -> Result<(), DiskRefusal> {
        let offer = self.engine.offer(number)?;
        let mut disk: Box<dyn Disk> = Box::new(handle.open());
        let mut label = offer.label;
        label.geometry.disk_bytes = ByteCount::new(disk.identity().bytes);
        let reading = read_label(&mut *disk).filter(|read| read.fixed.disk == label.disk);
        let known = reading.is_some();
        if !known {
            write_static_label(&mut *disk, &label).expect("a disk that takes writes");
        }
        let slot = DiskSlot(u16::try_from(self.disks.len()).expect("few disks"));
        self.disks.push(Some(disk));
        let attachment = Attachment {
            slot,
            name: format!("late-{}", slot.0),
            serial: None,
            disk: label.disk,
            geometry: label.geometry,
            age: reading.as_ref().map(LabelAge::of).unwrap_or_default(),
        };
        let mut actions = Vec::new();
        let result = self.engine.attach(self.now, attachment, &mut actions);
        actions.into_iter().for_each(|action| self.act(action));
        result
    }

    /// Begins to drain disk `number` (from 1).
    pub fn drain(&mut self, number: u16) -> Result<(), DrainRefusal> {
        let mut actions = Vec::new();
        let result = self.engine.drain(self.now, number, &mut actions);
        actions.into_iter().for_each(|action| self.act(action));
        result
    }

    /// Has it written down that a disk is wiped.
    pub fn note_wiped(&mut self, done: WipeDone) -> Result<(), NotWiped> {
        let mut actions = Vec::new();
        let result = self.engine.note_wiped(self.now, done, &mut actions);
        actions.into_iter().for_each(|action| self.act(action));
        result
    }

    /// Runs until this holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Engine) -> bool) {
        for _ in 0..200_000 {
            if holds(&self.engine) {
                return;
            }
            self.turn();
        }
        panic!("never: {what}; {:?}", self.engine.status());
    }

    /// The machine's clock alone jumps ahead.
    pub fn jump(&mut self, ms: u64) {
        self.now.wall = UnixMillis::new(self.now.wall.get() + ms);
    }

    /// One round: every disk's completions, then a tick.
    pub fn turn(&mut self) {
        self.complete();
        self.now.monotonic_ms += 1;
        self.event(Event::Tick);
    }

    /// Time passes without anybody looking, then a tick.
    pub fn pause(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.event(Event::Tick);
    }

    /// Time passes with ticks alone.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.pause(100);
        }
    }

    /// Every disk's completions, and no tick.
    pub fn complete(&mut self) {
        for slot in 0..self.disks.len() {
            let mut done = Vec::new();
            if let Some(disk) = &mut self.disks[slot] {
                disk.poll(&mut done);
            }
            let slot = DiskSlot(u16::try_from(slot).expect("few disks"));
            for done in done {
                self.event(Event::Disk { slot, done });
            }
        }
    }

    pub fn stop(mut self) {
        self.event(Event::Stop);
        for _ in 0..10_000 {
            if self.engine.is_stopped() {
                self.complete();
                // A disk that failed takes nothing more.
                drop(self.engine.keep_head(&mut self.disks));
                return;
            }
            self.turn();
        }
        panic!("the engine does not stop");
    }

    pub fn bucket(&mut self, name: &str, lock: bool) {
        self.ask(Command::CreateBucket {
            name: name.to_owned(),
            lock,
        })
        .expect("a new bucket");
    }

    pub fn open_put(&mut self, name: &ObjectName, purpose: Purpose) -> Result<StreamId, Refusal> {
        let command = Command::OpenPut {
            name: name.clone(),
            purpose,
            content_bytes: None,
        };
        match self.ask(command)? {
            Answer::Stream(stream) => Ok(stream),
            other => panic!("unexpected {other:?}"),
        }
    }

    pub fn feed(&mut self, stream: StreamId, content: &[u8]) -> Result<(), Refusal> {
        for chunk in content.chunks(1_044_480) {
            let piece = piece(chunk);
            self.ask(Command::PutData { stream, piece })?;
        }
        Ok(())
    }

    pub fn commit(&mut self, stream: StreamId) -> Result<stele_store::request::Stored, Refusal> {
        let command = Command::CommitPut {
            stream,
            md5: None,
            checksums: Vec::new(),
            conditions: Conditions::default(),
        };
        match self.ask(command)? {
            Answer::Stored(stored) => Ok(stored),
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Content that is all at hand, in one question.
    pub fn put_whole(
        &mut self,
        name: &ObjectName,
        purpose: Purpose,
        content: &[u8],
        conditions: Conditions,
    ) -> Result<stele_store::request::Stored, Refusal> {
        match self.ask(put_whole(name, purpose, content, conditions))? {
            Answer::Stored(stored) => Ok(stored),
            other => panic!("unexpected {other:?}"),
        }
    }

    pub fn put(&mut self, name: &ObjectName, content: &[u8]) -> stele_store::request::Stored {
        let purpose = Purpose::Object {
            metadata: Metadata::default(),
            lock: LockWish::default(),
        };
        if content.len() <= 16 << 10 {
            let stored = self.put_whole(name, purpose, content, Conditions::default());
            return stored.expect("the object is stored");
        }
        let stream = self.open_put(name, purpose).expect("an upload may begin");
        self.feed(stream, content).expect("data is taken");
        self.commit(stream).expect("the upload is stored")
    }

    pub fn get(
        &mut self,
        name: &ObjectName,
        version: Option<stele_format::units::VersionId>,
        range: Option<RangeWish>,
    ) -> Result<Vec<u8>, Refusal> {
        let command = Command::OpenGet {
            name: name.clone(),
            version,
            range,
        };
        let Answer::Opened { stream, .. } = self.ask(command)? else {
            panic!("not opened")
        };
        let mut content = Vec::new();
        loop {
            match self.ask(Command::NextData { stream })? {
                Answer::Data(piece) => {
                    content.extend_from_slice(&piece.buffer[piece.start..piece.start + piece.len]);
                }
                Answer::End => {
                    self.ask(Command::CloseGet { stream })?;
                    return Ok(content);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

/// Content that is all at hand, at most a whole chunk.
pub fn put_whole(
    name: &ObjectName,
    purpose: Purpose,
    content: &[u8],
    conditions: Conditions,
) -> Command {
    let whole = Whole {
        piece: (!content.is_empty()).then(|| piece(content)),
        md5: None,
        checksums: Vec::new(),
        conditions,
    };
    Command::Put {
        name: name.clone(),
        purpose,
        whole: Box::new(whole),
    }
}

/// At most a whole chunk of an upload.
pub fn piece(chunk: &[u8]) -> Piece {
    let mut buffer = BufferMut::zeroed(1 << 20);
    buffer[256..256 + chunk.len()].copy_from_slice(chunk);
    Piece {
        buffer,
        start: 256,
        len: chunk.len(),
    }
}

/// The header of a frame in another one's place, with another payload: digests are as a writer makes them.
pub fn resealed(frame: &FrameHeader, payload: &[u8]) -> FrameHeader {
    let draft = FrameDraft {
        pool: frame.pool,
        segment: frame.segment,
        frame_index: frame.frame_index,
        lane: frame.lane,
        record_count: frame.record_count,
        list: frame.list,
        sequence: frame.sequence,
        epoch: frame.epoch,
        segment_offset: frame.segment_offset,
        committed_through: frame.committed_through,
        compliance_ms: frame.compliance_ms,
        previous_header: frame.previous_header,
    };
    draft.seal(payload).expect("a payload that fits")
}

pub fn name(bucket: &str, key: &str) -> ObjectName {
    ObjectName {
        bucket: bucket.to_owned(),
        key: key.as_bytes().to_vec(),
    }
}

/// Bytes that depend on a seed.
pub fn content(seed: usize, bytes: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at.wrapping_mul(31) >> 3).wrapping_add(seed * 7) % 251);
    (0..bytes).map(|at| byte(at).expect("below 251")).collect()
}
