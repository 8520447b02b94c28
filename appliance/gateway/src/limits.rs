//! Every limit of the network face, with its unit in its name.

/// The header in which an answer carries the receipt of what was stored, base64 of its text. The engine
/// gives none of more than 4 KiB, so that the header stays below what clients take.
pub const RECEIPT_HEADER: &str = "x-stele-receipt";

/// Bytes of one pooled buffer. A whole sealed chunk with its frame header and tag fits.
pub const SLAB_BYTES: usize = 1024 * 1024;
/// Bytes left free in front of the plaintext, for the frame header.
pub const SLAB_FRONT_BYTES: usize = 256;
/// Most plaintext bytes in one slab; behind them there is room for the 16-byte tag and the padding.
pub const SLAB_PLAIN_BYTES_MAX: usize = 1_044_480;
/// Slabs of one upload that the engine has not yet answered, beside the one being filled.
pub const UPLOAD_UNANSWERED_SLABS_MAX: usize = 1;
/// How long an upload waits for a free slab before the client is told to slow down.
pub const SLAB_WAIT_MS: u64 = 30_000;
/// Bytes of a frame between gateway and engine: the longest listing and the longest list of parts
/// fit.
pub const LINK_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that wait for the socket between gateway and engine before askers wait too.
pub const LINK_BACKLOG_BYTES_MAX: usize = 1024 * 1024;
/// Bytes read from that socket at once.
pub const LINK_READ_BYTES: usize = 64 * 1024;
/// Pieces of a download that are asked for ahead of what the client has taken.
pub const DOWNLOAD_AHEAD_PIECES: usize = 3;
/// Slabs for downloads that a copy holds: one that is being stored, and one on its way.
pub const COPY_SLABS: usize = 2;

/// Names under which every vault is reached; in front of them, a bucket may stand.
pub const DOMAINS: [&str; 2] = ["localhost", "s3.localhost"];
/// Signatures of chunks that are verified together; at the end of a body those that are left.
pub const CHUNK_PROOF_COUNT: usize = 64;
/// Most of them in one question.
pub const CHUNK_PROOF_COUNT_MAX: usize = 2 * CHUNK_PROOF_COUNT;
/// Connections served at once. Where there are so many, the next one takes the place of one without a signed request.
pub const CONNECTIONS_MAX: usize = 4096;
/// Connections of one address served at once. The next one takes the place of one of that address without a signed
/// request.
pub const CONNECTIONS_PER_SOURCE_MAX: usize = 3072;
/// Bytes of the buffer between socket and TLS of a connection with much traffic.
pub const SOCKET_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of that buffer at first; a connection without traffic has none.
pub const SOCKET_BUFFER_BYTES_MIN: usize = 8 * 1024;
/// Bytes that TLS has sealed and the socket has not taken, of a connection that came while there were few: fewer calls and
/// fewer wake-ups for what is large. Of others a quarter of it, so that those of all connections together are bounded.
pub const SEALED_BYTES_MAX: usize = 256 * 1024;
/// So many connections are few.
pub const CONNECTIONS_FEW: usize = 256;
/// Time in which a client that is being sent something must take a little of it.
pub const WRITE_WINDOW_MS: u64 = 300_000;
/// How much, bytes: 1 KiB a second.
pub const WRITE_WINDOW_BYTES_MIN: usize = 300 * 1024;
/// A TLS handshake must be over in this time.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;
/// A request head must arrive in this time; an idle connection is closed after it.
pub const HEAD_MS_MAX: u64 = 60_000;
/// Longest pause between two pieces of a request body.
pub const BODY_PAUSE_MS_MAX: u64 = 60_000;
/// Time that a client may make us wait for its body before it must have kept the least rate.
pub const BODY_GRACE_MS: u64 = 30_000;
/// Least rate of a body over the time we waited for it, bytes a second.
pub const BODY_BYTES_PER_S_MIN: u64 = 1024;
/// Content of an upload that is held outside the slabs, so that a slow client holds none before it
/// has sent this much, bytes.
pub const UPLOAD_STAGE_BYTES: usize = 64 * 1024;
/// Content of up to so many bytes travels in its question, and needs no slab.
pub const UPLOAD_WHOLE_BYTES: usize = 16 * 1024;
/// So much content is read or waits for its answer like this at once: 16 MiB. What comes beyond takes a slab.
pub const UPLOAD_WHOLE_COUNT_MAX: usize = 1024;
/// Of the slabs for uploads, one owner's large uploads may fill one part in this many at a time;
/// each fills one slab while the other is on its way.
pub const UPLOAD_SHARE_DIVISOR: usize = 3;
/// Of what is scarce, one part in this many is kept for those that hold little.
pub const KEPT_DIVISOR: usize = 4;
/// One part in this many is little, and one where that is none: eight find as much in what is kept, two where there are
/// eight of all. The engine divides its streams and requests alike.
pub const LITTLE_DIVISOR: usize = KEPT_DIVISOR * 8;
/// Of the slabs for downloads, one part in this many is never held by clients that take their time: content that leaves
/// its slab at once needs one for a moment.
pub const DOWNLOAD_PASSING_DIVISOR: usize = 8;
/// Of the slabs for downloads, one owner's large downloads may have one part in this many at a time, what its clients
/// have not taken yet included.
pub const DOWNLOAD_SHARE_DIVISOR: usize = 2;
/// Longest time in which a client takes no piece of a download.
pub const DOWNLOAD_PAUSE_MS_MAX: u64 = 300_000;
/// Time in which a client must take a little of each answer that is there for it, or all of it.
pub const ANSWER_WINDOW_MS: u64 = WRITE_WINDOW_MS;
/// How much, bytes: as much as of all that is written to a connection.
pub const ANSWER_WINDOW_BYTES_MIN: usize = WRITE_WINDOW_BYTES_MIN;
/// Content up to this many bytes leaves its slab at once, so that a client that does not take it holds
/// none.
pub const DOWNLOAD_COPIED_BYTES_MAX: usize = 64 * 1024;
/// How long a client waits for its turn before it is told to slow down.
pub const TURN_WAIT_MS: u64 = 30_000;
/// Memory for requests under way, what of their bodies is staged or unread, and answers that were not taken, bytes.
pub const MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// That of one owner, or of one key of the vault's own: some 3,600 small requests at once, or 440 large
/// uploads over HTTP/2.
pub const MEMORY_OF_PARTY_BYTES_MAX: usize = MEMORY_BYTES_MAX / 4;
/// Memory for heads whose signature is not verified yet, and what comes of their bodies meanwhile, bytes.
pub const UNVERIFIED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// That of one address, of IPv6 one /64: all streams of three HTTP/2 connections that begin at once.
pub const UNVERIFIED_OF_SOURCE_BYTES_MAX: usize = UNVERIFIED_BYTES_MAX / 4;
/// Memory for answers to requests that were not let in, bytes.
pub const REFUSED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// That of one address, of IPv6 one /64.
pub const REFUSED_OF_SOURCE_BYTES_MAX: usize = REFUSED_BYTES_MAX / 4;
/// A head is counted so many times: as it came and as it was signed.
pub const HEAD_FACTOR: usize = 2;
/// Memory is counted in pieces of so many bytes.
pub const MEMORY_UNIT_BYTES: usize = 1024;
/// What each request takes of it, a small answer included, bytes.
pub const REQUEST_BYTES: usize = 16 * 1024;
/// A longer document is counted so many times: as it is written, its memory doubles.
pub const ANSWER_DOCUMENT_FACTOR: usize = 2;
/// Pages of listings that the engine is asked for at once: 1.3 MiB at most each.
pub const PAGE_COUNT_MAX: usize = 64;
/// Those of one owner, or of one key of the vault's own.
pub const PAGE_OF_PARTY_COUNT_MAX: usize = PAGE_COUNT_MAX / 8;
/// Time after the stop signal in which running requests may finish.
pub const DRAIN_MS: u64 = 10_000;
/// Time after which the answer to a copy begins, and goes on with white space as often: clients give up after a minute.
pub const SILENCE_MS_MAX: u64 = 15_000;
/// Time after which an HTTP/2 connection without a request is closed, however often the client pings.
pub const H2_IDLE_MS_MAX: u64 = 60_000;
/// Streams of one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 64;
/// Flow-control window of one HTTP/2 stream, bytes.
pub const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Flow-control window of one HTTP/2 connection, bytes: those of all its streams, so that uploads that wait for their
/// turn keep none of the others from going on. What is unread counts for each request, before and after its signature
/// was verified.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = H2_STREAMS_MAX * H2_STREAM_WINDOW_BYTES;
/// Bytes of all header names and values of one request.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Parameters in the query of one request.
pub const QUERY_PARAMETERS_MAX: usize = 64;
/// Header lines of one request.
pub const HEADERS_MAX: usize = 128;
/// Bytes of an HTTP/1 connection's read buffer, which also bounds the request line.
pub const H1_BUFFER_BYTES: usize = 128 * 1024;
/// Bytes of a canonical request and of the path as it was sent: the longest head, its names a second time, and 64 KiB
/// of path and query.
pub const CANONICAL_BYTES_MAX: usize = 128 * 1024;
/// Unread bytes of a refused request's body that are still read, so that the client sees the answer.
pub const REFUSED_BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Time spent on that.
pub const REFUSED_BODY_MS_MAX: u64 = 5_000;

/// Bytes of an XML request body: 1,000 keys to delete or 10,000 parts fit.
pub const XML_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Elements of an XML body, where it does not name keys to delete or parts.
pub const DOCUMENT_ELEMENTS_MAX: usize = 2_000;
/// Elements for each key or part that one may name: with all that S3 knows they have eight.
pub const ELEMENTS_PER_ITEM_MAX: usize = 16;
/// XML bodies above this many bytes take turns.
pub const XML_BODY_SMALL_BYTES: usize = 64 * 1024;
/// XML bodies above the small size held in memory at once.
pub const XML_BODIES_LARGE_MAX: usize = 8;
/// Those of one owner, or of one key of the vault's own.
pub const XML_BODIES_LARGE_OF_PARTY_MAX: usize = XML_BODIES_LARGE_MAX / 4;
/// An XML body must arrive in this time.
pub const XML_BODY_MS_MAX: u64 = 60_000;

/// Difference between the client's clock and ours, as S3 allows it.
pub const CLOCK_SKEW_S_MAX: u32 = 900;
/// Life of a presigned URL.
pub const PRESIGNED_S_MAX: u64 = 604_800;

/// Bytes of one signed aws-chunked chunk.
pub const SIGNED_CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of a chunk's header line.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// Bytes of the trailers behind the last chunk.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// Bytes of an object key.
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of a single upload or part (5 GiB).
pub const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Bytes of what one request copies (5 GiB).
pub const COPY_BYTES_MAX: u64 = UPLOAD_BYTES_MAX;
/// Highest part number.
pub const PART_NUMBER_MAX: u16 = 10_000;
/// Bytes of all `x-amz-meta-*` names and values.
pub const USER_METADATA_BYTES_MAX: usize = 2048;
/// Tags of one object.
pub const TAGS_MAX: usize = 10;
/// Characters of a tag's key.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Characters of a tag's value.
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Entries of one listing page.
pub const LIST_ENTRIES_MAX: u32 = 1000;
/// Keys of one DeleteObjects.
pub const DELETE_KEYS_MAX: usize = 1000;
/// Deletions of one DeleteObjects that the engine works on at once.
pub const DELETE_AHEAD: usize = 32;
/// Longest default retention, days.
pub const RETENTION_DAYS_MAX: u32 = 36_500;
/// Longest default retention, years.
pub const RETENTION_YEARS_MAX: u32 = 100;

// A slab is a chunk of the format with its frame header in front.
const _: () = {
    use stele_format::limits::{CHUNK_PLAIN_BYTES_MAX, FRAME_HEADER_BYTES};
    assert!(SLAB_FRONT_BYTES as u64 == FRAME_HEADER_BYTES as u64);
    assert!(SLAB_PLAIN_BYTES_MAX as u64 == CHUNK_PLAIN_BYTES_MAX as u64);
};

/// Lifecycle rules of one bucket.
pub const LIFECYCLE_RULE_COUNT_MAX: usize = 32;
/// Longest ID of such a rule, bytes.
pub const LIFECYCLE_ID_BYTES_MAX: usize = 255;
/// Longest prefix of such a rule, bytes: as long as a key.
pub const LIFECYCLE_PREFIX_BYTES_MAX: usize = 1_024;
/// Most days of such a rule.
pub const LIFECYCLE_DAYS_MAX: u32 = 36_500;
/// Largest size in such a rule, bytes: that of the largest object.
pub const LIFECYCLE_BYTES_MAX: u64 = stele_format::limits::OBJECT_BYTES_MAX;
/// Most versions that such a rule keeps though they are not current, as in S3.
pub const LIFECYCLE_KEPT_MAX: u32 = 100;

/// What the keys of the vault itself begin with. Nobody writes or deletes them.
pub const VAULT_KEYS_PREFIX: &str = ".system-d26a9498-cb7c-4a87-a44a-8ae204f5ba6c/";
