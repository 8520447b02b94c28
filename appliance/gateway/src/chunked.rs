//! The `aws-chunked` content coding: a decoder without I/O.
//!
//! It holds at most one header line or the trailers in memory, never a chunk. It says "complete"
//! only if the closing empty chunk came, the data is exactly as long as announced, every announced
//! trailer came and nothing else. Signatures it only gathers: whoever has the key says whether they are
//! right. What it yields before both is unproved; the caller must not let it become an object.

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;

use crate::chain::{ChunkProof, Signed};
use crate::digest::KINDS;
use crate::limits::{CHUNK_LINE_BYTES_MAX, SIGNED_CHUNK_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::message::ChecksumKind;
use crate::text::hex32;

/// What is wrong with an aws-chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkFault {
    #[error("the aws-chunked framing of the body is malformed")]
    Framing,
    #[error("the body ended before its final chunk")]
    Truncated,
    #[error("the body is not as long as x-amz-decoded-content-length said")]
    Length,
    #[error("a signed chunk is larger than {bytes_max} bytes")]
    ChunkTooLarge { bytes_max: u64 },
    #[error("a trailer announced in x-amz-trailer did not arrive")]
    TrailerMissing,
    #[error("a trailer is malformed")]
    TrailerMalformed,
    #[error("a trailer was not announced in x-amz-trailer")]
    TrailerUnannounced,
}

/// What the decoder says after some input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All input is used up.
    Need,
    /// Some content, not yet proved.
    Data(Bytes),
}

/// Where the decoder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's header line.
    Header,
    /// In a chunk's data.
    Data { left: u64 },
    /// In the line end after a chunk's data; `seen` of its bytes came.
    DataEnd { seen: usize },
    /// Behind the closing chunk.
    Tail,
}

const LINE_END: &[u8] = b"\r\n";

/// Decodes one body.
pub(crate) struct Decoder {
    state: State,
    /// The unfinished header line, later everything behind the closing chunk.
    held: Vec<u8>,
    announced_bytes: u64,
    seen_bytes: u64,
    prover: Option<Prover>,
    /// Announced trailers; none if this kind of body has none at all.
    trailers: Option<Vec<ChecksumKind>>,
}

impl Decoder {
    /// A decoder for a body of `announced_bytes` of content, of which every chunk is signed or none;
    /// with trailers, exactly these must follow.
    pub(crate) fn new(
        announced_bytes: u64,
        signed: bool,
        trailers: Option<Vec<ChecksumKind>>,
    ) -> Self {
        let state = State::Header;
        Self {
            state,
            held: Vec::new(),
            announced_bytes,
            seen_bytes: 0,
            prover: signed.then(Prover::default),
            trailers,
        }
    }

    /// Uses up input until there is content to hand out or more is needed.
    pub(crate) fn step(&mut self, input: &mut Bytes) -> Result<Step, ChunkFault> {
        loop {
            if input.is_empty() {
                return Ok(Step::Need);
            }
            match self.state {
                State::Header => self.header(input)?,
                State::Data { left } => return Ok(Step::Data(self.data(input, left))),
                State::DataEnd { seen } => self.data_end(input, seen)?,
                State::Tail => self.tail(input)?,
            }
        }
    }

    /// The signatures since the last time, for whoever verifies them.
    pub(crate) fn take_proofs(&mut self) -> Vec<ChunkProof> {
        let proofs = self.prover.as_mut().map(|prover| &mut prover.proofs);
        proofs.map(std::mem::take).unwrap_or_default()
    }

    /// Says that the body ended, and returns the trailers. There may be a last signature.
    pub(crate) fn finish(&mut self) -> Result<Vec<(ChecksumKind, String)>, ChunkFault> {
        if self.state != State::Tail {
            return Err(ChunkFault::Truncated);
        }
        match self.trailers.take() {
            Some(announced) => self.finish_trailers(&announced),
            None if self.held.is_empty() || self.held == LINE_END => Ok(Vec::new()),
            None => Err(ChunkFault::Framing),
        }
    }

    fn header(&mut self, input: &mut Bytes) -> Result<(), ChunkFault> {
        let end = input.iter().position(|b| *b == b'\n').map(|at| at + 1);
        let part = input.split_to(end.unwrap_or(input.len()));
        if self.held.len() + part.len() > CHUNK_LINE_BYTES_MAX {
            return Err(ChunkFault::Framing);
        }
        self.held.extend_from_slice(&part);
        if end.is_none() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.held);
        let line = line.strip_suffix(LINE_END).ok_or(ChunkFault::Framing)?;
        let line = std::str::from_utf8(line).map_err(|_| ChunkFault::Framing)?;
        let size = match &mut self.prover {
            Some(prover) => {
                let (size, signature) = line
                    .split_once(";chunk-signature=")
                    .ok_or(ChunkFault::Framing)?;
                prover.begin(signature)?;
                size
            }
            None => line,
        };
        self.begin_chunk(parse_size(size)?)
    }

    fn begin_chunk(&mut self, size: u64) -> Result<(), ChunkFault> {
        let left = self.announced_bytes - self.seen_bytes;
        if size == 0 {
            if left != 0 {
                return Err(ChunkFault::Length);
            }
            if let Some(prover) = &mut self.prover {
                prover.end();
            }
            self.state = State::Tail;
            return Ok(());
        }
        if size > left {
            return Err(ChunkFault::Length);
        }
        if self.prover.is_some() && size > SIGNED_CHUNK_BYTES_MAX {
            return Err(ChunkFault::ChunkTooLarge {
                bytes_max: SIGNED_CHUNK_BYTES_MAX,
            });
        }
        self.state = State::Data { left: size };
        Ok(())
    }

    fn data(&mut self, input: &mut Bytes, left: u64) -> Bytes {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let piece = input.split_to(take);
        let taken = u64::try_from(take).expect("a length in memory fits 64 bits");
        if let Some(prover) = &mut self.prover {
            prover.update(&piece);
        }
        self.seen_bytes += taken;
        self.state = match left - taken {
            0 => State::DataEnd { seen: 0 },
            left => State::Data { left },
        };
        piece
    }

    fn data_end(&mut self, input: &mut Bytes, seen: usize) -> Result<(), ChunkFault> {
        let byte = input.split_to(1);
        if LINE_END.get(seen) != byte.first() {
            return Err(ChunkFault::Framing);
        }
        if seen + 1 < LINE_END.len() {
            self.state = State::DataEnd { seen: seen + 1 };
            return Ok(());
        }
        if let Some(prover) = &mut self.prover {
            prover.end();
        }
        self.state = State::Header;
        Ok(())
    }

    fn tail(&mut self, input: &mut Bytes) -> Result<(), ChunkFault> {
        let most = if self.trailers.is_some() {
            TRAILER_BYTES_MAX
        } else {
            LINE_END.len()
        };
        if self.held.len() + input.len() > most {
            return Err(ChunkFault::Framing);
        }
        self.held.extend_from_slice(input);
        input.clear();
        Ok(())
    }

    /// Clients disagree on the line ends around trailers (`\n`, `\r\n`, an empty line before the
    /// signature, none at the very end), so lines are taken apart leniently and names strictly.
    fn finish_trailers(
        &mut self,
        announced: &[ChecksumKind],
    ) -> Result<Vec<(ChecksumKind, String)>, ChunkFault> {
        let text = std::mem::take(&mut self.held);
        let text = std::str::from_utf8(&text).map_err(|_| ChunkFault::TrailerMalformed)?;
        let mut signature = None;
        let mut lines = Vec::new();
        let split = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        for line in split.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(ChunkFault::TrailerMalformed)?;
            let (name, value) = (
                name.to_ascii_lowercase(),
                value.trim_matches(' ').to_owned(),
            );
            if name != "x-amz-trailer-signature" {
                lines.push((name, value));
            } else if signature.replace(value).is_some() {
                return Err(ChunkFault::TrailerMalformed);
            }
        }
        if let Some(prover) = &mut self.prover {
            lines.sort();
            prover.trailer(&lines, signature.as_deref())?;
        } else if signature.is_some() {
            return Err(ChunkFault::TrailerUnannounced);
        }
        match_trailers(announced, lines)
    }
}

/// Gives each announced trailer its value; missing, doubled and foreign ones are faults.
fn match_trailers(
    announced: &[ChecksumKind],
    lines: Vec<(String, String)>,
) -> Result<Vec<(ChecksumKind, String)>, ChunkFault> {
    let mut found: Vec<(ChecksumKind, String)> = Vec::new();
    for (name, value) in lines {
        let kind = KINDS
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| *kind);
        let kind = kind.ok_or(ChunkFault::TrailerUnannounced)?;
        if !announced.contains(&kind) {
            return Err(ChunkFault::TrailerUnannounced);
        }
        if found.iter().any(|(k, _)| *k == kind) {
            return Err(ChunkFault::TrailerMalformed);
        }
        found.push((kind, value));
    }
    if found.len() < announced.len() {
        return Err(ChunkFault::TrailerMissing);
    }
    Ok(found)
}

fn parse_size(text: &str) -> Result<u64, ChunkFault> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !plain {
        return Err(ChunkFault::Framing);
    }
    u64::from_str_radix(text, 16).map_err(|_| ChunkFault::Framing)
}

/// Gathers the signatures of a body for whoever has the key.
#[derive(Default)]
struct Prover {
    content: Option<Context>,
    claimed: [u8; 32],
    proofs: Vec<ChunkProof>,
}

impl Prover {
    fn begin(&mut self, signature: &str) -> Result<(), ChunkFault> {
        self.claimed = hex32(signature).ok_or(ChunkFault::Framing)?;
        self.content = Some(Context::new(&SHA256));
        Ok(())
    }

    fn update(&mut self, data: &[u8]) {
        if let Some(content) = &mut self.content {
            content.update(data);
        }
    }

    fn end(&mut self) {
        if let Some(content) = self.content.take() {
            self.prove(Signed::Chunk, content.finish().as_ref());
        }
    }

    fn trailer(
        &mut self,
        lines: &[(String, String)],
        signature: Option<&str>,
    ) -> Result<(), ChunkFault> {
        let signature = signature.ok_or(ChunkFault::TrailerMissing)?;
        self.claimed = hex32(signature).ok_or(ChunkFault::TrailerMalformed)?;
        let canonical: String = lines.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        self.prove(
            Signed::Trailers,
            digest(&SHA256, canonical.as_bytes()).as_ref(),
        );
        Ok(())
    }

    fn prove(&mut self, signed: Signed, sha256: &[u8]) {
        let mut digest = [0; 32];
        digest.copy_from_slice(sha256);
        self.proofs.push(ChunkProof {
            signed,
            digest,
            signature: self.claimed,
        });
    }
}

#[cfg(test)]
mod tests;
