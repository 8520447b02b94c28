//! redb's view of [`Pages`].

use std::io;
use std::sync::Arc;

use crate::index::pages::{Pages, PagesError};

/// Hands a shared file to redb, which wants to own its backend.
#[derive(Debug)]
pub struct Backend {
    pages: Arc<Pages>,
}

impl Backend {
    /// Over these pages.
    #[must_use]
    pub const fn new(pages: Arc<Pages>) -> Self {
        Self { pages }
    }
}

fn to_io(error: PagesError) -> io::Error {
    io::Error::other(error)
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        self.pages.file_bytes().map_err(to_io)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.pages.read(offset, out).map_err(to_io)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.pages.set_len(len).map_err(to_io)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.pages.sync().map_err(to_io)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.pages.write(offset, data).map_err(to_io)
    }
}
