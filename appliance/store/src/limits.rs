//! Every limit of the engine, with its unit in its name.

/// Buckets a vault keeps.
pub const BUCKET_COUNT_MAX: u32 = 1_000;
/// Requests the engine holds at once; more are refused as busy.
pub const REQUEST_COUNT_MAX: usize = 4_096;
/// Upload and download streams open at once.
pub const STREAM_COUNT_MAX: usize = 1_024;
/// Longest time an upload or download stream may be idle.
pub const STREAM_IDLE_MS_MAX: u64 = 15 * 60 * 1_000;
/// Journal frames a copy may be behind; then the journal waits for it.
pub const LAG_FRAME_COUNT_MAX: usize = 64;
/// Time a journal write may make no progress before its disk leaves the pool.
pub const LAG_MS_MAX: u64 = 30_000;
/// Quiet time after which an idle marker closes the window of the last acknowledged frame.
pub const IDLE_MARKER_MS: u64 = 20;
/// Chunks written but not flushed on a disk before the lane asks for a flush by itself.
pub const UNFLUSHED_CHUNK_COUNT_MAX: u32 = 8;
/// Index rows held in memory before a snapshot is taken.
pub const SNAPSHOT_ROW_COUNT: usize = 50_000;
/// Records replayed at a start after which that start takes a snapshot at once.
pub const SNAPSHOT_RECORD_COUNT: u64 = 1_000;
/// Journal bytes after which a snapshot is taken.
pub const SNAPSHOT_JOURNAL_BYTES: u64 = 1 << 30;
/// Times in a row an index is made anew and filled from the journal before its disks are given up.
pub const INDEX_ATTEMPT_COUNT_MAX: u32 = 3;
/// Smallest part other than the last, as S3 has it.
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// Largest object body in one upload, as S3 has it.
pub const UPLOAD_BYTES_MAX: u64 = 5 << 30;
/// Largest metadata of one version, encoded.
pub const METADATA_BYTES_MAX: u32 = 16 << 10;
/// Entries of the chunk list that stay in the manifest; a longer list moves to list chunks.
pub const MANIFEST_ENTRY_COUNT_MAX: usize = 64;
/// Entries in one list chunk.
pub const LIST_ENTRY_COUNT_MAX: usize = 8_192;
/// Share of a disk's units kept for journal, seals and epochs: one in this many.
pub const RESERVE_UNIT_DIVISOR: u32 = 50;
/// Rows asked of the index in one page of a listing.
pub const SCAN_ROW_COUNT: usize = 1_000;
