//! Uploads the engine itself gave up: whoever still sends to one hears why, not that it never was.

use std::collections::BTreeMap;

use crate::limits::{STREAM_COUNT_MAX, STREAM_IDLE_MS_MAX};
use crate::request::{Refusal, StreamId};

struct Refused {
    why: Refusal,
    touched_ms: u64,
}

/// Streams refused while nobody waited for an answer. At most as many as may be open; the oldest
/// are forgotten first.
#[derive(Default)]
pub(crate) struct RefusedStreams {
    streams: BTreeMap<StreamId, Refused>,
    /// Streams up to this one were opened before the index was made anew.
    earlier: Option<StreamId>,
}

impl RefusedStreams {
    /// A stream was refused and its client does not know yet.
    pub(super) fn remember(&mut self, stream: StreamId, why: Refusal, now_ms: u64) {
        if self.streams.len() >= STREAM_COUNT_MAX {
            self.streams.pop_first();
        }
        let touched_ms = now_ms;
        self.streams.insert(stream, Refused { why, touched_ms });
    }

    /// What to say of a stream that is not open.
    pub(super) fn why(&mut self, stream: StreamId, now_ms: u64) -> Refusal {
        match self.streams.get_mut(&stream) {
            Some(refused) => {
                refused.touched_ms = now_ms;
                refused.why.clone()
            }
            None if Some(stream) <= self.earlier => Refusal::Rebuilding,
            None => Refusal::NoSuchStream,
        }
    }

    /// Streams up to this one belonged to an engine that is gone.
    pub(super) fn after(&mut self, last: StreamId) {
        self.earlier = Some(last);
    }

    /// The client will not ask again.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// Forgets what nobody asked about for as long as an open stream may be idle.
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.streams
            .retain(|_, refused| now_ms.saturating_sub(refused.touched_ms) <= STREAM_IDLE_MS_MAX);
    }

    /// How many it remembers.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.streams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::RefusedStreams;
    use crate::limits::{STREAM_COUNT_MAX, STREAM_IDLE_MS_MAX};
    use crate::request::{Refusal, StreamId};

    #[test]
    fn streams_of_an_engine_that_is_gone_are_told_from_streams_that_never_were() {
        let mut refused = RefusedStreams::default();
        refused.after(StreamId(7));
        assert_eq!(refused.why(StreamId(7), 0), Refusal::Rebuilding);
        assert_eq!(refused.why(StreamId(8), 0), Refusal::NoSuchStream);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut refused = RefusedStreams::default();
        let last = STREAM_COUNT_MAX as u64;
        for stream in 0..=last {
            refused.remember(StreamId(stream), Refusal::Full, 0);
        }
        assert_eq!(refused.streams.len(), STREAM_COUNT_MAX);
        assert_eq!(refused.why(StreamId(0), 0), Refusal::NoSuchStream);
        assert_eq!(refused.why(StreamId(last), 0), Refusal::Full);
    }

    #[test]
    fn what_nobody_asks_about_is_forgotten() {
        let mut refused = RefusedStreams::default();
        refused.remember(StreamId(1), Refusal::Full, 0);
        refused.remember(StreamId(2), Refusal::Full, 0);
        assert_eq!(refused.why(StreamId(2), 5), Refusal::Full);
        refused.expire(STREAM_IDLE_MS_MAX + 5);
        assert_eq!(refused.why(StreamId(1), 0), Refusal::NoSuchStream);
        assert_eq!(refused.why(StreamId(2), 0), Refusal::Full);
    }
}
