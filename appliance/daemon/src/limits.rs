//! Every limit of the daemon, with its unit in its name.

use stele_gateway::limits::{
    BODY_BYTES_PER_S_MIN, BODY_GRACE_MS, SLAB_PLAIN_BYTES_MAX, SLAB_WAIT_MS,
};

/// Buffers for uploads. With the gateway's slab size this bounds what clients can make the process
/// hold for data on its way in: 64 MiB.
pub const SLAB_COUNT: usize = 64;
/// Buffers for reads of all disks together, of the same size: 32 MiB. Reads beyond them get memory of
/// their own, which costs far more time.
pub const READ_SLAB_COUNT: usize = 32;
/// Buffers that the gateway's process reads uploads into, of the same size: 64 MiB.
pub const UPLOAD_SLAB_COUNT: usize = 64;
/// Buffers that downloads reach the gateway's process in, of the same size: 64 MiB.
pub const DOWNLOAD_SLAB_COUNT: usize = 64;
/// Signed requests of one gateway process that are open at once.
pub const SESSION_COUNT_MAX: usize = 65_536;
/// Time after its signature was verified in which a request may begin something: longer than a body takes that is read
/// before anything is asked, at the least rate. What it began may take longer.
pub const SESSION_OPENS_MS_MAX: u64 = 1_200_000;
const _: () = assert!(
    SESSION_OPENS_MS_MAX
        > SLAB_PLAIN_BYTES_MAX as u64 * 1_000 / BODY_BYTES_PER_S_MIN + BODY_GRACE_MS + SLAB_WAIT_MS
);
/// How long the very same signed request is served again that takes something back: who got no answer asks again, with
/// the same signature within its second.
pub const SPENT_AGAIN_MS: u64 = 10_000;
/// Such requests of one key that are kept until their signatures are not good any more, 64 bytes each.
pub const SPENT_COUNT_MAX: usize = 32_768;
/// Time between two looks for those that need not be kept any more.
pub const SPENT_LOOK_MS: u64 = 60_000;
/// Questions of one gateway process that are not answered yet.
pub const ASKED_COUNT_MAX: usize = 8_192;
/// Bytes of answers that wait for the gateway's process before no more is read from it.
pub const LINK_OUT_BYTES_MAX: usize = 4 << 20;
/// Bytes that the gateway's process has taken and that are kept before those behind them.
pub const LINK_SENT_BYTES_MAX: usize = 1 << 20;
/// Time in which the gateway's process must serve after it was started.
pub const GATEWAY_START_MS_MAX: u64 = 30_000;
/// Time in which it must have ended after it closed its connection, or was to have stopped.
pub const GATEWAY_END_MS_MAX: u64 = 2_000;
/// Bytes of one line that the gateway's process says; what is longer is cut.
pub const GATEWAY_LINE_BYTES_MAX: usize = 512;
/// Such lines that come into the log in so much time. An honest one has a handful in its life.
pub const GATEWAY_LINE_COUNT_MAX: usize = 30;
/// See `GATEWAY_LINE_COUNT_MAX`.
pub const GATEWAY_LINES_MS: u64 = 60_000;
/// Time for which what it said last is waited for once it has ended.
pub const GATEWAY_SAID_MS_MAX: u64 = 1_000;
/// Files the gateway's process may have open: its connections and a few more.
pub const FILE_COUNT_MAX: u64 = stele_gateway::limits::CONNECTIONS_MAX as u64 + 64;
/// Pause before it is started again; it doubles with each start that fails.
pub const GATEWAY_PAUSE_MS: u64 = 50;
/// Longest such pause.
pub const GATEWAY_PAUSE_MS_MAX: u64 = 5_000;
/// Time between two looks whether the port still takes connections.
pub const DOOR_LOOK_MS: u64 = 1_000;
/// Attempts at a port that somebody still holds, and the pause between them: the gateway of a killed
/// process may take a moment to end.
pub const PORT_ATTEMPT_COUNT_MAX: u32 = 40;
/// See `PORT_ATTEMPT_COUNT_MAX`.
pub const PORT_ATTEMPT_PAUSE_MS: u64 = 50;
/// Requests that wait between gateway and engine.
pub const QUESTION_QUEUE_COUNT_MAX: usize = 256;
/// Requests taken from the gateway before the engine looks at disks and workers again.
pub const QUESTION_BATCH_COUNT_MAX: usize = 64;
/// Questions of the process itself and of the control socket that wait for the engine.
pub const LOCAL_QUEUE_COUNT_MAX: usize = 16;
/// Jobs that wait for a worker; what does not fit stays with the engine thread, whose own limits on
/// requests and streams bound it.
pub const JOB_QUEUE_COUNT_MAX: usize = 64;
/// Finished jobs that wait for the engine thread; a worker with more to deliver waits.
pub const JOB_RESULT_COUNT_MAX: usize = 64;
/// Questions that wait for each thread of the index, and its answers that wait for the engine thread.
pub const INDEX_QUEUE_COUNT_MAX: usize = 64;
/// Fewest worker threads, also on a machine with one core.
pub const WORKER_COUNT_MIN: usize = 2;
/// Memory of the index's page cache, bytes.
pub const INDEX_CACHE_BYTES: usize = 64 << 20;
/// Longest time between two ticks of the engine while something is in flight.
pub const TICK_BUSY_MS: u64 = 10;
/// Longest time between two ticks of an idle engine.
pub const TICK_IDLE_MS: u64 = 100;
/// How often a stop looks whether disks have ended their last reads, `TICK_BUSY_MS` apart.
pub const SETTLE_LOOK_COUNT_MAX: u32 = 200;
/// How long a stop waits for disks while where the log ended is kept with the keys: as long as a disk may make no progress.
/// By then the disks have all that counts.
pub const CLOSE_MS_MAX: u64 = 30_000;
/// Pause before a question is asked again while the index is being rebuilt.
pub const REBUILD_POLL_MS: u64 = 50;

/// Disks of a vault that is created without `--disk`.
pub const DISK_COUNT_DEFAULT: usize = 3;
/// Size of a new disk file.
pub const DISK_BYTES_DEFAULT: u64 = 16 << 30;
/// Smallest disk a vault is created on: label, key state, index, the segments the engine keeps in
/// reserve, and a few for data.
pub const DISK_BYTES_MIN: u64 = 1 << 30;
/// Bytes of a unit, the step in which disk space is given out.
pub const UNIT_BYTES: u32 = 4 << 20;
/// Units of a segment.
pub const SEGMENT_UNITS: u32 = 16;
/// Bytes of one key-state copy.
pub const KEYSTATE_BYTES: u32 = 16 << 20;
/// Smallest index area.
pub const INDEX_BYTES_MIN: u64 = 512 << 20;
/// The index area is one part in this many of its disk.
pub const INDEX_DISK_DIVISOR: u64 = 16;
/// Bytes at the start of a disk that must be blank before a vault is created on it.
pub const BLANK_HEAD_BYTES: u64 = stele_store::limits::BLANK_HEAD_BYTES;
/// Bytes at the end of a disk that must be blank before a vault is created on it.
pub const BLANK_TAIL_BYTES: u64 = stele_store::limits::BLANK_TAIL_BYTES;
/// Longest configuration file of a vault directory that is read, bytes.
pub const CONFIG_FILE_BYTES_MAX: u64 = 64 << 10;

/// Attempts at the lock of a vault before it counts as held.
pub const LOCK_ATTEMPT_COUNT_MAX: u32 = 5;
/// Pause between them.
pub const LOCK_ATTEMPT_PAUSE_MS: u64 = 10;

/// Longest path the kernel takes for a Unix socket, bytes, without the final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Connections to the control socket served at once.
pub const CONTROL_CONNECTION_COUNT_MAX: usize = 8;
/// Bytes of a question on the control socket: a founding with the signatures of everybody it names is the
/// largest, 8 KiB of text and 64 signatures of 1 KiB at most.
pub const CONTROL_REQUEST_BYTES_MAX: u64 = 128 << 10;
/// Bytes of an answer on the control socket: hundreds of requests and a thousand people, in words.
pub const CONTROL_REPLY_BYTES_MAX: u64 = 4 << 20;
/// Time in which a question must arrive and its answer must be taken.
pub const CONTROL_MS_MAX: u64 = 10_000;

/// Time in which an act on disks must be answered: blank areas are read and labels flushed.
pub const CONTROL_JOIN_MS_MAX: u64 = 300_000;
/// How long released versions are looked through, or taken back, at one question; whoever asks goes on with another.
pub const RELEASED_MS_MAX: u64 = CONTROL_JOIN_MS_MAX - 60_000;
/// Released versions shown at one question, bytes: less than a reply may have.
pub const RELEASED_BYTES_MAX: usize = 3 << 20;
/// Time in which what the control socket was asked for must end when the vault stops.
pub const VERB_END_MS_MAX: u64 = 10_000;
/// Time for which anybody waits for others to end once a thread has died.
pub const DEATH_MS_MAX: u64 = 10_000;
/// Acts on disks that wait for the one under way.
pub const JOIN_QUEUE_COUNT_MAX: usize = 4;
/// Time between two looks at the disks that are being filled.
pub const FILL_POLL_MS: u64 = 1_000;
/// Time between two looks whether the disks are where they were opened.
pub const PLACE_LOOK_MS: u64 = 3_000;
/// Time in which a disk that is let go of must finish what it was asked to do.
pub const RELEASE_MS_MAX: u64 = 10_000;
/// Lost frames that are named one by one in the text of a status.
pub const LOST_SHOWN_COUNT_MAX: usize = 20;

/// Time from a start to the first look for what lifecycle rules have go.
pub const LIFECYCLE_FIRST_MS: u64 = 10_000;
/// Time between two such looks. One finds at once that a bucket was looked through that day.
pub const LIFECYCLE_MS: u64 = 600_000;

/// Time between two looks while the index is made anew.
pub const REBUILD_TICK_MS: u64 = 50;
/// Pause before an index that was made anew is made anew again; it doubles each time.
pub const REBUILD_PAUSE_MS: u64 = 5_000;
/// Longest such pause.
pub const REBUILD_PAUSE_MS_MAX: u64 = 300_000;
/// Time between two starts that move the journal to the disks that are left.
pub const MOVE_PAUSE_MS: u64 = 60_000;
/// A start that takes longer than this says how far it is, again and again.
pub const START_TOLD_MS: u64 = 5_000;

/// Access keys kept, revoked ones included.
pub const CLIENT_COUNT_MAX: usize = 256;
/// Longest name of a client, characters.
pub const CLIENT_NAME_CHARS_MAX: usize = 64;
/// Networks a key may name.
pub const CLIENT_NETWORK_COUNT_MAX: usize = 32;
/// Bytes of the configuration record of the clients.
pub const CLIENT_RECORD_BYTES_MAX: usize = 256 << 10;

/// Bytes of a file of certificates or of a key.
pub const PEM_BYTES_MAX: u64 = 48 << 10;
/// Life of a server certificate, days.
pub const CERTIFICATE_DAYS: u64 = 3_650;
/// A certificate with fewer days left is replaced at the next start.
pub const CERTIFICATE_RENEW_DAYS: u64 = 30;
/// A certificate is valid from this many days before it was issued, for clients with slow clocks.
pub const CERTIFICATE_BACKDATE_DAYS: u64 = 1;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Bytes of private memory of the gateway's process. 4,096 connections with full buffers take some 600 MiB, of it
/// what they stage; that is counted with requests and answers under way, which take 256 MiB; eight large XML bodies
/// take 64 MiB, and heads that are not verified yet and refusals that are not taken 128 MiB. All of it at once is more
/// than this; what wants more is at fault or under attack, and the process is started again.
pub const GATEWAY_DATA_BYTES_MAX: u64 = 1 << 30;
/// How readily the kernel ends the gateway's process when the machine has no memory left, up to 1,000; the
/// engine's process has 0.
pub const GATEWAY_OOM_SCORE: &str = "500";
/// Versions on a page of a listing that the vault itself asks for.
pub const LIST_PAGE_COUNT: u32 = 1_000;
/// Pause before something is asked again of an engine that is busy.
pub const BUSY_PAUSE_MS: u64 = 20;
/// Looks at whether a wipe is written down, before it is left to be told of again.
pub const CUT_LOOK_COUNT_MAX: u32 = 6_000;
/// Looks at whether what was executed is in force, such as keys are cut, before whoever waits hears that the next start
/// does it: for a minute, well before nobody waits for the answer any more.
pub const FORCE_LOOK_COUNT_MAX: u32 = 1_200;
/// Pause between such looks.
pub const CUT_LOOK_PAUSE_MS: u64 = 50;
const _: () =
    assert!(FORCE_LOOK_COUNT_MAX as u64 * CUT_LOOK_PAUSE_MS <= CONTROL_JOIN_MS_MAX - 240_000);
/// Challenges of sessions that wait for their answer; the oldest goes first.
pub const CHALLENGE_COUNT_MAX: usize = 64;
/// How long a challenge is good.
pub const CHALLENGE_MS_MAX: u64 = 300_000;
/// Wrong answers of a key after which an alarm tells of it.
pub const WRONG_ALARM_COUNT: u32 = 3;
/// Wrong answers of a key after which it must wait; the wait doubles with each further one.
pub const WRONG_FREE_COUNT: u32 = 5;
/// Longest such wait.
pub const WRONG_WAIT_MS_MAX: u64 = 3_600_000;
/// Keys whose wrong answers are counted; more are counted as one.
pub const WRONG_KEY_COUNT_MAX: usize = 64;

/// Below so many starts that a vault has room for, its status says how many they are.
pub const STARTS_LEFT_MIN: u32 = 16;
