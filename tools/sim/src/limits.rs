//! Every limit and size of the simulation, the unit in its name.

/// Size of a simulated disk, bytes. Sparse: only what is written takes memory.
pub const DISK_BYTES: u64 = 96 << 20;
/// Size of one key-state copy, bytes.
pub const KEYSTATE_BYTES: u32 = 64 << 10;
/// Size of the index area of a disk, bytes.
pub const INDEX_BYTES: u64 = 8 << 20;
/// Cache of the index, bytes.
pub const INDEX_CACHE_BYTES: usize = 1 << 20;

/// Crash recoveries after which a pool is finished and a new one begins.
pub const LIFE_RECOVERY_COUNT_MAX: u64 = 14;
/// Versions after which a pool is finished: later checks would only get slower.
pub const LIFE_VERSION_COUNT_MAX: usize = 160;
/// Content written after which a pool is finished, bytes.
pub const LIFE_CONTENT_BYTES_MAX: u64 = 40 << 20;
/// Starts of one pool in a row that a power cut may interrupt.
pub const CUT_START_COUNT_MAX: u64 = 6;

/// After so many recoveries of a pool every version is read to its last byte; also at its end.
pub const FULL_CHECK_INTERVAL: u64 = 4;
/// After the other recoveries one of so many versions is.
pub const READ_SHARE: u64 = 2;

/// Disks of a pool, at most.
pub const DISK_COUNT_MAX: usize = 7;
/// Disks that have each part of the journal.
pub const JOURNAL_COPIES: usize = 3;
/// Starts in a row without the same disks, at most.
pub const SPELL_START_COUNT_MAX: u64 = 4;
/// Long sessions have so many times the turns of others.
pub const LONG_SESSION_FACTOR: u64 = 40;
/// Longest time a disk answers nothing, milliseconds: longer than the engine waits for it.
pub const HUNG_MS_MAX: u64 = 60_000;
/// Of so many turns in which it could, a slow disk takes one.
pub const SLOW_TURNS: u64 = 25;
/// Of so many turns in which it could, a disk that crawls takes one.
pub const CRAWL_TURNS: u64 = 1_000;
/// Where flushes of all disks fail, the power goes within so many steps of them.
pub const CUT_AFTER_FLUSH_STEPS_MAX: u64 = 14;
/// Longest leap of time while all wait for a disk that answers nothing, milliseconds.
pub const LEAP_MS_MAX: u64 = 600;

/// Starts at the end of a pool in which disks that were away are given back.
pub const REUNION_START_COUNT_MAX: u64 = 8;
/// Turns of each of these in which the disks are waited for, at most.
pub const REUNION_TURN_COUNT_MAX: u64 = 20_000;
/// Turns in which the clients pause for scrubbing, at most.
pub const SCRUB_TURN_COUNT_MAX: u64 = 2_500;

/// Turns without any answer after which a machine with open questions counts as stuck.
pub const STUCK_TURN_COUNT: u64 = 60_000;
/// Simulated time without any answer after which a machine with open questions counts as stuck.
pub const STUCK_MS: u64 = 120_000;

/// Largest body of a plain upload, bytes.
pub const BODY_BYTES_MAX: u64 = 3 << 20;
/// Smallest part that may be followed by another, bytes.
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// The wall clock of the first start, milliseconds since 1970.
pub const FIRST_WALL_MS: u64 = 1_790_000_000_000;
/// One day, milliseconds.
pub const DAY_MS: u64 = 86_400_000;

/// A disk that lags in an enumeration is as it was so many events ago.
pub const LAGGING_EVENT_COUNT: usize = 40;
/// Events of an enumerated trace, at most.
pub const TRACE_EVENT_COUNT_MAX: u64 = 100_000;
/// Events in which a drain is waited for at the end of a session.
pub const DRAIN_TURN_COUNT_MAX: u64 = 5_000;

/// Turns in which everybody waits until nothing goes on, so that time can pass for people.
pub const REST_TURN_COUNT_MAX: u64 = 400;
/// Turns after a start in which what was worked off before it is complete.
pub const SETTLE_TURN_COUNT: u64 = 400;
/// Starts at the end of a pool in which what was begun is carried out.
pub const CARRY_OUT_START_COUNT_MAX: u64 = 4;

/// What the key is made of that signs a simulated log.
pub const LOG_SEED: [u8; 32] = [0x5e; 32];

/// So many events after a fault struck a disk at work the power fails.
pub const STRUCK_EVENT_COUNTS: [u64; 4] = [0, 7, 63, 255];

/// Longest time that passes while a question is under way, milliseconds.
pub const BETWEEN_ANSWERS_MS_MAX: u64 = 3_600_000;
