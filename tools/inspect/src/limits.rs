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
/// Shortest rest of a destruction, in hours.
pub const COOLING_ERASE_HOURS_MIN: u64 = 72;
/// Shortest rest of everything else that waits, and of a large destruction, in hours.
pub const COOLING_PEOPLE_HOURS_MIN: u64 = 168;
/// Rest of acts about disks, in hours.
pub const COOLING_DISK_HOURS: u64 = 72;
/// Longest rest that a policy sets, in hours.
pub const COOLING_HOURS_MAX: u64 = 2160;
/// Most people that a policy demands.
pub const POLICY_PEOPLE_MAX: u64 = 16;
/// Requests that may be open at a time.
pub const OPEN_REQUEST_COUNT_MAX: usize = 256;
/// How far ahead a grant of special rights may end.
pub const GRANT_MS_MAX: u64 = 366 * 24 * HOUR_MS;
/// How far the time in a session may be from the wall clock of its record.
pub const SESSION_SPAN_MS: u64 = 5 * 60 * 1000;
/// Bits of a label that rot; where more differ, a sector of it may be that of an older label.
pub const LABEL_ROT_BITS_MAX: u32 = 1;
/// How long a retention must be over before what it kept may be destroyed.
pub const ERASE_MARGIN_MS: u64 = 24 * HOUR_MS;
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
pub const OFFICERS_MIN: u64 = 2;
/// Approvers a vault must keep.
pub const APPROVERS_MIN: u64 = 2;
/// Operators a vault must keep.
pub const OPERATORS_MIN: u64 = 1;
/// Witnesses that may count at a time.
pub const WITNESS_COUNT_MAX: usize = 8;
/// How long all witnesses may be silent before nothing is destroyed.
pub const WITNESS_SILENCE_MS: u64 = 30 * 24 * HOUR_MS;
/// How long nothing frees after a forced opening.
pub const FORCED_REST_MS: u64 = 7 * 24 * HOUR_MS;
/// How far a forced opening leaves the epochs before it behind, at least.
pub const FORCED_EPOCHS_MIN: u32 = 1 << 10;
/// How far the time of a witness may lie ahead of the wall clock.
pub const WITNESS_AHEAD_MS: u64 = 24 * HOUR_MS;
/// People of a vault, the removed counted.
pub const PERSON_COUNT_MAX: usize = 1024;
