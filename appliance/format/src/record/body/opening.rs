//! A forced opening: the vault goes on without disks that its log needed.

use crate::cbor::{MapReader, MapWriter};
use crate::codec::{DecodeError, Fault};
use crate::limits::MEMBERS_MAX;
use crate::units::{DiskId, LogIndex, Opening, Sequence};

/// From here on the log is another one, which begins with the records before. Records that a disk left behind may
/// have held after them are lost, though they were acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedOpen {
    /// The request of two people, which names the disks that take part and the head of the log they have.
    pub request: LogIndex,
    /// Which forced opening it is.
    pub opening: Opening,
    /// The newest frame of the log before.
    pub last: Sequence,
    /// The newest frame that anything on the disks calls durable. With one above `last`, frames are surely lost.
    pub durable: Sequence,
    /// Disks of the pool that are left behind, ascending: they do not take part again.
    pub left: Vec<DiskId>,
}

pub(super) fn write_forced_open(map: &mut MapWriter, body: &ForcedOpen) {
    map.key(1).uint(body.request);
    map.key(2).uint(u64::from(body.opening.get()));
    map.key(3).uint(body.last);
    map.key(4).uint(body.durable);
    map.key(5).list(&body.left, |w, disk| {
        w.bytes(disk.as_bytes());
    });
}

pub(super) fn read_forced_open(map: &mut MapReader<'_, '_>) -> Result<ForcedOpen, DecodeError> {
    let body = ForcedOpen {
        request: LogIndex::new(map.required(1, |r| r.uint("request"))?),
        opening: Opening::new(map.required(2, |r| r.small("opening"))?),
        last: Sequence::new(map.required(3, |r| r.uint("last"))?),
        durable: Sequence::new(map.required(4, |r| r.uint("durable"))?),
        left: map.required(5, |r| {
            r.list("left", MEMBERS_MAX, |r| r.fixed("left").map(DiskId::new))
        })?,
    };
    if body.opening.is_zero() || !body.opening.in_range() {
        return map.refuse("opening", Fault::Value);
    }
    if body.durable < body.last {
        return map.refuse("durable", Fault::Value);
    }
    if !body.left.is_sorted_by(|one, next| one < next) {
        return map.refuse("left", Fault::Value);
    }
    Ok(body)
}
