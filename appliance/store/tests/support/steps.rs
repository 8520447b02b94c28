//! Single steps of clients, for tests that look in between.

use stele_format::limits::CHUNK_PLAIN_BYTES_MAX;
use stele_store::request::{Command, Conditions, LockWish, Metadata, Purpose, StreamId};
use stele_store::status::Load;

use super::{Running, content, name, piece};

/// A whole chunk.
pub const CHUNK: usize = CHUNK_PLAIN_BYTES_MAX as usize;

/// A plain object.
pub fn object() -> Purpose {
    Purpose::Object {
        metadata: Metadata::default(),
        lock: LockWish::default(),
    }
}

/// The end of an upload.
pub fn commit(stream: StreamId) -> Command {
    Command::CommitPut {
        stream,
        md5: None,
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

/// Disk completions and ticks alone.
pub fn turns(vault: &mut Running) {
    for _ in 0..200 {
        vault.turn();
    }
}

/// A download of the object `k`.
pub fn open_get() -> Command {
    Command::OpenGet {
        name: name("b", "k"),
        version: None,
        range: None,
    }
}

/// A piece of an upload.
pub fn put_data(stream: StreamId, seed: usize, bytes: usize) -> Command {
    Command::PutData {
        stream,
        piece: piece(&content(seed, bytes)),
    }
}

/// Whatever was asked has ended, and nothing of it is kept.
pub fn assert_at_rest(vault: &mut Running) {
    turns(vault);
    assert_eq!(vault.engine.load(), Load::default());
    assert!(vault.engine.is_idle());
}
