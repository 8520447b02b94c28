//! Every limit of the engine, with its unit in its name.

use stele_format::limits::LABEL_RING_BLOCKS;

/// Buckets that are in a vault at once.
pub const BUCKET_COUNT_MAX: u32 = 1_000;
/// Buckets of one owner other than the vault that are there at once.
pub const BUCKET_OF_CLIENT_COUNT_MAX: u32 = 100;
/// Buckets that one owner ever makes: those that were deleted stay known.
pub const BUCKET_MADE_COUNT_MAX: u32 = 10_000;
/// Bytes at the start of a disk that must be zeros for it to count as blank.
pub const BLANK_HEAD_BYTES: u64 = 64 << 20;
/// Bytes at the end of a disk that must be zeros for it to count as blank.
pub const BLANK_TAIL_BYTES: u64 = 1 << 20;
/// Bytes of a disk that is wiped that are read or written at a time.
pub const WIPE_STEP_BYTES: usize = 4 << 20;
/// Bytes of it that are discarded at a time.
pub const DISCARD_STEP_BYTES: usize = 1 << 30;
/// Requests the engine holds at once; more are refused as busy.
pub const REQUEST_COUNT_MAX: usize = 4_096;
/// Those of the clients of one owner.
pub const REQUEST_OF_OWNER_COUNT_MAX: usize = REQUEST_COUNT_MAX / 4;
/// Of requests and of streams, one part in this many is kept for owners that have few.
pub const KEPT_DIVISOR: usize = 4;
/// One part in this many is few: eight owners find as many in what is kept.
pub const FEW_DIVISOR: usize = KEPT_DIVISOR * 8;
/// Upload and download streams open at once.
pub const STREAM_COUNT_MAX: usize = 1_024;
/// Those of the clients of one owner.
pub const STREAM_OF_OWNER_COUNT_MAX: usize = STREAM_COUNT_MAX / 4;
/// Keys whose rate is remembered.
pub const METER_COUNT_MAX: usize = 1_024;
/// Longest time an upload or download stream may be idle.
pub const STREAM_IDLE_MS_MAX: u64 = 15 * 60 * 1_000;
/// Journal frames a copy may be behind; then the journal goes on in a segment without it, or waits for it
/// where no other disks have room.
pub const LAG_FRAME_COUNT_MAX: usize = 64;
/// Bytes of such frames, which stay in memory until that copy has them: frames of 4 MiB each are sooner too much. Half
/// a second of what a vault takes at its fastest, as a disk that stops for a moment should not be left for it.
pub const LAG_BYTES_MAX: usize = 128 << 20;
/// Steps of a listing whose rows are all of one moment.
pub const LIST_STEP_COUNT: usize = 16;
/// Journal frames that a copy may lack of those acknowledged: behind by so many no further frame is built,
/// and some are under way.
pub const LACKED_FRAME_COUNT_MAX: usize = 2 * LAG_FRAME_COUNT_MAX + 16;
/// Frames of up to so many bytes share memory that is used again.
pub const FRAME_ROOM_BYTES: usize = 512 << 10;
/// Frames that find room there at once: the one under way, and some that a slower disk still writes.
pub const FRAME_ROOM_COUNT: usize = 4;
/// Longest time the journal does without a disk that lagged and has caught up; the first time it is
/// [`SLOW_MS`].
pub const AWAY_MS_MAX: u64 = 64 * SLOW_MS;
/// Positions remembered for replay to begin at while some copy is behind.
pub const UNSETTLED_COUNT_MAX: usize = 1_024;
/// Time a disk may make no progress: with writes before it leaves the pool, with reads before another
/// copy is read.
pub const LAG_MS_MAX: u64 = 30_000;
/// The same where every disk that is asked for anything stands still.
pub const STANDSTILL_MS_MAX: u64 = 600_000;
/// Where all segments were looked at, so many of them are worth a millisecond until the next look: a large vault has
/// hundreds of thousands, and serves nobody while it looks, some tenth of a microsecond for each.
pub const LOOKED_AT_PER_MS_KEPT: u64 = 10;
/// Time a read may wait for one disk before another is asked too.
pub const HEDGE_MS: u64 = 150;
/// Time a disk may take nothing before the data lane goes on without it.
pub const LANE_SLOW_MS: u64 = 2_000;
/// Time for which a disk that was slow is only used where no other is left.
pub const SLOW_MS: u64 = 30_000;
/// Times within [`SLOW_WINDOW_MS`] that a disk was slow after which it is a suspect.
pub const SLOW_COUNT_MAX: usize = 3;
/// How long it counts that a disk was slow, and how long a suspect must be quick to be none any more.
pub const SLOW_WINDOW_MS: u64 = 3_600 * 1_000;
/// Most of the time between two looks at the disks that counts as waiting for them.
pub const LOOK_MS_MAX: u64 = 1_000;
/// Quiet time after which an idle marker closes the window of the last acknowledged frame.
pub const IDLE_MARKER_MS: u64 = 20;
/// Chunks written but not flushed on a disk before the lane asks for a flush by itself.
pub const UNFLUSHED_CHUNK_COUNT_MAX: u32 = 8;
/// Index rows held in memory before a snapshot is taken.
pub const SNAPSHOT_ROW_COUNT: usize = 50_000;
/// Rows of so many snapshots a start gathers in memory rather than give up the snapshot that it begins from.
pub const REPLAYED_SNAPSHOTS_MAX: usize = 4;
/// As many places are looked up segment by segment; for more, all segments are sorted first.
pub const LOOK_ONE_BY_ONE_MAX: usize = 8;
/// How far a forced opening leaves behind what the lost disks may have numbered: epochs, of which a start takes one.
pub const FORCED_EPOCH_LEAP: u32 = 1 << 10;
/// Segments that a forced opening leaves out.
pub const FORCED_SEGMENT_LEAP: u64 = 1 << 20;
/// Label generations that a forced opening leaves out: whole rounds of the ring, so that the next label has the next
/// place, as ever.
pub const FORCED_GENERATION_LEAP: u64 = (1 << 14) * LABEL_RING_BLOCKS as u64;
/// Records replayed at a start after which that start takes a snapshot at once.
pub const SNAPSHOT_RECORD_COUNT: u64 = 1_000;
/// Journal bytes after which a snapshot is taken.
pub const SNAPSHOT_JOURNAL_BYTES: u64 = 1 << 30;
/// Segments begun after which a snapshot is taken: those that no snapshot knows are read one by one at
/// a start. The same number of them, read at a start, makes that start take one at once.
pub const SNAPSHOT_SEGMENT_COUNT: u64 = 32;
/// Times in a row an index is made anew and filled from the journal before its disks are given up.
pub const INDEX_ATTEMPT_COUNT_MAX: u32 = 3;
/// Smallest part other than the last, as S3 has it.
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// Parts of one upload that may be sent again after they were stored: the keys of those they replace are
/// kept with the upload, and then with the version that it became.
pub const PART_REPLACED_COUNT_MAX: u64 = 10_000;
/// Largest object body in one upload, as S3 has it.
pub const UPLOAD_BYTES_MAX: u64 = 5 << 30;
/// Largest metadata of one version, encoded.
pub const METADATA_BYTES_MAX: u32 = 16 << 10;
/// Entries of the chunk list that stay in the manifest; a longer list moves to list chunks.
pub const MANIFEST_ENTRY_COUNT_MAX: usize = 64;
/// Entries in one list chunk.
pub const LIST_ENTRY_COUNT_MAX: usize = 8_192;
/// Share of a disk's units that new data may not take: one in this many. It is for the log: seals and
/// epochs, configuration, approvals, and half of it for what clients say of data that is there.
pub const RESERVE_UNIT_DIVISOR: u32 = 10;
/// Share of the reserve that no client may take with markers, releases, locks and holds.
pub const RESERVE_VAULT_DIVISOR: u32 = 2;
/// Longest note of a statement, bytes.
pub const NOTE_BYTES_MAX: usize = 16 << 10;
/// Versions in one record of a list of them.
pub const SCOPE_PIECE_COUNT_MAX: usize = 256;
/// Records of one list: a million versions.
pub const SCOPE_PIECES_COUNT_MAX: u32 = 4_096;
/// Versions of one list.
pub const SCOPE_VERSION_COUNT_MAX: usize = SCOPE_PIECE_COUNT_MAX * SCOPE_PIECES_COUNT_MAX as usize;

/// Most manifests sealed again by one request.
pub const REHOME_COUNT_MAX: usize = 64;
/// Bytes of manifests sealed again by one request, beside a single one that is larger.
pub const REHOME_BYTES_MAX: usize = 1 << 20;

/// What a leaf that is cut alone adds to the key tree at most, bytes: the siblings along its path below
/// the class, each with its place.
pub const LEAF_CUT_BYTES_MAX: u64 = 44 * 41;

/// Largest key tree that cuts of single leaves may leave behind, bytes.
pub const KEY_STATE_CUT_BYTES_MAX: u64 = 12 << 20;

/// Rows asked of the index in one page of a listing.
pub const SCAN_ROW_COUNT: usize = 1_000;
/// Zeros kept written ahead of the journal's head on disks that are files, bytes.
pub const AHEAD_BYTES: u64 = 8 << 20;
/// Bytes of one write of these zeros, which the frames behind it wait for.
pub const AHEAD_PIECE_BYTES_MAX: usize = 256 << 10;
/// Bytes of one write of zeros where something is wiped.
pub const WIPE_PIECE_BYTES_MAX: usize = 1 << 20;
/// Fewest segments' worth of each disk that data must leave free.
pub const RESERVE_SEGMENT_COUNT_MIN: u32 = 3;
/// Fewest places of each disk, each for a whole segment, that data must leave free.
pub const RESERVE_RUN_COUNT_MIN: usize = 1;
/// Segments whose copies on one disk are wiped before a record says so.
pub const WIPE_SEGMENT_COUNT_MAX: usize = 256;
/// How often to look for copies that can be wiped now.
pub const RECLAIM_LOOK_MS: u64 = 100;
/// How long after a snapshot that failed another one is asked for, so that wiped units come back.
pub const RELEASE_AGAIN_MS: u64 = 60_000;
/// Bytes of a segment that healing reads at once from a copy; a longer frame is read whole.
pub const HEAL_RUN_BYTES_MAX: usize = 1 << 20;
/// Runs under way at once while a segment is healed.
pub const HEAL_RUN_COUNT_MAX: usize = 8;
/// What cannot be given back by any copy is named up to this count.
pub const LOST_COUNT_MAX: usize = 1_000;
/// Of segments that are due, so many in a row are new ones where those are late; then it is the turn of another.
pub const LATE_TURN_COUNT: u32 = 3;
/// A closed segment is read again for the first time so long after it was closed.
pub const SCRUB_SETTLE_MS: u64 = 10 * 60 * 1_000;
/// A new segment is read again within this time after it was closed, and what is in an open one after it was written or
/// read.
pub const SCRUB_FIRST_PROMISED_MS: u64 = 24 * 3_600 * 1_000;
/// One that has waited for so long is read beside clients at the rate without them, before what was read before, and by
/// turns with the filling of a disk, so that it is within a day.
pub const SCRUB_FIRST_MS_MAX: u64 = 18 * 3_600 * 1_000;
/// From here to [`SCRUB_FIRST_MS_MAX`] the rate beside clients grows to the rate without them.
pub const SCRUB_FIRST_HURRY_MS: u64 = 6 * 3_600 * 1_000;
/// What is durable of an open segment is read again so long after the last time.
pub const SCRUB_OPEN_MS: u64 = 12 * 3_600 * 1_000;
/// A closed segment is read again so long after the last time.
pub const SCRUB_INTERVAL_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// From [`SCRUB_INTERVAL_MS`] to here the rate beside clients grows to the rate without them.
pub const SCRUB_AGAIN_MS_MAX: u64 = 10 * 24 * 3_600 * 1_000;
/// Everything is read again within this time.
pub const SCRUB_AGAIN_PROMISED_MS: u64 = 14 * 24 * 3_600 * 1_000;
/// Records of so many scrubs that found nothing are written together.
pub const SCRUB_TOLD_COUNT: usize = 64;
/// The record of a scrub that found nothing is written so long after it at the latest.
pub const SCRUB_TOLD_MS: u64 = 5 * 60 * 1_000;
/// Pause after each piece of rows of the index that is read again: ten thousand rows a second at most, so 10^7 in a
/// quarter of an hour, and next to nothing of the time in which the index answers clients.
pub const VERIFY_PAUSE_MS: u64 = 100;
/// Quiet time after the last request of a client before healing takes its full rate.
pub const CLIENT_QUIET_MS: u64 = 1_000;
/// Rate of reading everything again while no client is at work.
pub const SCRUB_IDLE_BYTES_PER_S: u64 = 128 << 20;
/// The same beside clients.
pub const SCRUB_BUSY_BYTES_PER_S: u64 = 8 << 20;
/// Rate of filling a disk beside clients; without them it has no bound.
pub const FILL_BUSY_BYTES_PER_S: u64 = 64 << 20;
/// Newest checkpoints whose size and root are remembered, to tell one of another history: 40 bytes each.
pub const REMEMBERED_ROOTS_MAX: usize = 1 << 16;
/// Earlier names of a log that was forced open, under which its newest checkpoint is signed too.
pub const LINKED_NAMES_MAX: u32 = 7;
/// Longest receipt that is given: a header of an answer carries it, in base64.
pub const RECEIPT_BYTES_MAX: usize = 4 << 10;
/// Kinds of refused attempts gathered at a time, by what was tried, who tried and where; beyond it one more for
/// each thing tried.
pub const ATTEMPT_COUNT_MAX: usize = 48;
/// How long attempts are gathered for one record: compliance time.
pub const ATTEMPT_GATHER_MS: u64 = 60 * 1_000;
/// What was not tried for so long is written at once: compliance time.
pub const ATTEMPT_KIND_FRESH_MS: u64 = 3_600 * 1_000;
/// Deletes of one client within an hour of compliance time above which somebody is told.
pub const DELETE_RATE_MAX: u64 = 1_000;
/// Part of that hour that is forgotten at once.
pub const DELETE_RATE_SLOT_MS: u64 = 5 * 60 * 1_000;
/// Such parts of it.
pub const DELETE_RATE_SLOTS: usize = 12;
