//! A region of a simulated disk as an area. Each access happens at once.

use std::sync::{Arc, Mutex};

use crate::area::Area;
use crate::disk::{DiskError, OpKind, byte_count, check_range};
use crate::sync::lock;

use super::state::{Source, State, block_of};

/// An open area of a simulated disk.
pub struct SimArea {
    state: Arc<Mutex<State>>,
    boot: u64,
    start: u64,
    bytes: u64,
}

impl SimArea {
    pub(crate) fn open(
        state: &Arc<Mutex<State>>,
        offset: u64,
        bytes: u64,
    ) -> Result<SimArea, DiskError> {
        let (boot, disk_bytes) = {
            let state = lock(state);
            (state.boot, state.told_bytes)
        };
        check_range(offset, bytes, disk_bytes)?;
        Ok(SimArea {
            state: Arc::clone(state),
            boot,
            start: offset,
            bytes,
        })
    }

    /// Runs one access on a disk that is there and answers.
    fn access<T>(
        &self,
        changes: bool,
        act: impl FnOnce(&mut State) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let mut state = lock(&self.state);
        if state.boot != self.boot {
            return Err(DiskError::PowerLost);
        }
        if state.hung {
            return Err(DiskError::Gone);
        }
        state.begin(changes)?;
        act(&mut state)
    }

    fn source(&self) -> Source {
        Source::Area(block_of(self.start))
    }
}

impl Area for SimArea {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        check_range(offset, byte_count(into.len()), self.bytes)?;
        self.access(false, |state| state.read(self.start + offset, into, false))
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), DiskError> {
        check_range(offset, byte_count(from.len()), self.bytes)?;
        let source = self.source();
        self.access(true, |state| {
            state.write(self.start + offset, from, source, OpKind::Write)
        })
        .map(drop)
    }

    fn flush(&self) -> Result<(), DiskError> {
        let source = self.source();
        self.access(true, |state| {
            state.core.flush(source, OpKind::Flush, |_| true)
        })
    }
}

impl std::fmt::Debug for SimArea {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimArea({} bytes at {})", self.bytes, self.start)
    }
}
