//! Who signed what: the sessions of one gateway process.
//!
//! Invariants: a session exists only for a claim whose signature was verified here; nothing is asked in it that does
//! not serve what was signed; a stream is used only in the session that opened it; nothing is opened in a session that
//! is older than a signature may be.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use stele_gateway::chain::{ChunkChain, ChunkProof};
use stele_gateway::claim::Mandate;
use stele_gateway::limits::CHUNK_PROOF_COUNT_MAX;
use stele_gateway::message::{Answer, Refusal, Request, SessionId, StreamId};

use super::spent::Spent;
use crate::limits::{SESSION_COUNT_MAX, SESSION_OPENS_MS_MAX};

/// Every open session.
#[derive(Debug, Default)]
pub struct Sessions {
    last: u64,
    open: HashMap<SessionId, Session>,
}

#[derive(Debug)]
struct Session {
    client: Arc<str>,
    mandate: Mandate,
    /// Of a body whose chunks are signed, as long as all were right.
    chain: Option<ChunkChain>,
    since_ms: u64,
    streams: HashSet<Stream>,
    /// Whether its signature was served for what takes something back.
    is_spent: bool,
}

/// An open stream, and how it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// An upload.
    Put(StreamId),
    /// A download.
    Get(StreamId),
}

impl Stream {
    /// The question that gives it up.
    pub fn give_up(self) -> Request {
        match self {
            Stream::Put(stream) => Request::AbortPut { stream },
            Stream::Get(stream) => Request::CloseGet { stream },
        }
    }
}

/// The stream a question uses, if it uses one.
fn used(request: &Request) -> Option<Stream> {
    match request {
        Request::PutData { stream }
        | Request::CommitPut { stream, .. }
        | Request::AbortPut { stream } => Some(Stream::Put(*stream)),
        Request::NextData { stream } | Request::CloseGet { stream } => Some(Stream::Get(*stream)),
        _ => None,
    }
}

impl Sessions {
    /// Opens a session for a client that proved who it is.
    ///
    /// # Errors
    /// `Busy` when there are too many.
    pub fn open(
        &mut self,
        client: &str,
        mandate: Mandate,
        chain: Option<ChunkChain>,
        now_ms: u64,
    ) -> Result<SessionId, Refusal> {
        if self.open.len() >= SESSION_COUNT_MAX {
            // An old one without a stream can begin nothing any more: nothing is lost with it.
            self.open.retain(|_, session| {
                !session.streams.is_empty()
                    || now_ms.saturating_sub(session.since_ms) <= SESSION_OPENS_MS_MAX
            });
        }
        if self.open.len() >= SESSION_COUNT_MAX {
            return Err(Refusal::Busy);
        }
        self.last += 1;
        let session = Session {
            client: client.into(),
            mandate,
            chain,
            since_ms: now_ms,
            streams: HashSet::new(),
            is_spent: false,
        };
        let id = SessionId(self.last);
        self.open.insert(id, session);
        Ok(id)
    }

    /// Verifies what follows in the chain of a session's chunks.
    ///
    /// # Errors
    /// `NoSession`, or `Signature`, and then for ever: the chain is over.
    pub fn prove(&mut self, id: SessionId, proofs: &[ChunkProof]) -> Result<(), Refusal> {
        let session = self.open.get_mut(&id).ok_or(Refusal::NoSession)?;
        let mut chain = session.chain.take().ok_or(Refusal::Signature)?;
        if proofs.len() > CHUNK_PROOF_COUNT_MAX {
            return Err(Refusal::Signature);
        }
        chain.verify(proofs)?;
        session.chain = Some(chain);
        Ok(())
    }

    /// Ends a session and names the streams it leaves open.
    pub fn close(&mut self, id: SessionId) -> Vec<(Arc<str>, Stream)> {
        let Some(session) = self.open.remove(&id) else {
            return Vec::new();
        };
        let Session {
            client, streams, ..
        } = session;
        let streams = streams.into_iter();
        streams
            .map(|stream| (Arc::clone(&client), stream))
            .collect()
    }

    /// Ends all of them.
    pub fn close_all(&mut self) -> Vec<(Arc<str>, Stream)> {
        let ids: Vec<_> = self.open.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.close(id)).collect()
    }

    /// Whose question this is, if it may be asked in this session.
    ///
    /// # Errors
    /// `NoSession`, `NoSuchStream` for a stream of another session, or `NotSigned`.
    pub fn admit(
        &mut self,
        id: SessionId,
        request: &Request,
        now_ms: u64,
    ) -> Result<Arc<str>, Refusal> {
        let session = self.open.get_mut(&id).ok_or(Refusal::NoSession)?;
        let ends = matches!(
            request,
            Request::CommitPut { .. } | Request::AbortPut { .. } | Request::CloseGet { .. }
        );
        let fresh = now_ms.saturating_sub(session.since_ms) <= SESSION_OPENS_MS_MAX;
        match used(request) {
            Some(stream) if ends && session.streams.remove(&stream) => {}
            Some(stream) if !ends && session.streams.contains(&stream) => {}
            Some(_) => return Err(Refusal::NoSuchStream),
            None if fresh || session.mandate.asks_what_was_stored(request) => {}
            None => return Err(Refusal::NoSession),
        }
        match session.mandate.admits(request) {
            true => Ok(Arc::clone(&session.client)),
            false => Err(Refusal::NotSigned),
        }
    }

    /// Serves the signature of a session for what takes something back: once, for all that is asked in it.
    ///
    /// # Errors
    /// `NoSession`, or as [`Spent::serve`].
    pub fn spend(&mut self, id: SessionId, spent: &Spent, now_ms: u64) -> Result<(), Refusal> {
        let session = self.open.get_mut(&id).ok_or(Refusal::NoSession)?;
        if !session.is_spent {
            let until_ms = session.since_ms.saturating_add(session.mandate.good_ms());
            let signature = session.mandate.signature();
            spent.serve(&session.client, signature, (now_ms, until_ms))?;
            session.is_spent = true;
        }
        Ok(())
    }

    /// Notes what the engine answered to a question of a session.
    pub fn learn(&mut self, id: SessionId, answer: &Answer) {
        if let Some(session) = self.open.get_mut(&id) {
            session.mandate.learn(answer);
        }
    }

    /// Notes a stream that was opened. False when its session is over: it must be given up.
    pub fn opened(&mut self, id: SessionId, stream: Stream) -> bool {
        match self.open.get_mut(&id) {
            Some(session) => session.streams.insert(stream),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use stele_gateway::message::Conditions;

    use super::super::signer::{canonical, mandate};
    use super::*;
    use stele_format::units::VersionId;
    use stele_gateway::chain::Signed;
    use stele_gateway::claim::SigningKey;
    use stele_gateway::message::{Claim, ObjectName, Stored};

    const PUT: StreamId = StreamId(1);
    const GET: StreamId = StreamId(2);

    /// Of a client that asks which buckets there are.
    fn buckets() -> Mandate {
        mandate(canonical("GET", "/", &[]))
    }

    fn commit(stream: StreamId) -> Request {
        Request::CommitPut {
            stream,
            md5: None,
            checksums: Vec::new(),
            conditions: Conditions::default(),
        }
    }

    #[test]
    fn one_wrong_signature_of_a_chunk_ends_the_chain_of_its_session() {
        let request = canonical("PUT", "/bucket/key", &[]);
        let claim = Claim::signed("A", "secret", "20261126T000000Z", "us-east-1", request);
        let key = || SigningKey::derive("secret", &claim.day, &claim.region);
        let mut sessions = Sessions::default();
        let chain = Some(ChunkChain::new(&key(), &claim));
        let signed = sessions.open("A", buckets(), chain, 0).expect("room");
        let plain = sessions.open("A", buckets(), None, 0).expect("room");
        assert_eq!(sessions.prove(signed, &[]), Ok(()));
        let wrong = ChunkProof {
            signed: Signed::Chunk,
            digest: [1; 32],
            signature: [2; 32],
        };
        assert_eq!(sessions.prove(signed, &[wrong]), Err(Refusal::Signature));
        assert_eq!(sessions.prove(signed, &[]), Err(Refusal::Signature));
        assert_eq!(sessions.prove(plain, &[]), Err(Refusal::Signature));
        assert_eq!(sessions.prove(SessionId(9), &[]), Err(Refusal::NoSession));
    }

    #[test]
    fn streams_are_used_where_they_were_opened_and_once_they_end_nowhere() {
        let mut sessions = Sessions::default();
        let mine = sessions.open("A", buckets(), None, 0).expect("room");
        let other = sessions.open("B", buckets(), None, 0).expect("room");
        assert!(sessions.opened(mine, Stream::Put(PUT)));
        assert!(sessions.opened(mine, Stream::Get(GET)));
        let mut check = |id, request: Request, expected: Result<&str, Refusal>| {
            let admitted = sessions.admit(id, &request, 0);
            assert_eq!(
                admitted.as_deref(),
                expected.as_deref(),
                "{id:?} {request:?}"
            );
        };
        check(mine, Request::PutData { stream: PUT }, Ok("A"));
        check(
            other,
            Request::PutData { stream: PUT },
            Err(Refusal::NoSuchStream),
        );
        check(other, commit(PUT), Err(Refusal::NoSuchStream));
        check(
            other,
            Request::NextData { stream: GET },
            Err(Refusal::NoSuchStream),
        );
        // The number of an upload is no download.
        check(
            mine,
            Request::NextData { stream: PUT },
            Err(Refusal::NoSuchStream),
        );
        check(mine, commit(PUT), Ok("A"));
        check(mine, commit(PUT), Err(Refusal::NoSuchStream));
        check(mine, Request::CloseGet { stream: GET }, Ok("A"));
        check(
            mine,
            Request::NextData { stream: GET },
            Err(Refusal::NoSuchStream),
        );
        check(
            SessionId::NONE,
            Request::ListBuckets,
            Err(Refusal::NoSession),
        );
        check(SessionId(99), Request::ListBuckets, Err(Refusal::NoSession));
    }

    #[test]
    fn an_old_session_opens_nothing_but_finishes_what_it_has() {
        let mut sessions = Sessions::default();
        let id = sessions.open("A", buckets(), None, 1_000).expect("room");
        sessions.opened(id, Stream::Put(PUT));
        let late = 1_001 + SESSION_OPENS_MS_MAX;
        let early = sessions.admit(id, &Request::ListBuckets, late - 1);
        assert_eq!(early.as_deref(), Ok("A"));
        let opening = sessions.admit(id, &Request::ListBuckets, late);
        assert_eq!(opening, Err(Refusal::NoSession));
        let stream = sessions.admit(id, &Request::PutData { stream: PUT }, late);
        assert_eq!(stream.as_deref(), Ok("A"));
    }

    #[test]
    fn an_old_session_may_ask_what_it_stored_and_nothing_else() {
        let mut sessions = Sessions::default();
        let copy = [("x-amz-copy-source", "/bucket/source")];
        let copy = mandate(canonical("PUT", "/bucket/key", &copy));
        let id = sessions.open("A", copy, None, 0).expect("room");
        let version = VersionId::from_bytes([7; 16]);
        let head = |key: &str, version| Request::Head {
            name: ObjectName {
                bucket: "bucket".to_owned(),
                key: key.to_owned(),
            },
            version: Some(version),
        };
        let late = 1 + SESSION_OPENS_MS_MAX;
        let check = |sessions: &mut Sessions, request: &Request, expected| {
            let admitted = sessions.admit(id, request, late);
            assert_eq!(admitted.map(drop), expected, "{request:?}");
        };
        let old = Err(Refusal::NoSession);
        check(&mut sessions, &head("key", version), old.clone());
        let stored = Stored {
            version: Some(version),
            versioned: true,
            etag: String::new(),
            checksums: Vec::new(),
            receipt: None,
        };
        sessions.learn(id, &Answer::Stored(stored));
        check(&mut sessions, &head("key", version), Ok(()));
        let other = VersionId::from_bytes([8; 16]);
        check(&mut sessions, &head("key", other), Err(Refusal::NotSigned));
        check(&mut sessions, &Request::ListBuckets, old);
    }

    #[test]
    fn a_session_that_ends_names_what_it_leaves_open() {
        let mut sessions = Sessions::default();
        let id = sessions.open("A", buckets(), None, 0).expect("room");
        sessions.opened(id, Stream::Get(GET));
        let left = sessions.close(id);
        assert_eq!(left, [("A".into(), Stream::Get(GET))]);
        assert!(sessions.close(id).is_empty());
        assert!(!sessions.opened(id, Stream::Put(PUT)));
    }

    #[test]
    fn there_are_not_endlessly_many_sessions() {
        let mut sessions = Sessions::default();
        for _ in 0..SESSION_COUNT_MAX {
            sessions.open("A", buckets(), None, 0).expect("room");
        }
        assert_eq!(sessions.open("A", buckets(), None, 0), Err(Refusal::Busy));
        sessions.opened(SessionId(1), Stream::Put(PUT));
        let later = SESSION_OPENS_MS_MAX + 1;
        sessions
            .open("A", buckets(), None, later)
            .expect("old ones make room");
        assert_eq!(sessions.open.len(), 2, "and the one with a stream");
    }
}
