//! `stele client` and `stele bucket`: flags, parsed into what is asked of the serving process.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::people::RequestArgs;
use super::{SizeError, StatusArgs, parse_size};
use crate::control::clients::{Bound, ClientWish, Rule};
use crate::limits::DAY_MS;

/// What can be done with the clients of a vault that is being served.
#[derive(Debug, Subcommand)]
pub enum ClientVerb {
    /// Make a key, and print it with its secret and lines to use it; the secret is shown this once.
    Add(AddArgs),
    /// Show all keys, what they may and what their owners store.
    List(StatusArgs),
    /// Change what a key may; what is not named stays.
    Limit(LimitArgs),
    /// End a key for ever, at once.
    Revoke(RevokeArgs),
    /// Ask for special rights of a key, for a time.
    Grant(GrantArgs),
}

/// `stele client grant`.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The key, as `stele client list` shows it.
    pub key_id: String,
    /// Any of hold-off, governance-bypass and lock-admin, with commas.
    pub rights: String,
    /// The time at which they end: YYYY-MM-DD, or with a time as 2026-11-29T10:00:00Z.
    #[arg(long, value_name = "DATE")]
    pub until: String,
}

impl GrantArgs {
    /// As a statement says it.
    pub fn lines(&self) -> Vec<String> {
        let until = match self.until.contains('T') {
            true => self.until.clone(),
            false => format!("{}T00:00:00Z", self.until),
        };
        vec![
            "act grant".to_owned(),
            format!("client {}", self.key_id),
            format!("rights {}", self.rights),
            format!("until {until}"),
        ]
    }
}

/// `stele client add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The key whose owner this one shares, with all buckets and quotas; else it gets an owner of its
    /// own.
    #[arg(long, value_name = "KEY_ID")]
    pub same_owner_as: Option<String>,
    /// What it may.
    #[command(flatten)]
    pub wish: WishArgs,
}

/// `stele client limit`.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The key, as `stele client list` shows it.
    pub key_id: String,
    /// What it may.
    #[command(flatten)]
    pub wish: WishArgs,
}

/// `stele client revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The key, as `stele client list` shows it.
    pub key_id: String,
}

/// What a key may.
#[derive(Debug, Args)]
pub struct WishArgs {
    /// What people call it; kept sealed, never in a log.
    #[arg(long)]
    pub name: Option<String>,
    /// Any of put, get, list, delete and release, with commas [for a new key: all but release].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub rights: Option<Vec<String>>,
    /// A bucket it may touch, whoever owns it, or only keys in it that begin with a prefix; may be
    /// repeated; "any" for all buckets of its owner.
    #[arg(long = "bucket", value_name = "BUCKET[/PREFIX]")]
    pub buckets: Option<Vec<String>>,
    /// A network it may come from, such as 10.1.0.0/16; may be repeated; "any" for anywhere.
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Option<Vec<String>>,
    /// Bytes its owner may store, or "none"; with KiB, MiB, GiB or TiB.
    #[arg(long, value_name = "N", value_parser = bytes)]
    pub quota_bytes: Option<Bound>,
    /// Versions its owner may store, or "none".
    #[arg(long, value_name = "N", value_parser = number)]
    pub quota_versions: Option<Bound>,
    /// Requests in a minute that add to the log: versions, parts, delete markers, locks; or "none".
    #[arg(long, value_name = "N", value_parser = number)]
    pub writes_per_minute: Option<Bound>,
    /// Content bytes it may bring in a second, or "none"; with KiB, MiB or GiB.
    #[arg(long, value_name = "N", value_parser = bytes)]
    pub bytes_per_second: Option<Bound>,
    /// The last day (UTC) on which it is good, or "none".
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = last_day)]
    pub expires: Option<Bound>,
}

impl WishArgs {
    /// As it is asked.
    pub fn wish(self) -> ClientWish {
        ClientWish {
            name: self.name,
            rights: self.rights,
            buckets: self.buckets.map(or_any),
            networks: self.networks.map(or_any),
            quota_bytes: self.quota_bytes,
            quota_versions: self.quota_versions,
            writes_per_minute: self.writes_per_minute,
            bytes_per_second: self.bytes_per_second,
            expires_ms: self.expires,
        }
    }
}

/// A list, or nothing for the word "any" alone.
fn or_any(list: Vec<String>) -> Vec<String> {
    if list == ["any"] { Vec::new() } else { list }
}

fn bytes(text: &str) -> Result<Bound, SizeError> {
    match text {
        "none" => Ok(Bound::None),
        text => parse_size(text).map(Bound::At),
    }
}

fn number(text: &str) -> Result<Bound, std::num::ParseIntError> {
    match text {
        "none" => Ok(Bound::None),
        text => text.parse().map(Bound::At),
    }
}

/// Why a date is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day from 1970 on, as YYYY-MM-DD")]
struct DateError;

/// The first millisecond after a day.
fn last_day(text: &str) -> Result<Bound, DateError> {
    if text == "none" {
        return Ok(Bound::None);
    }
    let mut parts = text.split('-').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then_some(part)
    });
    let mut part = || parts.next().flatten().ok_or(DateError);
    let year: i32 = part()?.parse().map_err(|_| DateError)?;
    let month: u8 = part()?.parse().map_err(|_| DateError)?;
    let day: u8 = part()?.parse().map_err(|_| DateError)?;
    let month = time::Month::try_from(month).map_err(|_| DateError)?;
    let date = time::Date::from_calendar_date(year, month, day).map_err(|_| DateError)?;
    let seconds = date.midnight().assume_utc().unix_timestamp();
    let seconds = u64::try_from(seconds).map_err(|_| DateError)?;
    match parts.next() {
        None => Ok(Bound::At(seconds * 1_000 + DAY_MS)),
        Some(_) => Err(DateError),
    }
}

/// What can be done with the buckets of a vault that is being served.
#[derive(Debug, Subcommand)]
pub enum BucketVerb {
    /// Default retention of new versions by prefix of their keys.
    #[command(subcommand)]
    Rule(RuleVerb),
    /// Show all buckets with their tiers of retention.
    List(StatusArgs),
    /// Make a bucket with Object Lock in a tier of retention; it is the vault's own, of the key made with it and
    /// those of the same owner. Other clients make theirs over S3, and `tier` puts them into one.
    Create(CreateArgs),
    /// Put a bucket into a tier of retention: new versions for which the client sets nothing are kept as long. Less
    /// than the bucket has needs two people: lower-default.
    Tier(TierArgs),
    /// Set the most days of retention that clients may set in a bucket, against junk that is locked for a century. What
    /// is stored keeps its lock.
    MaxRetention(MaxRetentionArgs),
    /// Show by which lifecycle rules versions of a bucket are hidden or released and unfinished uploads given up, as
    /// clients set them; or take all of them away.
    Lifecycle(LifecycleArgs),
    /// Ask for a lower default retention of a bucket.
    LowerDefault(LowerArgs),
}

/// What the tiers are, for help.
const TIERS: &str = "\
operational[=30d..90d]  for getting back to work [90 days]
dea                     two years: 21 CFR 1304.04, 1311.305
hipaa                   six years: documentation, 45 CFR 164.316(b)(2)(i)
compliance[=1y..7y]     what law or contract asks for otherwise [7 years]

All are COMPLIANCE: nobody ends them early. They count from the moment a version is stored, with every leap day.";

/// `stele bucket create`.
#[derive(Debug, Args)]
#[command(after_help = TIERS)]
pub struct CreateArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// Its tier.
    #[arg(long)]
    pub tier: String,
    /// Days for which new versions of keys under a prefix are kept instead, as locks/=1; may be repeated.
    #[arg(long = "rule", value_name = "PREFIX=DAYS", value_parser = read_rule)]
    pub rules: Vec<Rule>,
}

/// Why a text is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not PREFIX=DAYS, such as locks/=1")]
pub struct RuleError;

/// A rule as PREFIX=DAYS; a prefix may have the sign too.
fn read_rule(text: &str) -> Result<Rule, RuleError> {
    let (prefix, days) = text.rsplit_once('=').ok_or(RuleError)?;
    Ok(Rule {
        prefix: prefix.to_owned(),
        days: days.parse().map_err(|_| RuleError)?,
    })
}

/// `stele bucket max-retention`.
#[derive(Debug, Args)]
pub struct MaxRetentionArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// Days from the moment a client asks; without it the bound is taken away.
    #[arg(long, value_name = "N")]
    pub days: Option<u32>,
}

/// `stele bucket lifecycle`.
#[derive(Debug, Args)]
pub struct LifecycleArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// Take all its lifecycle rules away. What they hid or released comes back with `stele release undo`, or when the
    /// marker over it is deleted.
    #[arg(long)]
    pub remove: bool,
}

/// `stele bucket tier`.
#[derive(Debug, Args)]
#[command(after_help = TIERS)]
pub struct TierArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// The tier.
    pub tier: String,
}

/// `stele bucket lower-default`.
#[derive(Debug, Args)]
pub struct LowerArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The bucket.
    pub bucket: String,
    /// Its new default: none, a tier such as dea, or a mode and a time such as "compliance 7d" or "governance 1y".
    pub default: String,
}

/// What can be done with the rules of a bucket.
#[derive(Debug, Subcommand)]
pub enum RuleVerb {
    /// Set the default retention of keys that begin with a prefix.
    Add(RuleAddArgs),
    /// Show the rules of a bucket.
    List(RuleListArgs),
    /// Remove a rule.
    Remove(RuleRemoveArgs),
}

/// `stele bucket rule add`.
#[derive(Debug, Args)]
pub struct RuleAddArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// What keys begin with, such as locks/
    pub prefix: String,
    /// Days for which new versions of such keys are kept where the client says nothing.
    #[arg(long, value_name = "N")]
    pub days: u32,
}

/// `stele bucket rule list`.
#[derive(Debug, Args)]
pub struct RuleListArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `stele bucket rule remove`.
#[derive(Debug, Args)]
pub struct RuleRemoveArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The bucket.
    pub bucket: String,
    /// The prefix of the rule.
    pub prefix: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_with_its_last_millisecond() {
        let at = |ms| Ok(Bound::At(ms));
        for (text, expected) in [
            ("none", Ok(Bound::None)),
            ("1970-01-01", at(86_400_000)),
            ("2024-02-29", at(1_709_251_200_000)),
            ("2023-02-29", Err(DateError)),
            ("1969-12-31", Err(DateError)),
            ("2024-2-9-1", Err(DateError)),
            ("2024-02", Err(DateError)),
            ("2024-+2-09", Err(DateError)),
            ("-2024-02-09", Err(DateError)),
            ("", Err(DateError)),
        ] {
            assert_eq!(last_day(text), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_is_a_prefix_and_days() {
        let rule = |text| read_rule(text).map(|rule| (rule.prefix, rule.days));
        assert_eq!(rule("locks/=1"), Ok(("locks/".to_owned(), 1)));
        assert_eq!(rule("a=b/=40"), Ok(("a=b/".to_owned(), 40)));
        for wrong in ["locks/", "locks/=", "locks/=x", "locks/=-1", ""] {
            assert_eq!(rule(wrong), Err(RuleError), "{wrong}");
        }
    }

    #[test]
    fn bounds_are_numbers_or_none() {
        assert_eq!(bytes("10GiB"), Ok(Bound::At(10 << 30)));
        assert_eq!(bytes("1"), Ok(Bound::At(1)));
        assert_eq!(bytes("none"), Ok(Bound::None));
        assert_eq!(bytes("ten"), Err(SizeError::Syntax));
        assert_eq!(number("7"), Ok(Bound::At(7)));
        assert!(number("-7").is_err());
        assert_eq!(or_any(vec!["any".to_owned()]), [""; 0]);
        assert_eq!(or_any(vec!["a".to_owned(), "any".to_owned()]), ["a", "any"]);
    }
}
