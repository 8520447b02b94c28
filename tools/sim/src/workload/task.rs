//! One operation from its first question to its last answer.

use stele_device::buffer::BufferMut;
use stele_format::limits::CHUNK_PLAIN_BYTES_MAX;
use stele_format::units::{UploadId, VersionId};
use stele_store::request::{
    Answer, Checksum, Command, Conditions, LockWish, ObjectName, Piece, Purpose, StreamId, Whole,
};

use super::Heard;
use crate::content::{Body, Content};
use crate::context::Context;
use crate::error::{Run, Violation};
use crate::oracle::Oracle;
use crate::oracle::deed::Deed;
use crate::oracle::model::Place;
use crate::oracle::survey::{PIECE_START, check_bytes};
use crate::swarm::Swarm;

/// An operation.
pub(super) enum Task {
    /// One question.
    Single,
    /// An upload of so many bytes in one question.
    Whole(u64),
    /// An upload.
    Put(Box<PutTask>),
    /// A download.
    Get(Box<GetTask>),
}

/// What an operation does next.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, on the stack"
)]
pub(super) enum Next {
    /// Nothing.
    Done,
    /// Asks this.
    Ask(Task, Command, Option<Deed>),
}

/// How an upload ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is committed.
    Commit,
    /// It is given up after so many bytes.
    Abort(u64),
    /// The client vanishes after so many bytes.
    Forget(u64),
}

/// An upload.
pub(super) struct PutTask {
    pub(super) at: Place,
    pub(super) content: Content,
    pub(super) part: Option<(UploadId, u16)>,
    pub(super) lock: LockWish,
    pub(super) conditions: Conditions,
    pub(super) checksums: Vec<Checksum>,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) fate: Fate,
    pub(super) stream: Option<StreamId>,
    pub(super) sent: u64,
}

/// A download.
pub(super) struct GetTask {
    pub(super) at: Place,
    pub(super) version: Option<VersionId>,
    pub(super) body: Option<Body>,
    pub(super) stream: Option<StreamId>,
    pub(super) offset: u64,
    pub(super) end: u64,
    /// Gives up after so many bytes.
    pub(super) patience: u64,
}

/// A place as the engine names it.
pub(super) fn name_of(at: &Place) -> ObjectName {
    ObjectName {
        bucket: at.bucket.clone(),
        key: at.key.clone(),
    }
}

impl Task {
    /// Content it brings in, bytes.
    pub(super) fn content_bytes(&self) -> u64 {
        match self {
            Task::Put(put) => put.content.bytes,
            Task::Whole(bytes) => *bytes,
            _ => 0,
        }
    }

    /// Goes on after an answer.
    pub(super) fn goes_on(
        self,
        context: &mut Context,
        oracle: &mut Oracle,
        _swarm: &Swarm,
        heard: Heard,
    ) -> Run<Next> {
        match self {
            Task::Single | Task::Whole(_) => Ok(Next::Done),
            Task::Put(put) => Ok(put.goes_on(heard)),
            Task::Get(get) => get.goes_on(context, oracle, heard),
        }
    }
}

impl PutTask {
    fn goes_on(mut self: Box<Self>, heard: Heard) -> Next {
        let Ok(answer) = heard else { return Next::Done };
        match (answer, self.stream) {
            (Answer::Stream(stream), None) => self.stream = Some(stream),
            (Answer::Done, Some(_)) => {}
            // Committed or given up.
            _ => return Next::Done,
        }
        let Some(stream) = self.stream else {
            return Next::Done;
        };
        match self.fate {
            Fate::Forget(bytes) if self.sent >= bytes => return Next::Done,
            Fate::Abort(bytes) if self.sent >= bytes => {
                return Next::Ask(Task::Single, Command::AbortPut { stream }, None);
            }
            _ => {}
        }
        if self.sent < self.content.bytes {
            let piece = self.piece();
            return Next::Ask(Task::Put(self), Command::PutData { stream, piece }, None);
        }
        let command = Command::CommitPut {
            stream,
            md5: self.md5,
            checksums: self.checksums.clone(),
            conditions: self.conditions.clone(),
        };
        let deed = self.deed(false);
        Next::Ask(Task::Single, command, Some(deed))
    }

    /// All of it in one question.
    pub(super) fn at_once(mut self, name: ObjectName, purpose: Purpose) -> (Command, Deed) {
        let piece = (self.content.bytes > 0).then(|| self.piece());
        let whole = Whole {
            piece,
            md5: self.md5,
            checksums: self.checksums.clone(),
            conditions: self.conditions.clone(),
        };
        let command = Command::Put {
            name,
            purpose,
            whole: Box::new(whole),
        };
        (command, self.deed(true))
    }

    fn deed(self, at_once: bool) -> Deed {
        let PutTask {
            at,
            content,
            part,
            lock,
            conditions,
            checksums,
            md5,
            ..
        } = self;
        match part {
            None => Deed::Put {
                at,
                content,
                lock,
                conditions,
                checksums,
                md5,
                at_once,
            },
            Some((upload, number)) => Deed::Part {
                at,
                upload,
                number,
                content,
                checksums,
                md5,
            },
        }
    }

    fn piece(&mut self) -> Piece {
        let left = self.content.bytes - self.sent;
        let bytes = left.min(u64::from(CHUNK_PLAIN_BYTES_MAX));
        let len = usize::try_from(bytes).expect("a chunk fits into memory");
        // Room for the frame header before the data, for padding and tag after it.
        let room = (PIECE_START + len.next_multiple_of(4096) + 16).next_multiple_of(4096);
        let mut buffer = BufferMut::zeroed(room);
        self.content
            .fill(self.sent, &mut buffer[PIECE_START..PIECE_START + len]);
        self.sent += bytes;
        Piece {
            buffer,
            start: PIECE_START,
            len,
        }
    }
}

impl GetTask {
    fn goes_on(
        mut self: Box<Self>,
        context: &mut Context,
        oracle: &mut Oracle,
        heard: Heard,
    ) -> Run<Next> {
        let answer = match heard {
            Ok(answer) => answer,
            // Outside the budget a chunk may be unreadable; streams end when the vault stops.
            Err(_) if self.stream.is_none() || oracle.allows_broken_streams() => {
                return Ok(Next::Done);
            }
            Err(refusal) => return Err(self.broken("data", &format!("{refusal:?}")).into()),
        };
        match answer {
            Answer::Opened {
                stream,
                info,
                range,
            } if self.stream.is_none() => {
                self.stream = Some(stream);
                self.body = oracle.body_of(&self.at, &info);
                self.version = Some(info.version);
                (self.offset, self.end) = (range.0, range.0 + range.1);
            }
            Answer::Data(piece) => self.take(context, &piece)?,
            Answer::End if self.offset == self.end => return Ok(self.close()),
            Answer::End => return Err(self.broken("more data", "the end").into()),
            _ => return Ok(Next::Done),
        }
        if self.patience < self.offset {
            return Ok(self.close());
        }
        let Some(stream) = self.stream else {
            return Ok(Next::Done);
        };
        Ok(Next::Ask(
            Task::Get(self),
            Command::NextData { stream },
            None,
        ))
    }

    fn close(&self) -> Next {
        match self.stream {
            Some(stream) => Next::Ask(Task::Single, Command::CloseGet { stream }, None),
            None => Next::Done,
        }
    }

    fn take(&mut self, context: &mut Context, piece: &Piece) -> Result<(), Violation> {
        let bytes = piece
            .buffer
            .get(piece.start..piece.start + piece.len)
            .unwrap_or_default();
        let version = self.version.unwrap_or_default();
        check_bytes(&self.at, version, self.body.as_ref(), self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        context.report.bytes_checked += bytes.len() as u64;
        if self.offset > self.end {
            return Err(self.broken("no more data than asked for", "more"));
        }
        Ok(())
    }

    fn broken(&self, expected: &str, got: &str) -> Violation {
        Violation::Answer {
            deed: format!("GET {} at byte {}", self.at, self.offset),
            expected: expected.to_owned(),
            got: got.to_owned(),
        }
    }
}
