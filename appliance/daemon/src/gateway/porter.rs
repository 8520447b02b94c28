//! Carries questions of a gateway process to the engine, and answers and content back.
//!
//! Invariants:
//! - nothing in the shared memory is looked at in place: content is copied out before the engine sees
//!   it, and in after the engine has verified it;
//! - every question runs in a session that [`Sessions`] admits it to;
//! - when the conversation ends, for whatever reason, everything it left open is given up;
//! - what waits for the gateway is bounded: while it does not read, nothing is read from it;
//! - a question that takes long keeps no other waiting.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_device::linux::shared::SharedMemory;
use stele_format::units::UnixMillis;
use stele_gateway::SlabPool;
use stele_gateway::chain::ChunkChain;
use stele_gateway::claim::Verified;
use stele_gateway::limits::{
    LINK_READ_BYTES, SLAB_FRONT_BYTES, SLAB_PLAIN_BYTES_MAX, UPLOAD_WHOLE_COUNT_MAX,
};
use stele_gateway::message as gateway;
use stele_gateway::message::{Claim, Refusal, Request, SessionId};
use stele_gateway::slab::Slab;
use stele_gateway::tls::Tls;
use stele_gateway::turns::is_page;
use stele_gateway::wire::{Confined, Down, Frames, Piece, Up, WireFault, encode};
use stele_store::request as store;
use stele_store::request::Command;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::door::Door;
use super::pages::Pages;
use super::sessions::{Sessions, Stream};
use super::spent::takes_back;
use super::verify::verify;
use crate::bridge;
use crate::limits::{ASKED_COUNT_MAX, LINK_OUT_BYTES_MAX, LINK_SENT_BYTES_MAX};

/// A question on its way to the engine thread.
#[derive(Debug)]
pub struct Question {
    /// Who asks: a verified access key id.
    pub client: Arc<str>,
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: ReplyTo,
}

/// Where an answer goes: the porter that asked, and its number for the question.
#[derive(Debug, Clone)]
pub struct ReplyTo {
    number: u64,
    porter: mpsc::UnboundedSender<(u64, Answered)>,
}

type Answered = Result<store::Answer, store::Refusal>;

impl ReplyTo {
    /// Sends the answer.
    ///
    /// # Errors
    /// The answer, when nobody waits for it any more.
    pub fn send(self, answered: Answered) -> Result<(), Answered> {
        let sent = self.porter.send((self.number, answered));
        sent.map_err(|unsent| unsent.0.1)
    }
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The gateway's process has ended or closed its side.
    #[error("it closed the connection")]
    Closed,
    /// It sent what no gateway sends.
    #[error("it sent what no gateway sends: {0}")]
    Fault(#[from] WireFault),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
    /// The engine thread is gone.
    #[error("the engine is gone")]
    NoEngine,
}

/// A question that is not answered yet.
struct Asked {
    /// The gateway's number.
    number: u64,
    session: SessionId,
    piece: Option<Piece>,
    /// The client, for giving up what is opened too late.
    client: Arc<str>,
    /// Its answer may be long: whose share of pages it takes from.
    page_of: Option<Arc<str>>,
}

/// An upload's content that waits for memory.
struct Waiting {
    asked: Asked,
    request: Request,
}

/// What a porter works with, the same for every gateway process.
#[derive(Clone)]
pub struct Tools {
    /// Content on its way to the disks.
    pub slabs: SlabPool,
    /// Who may speak to the vault.
    pub door: Door,
    /// The way to the engine thread.
    pub questions: mpsc::Sender<Question>,
}

/// How far a gateway is confined, and its most memory.
pub type Ready = (Confined, Option<u64>);

/// One conversation.
pub struct Porter {
    stream: UnixStream,
    memory: Arc<SharedMemory>,
    tools: Tools,
    sessions: Sessions,
    asked: HashMap<u64, Asked>,
    last: u64,
    /// Questions that no honest gateway asks.
    strange: u64,
    /// Those asked whose answer may be long.
    pages: Pages,
    waiting: VecDeque<Waiting>,
    out: Vec<u8>,
    sent: usize,
    answers: mpsc::UnboundedReceiver<(u64, Answered)>,
    porter: mpsc::UnboundedSender<(u64, Answered)>,
    ready: Option<Ready>,
    /// Changes of how TLS is spoken.
    tls: Option<watch::Receiver<Arc<Tls>>>,
}

impl Porter {
    /// A porter over a connected socket.
    pub fn new(stream: UnixStream, memory: Arc<SharedMemory>, tools: Tools) -> Porter {
        let (porter, answers) = mpsc::unbounded_channel();
        Porter {
            stream,
            memory,
            tools,
            sessions: Sessions::default(),
            asked: HashMap::new(),
            last: 0,
            strange: 0,
            pages: Pages::default(),
            waiting: VecDeque::new(),
            out: Vec::new(),
            sent: 0,
            answers,
            porter,
            ready: None,
            tls: None,
        }
    }

    /// Tells the gateway of every change of how TLS is spoken.
    pub fn show(&mut self, tls: watch::Receiver<Arc<Tls>>) {
        self.tls = Some(tls);
    }

    /// Leaves a frame to be sent.
    ///
    /// # Errors
    /// When it is too long.
    pub fn tell(&mut self, frame: &Down) -> Result<(), WireFault> {
        encode(frame, &mut self.out)
    }

    /// Works until the conversation ends. `ready` is called once, when the gateway serves.
    pub async fn run(
        &mut self,
        mut stop: tokio::sync::watch::Receiver<bool>,
        ready: impl FnOnce(Ready),
    ) -> End {
        let mut frames = Frames::default();
        let mut bytes = vec![0; LINK_READ_BYTES];
        let mut ready = Some(ready);
        let mut stopped = false;
        loop {
            // What was read before and could not be taken then.
            if let Err(end) = self.take(&mut frames).await {
                return end;
            }
            if let Err(error) = self.push() {
                return End::Io(error);
            }
            tokio::select! {
                biased;
                answer = self.answers.recv() => {
                    // The sender that is kept here never lets the channel end.
                    if let Some((number, answered)) = answer
                        && let Err(end) = self.answer_all(number, answered).await
                    {
                        return end;
                    }
                }
                slab = self.tools.slabs.take(), if !self.waiting.is_empty() => {
                    if let Err(end) = self.go_on(slab).await {
                        return end;
                    }
                }
                writable = self.stream.writable(), if self.backlog() > 0 => {
                    if let Err(error) = writable {
                        return End::Io(error);
                    }
                }
                readable = self.stream.readable(), if self.listens() => {
                    if let Err(end) = self.read(readable, &mut frames, &mut bytes).await {
                        return end;
                    }
                }
                tls = next_tls(&mut self.tls) => {
                    if let Err(fault) = self.tell(&Down::Tls(Tls::clone(&tls))) {
                        return End::Fault(fault);
                    }
                }
                changed = stop.changed(), if !stopped => {
                    stopped = true;
                    if changed.is_err() || *stop.borrow() {
                        // A frame this short always fits.
                        self.tell(&Down::Stop).ok();
                    }
                }
            }
            if let (Some(files), Some(_)) = (self.ready, &ready)
                && let Some(ready) = ready.take()
            {
                ready(files);
            }
        }
    }

    /// Gives up everything the conversation has left open.
    pub async fn give_up(&mut self) {
        // What was opened and not told any more; what is opened later finds nobody and is given up
        // by the engine thread.
        self.answers.close();
        while let Ok((number, answered)) = self.answers.try_recv() {
            let asked = self.asked.remove(&number);
            let stream = answered.as_ref().ok().and_then(opened);
            if let (Some(asked), Some(stream)) = (asked, stream) {
                self.forget(asked.client, stream).await;
            }
        }
        for (client, stream) in self.sessions.close_all() {
            self.forget(client, stream).await;
        }
    }

    fn backlog(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether more questions are taken now.
    fn listens(&self) -> bool {
        self.backlog() < LINK_OUT_BYTES_MAX
            && self.asked.len() + self.waiting.len() < ASKED_COUNT_MAX
    }

    /// Gives the socket what it takes at once.
    fn push(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.try_write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        // A gateway that always leaves a little unread has no say in how much of what it read is kept.
        if self.backlog() == 0 || self.sent > LINK_SENT_BYTES_MAX {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    async fn read(
        &mut self,
        readable: io::Result<()>,
        frames: &mut Frames,
        bytes: &mut [u8],
    ) -> Result<(), End> {
        readable?;
        match self.stream.try_read(bytes) {
            Ok(0) => return Err(End::Closed),
            Ok(count) => frames.push(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(End::Io(error)),
        }
        self.take(frames).await
    }

    /// Takes questions as long as more may be taken.
    async fn take(&mut self, frames: &mut Frames) -> Result<(), End> {
        while self.listens()
            && let Some(frame) = frames.take::<Up>()?
        {
            match frame {
                Up::Ready {
                    files,
                    memory_bytes_max,
                } => self.ready = Some((files, memory_bytes_max)),
                Up::Ask {
                    number,
                    session,
                    request,
                    piece,
                } => self.ask(number, session, request, piece).await?,
            }
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        number: u64,
        session: SessionId,
        request: Request,
        piece: Option<Piece>,
    ) -> Result<(), End> {
        if let Request::SignIn {
            claim,
            source,
            signs_chunks,
            finished,
        } = request
        {
            let asked = (&claim, source, signs_chunks);
            return self.sign_in(number, asked, finished).await;
        }
        if let Request::VerifyChunks { proofs } = &request {
            let proved = self.sessions.prove(session, proofs);
            return self.reply(number, proved.map(|()| gateway::Answer::Done), 0);
        }
        let now_ms = SystemClock.monotonic_ms();
        let client = match self.admit(session, &request, now_ms) {
            Ok(client) => client,
            Err(refusal) => {
                self.judge(&refusal, Some(&request));
                return self.reply(number, Err(refusal), 0);
            }
        };
        let asked = Asked {
            number,
            session,
            piece,
            page_of: is_page(&request).then(|| self.tools.door.party(&client)),
            client,
        };
        match (&request, piece) {
            (Request::PutData { .. } | Request::Put { .. }, Some(_)) => {
                self.bring(asked, request).await
            }
            (Request::Put { content, .. }, None) if !content.0.is_empty() => {
                self.bring(asked, request).await
            }
            (Request::PutData { .. } | Request::NextData { .. }, None) => {
                self.reply(number, Err(Refusal::NoSuchStream), 0)
            }
            _ => self.pass(asked, request, None).await,
        }
    }

    /// Whose question this is, if it may be asked in that session.
    fn admit(
        &mut self,
        session: SessionId,
        request: &Request,
        now_ms: u64,
    ) -> Result<Arc<str>, Refusal> {
        verify(request)?;
        let client = self.sessions.admit(session, request, now_ms)?;
        if takes_back(request) {
            self.sessions
                .spend(session, &self.tools.door.spent, now_ms)?;
        }
        Ok(client)
    }

    /// Goes on with content as soon as there is memory for it.
    async fn bring(&mut self, asked: Asked, request: Request) -> Result<(), End> {
        if self.waiting.is_empty()
            && let Some(slab) = self.tools.slabs.try_take()
        {
            return self.with_content(asked, request, slab).await;
        }
        // What is in shared memory is held there.
        let holds = |request: &Request| matches!(request, Request::Put { content, .. } if !content.0.is_empty());
        let held = self.waiting.iter().filter(|one| holds(&one.request));
        // The honest gateway has no more of them under way, and their content is held here.
        if holds(&request) && held.count() >= UPLOAD_WHOLE_COUNT_MAX {
            return self.reply(asked.number, Err(Refusal::Busy), 0);
        }
        self.waiting.push_back(Waiting { asked, request });
        Ok(())
    }

    /// Goes on with the upload that has waited longest for memory.
    async fn go_on(&mut self, slab: Slab) -> Result<(), End> {
        match self.waiting.pop_front() {
            Some(Waiting { asked, request }) => self.with_content(asked, request, slab).await,
            None => Ok(()),
        }
    }

    async fn with_content(
        &mut self,
        asked: Asked,
        request: Request,
        mut slab: Slab,
    ) -> Result<(), End> {
        let taken = match (&request, asked.piece) {
            (_, Some(piece)) => self.copy_out(piece, &mut slab),
            (Request::Put { content, .. }, None) => copy_whole(&content.0, &mut slab),
            (_, None) => None,
        };
        match taken {
            Some(()) => self.pass(asked, request, Some(slab)).await,
            None => self.reply(asked.number, Err(Refusal::NoSuchStream), 0),
        }
    }

    /// Content out of the shared memory; none for a place that is not in it.
    fn copy_out(&self, piece: Piece, slab: &mut Slab) -> Option<()> {
        let len = usize::try_from(piece.bytes).ok()?;
        let into = slab
            .buffer
            .get_mut(slab.start..slab.start.checked_add(len)?)?;
        if len > SLAB_PLAIN_BYTES_MAX {
            return None;
        }
        let number = usize::try_from(piece.number).ok()?;
        self.memory.copy_out(number, SLAB_FRONT_BYTES, into).ok()?;
        slab.len = len;
        Some(())
    }

    async fn pass(
        &mut self,
        asked: Asked,
        request: Request,
        slab: Option<Slab>,
    ) -> Result<(), End> {
        let Some(command) = bridge::command(request, slab) else {
            return self.reply(asked.number, Err(Refusal::NoSession), 0);
        };
        // Whoever asks for too many at once is told so: all other questions are to go on meanwhile.
        if let Some(party) = &asked.page_of
            && !self.pages.begin(party)
        {
            return self.reply(asked.number, Err(Refusal::Busy), 0);
        }
        self.last += 1;
        let question = Question {
            client: Arc::clone(&asked.client),
            command,
            reply: ReplyTo {
                number: self.last,
                porter: self.porter.clone(),
            },
        };
        self.asked.insert(self.last, asked);
        let passed = self.tools.questions.send(question).await;
        passed.map_err(|_gone| End::NoEngine)
    }

    /// Says in the log that the gateway asked for what nobody signed, ever more rarely: it may go on for ever.
    fn judge(&mut self, refusal: &Refusal, request: Option<&Request>) {
        if *refusal != Refusal::NotSigned {
            return;
        }
        self.strange += 1;
        if self.strange.is_power_of_two() {
            // The kind of question and nothing of what it says.
            let question = request.map(|request| format!("{request:?}"));
            let question = question.as_deref().unwrap_or("SignIn");
            let question = question.split(|letter: char| !letter.is_alphanumeric());
            let question = question.take(1).collect::<String>();
            tracing::error!(
                %question,
                times = self.strange,
                "the gateway's process asked for what no client signed; it was refused, and should be looked into: the process may be in wrong hands"
            );
        }
    }

    async fn sign_in(
        &mut self,
        number: u64,
        (claim, source, signs_chunks): (&Claim, IpAddr, bool),
        finished: Vec<SessionId>,
    ) -> Result<(), End> {
        for session in finished {
            for (client, stream) in self.sessions.close(session) {
                self.forget(client, stream).await;
            }
        }
        let now = UnixMillis::new(SystemClock.wall_ms());
        let verified = self.tools.door.admit(claim, source, now);
        let result = verified.and_then(|Verified { key, mandate }| {
            let now_ms = SystemClock.monotonic_ms();
            let chain = signs_chunks.then(|| ChunkChain::new(&key, claim));
            let session = self.sessions.open(&claim.key_id, mandate, chain, now_ms)?;
            let owner = self.tools.door.owner(&claim.key_id);
            Ok(gateway::Answer::SignedIn { session, owner })
        });
        if let Err(refusal) = &result {
            self.judge(refusal, None);
        }
        self.reply(number, result, 0)
    }

    /// Gives a stream up without waiting for an answer.
    async fn forget(&mut self, client: Arc<str>, stream: Stream) {
        let Some(command) = bridge::command(stream.give_up(), None) else {
            return;
        };
        let (nobody, _) = mpsc::unbounded_channel();
        let question = Question {
            client,
            command,
            reply: ReplyTo {
                number: 0,
                porter: nobody,
            },
        };
        // Without an engine there is nothing to give up.
        self.tools.questions.send(question).await.ok();
    }

    /// Passes an answer on, and every other that has arrived with it.
    async fn answer_all(&mut self, number: u64, answered: Answered) -> Result<(), End> {
        self.answer(number, answered).await?;
        while self.backlog() < LINK_OUT_BYTES_MAX
            && let Ok((number, answered)) = self.answers.try_recv()
        {
            self.answer(number, answered).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, number: u64, answered: Answered) -> Result<(), End> {
        let Some(asked) = self.asked.remove(&number) else {
            return Ok(());
        };
        if let Some(party) = &asked.page_of {
            self.pages.end(party);
        }
        if let Some(stream) = answered.as_ref().ok().and_then(opened)
            && !self.sessions.opened(asked.session, stream)
        {
            self.forget(Arc::clone(&asked.client), stream).await;
        }
        let (result, content) = match answered {
            Ok(answer) => match bridge::answer_to_gateway(answer) {
                Some((answer, content)) => {
                    self.sessions.learn(asked.session, &answer);
                    (Ok(answer), content)
                }
                None => (Err(Refusal::NoSuchStream), None),
            },
            Err(refusal) => (Err(bridge::refusal_to_gateway(refusal)), None),
        };
        let bytes = match content {
            None => 0,
            Some(slab) => match self.copy_in(asked.piece, &slab) {
                Some(bytes) => bytes,
                None => return self.reply(asked.number, Err(Refusal::NoSuchStream), 0),
            },
        };
        self.reply(asked.number, result, bytes)
    }

    /// Content into the shared memory; none for a place that is not in it.
    fn copy_in(&self, piece: Option<Piece>, slab: &Slab) -> Option<u32> {
        let number = usize::try_from(piece?.number).ok()?;
        let content = slab.data();
        self.memory
            .copy_in(number, SLAB_FRONT_BYTES, content)
            .ok()?;
        u32::try_from(content.len()).ok()
    }

    fn reply(
        &mut self,
        number: u64,
        result: Result<gateway::Answer, Refusal>,
        bytes: u32,
    ) -> Result<(), End> {
        let frame = Down::Reply {
            number,
            result,
            bytes,
        };
        match self.tell(&frame) {
            // No page is that long; should one be, only its asker goes without.
            Err(WireFault::TooLong) => Ok(self.tell(&Down::Reply {
                number,
                result: Err(Refusal::Busy),
                bytes: 0,
            })?),
            told => Ok(told?),
        }
    }
}

/// Content that came with its question; none where it is too long.
fn copy_whole(content: &[u8], slab: &mut Slab) -> Option<()> {
    let end = slab.start.checked_add(content.len())?;
    let into = slab.buffer.get_mut(slab.start..end)?;
    into.copy_from_slice(content);
    slab.len = content.len();
    Some(())
}

/// The stream that an answer opens.
fn opened(answer: &store::Answer) -> Option<Stream> {
    match answer {
        store::Answer::Stream(stream) => Some(Stream::Put(gateway::StreamId(stream.0))),
        store::Answer::Opened { stream, .. } => Some(Stream::Get(gateway::StreamId(stream.0))),
        _ => None,
    }
}

/// The next change of how TLS is spoken; never, where nobody makes any.
async fn next_tls(tls: &mut Option<watch::Receiver<Arc<Tls>>>) -> Arc<Tls> {
    if let Some(changes) = tls
        && changes.changed().await.is_ok()
    {
        return Arc::clone(&changes.borrow_and_update());
    }
    *tls = None;
    std::future::pending().await
}

#[cfg(test)]
mod tests;
