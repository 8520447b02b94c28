//! Limits, each with its unit in its name.

/// Most bytes read of a file.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Most histories of one log that are kept as evidence; whoever has the log's key could make any number.
pub const EVIDENCE_COUNT_MAX: usize = 64;
