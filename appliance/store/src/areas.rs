//! Areas of the index tell of a disk that refused a write or a flush there.
//!
//! What a drive had in its cache is in doubt from then on, whoever wrote it: such a disk is treated like one that
//! failed under the journal. One that gave no answer in time is no such disk; who watches all disks judges that. Nor is
//! one whose file system has no room for more: what was written stays, and all disks of a vault may be on that one. Nor
//! one that was never asked, since the system lacked memory or did not take the call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stele_device::area::Area;
use stele_device::disk::DiskError;

use crate::engine::DiskSlot;

/// Disks that refused, by what areas of them were told first. A clone is the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct AreaFailures(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    watched: BTreeSet<DiskSlot>,
    refused: BTreeMap<DiskSlot, DiskError>,
}

impl AreaFailures {
    /// The same area, which tells from now on.
    pub(crate) fn watch(&self, slot: DiskSlot, area: Box<dyn Area>) -> Box<dyn Area> {
        self.lock().watched.insert(slot);
        let failures = self.clone();
        Box::new(Watched {
            area,
            slot,
            failures,
        })
    }

    /// Disks that refused since this was last asked.
    pub(crate) fn take(&self) -> BTreeMap<DiskSlot, DiskError> {
        std::mem::take(&mut self.lock().refused)
    }

    /// The areas are given back, to be opened anew. Where all of them refused, the cause was one that they have in common,
    /// and says nothing of a drive.
    pub(crate) fn begin_anew(&self) {
        let mut told = self.lock();
        let watched = std::mem::take(&mut told.watched);
        if watched.iter().all(|slot| told.refused.contains_key(slot)) {
            told.refused.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a disk refused; errors that are not the drive's are left out.
    pub(crate) fn note(&self, slot: DiskSlot, error: DiskError) {
        if error.is_refusal() {
            self.lock().refused.entry(slot).or_insert(error);
        }
    }
}

/// An area of a disk whose failures the engine hears of.
struct Watched {
    area: Box<dyn Area>,
    slot: DiskSlot,
    failures: AreaFailures,
}

impl Watched {
    fn told(&self, result: Result<(), DiskError>) -> Result<(), DiskError> {
        result.inspect_err(|error| self.failures.note(self.slot, *error))
    }
}

impl Area for Watched {
    fn len(&self) -> u64 {
        self.area.len()
    }

    fn is_empty(&self) -> bool {
        self.area.is_empty()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.area.read(offset, into)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), DiskError> {
        self.told(self.area.write(offset, from))
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.told(self.area.flush())
    }

    fn set_only(&self, only: bool) {
        self.area.set_only(only);
    }
}

#[cfg(test)]
mod tests {
    use stele_device::disk::OpKind;

    use super::{Area, AreaFailures, DiskError, DiskSlot};

    /// An area that fails in one way.
    struct Failing(DiskError);

    impl Area for Failing {
        fn len(&self) -> u64 {
            1 << 20
        }

        fn read(&self, _: u64, _: &mut [u8]) -> Result<(), DiskError> {
            Err(self.0)
        }

        fn write(&self, _: u64, _: &[u8]) -> Result<(), DiskError> {
            Err(self.0)
        }

        fn flush(&self) -> Result<(), DiskError> {
            Err(self.0)
        }
    }

    #[test]
    fn a_disk_that_refuses_a_write_or_a_flush_is_told_of_once_and_no_other() {
        let op = OpKind::Flush;
        let refused = DiskError::Io { errno: 5, op };
        let check = |error: DiskError, told: bool| {
            let failures = AreaFailures::default();
            let area = failures.watch(DiskSlot(3), Box::new(Failing(error)));
            area.read(0, &mut [0; 4096]).expect_err("it fails");
            assert!(failures.take().is_empty(), "a read says nothing");
            area.write(0, &[0; 4096]).expect_err("it fails");
            let found = failures.take();
            assert_eq!(found.get(&DiskSlot(3)).copied(), told.then_some(error));
            area.flush().expect_err("it fails");
            area.flush().expect_err("it fails");
            assert_eq!(failures.take().len(), usize::from(told), "{error:?}");
            assert!(failures.take().is_empty());
        };
        check(refused, true);
        check(DiskError::Io { errno: 12, op }, false);
        check(DiskError::Io { errno: 22, op }, false);
        check(DiskError::Full, false);
        check(DiskError::Gone, false);
        check(DiskError::PowerLost, false);
        check(DiskError::OutOfRange, false);
    }

    #[test]
    fn what_all_areas_of_an_attempt_refused_says_nothing_of_a_drive() {
        let check = |refusing: &[u16], told: &[u16]| {
            let failures = AreaFailures::default();
            let op = OpKind::Write;
            let failing = || Box::new(Failing(DiskError::Io { errno: 5, op }));
            let areas = [0, 1].map(|slot| (slot, failures.watch(DiskSlot(slot), failing())));
            for (_, area) in areas.iter().filter(|(slot, _)| refusing.contains(slot)) {
                area.flush().expect_err("it fails");
            }
            failures.begin_anew();
            let found: Vec<u16> = failures.take().into_keys().map(|slot| slot.0).collect();
            assert_eq!(found, told, "{refusing:?}");
        };
        check(&[], &[]);
        check(&[0], &[0]);
        check(&[1], &[1]);
        check(&[0, 1], &[]);
    }
}
