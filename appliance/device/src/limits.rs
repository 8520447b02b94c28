//! Every bound of this crate, with its unit in the name.

/// The unit of all disk and area access, bytes. Offsets, lengths and memory addresses are multiples
/// of it. Every disk sold today reads and writes it whole with direct I/O.
pub const BLOCK_BYTES: usize = 4096;

/// What a disk is trusted to write whole or not at all when the power fails, bytes.
pub const SECTOR_BYTES: usize = 512;

/// What the kernel maps at once where it can, bytes. Pools start at a multiple of it.
pub const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Longest single read or write, bytes. A longer one is refused as out of range, so that a damaged
/// length read from media cannot make the machine reserve unbounded memory.
pub const OP_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Shortest read whose memory comes from a pool for reads, bytes. Memory for shorter ones is cheaper
/// to make than to bind a slab to it.
pub const POOLED_READ_BYTES_MIN: usize = 64 * 1024;

/// Reads that a caller which waits for all of them has under way on one disk.
pub const READS_AT_ONCE: usize = 16;

/// Threads per disk that carry out reads, writes and discards where there is no ring.
pub const IO_THREADS_PER_DISK: usize = 4;

/// How often a thread that has just had work looks for more before it sleeps. A look and a yield take
/// less than a microsecond where nobody else wants to run.
pub const LOOKS_BEFORE_SLEEP: u32 = 100;
/// Work that took this long is followed by sleep at once.
pub const LONG_WORK_US: u64 = 100;
/// How long who waits for one disk alone looks before it sleeps: somewhat longer than a fast one takes to flush.
pub const WAIT_LINGER_US: u64 = 150;

/// Reads and writes of one disk that its ring has in flight; the rest waits in a queue.
pub const RING_DEPTH: usize = 4;

/// How often in a row a ring repeats an operation to which the kernel says "again".
pub const RING_RETRIES_MAX: u32 = 100;

/// Pause before a ring asks a kernel once more that had no memory for a moment, milliseconds.
pub const RING_PAUSE_MS: u64 = 1;

/// How often the lock of a disk is asked for before it counts as in use.
pub const LOCK_TRIES: u32 = 1000;

/// Pause after each attempt that did not get the lock, milliseconds.
pub const LOCK_PAUSE_MS: u64 = 10;

/// Memory through which one area access moves its bytes at a time, bytes.
pub const AREA_SCRATCH_BYTES: usize = 256 * 1024;

/// Scratch buffers an area keeps for reuse.
pub const AREA_SCRATCH_COUNT_MAX: usize = 4;

/// How long an access to an area is waited for, seconds: as long as a disk may make no progress.
pub const AREA_PATIENCE_SECONDS: u64 = 30;
/// The same for the only one that holds what it does, seconds: as long as all disks together may make none.
pub const ONLY_AREA_PATIENCE_SECONDS: u64 = 600;

/// How long whoever waits for a disk waits without any completion before the disk is given up, seconds. A disk that
/// answers may be silent for long: the kernel asks a drive six times for 30 s each before it calls a sector bad, and one
/// bad sector is no reason to go on without a disk.
pub const DISK_PATIENCE_SECONDS: u64 = 200;
/// The part of it that is left at least to a disk which is waited for only after others.
pub const DISK_PATIENCE_LEFT_PART: u32 = 8;
/// How long is waited before it is looked again whether the time is over, milliseconds. What a look takes beyond that does
/// not count: when the whole machine was paused, no disk was slow.
pub const PATIENCE_LOOK_MS: u64 = 1_000;
/// Pause between two looks whether the threads of a disk have ended, milliseconds.
pub const CLOSE_PAUSE_MS: u64 = 1;

/// Random bytes fetched from the kernel ahead of their use.
pub const ENTROPY_AHEAD_BYTES: usize = 512;

/// Longest message a key provider seals, bytes. It seals key state, not data.
pub const SEAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest key file that is looked at, bytes.
pub const KEY_FILE_BYTES_MAX: usize = 4096;

/// Longest command to a TPM and longest answer of one, bytes; what the kernel's driver moves at most.
pub const TPM_MESSAGE_BYTES_MAX: usize = 4096;

/// Longest private part of a TPM object that is kept or loaded, bytes.
pub const TPM_PRIVATE_BYTES_MAX: usize = 512;

/// How often a command is repeated to which a TPM says "later".
pub const TPM_RETRIES_MAX: u32 = 100;

/// Pause before each such repetition, milliseconds.
pub const TPM_PAUSE_MS: u64 = 50;

/// How long a TPM behind a socket may take for one answer, seconds.
pub const TPM_ANSWER_SECONDS_MAX: u64 = 90;

/// Places in a TPM that are tried for a new counter before giving up.
pub const TPM_INDEX_TRIES_MAX: u32 = 16;

/// Handles that a crash may have left in a TPM and that are flushed at once.
pub const TPM_HANDLES_MAX: u32 = 64;

/// `BLOCK_BYTES` as the type of disk offsets.
pub(crate) const BLOCK: u64 = 4096;

const _: () = assert!(BLOCK_BYTES.is_power_of_two() && BLOCK_BYTES.is_multiple_of(SECTOR_BYTES));
const _: () = assert!(OP_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(AREA_SCRATCH_BYTES.is_multiple_of(BLOCK_BYTES));

/// What an evil disk holds unflushed before it writes the oldest to its file, bytes.
pub const EVIL_CACHE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Longest pause before a flush of an evil disk, microseconds.
pub const EVIL_PAUSE_US_MAX: usize = 10_000;

/// Threads per evil disk that carry out reads, writes and discards.
pub const EVIL_THREADS_PER_DISK: usize = 2;
