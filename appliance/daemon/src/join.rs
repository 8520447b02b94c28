//! Disks that join a vault while it is served: one in the place of a lost one, one that comes back, a
//! further one.
//!
//! Order: ask the engine what the disk must be; look at the disk; note in `vault.json` where it is and
//! that it is to be filled; label it; give it to the engine. Nothing is written to a disk that is
//! refused. A crash after the note leaves a disk that the next start goes on with by itself, labelled or
//! not; a crash before it leaves the vault as it was.

pub mod candidate;
pub mod keeper;
pub mod refusal;
