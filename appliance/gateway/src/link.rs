//! The gateway's end of the conversation with the engine.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::limits::{PAGE_COUNT_MAX, PAGE_OF_PARTY_COUNT_MAX};
use crate::memory::Memory;
use crate::message::{Answer, Claim, Delivered, Envelope, Refusal, Reply, Request, SessionId};
use crate::slab::Slab;
use crate::turns::{Division, Turn, Turns, is_page, party};
use crate::wire::gateway::Wire;

/// Where an engine's answer arrives.
pub(crate) type Pending = oneshot::Receiver<Reply>;

/// A way to ask the engine. Clones ask the same engine.
#[derive(Clone, Debug)]
pub struct EngineLink {
    way: Way,
    /// Sessions that are over, to be told with the next question for a new one.
    finished: Arc<Mutex<Vec<SessionId>>>,
    /// For pages.
    pages: Turns,
    /// For what requests and answers hold.
    memory: Memory,
}

#[derive(Clone, Debug)]
enum Way {
    /// An engine in this process.
    Queue(mpsc::Sender<Envelope>),
    /// An engine in another process.
    Wire(Arc<Wire>),
}

impl EngineLink {
    /// Asks an engine of this process. The queue's length bounds what waits there.
    #[must_use]
    pub fn new(sender: mpsc::Sender<Envelope>) -> Self {
        Self::over(Way::Queue(sender))
    }

    /// Asks an engine of another process.
    #[must_use]
    pub fn wired(wire: Wire) -> Self {
        Self::over(Way::Wire(Arc::new(wire)))
    }

    fn over(way: Way) -> Self {
        let pages = Division::new(PAGE_COUNT_MAX, PAGE_OF_PARTY_COUNT_MAX);
        Self {
            way,
            finished: Arc::default(),
            pages: Turns::new(pages),
            memory: Memory::new(),
        }
    }

    /// For what requests and answers hold.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Has a signed request verified.
    ///
    /// # Errors
    /// Why it is not believed, or `Stopping` when there is no engine any more.
    pub(crate) async fn sign_in(
        &self,
        claim: Claim,
        source: IpAddr,
        signs_chunks: bool,
        unverified: Turn,
    ) -> Result<Session, Refusal> {
        // In a task of its own, so that a client that goes away meanwhile leaves no session open: the
        // answer is always looked at, and the session it opens dropped. What the head holds counts until then.
        let link = self.clone();
        let exchange = tokio::spawn(async move {
            let exchanged = link.exchange(claim, source, signs_chunks).await;
            drop(unverified);
            exchanged
        });
        exchange.await.unwrap_or(Err(Refusal::Stopping))
    }

    async fn exchange(
        &self,
        claim: Claim,
        source: IpAddr,
        signs_chunks: bool,
    ) -> Result<Session, Refusal> {
        let client = claim.key_id.clone();
        let finished = std::mem::take(&mut *self.finished());
        let request = Request::SignIn {
            claim,
            source,
            signs_chunks,
            finished: finished.clone(),
        };
        let pending = match self.post(SessionId::NONE, request, None).await {
            Ok(pending) => pending,
            Err(refusal) => {
                self.finished().extend(finished);
                return Err(refusal);
            }
        };
        // Nothing was asked to be changed yet.
        let gone = |refusal| match refusal {
            Refusal::Unanswered => Refusal::Stopping,
            refusal => refusal,
        };
        match settle(pending).await.map_err(gone)?.answer {
            Answer::SignedIn { session, owner } => Ok(Session(Arc::new(Open {
                link: self.clone(),
                id: session,
                client,
                owner,
                shows_pages: AtomicBool::new(false),
                page: Mutex::default(),
            }))),
            _ => Err(Refusal::NoSession),
        }
    }

    /// Asks without waiting for the answer; questions of one caller reach the engine in order.
    async fn post(
        &self,
        session: SessionId,
        request: Request,
        slab: Option<Slab>,
    ) -> Result<Pending, Refusal> {
        let (answer, pending) = oneshot::channel();
        let envelope = Envelope {
            session,
            request,
            slab,
            answer,
        };
        match &self.way {
            Way::Queue(queue) => queue
                .send(envelope)
                .await
                .map_err(|_gone| Refusal::Stopping)?,
            Way::Wire(wire) => wire.post(envelope).await?,
        }
        Ok(pending)
    }

    fn finished(&self) -> MutexGuard<'_, Vec<SessionId>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signed request that was verified, in whose name the engine can be asked. Clones are the same
/// session; it is over when the last one is dropped.
#[derive(Clone)]
pub(crate) struct Session(Arc<Open>);

struct Open {
    link: EngineLink,
    id: SessionId,
    client: String,
    owner: String,
    /// Whether what is asked for goes to the client.
    shows_pages: AtomicBool,
    /// The turn of a page that does.
    page: Mutex<Option<Turn>>,
}

impl Open {
    fn page(&self) -> MutexGuard<'_, Option<Turn>> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Whose it is: the access key id.
    pub(crate) fn client(&self) -> &str {
        &self.0.client
    }

    /// Whose key it is; nothing for the vault's own.
    pub(crate) fn owner(&self) -> &str {
        &self.0.owner
    }

    /// Whose share of what is scarce it takes from.
    pub(crate) fn party(&self) -> &str {
        party(self.client(), self.owner())
    }

    /// Has the turn of a page last as long as the session: its rows go into a document that nobody counted yet.
    pub(crate) fn show_pages(&self) {
        self.0.shows_pages.store(true, Ordering::Relaxed);
    }

    /// Whether it has the turn of a page.
    pub(crate) fn has_page(&self) -> bool {
        self.0.page().is_some()
    }

    /// Memory for what its client may leave lying, as soon as there is as much within a bounded time.
    ///
    /// # Errors
    /// `Busy` when there is not in that time.
    pub(crate) async fn memory(&self, bytes: usize) -> Result<Turn, Refusal> {
        self.0.link.memory.take(self.party(), bytes).await
    }

    /// The same, if there is as much now.
    ///
    /// # Errors
    /// `Busy` when there is not.
    pub(crate) fn try_memory(&self, bytes: usize) -> Result<Turn, Refusal> {
        self.0.link.memory.try_take(self.party(), bytes)
    }

    /// Asks and waits for the answer; for a page, when it is this client's turn.
    pub(crate) async fn ask(&self, request: Request) -> Reply {
        if !is_page(&request) {
            return settle(self.post(request, None).await?).await;
        }
        let held = self.0.page().clone();
        let turn = match held {
            Some(turn) => turn,
            None => self.0.link.pages.turn(self.party()).await?,
        };
        if self.0.shows_pages.load(Ordering::Relaxed) {
            *self.0.page() = Some(turn.clone());
        }
        let session = self.clone();
        // In a task of its own: the engine works on a page also when its client has gone away.
        let asking = tokio::spawn(async move {
            let reply = settle(session.post(request, None).await?).await;
            drop(turn);
            reply
        });
        asking.await.unwrap_or(Err(Refusal::Unanswered))
    }

    /// Asks without waiting for the answer; questions of one caller reach the engine in order.
    ///
    /// # Errors
    /// `Stopping` when there is no engine any more.
    pub(crate) async fn post(
        &self,
        request: Request,
        slab: Option<Slab>,
    ) -> Result<Pending, Refusal> {
        self.0.link.post(self.0.id, request, slab).await
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.link.finished().push(self.id);
    }
}

/// Waits for an answer asked for with `post`.
///
/// # Errors
/// The engine's refusal, or `Unanswered` when it went away without an answer.
pub(crate) async fn settle(pending: Pending) -> Result<Delivered, Refusal> {
    pending.await.unwrap_or(Err(Refusal::Unanswered))
}
