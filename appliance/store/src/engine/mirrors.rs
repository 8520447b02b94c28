//! A mirror of the index that missed writes is made anew while the vault serves, piece by piece. Small files are copied
//! whole by the next commit already.

use stele_device::area::Area;

use super::{Action, Engine, StopState};
use crate::index::limits::MIRROR_PIECE_MS;
use crate::index::{IndexRequest, IndexUsage, MirrorState};

/// When the next piece is copied.
#[derive(Debug, Default)]
pub(crate) struct MirrorCopy {
    asked: bool,
    next_ms: u64,
}

impl Engine {
    /// What has the index mirrored on an area of this disk too; none where the disk, by its number from 1, is not here.
    #[must_use]
    pub fn mirror_on(&self, number: u16, area: Box<dyn Area>) -> Option<IndexRequest> {
        let mut members = self.pool.members.iter();
        let slot = members.find(|member| member.ordinal + 1 == number)?.slot?;
        let area = self.area_failures.watch(slot, area);
        Some(IndexRequest::Mirror(area))
    }

    /// Asks for the next piece when it is time.
    pub(super) fn pump_mirror_copy(&mut self) {
        let now_ms = self.now.monotonic_ms;
        let copy = &self.healer.mirror;
        let waits = copy.asked || now_ms < copy.next_ms || self.committing;
        let serves = self.read_only.is_none() && self.stop == StopState::Running;
        if waits || !serves || self.index_lost {
            return;
        }
        let stale = |usage: &IndexUsage| usage.mirrors.contains(&MirrorState::Stale);
        if self.index_usage.as_ref().is_some_and(stale) {
            self.healer.mirror.asked = true;
            self.io.action(Action::Index(IndexRequest::CopyMirror));
        }
    }

    /// A piece was copied, or an area was taken in.
    pub(super) fn mirrored(&mut self, usage: IndexUsage) {
        self.index_usage = Some(usage);
        self.healer.mirror = MirrorCopy {
            asked: false,
            next_ms: self.now.monotonic_ms + MIRROR_PIECE_MS,
        };
    }
}
