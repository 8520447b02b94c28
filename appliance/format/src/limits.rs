//! Every bound of the format, the unit in its name.
//!
//! A decoder refuses what exceeds a limit before it allocates for it.

/// Alignment of every area and the size of every root structure.
pub const BLOCK_BYTES: u32 = 4096;
/// The same as an array length.
pub(crate) const BLOCK: usize = 4096;
/// Where a block keeps the BLAKE3-256 digest of everything before it.
pub(crate) const BLOCK_DIGEST_OFFSET: usize = BLOCK - 32;

/// Size of an allocation unit on product disks.
pub const UNIT_BYTES: u32 = 4 * 1024 * 1024;
/// Smallest allocation unit (simulated disks only).
pub const UNIT_BYTES_MIN: u32 = 64 * 1024;

/// Size of a frame header.
pub const FRAME_HEADER_BYTES: u32 = 256;
/// Largest frame, header and padding included.
pub const FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Most records in one journal frame.
pub const FRAME_RECORDS_MAX: u16 = 4096;

/// Size of a record header, which is also the tree leaf.
pub const RECORD_HEADER_BYTES: u32 = 192;
/// Largest clear body of a record.
pub const CLEAR_BYTES_MAX: u32 = 256 * 1024;
/// Most attachments of one record.
pub const ATTACHMENTS_MAX: usize = 64;

/// Most versions in one record of a list of them.
pub const SCOPE_ENTRIES_MAX: usize = 4096;
/// Most records of one list of versions.
pub const SCOPE_PIECES_MAX: u32 = 1 << 16;
/// Longest text of a statement.
pub const STATEMENT_BYTES_MAX: usize = 8 * 1024;
/// Longest signature of a statement, without its armour.
pub const SIGNATURE_BYTES_MAX: usize = 1024;
/// Most signatures of one statement.
pub const STATEMENT_SIGNATURES_MAX: usize = 64;

/// Most entries of one record of refused attempts.
pub const ATTEMPTS_MAX: usize = 128;
/// Longest word in such an entry: what was tried, or why it was refused.
pub const ATTEMPT_WORD_BYTES_MAX: usize = 32;
/// Longest fingerprint of a key.
pub const FINGERPRINT_BYTES_MAX: usize = 64;

/// AEAD tag behind every ciphertext.
pub const TAG_BYTES: u32 = 16;
/// Largest plaintext of a chunk: frame header, ciphertext and tag then fill 1 MiB exactly
/// once padded.
pub const CHUNK_PLAIN_BYTES_MAX: u32 = 1024 * 1024 - BLOCK_BYTES;
/// Largest object body that rides in the journal, plaintext.
pub const INLINE_BODY_BYTES_MAX: u32 = 128 * 1024;
/// Largest manifest, sealed.
pub const MANIFEST_BYTES_MAX: u32 = 64 * 1024;
/// Largest plaintext of a manifest, bucket, configuration or list document.
pub const DOCUMENT_BYTES_MAX: usize = CHUNK_PLAIN_BYTES_MAX as usize;
/// Most prefix rules of one bucket.
pub const BUCKET_RULES_MAX: usize = 32;
/// Lifecycle rules of a bucket, at most.
pub const LIFECYCLE_RULES_MAX: usize = 32;
/// Longest id of such a rule.
pub const RULE_ID_BYTES_MAX: usize = 255;
/// Longest object name.
pub const KEY_BYTES_MAX: usize = 1024;
/// Largest object.
pub const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;
/// Highest part number of a multipart upload; the lowest is 1.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// Copies of the label on one disk.
pub const LABEL_COPIES: u16 = 4;
/// Size of one label copy.
pub const LABEL_COPY_BYTES: u32 = 256 * 1024;
/// Blocks of one label copy.
pub const LABEL_BLOCKS: u16 = 64;
/// First block of the ring of dynamic labels in a copy.
pub const LABEL_RING_FIRST: u16 = 2;
/// Blocks in that ring.
pub const LABEL_RING_BLOCKS: u16 = 60;
/// Bytes at the start of a disk that belong to labels A and B and their reserve.
pub const LABEL_AREA_BYTES: u64 = 1024 * 1024;

/// Copies of the key state on one disk.
pub const KEYSTATE_COPIES: u16 = 2;
/// Size of one key-state copy on product disks.
pub const KEYSTATE_COPY_BYTES: u32 = 16 * 1024 * 1024;
/// Smallest key-state copy (simulated disks only).
pub const KEYSTATE_COPY_BYTES_MIN: u32 = 2 * BLOCK_BYTES;

/// Most disks of a pool.
pub const MEMBERS_MAX: usize = 32;
/// Epoch cut-offs remembered by a label, newest last.
pub const CUTOFFS_MAX: usize = 32;
/// Most segments that one Trim record names.
pub const TRIM_SEGMENTS_MAX: usize = 4096;
/// Most copies of a segment.
pub const COPIES_MAX: usize = 4;
/// Most nodes of a compact tree frontier.
pub const FRONTIER_NODES_MAX: usize = 64;
/// Most records of a log; far beyond any disk, so that sizes read from media cannot overflow.
pub const LOG_RECORDS_MAX: u64 = 1 << 60;
/// Longest checkpoint with its signatures.
pub const NOTE_BYTES_MAX: usize = 8 * 1024;
/// Longest text of a certificate, without its signatures.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Most signatures of a checkpoint: the log's and those of witnesses.
pub const NOTE_SIGNATURES_MAX: usize = 16;
/// Longest name in the key of a witness, in characters.
pub const WITNESS_NAME_CHARS_MAX: usize = 128;
/// Longest proof with its checkpoint.
pub const PROOF_BYTES_MAX: usize = 16 * 1024;
/// Highest number that counts something, and highest time: no writer gets near it, so that a reader may go
/// on counting from what it has read.
pub const COUNTING_MAX: u64 = 1 << 62;
/// Most hours by which compliance time is corrected at once: a hundred years.
pub const CLOCK_HOURS_MAX: u64 = 876_600;
/// Most forced openings of a log.
pub const OPENING_MAX: u32 = (1 << 20) - 1;
/// Most spans of the log that one forced opening gives up in the middle.
pub const LOST_SPANS_MAX: usize = 16;
/// Bits of a journal frame's number below the count of forced openings: a frame every millisecond for 34 years.
pub const OPENING_SHIFT: u32 = 40;
/// Highest epoch: the key index keeps 20 bits for it.
pub const EPOCH_MAX: u32 = (1 << 20) - 1;
/// Highest counter within a key index.
pub const KEY_COUNTER_MAX: u32 = (1 << 24) - 1;
/// Highest month within a key index, counted from January 1970.
pub const KEY_MONTH_MAX: u16 = (1 << 12) - 1;
/// Deepest nesting a CBOR document may have.
pub const CBOR_DEPTH_MAX: usize = 8;

/// Longest name of a person or a policy, in characters, and longest value of a policy.
pub const STATEMENT_WORD_CHARS_MAX: usize = 32;
/// Longest id of a client's access key in a statement, in characters.
pub const STATEMENT_CLIENT_CHARS_MAX: usize = 64;
/// Most keys of one person.
pub const PERSON_KEYS_MAX: usize = 2;
/// First second that a statement cannot write: the year 10000.
pub const STATEMENT_SECONDS_END: u64 = 253_402_300_800;
/// Longest armoured signature, in bytes.
pub const SIGNATURE_ARMOUR_BYTES_MAX: usize = 2048;
/// Longest line of a public key, in bytes.
pub const KEY_LINE_BYTES_MAX: usize = 1024;

const _: () = {
    assert!(LABEL_COPY_BYTES == BLOCK_BYTES * LABEL_BLOCKS as u32);
    assert!(LABEL_RING_FIRST + LABEL_RING_BLOCKS <= LABEL_BLOCKS);
    assert!(FRAME_HEADER_BYTES + CHUNK_PLAIN_BYTES_MAX + TAG_BYTES <= 1024 * 1024);
};
