//! The gateway's end of the conversation with the engine.

use tokio::sync::{mpsc, oneshot};

use crate::message::{Answer, Envelope, Refusal, Request};

/// Where an engine's answer arrives.
pub(crate) type Pending = oneshot::Receiver<Result<Answer, Refusal>>;

/// A way to ask the engine. Clones ask the same engine.
#[derive(Clone, Debug)]
pub struct EngineLink(mpsc::Sender<Envelope>);

impl EngineLink {
    /// Wraps the sending end of the engine's queue. The queue's length bounds what waits there.
    #[must_use]
    pub fn new(sender: mpsc::Sender<Envelope>) -> Self {
        Self(sender)
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The engine's refusal, or `Stopping` when there is no engine any more.
    pub(crate) async fn ask(&self, client: &str, request: Request) -> Result<Answer, Refusal> {
        settle(self.post(client, request).await?).await
    }

    /// Asks without waiting for the answer; questions of one caller reach the engine in order.
    ///
    /// # Errors
    /// `Stopping` when there is no engine any more.
    pub(crate) async fn post(&self, client: &str, request: Request) -> Result<Pending, Refusal> {
        let (answer, pending) = oneshot::channel();
        let envelope = Envelope {
            client: client.to_owned(),
            request,
            answer,
        };
        self.0
            .send(envelope)
            .await
            .map_err(|_gone| Refusal::Stopping)?;
        Ok(pending)
    }
}

/// Waits for an answer asked for with `post`.
///
/// # Errors
/// The engine's refusal, or `Stopping` when it went away without an answer.
pub(crate) async fn settle(pending: Pending) -> Result<Answer, Refusal> {
    pending.await.unwrap_or(Err(Refusal::Stopping))
}
