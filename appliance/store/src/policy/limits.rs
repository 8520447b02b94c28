//! Limits of retention, each with its unit in its name.

/// One day.
pub const DAY_MS: u64 = 86_400_000;

/// Days in a year of a retention period; periods know no calendar.
pub const YEAR_DAYS: u64 = 365;

/// Longest default retention, in days.
pub const DEFAULT_RETENTION_DAYS_MAX: u32 = 36_500;

/// Longest default retention, in years.
pub const DEFAULT_RETENTION_YEARS_MAX: u32 = 100;

/// How far ahead of now a retain-until date may lie: 100 years of 366 days, so that a date exactly
/// one hundred calendar years ahead passes whatever the leap years between.
pub const RETAIN_UNTIL_AHEAD_MS_MAX: u64 = 36_600 * DAY_MS;

/// How far the wall clock may stand from the compliance clock and still count.
pub const WALL_DRIFT_MS_MAX: u64 = DAY_MS;

/// How long a retention must be over before what it kept may be destroyed.
pub const ERASE_MARGIN_MS: u64 = DAY_MS;

/// Most that a simulated clock is set forward at once: fifty years.
pub const CLOCK_ADVANCE_MS_MAX: u64 = 50 * 366 * DAY_MS;

/// One minute.
pub const MINUTE_MS: u64 = 60_000;

/// How long a key that wrote nothing may write at any speed before its rate of bytes counts.
pub const RATE_BURST_S: u64 = 10;

/// Longest name of an owner, in characters.
pub const OWNER_CHARS_MAX: usize = 32;

/// Buckets and prefixes that one key's list may name.
pub const CLIENT_SCOPE_COUNT_MAX: usize = 64;

/// Prefix rules of one bucket, as the format has them.
pub const BUCKET_RULE_COUNT_MAX: usize = stele_format::limits::BUCKET_RULES_MAX;

/// Lifecycle rules of one bucket, as the format has them.
pub const LIFECYCLE_RULE_COUNT_MAX: usize = stele_format::limits::LIFECYCLE_RULES_MAX;

/// Versions that are not current and stay whatever their age, at most, as in S3.
pub const NONCURRENT_KEPT_MAX: u32 = 100;

/// Latest moment from which a rule has versions go: the end of the year 9999, as far as S3 writes dates.
pub const EXPIRY_FROM_MS_MAX: u64 = 253_402_300_800_000;

/// Largest size in a rule: one more than an object can have.
pub const EXPIRY_BYTES_MAX: u64 = stele_format::limits::OBJECT_BYTES_MAX + 1;

/// Longest id of such a rule, in bytes.
pub const RULE_ID_BYTES_MAX: usize = stele_format::limits::RULE_ID_BYTES_MAX;

/// Days after which an unfinished upload is given up where its bucket has no rule for it. No backup takes
/// that long, and what nobody finishes would take space for ever.
pub const UPLOAD_DAYS_DEFAULT: u32 = 7;

/// Longest prefix in such a list or of a rule, in bytes: as long as a key.
pub const SCOPE_PREFIX_BYTES_MAX: usize = 1_024;

/// How long a request waits for its approvals.
pub const APPROVAL_MS_MAX: u64 = 72 * HOUR_MS;

/// How long after its cooling-off a request may be executed.
pub const EXECUTION_MS_MAX: u64 = 72 * HOUR_MS;

/// Shortest cooling-off of a destruction, in hours.
pub const ERASE_COOLING_HOURS_MIN: u64 = 72;

/// Shortest cooling-off of acts about people, policies, clock, holds and rights, and of a large
/// destruction, in hours.
pub const PEOPLE_COOLING_HOURS_MIN: u64 = 7 * 24;

/// Cooling-off of acts about disks, in hours.
pub const DISK_COOLING_HOURS: u64 = 72;

/// Longest cooling-off a policy may set, in hours.
pub const COOLING_HOURS_MAX: u64 = 90 * 24;

/// More versions than this in one list are a large destruction.
pub const LARGE_SCOPE_COUNT: u64 = 1_000;

/// More of the vault's versions than this part of a thousand are a large destruction.
pub const LARGE_SCOPE_PER_MILLE: u64 = 10;

/// Approvers that a large destruction needs.
pub const LARGE_SCOPE_APPROVERS: u64 = 2;

/// How long a key that was enrolled after the founding may neither approve nor execute destruction.
pub const QUARANTINE_MS: u64 = 30 * DAY_MS;

/// How long a key may go unused before a review suspends it.
pub const UNUSED_MS_MAX: u64 = 90 * DAY_MS;

/// How far ahead a grant of special rights may end.
pub const GRANT_MS_MAX: u64 = 366 * DAY_MS;

/// How old the answer to a session's challenge may be, and how far in the future its time.
pub const SESSION_MS_MAX: u64 = 5 * MINUTE_MS;

/// Fewest operators, approvers and officers a vault with people has.
pub const OPERATORS_MIN: u64 = 1;
/// As above.
pub const APPROVERS_MIN: u64 = 2;
/// As above.
pub const OFFICERS_MIN: u64 = 2;

/// Highest value of a policy that sets a number of people.
pub const PEOPLE_COUNT_MAX: u64 = 16;

/// Most requests that wait for something at a time.
pub const OPEN_REQUEST_COUNT_MAX: usize = 256;

/// Most persons of a vault, those that left included.
pub const PERSON_COUNT_MAX: usize = 1_024;

/// Most witnesses that count at a time.
pub const WITNESS_COUNT_MAX: usize = 8;

/// How long nothing frees after a forced opening: people look what was lost, and state it again.
pub const FORCED_REST_MS: u64 = 7 * DAY_MS;
/// How long witnesses may be silent before destruction waits for them.
pub const WITNESS_SILENT_MS_MAX: u64 = 30 * DAY_MS;

/// How far the time of a witness may lie ahead of the wall clock.
pub const WITNESS_AHEAD_MS_MAX: u64 = DAY_MS;

/// One hour.
pub const HOUR_MS: u64 = 60 * MINUTE_MS;

/// How much the wall clock may gain on compliance time, or lose, within a day before somebody is told.
pub const DRIFT_MS_MAX: u64 = 5 * MINUTE_MS;

/// How long before its end a granted right is no longer used: what it allowed is in the log in time.
pub const GRANT_MARGIN_MS: u64 = MINUTE_MS;

/// The last time that a record states, wall clock and compliance time alike: the end of the year 9999, the last that
/// texts can say. Milliseconds since 1970.
pub const WALL_MS_MAX: u64 = 253_402_300_799_999;
