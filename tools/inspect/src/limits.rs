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
/// Findings of one kind that an audit keeps and prints; the rest is counted.
pub const FINDING_COUNT_MAX: usize = 10_000;
/// Newest records whose leaves an audit keeps, to compare a head that somebody signed with the log.
pub const HEAD_RECORDS_MAX: usize = 1 << 16;

/// An hour.
pub const HOUR_MS: u64 = 3_600_000;
/// From a request to the last approval it needs, and from the end of the cooling-off to the execution.
pub const WINDOW_MS: u64 = 72 * HOUR_MS;
/// Cooling-off of a destruction.
pub const COOLING_ERASE_MS: u64 = 72 * HOUR_MS;
/// Cooling-off of everything else that waits, and of a large destruction.
pub const COOLING_LONG_MS: u64 = 7 * 24 * HOUR_MS;
/// For how long a key that was enrolled after the founding decides nothing about destruction.
pub const QUARANTINE_MS: u64 = 30 * 24 * HOUR_MS;
/// A key unused for as long is suspended by an access review.
pub const UNUSED_KEY_MS: u64 = 90 * 24 * HOUR_MS;
/// How far the wall clock may be from the compliance clock and still count.
pub const WALL_SPAN_MS: u64 = 24 * HOUR_MS;
/// A list of more versions needs another approver and more time.
pub const LARGE_VERSIONS_MIN: u64 = 1000;
/// So does a list of more than this share of all versions, in percent.
pub const LARGE_PERCENT: u64 = 1;
/// Officers a vault must keep.
pub const OFFICERS_MIN: usize = 2;
/// Approvers a vault must keep.
pub const APPROVERS_MIN: usize = 2;
/// Operators a vault must keep.
pub const OPERATORS_MIN: usize = 1;
