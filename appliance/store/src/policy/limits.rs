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

/// Rules of one bucket for unfinished uploads, as the format has them.
pub const UPLOAD_RULE_COUNT_MAX: usize = stele_format::limits::UPLOAD_RULES_MAX;

/// Longest id of such a rule, in bytes.
pub const UPLOAD_RULE_ID_BYTES_MAX: usize = stele_format::limits::RULE_ID_BYTES_MAX;

/// Days after which an unfinished upload is given up where its bucket has no rule for it. No backup takes
/// that long, and what nobody finishes would take space for ever.
pub const UPLOAD_DAYS_DEFAULT: u32 = 7;

/// Longest prefix in such a list or of a rule, in bytes: as long as a key.
pub const SCOPE_PREFIX_BYTES_MAX: usize = 1_024;
