//! Bodies that need no storage: a number and a length say every byte.

use crate::rng::mix;

/// A body, or the body of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// Its number; no two uploads of a run share one.
    pub number: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

const WORD: u64 = 8;

impl Content {
    fn word(&self, word: u64) -> [u8; 8] {
        mix(mix(self.number).wrapping_add(word)).to_le_bytes()
    }

    /// Writes the bytes from `offset` on; the caller stays inside the length.
    pub fn fill(&self, offset: u64, into: &mut [u8]) {
        let mut position = offset;
        let mut rest = into;
        while !rest.is_empty() {
            let within = usize::try_from(position % WORD).expect("less than a word");
            let word = self.word(position / WORD);
            let source = &word[within..];
            let count = source.len().min(rest.len());
            let (part, after) = rest.split_at_mut(count);
            part.copy_from_slice(&source[..count]);
            position += count as u64;
            rest = after;
        }
    }

    /// Where `bytes`, which should stand at `offset`, first differ; none if they do not.
    #[must_use]
    pub fn differs(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut expected = [0; 4096];
        for (chunk, at) in bytes
            .chunks(expected.len())
            .zip((offset..).step_by(expected.len()))
        {
            let expected = &mut expected[..chunk.len()];
            self.fill(at, expected);
            if expected != chunk {
                let place = expected
                    .iter()
                    .zip(chunk)
                    .position(|(a, b)| a != b)
                    .unwrap_or(0);
                return Some(at + place as u64);
            }
        }
        let end = offset.saturating_add(bytes.len() as u64);
        (end > self.bytes).then_some(self.bytes)
    }
}

/// The body of a version: one content, or those of its parts in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body(pub Vec<Content>);

impl Body {
    /// A body of one piece.
    #[must_use]
    pub fn of(content: Content) -> Self {
        Self(vec![content])
    }

    /// Its length.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|content| content.bytes).sum()
    }

    /// Where `bytes`, which should stand at `offset`, first differ; none if they do not.
    #[must_use]
    pub fn differs(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let (mut start, mut at, mut rest) = (0, offset, bytes);
        for content in &self.0 {
            let end = start + content.bytes;
            if rest.is_empty() {
                return None;
            }
            if at < end {
                let room = usize::try_from(end - at)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                let (part, after) = rest.split_at(room);
                if let Some(place) = content.differs(at - start, part) {
                    return Some(start + place);
                }
                at += room as u64;
                rest = after;
            }
            start = end;
        }
        (!rest.is_empty()).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Content};

    fn bytes_of(content: Content) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(content.bytes).unwrap()];
        content.fill(0, &mut bytes);
        bytes
    }

    #[test]
    fn any_range_is_recognised_and_any_flipped_bit_is_found() {
        let content = Content {
            number: 7,
            bytes: 9001,
        };
        let bytes = bytes_of(content);
        for (from, to) in [(0, 9001), (1, 2), (4095, 4097), (13, 8999), (9001, 9001)] {
            assert_eq!(content.differs(from as u64, &bytes[from..to]), None);
        }
        let mut bad = bytes.clone();
        bad[5000] ^= 1;
        assert_eq!(content.differs(0, &bad), Some(5000));
        assert_eq!(content.differs(0, &[bytes, vec![0]].concat()), Some(9001));
    }

    #[test]
    fn a_body_is_its_parts_in_order() {
        let parts = [(1, 10), (2, 0), (3, 5000)].map(|(number, bytes)| Content { number, bytes });
        let bytes: Vec<u8> = parts.iter().flat_map(|part| bytes_of(*part)).collect();
        let body = Body(parts.to_vec());
        assert_eq!(body.bytes(), 5010);
        assert_eq!(body.differs(0, &bytes), None);
        assert_eq!(body.differs(8, &bytes[8..100]), None);
        assert_eq!(body.differs(0, &bytes[1..]), Some(0));
        assert_eq!(body.differs(0, &[bytes, vec![9]].concat()), Some(5010));
    }
}
