//! Limits and tuning of the index, each with its unit in its name.

/// Bytes of an index page, the unit of encryption and of checking.
pub const PAGE_BYTES: usize = 4096;

/// Page tags that fit one tag page; a tag page is followed by as many data pages.
pub const GROUP_PAGES: u64 = 512;

/// Header pages at the start of each half of an index area.
pub const HEADER_PAGES: u64 = 2;

/// Bytes of redb's super-header that a header page carries along.
pub const SUPER_HEADER_BYTES: usize = 512;

/// Mirrors of an index at most.
pub const MIRRORS_MAX: usize = 2;

/// Pages gathered before they are written out in disk order.
pub const PENDING_PAGES_MAX: usize = 2048;

/// Longest single write to an area, in pages.
pub const WRITE_RUN_PAGES_MAX: usize = 256;

/// Pages read at once where reads come one after the other, and how far apart two of those may lie.
pub const READ_AHEAD_PAGES: u64 = 64;

/// Tag pages kept in memory per mirror.
pub const TAG_PAGES_MAX: usize = 1024;

/// The engine's snapshot blob at most: some 4.4 million sealed segments, 275 TB of content.
pub const EXTRA_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What an entry of the memtable costs beside its key and value, for accounting.
pub const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Smallest index area in which an index can begin (both halves together); it then holds some
/// hundred rows. 4 MiB hold about 5,000.
pub const INDEX_AREA_BYTES_MIN: u64 = 256 * 1024;

/// Bytes of the area for each byte of keys and values, below which new objects are refused.
pub const CAPACITY_BYTES_PER_ROW_BYTE: u64 = 4;

/// Largest file that a commit copies, unasked, to a mirror that missed writes. Reads wait meanwhile.
pub const RESYNC_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Pages of a larger one that are copied at once: 2 MiB. Commits, and reads of what no cache holds, wait meanwhile.
pub const MIRROR_PIECE_PAGES: u64 = 512;

/// Time between two such pieces: 40 MiB a second at most.
pub const MIRROR_PIECE_MS: u64 = 50;

/// Rows read at once by a listing that rolls keys up; it doubles while nothing is rolled up.
pub const LIST_ROLLUP_ROWS_MIN: usize = 16;

/// Rows read at once by a listing at most.
pub const LIST_ROWS_MAX: usize = 1024;

/// Rows of versions that a page of released ones looks at: most objects have none, and each must be read.
pub const RELEASED_ROWS_MAX: usize = 16_384;

/// Rows read again in one piece when all rows are compared with what is stated: no more than a listing reads at
/// once, since a client's question may have to wait for it.
pub const VERIFY_ROWS: usize = LIST_ROWS_MAX;

/// Bytes of keys and values after which such a piece ends, however few rows they are.
pub const VERIFY_BYTES: u64 = 1 << 20;

/// Objects whose versions are read in one step of a version listing.
pub const LIST_OBJECTS_AT_ONCE_MAX: usize = 64;
