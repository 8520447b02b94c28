//! Who is let in, and whose answers are held back.

use stele_gateway::chain::ChunkChain;
use stele_gateway::claim::Verified;
use stele_gateway::limits::DOMAINS;
use stele_gateway::message::{Answer, Claim, Refusal, Reply, SessionId};
use stele_gateway::{Clients, Domains};
use tokio::sync::oneshot;

use super::{State, now};

/// An answer that is held back.
pub struct Held {
    /// Who asked.
    pub client: String,
    reply: Reply,
    asker: oneshot::Sender<Reply>,
}

impl State {
    pub(super) fn hold(&mut self, reply: Reply, asker: oneshot::Sender<Reply>) {
        self.held.push(Held {
            client: self.last_client.clone(),
            reply,
            asker,
        });
    }

    /// Gives all that was held back, and holds nothing more.
    pub fn release(&mut self) {
        self.holds_pages = false;
        for Held { reply, asker, .. } in self.held.drain(..) {
            // A client that went away needs no answer.
            let _unread = asker.send(reply);
        }
    }

    pub(super) fn sign_in(
        &mut self,
        clients: &Clients,
        (claim, signs_chunks): (&Claim, bool),
        finished: Vec<SessionId>,
    ) -> Result<Answer, Refusal> {
        for session in finished {
            self.sessions.remove(&session);
            self.chains.remove(&session);
        }
        let domains = Domains::new(DOMAINS.map(str::to_owned));
        let Verified { key, mandate } = clients.verify(claim, &domains, now())?;
        let session = SessionId(self.number());
        self.sessions
            .insert(session, (claim.key_id.clone(), mandate));
        if signs_chunks {
            self.chains.insert(session, ChunkChain::new(&key, claim));
        }
        Ok(Answer::SignedIn {
            session,
            owner: self.owner.clone(),
        })
    }
}
