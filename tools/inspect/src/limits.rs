//! Every limit of the tool, with its unit in its name.

/// Bytes read from a disk in one piece.
pub const READ_BYTES: usize = 1 << 20;
/// Smallest piece whose loss a crash can explain: what a disk writes as a whole.
pub const SECTOR_BYTES: usize = 512;
/// Disks taken in one run.
pub const DISK_COUNT_MAX: usize = 64;
/// Damages kept and printed; the rest is counted.
pub const DAMAGE_COUNT_MAX: usize = 10_000;
/// Notes kept per disk; the rest is counted.
pub const NOTE_COUNT_MAX: usize = 64;
/// How long a place that looks unfinished is left alone before it is read once more, in case a
/// running vault is writing there.
pub const REREAD_PAUSE_MS: u64 = 150;
/// Most bytes read of a file with a checkpoint or a receipt.
pub const TEXT_FILE_BYTES_MAX: u64 = 64 * 1024;
