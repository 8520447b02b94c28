//! Memory of this process for what others make it hold beside the slabs: requests under way, what of their bodies was
//! not read or not stored yet, and answers that were not taken yet.
//!
//! Invariants: nobody has more than a share of it, some of it is kept for those that have little, and what a client has
//! not taken counts until it has left. What waits for it holds nothing, or something that has a turn of its own. Those
//! who have signed nothing take nothing from clients.

use std::net::IpAddr;

use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use hyper::{Response, Version};
use s3s::Body;

use crate::document::Written;
use crate::guard::Described;
use crate::limits::{
    ANSWER_DOCUMENT_FACTOR, H2_STREAM_WINDOW_BYTES, HEAD_FACTOR, MEMORY_BYTES_MAX,
    MEMORY_OF_PARTY_BYTES_MAX, MEMORY_UNIT_BYTES, REFUSED_BYTES_MAX, REFUSED_OF_SOURCE_BYTES_MAX,
    REQUEST_BYTES, UNVERIFIED_BYTES_MAX, UNVERIFIED_OF_SOURCE_BYTES_MAX, UPLOAD_STAGE_BYTES,
    XML_BODY_SMALL_BYTES,
};
use crate::link::Session;
use crate::refusal::Refusal;
use crate::turns::{Division, Turn, Turns};

/// What there is of it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// By owner: for requests of clients.
    clients: Turns,
    /// By address: for heads whose signature is not verified yet.
    heads: Turns,
    /// By address: for answers to requests that were not let in.
    refusals: Turns,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let turns = |all: usize, each: usize| {
            let division = Division::new(all / MEMORY_UNIT_BYTES, each / MEMORY_UNIT_BYTES);
            Turns::new(division)
        };
        Self {
            clients: turns(MEMORY_BYTES_MAX, MEMORY_OF_PARTY_BYTES_MAX),
            heads: turns(UNVERIFIED_BYTES_MAX, UNVERIFIED_OF_SOURCE_BYTES_MAX),
            refusals: turns(REFUSED_BYTES_MAX, REFUSED_OF_SOURCE_BYTES_MAX),
        }
    }

    /// So much for somebody, as soon as there is as much within a bounded time.
    ///
    /// # Errors
    /// `Busy` when there is not in that time.
    pub(crate) async fn take(&self, party: &str, bytes: usize) -> Result<Turn, Refusal> {
        self.clients.several(party, units(bytes)).await
    }

    /// The same, if there is as much now.
    ///
    /// # Errors
    /// `Busy` when there is not.
    pub(crate) fn try_take(&self, party: &str, bytes: usize) -> Result<Turn, Refusal> {
        let taken = self.clients.try_several(party, units(bytes));
        taken.ok_or(Refusal::Busy)
    }

    /// For a head, and what comes of its body meanwhile, until it is known who signed it.
    ///
    /// # Errors
    /// `Busy` when there is not as much now.
    pub(crate) fn of_head(
        &self,
        source: IpAddr,
        parts: &Parts,
        empty: bool,
    ) -> Result<Turn, Refusal> {
        let length = parts.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let bytes = units(head_bytes(parts) + unread_bytes(parts, content_bytes(empty, length)));
        let taken = self.heads.try_several(&source.to_string(), bytes);
        taken.ok_or(Refusal::Busy)
    }

    /// For the answer to a request that was not let in.
    ///
    /// # Errors
    /// `Busy` when there is none now.
    pub(crate) fn of_refusal(&self, source: IpAddr) -> Result<Turn, Refusal> {
        let bytes = units(REQUEST_BYTES);
        let taken = self.refusals.try_several(&source.to_string(), bytes);
        taken.ok_or(Refusal::Busy)
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(MEMORY_UNIT_BYTES)
}

/// What a head holds, read and as it was signed.
fn head_bytes(parts: &Parts) -> usize {
    let headers = parts.headers.iter();
    let bytes: usize = headers.map(|(n, v)| n.as_str().len() + v.len()).sum();
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    (bytes + target).saturating_mul(HEAD_FACTOR)
}

/// What a request may hold before it is answered: its own, its head, what is staged of its body, and over HTTP/2 what of that
/// waits to be read.
pub(crate) fn request_bytes(described: &Described, parts: &Parts, empty: bool) -> usize {
    let content = content_bytes(empty, described.content_bytes);
    let staged = UPLOAD_STAGE_BYTES.max(XML_BODY_SMALL_BYTES);
    REQUEST_BYTES + head_bytes(parts) + content.min(staged) + unread_bytes(parts, content)
}

/// The most that may come of a body.
fn content_bytes(empty: bool, announced: Option<u64>) -> usize {
    match announced {
        _ if empty => 0,
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        None => usize::MAX,
    }
}

/// What of a body may have come without anybody reading it. HTTP/1 leaves it in the socket.
fn unread_bytes(parts: &Parts, content: usize) -> usize {
    match parts.version {
        Version::HTTP_2 => {
            content.min(usize::try_from(H2_STREAM_WINDOW_BYTES).unwrap_or(usize::MAX))
        }
        _ => 0,
    }
}

/// Memory that travels with an answer until its last byte has left.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    turns: Vec<Turn>,
}

impl Kept {
    pub(crate) fn new(turn: Turn) -> Self {
        Self { turns: vec![turn] }
    }

    /// Takes as much more as the document of an answer needs. Who has a turn for what it is made of may wait for that.
    ///
    /// # Errors
    /// `Busy` when there is not so much.
    pub(crate) async fn grow(
        &mut self,
        session: &Session,
        response: &Response<Body>,
        waits: bool,
    ) -> Result<(), Refusal> {
        let body = response.body().bytes().map_or(0, |bytes| bytes.len());
        let written = response.extensions().get::<Written>();
        let document = written.map_or(body, |document| document.0.len().max(body));
        if document <= REQUEST_BYTES / ANSWER_DOCUMENT_FACTOR {
            return Ok(());
        }
        let bytes = document.saturating_mul(ANSWER_DOCUMENT_FACTOR);
        self.turns.push(match waits {
            true => session.memory(bytes).await?,
            false => session.try_memory(bytes)?,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(version: Version, content_bytes: &str) -> Parts {
        let request = Request::put("/bucket/key")
            .version(version)
            .header(CONTENT_LENGTH, content_bytes);
        request.body(()).expect("a request").into_parts().0
    }

    /// How many heads of one address there may be whose signature is not verified.
    fn heads(parts: &Parts) -> usize {
        let memory = Memory::new();
        let source = IpAddr::from([127, 0, 0, 1]);
        let taken = || memory.of_head(source, parts, false).ok();
        let turns: Vec<_> = std::iter::repeat_with(taken)
            .map_while(|turn| turn)
            .collect();
        turns.len()
    }

    #[test]
    fn what_comes_unread_over_http_2_counts_before_anybody_is_known() {
        let window = usize::try_from(H2_STREAM_WINDOW_BYTES).expect("small");
        let most = UNVERIFIED_OF_SOURCE_BYTES_MAX / window;
        let streams = heads(&head(Version::HTTP_2, "5000000"));
        assert!((most - most / 16..=most).contains(&streams), "{streams}");
        for small in [
            head(Version::HTTP_11, "5000000"),
            head(Version::HTTP_2, "0"),
        ] {
            assert!(heads(&small) > 16 * most);
        }
        let unknown = heads(&head(Version::HTTP_2, "much"));
        assert_eq!(unknown, streams, "it may be as much");
    }
}
