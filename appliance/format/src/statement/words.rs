//! The words of statements, each with exactly one spelling.

use core::fmt;

use super::StatementError;
use crate::checkpoint::{Origin, WitnessKey};
use crate::digest::Digest;
use crate::limits::{
    COUNTING_MAX, STATEMENT_CLIENT_CHARS_MAX, STATEMENT_SECONDS_END, STATEMENT_WORD_CHARS_MAX,
};
use crate::sshsig::PublicKey;
use crate::tree::TreeHash;
use crate::units::{BucketId, DiskId, LogIndex, Month, Opening, UnixMillis, parse_hex, write_hex};

/// Reads and prints one word, or one value of more words, behind the name of a line.
pub(super) trait Word: Sized + fmt::Display {
    fn read(text: &str) -> Option<Self>;
}

impl Word for Origin {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// A name or value: 1 to 32 of `a-z0-9.-`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name, if it is one.
    ///
    /// # Errors
    /// [`StatementError::Name`].
    pub fn new(text: &str) -> Result<Self, StatementError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= STATEMENT_WORD_CHARS_MAX
            && text.bytes().next().is_some_and(plain)
            && text
                .bytes()
                .all(|byte| plain(byte) || matches!(byte, b'.' | b'-'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(StatementError::Name)
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Word for Name {
    fn read(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }
}

/// The id of a client's access key: 1 to 64 letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(String);

impl ClientKey {
    /// The id, if it is one.
    ///
    /// # Errors
    /// [`StatementError::Name`].
    pub fn new(text: &str) -> Result<Self, StatementError> {
        let fits = (1..=STATEMENT_CLIENT_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(StatementError::Name)
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Word for ClientKey {
    fn read(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }
}

/// What a person does here. One person has one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs jobs and asks for destruction.
    Operator,
    /// Approves what others ask for.
    Approver,
    /// Keeps people, policy and clock.
    Officer,
    /// Keeps a card; asks for nothing and approves nothing.
    Custodian,
    /// Reads, and may veto.
    Auditor,
}

impl Role {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 5] = [
        Self::Operator,
        Self::Approver,
        Self::Officer,
        Self::Custodian,
        Self::Auditor,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Officer => "officer",
            Self::Custodian => "custodian",
            Self::Auditor => "auditor",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Word for Role {
    fn read(text: &str) -> Option<Self> {
        Self::from_name(text)
    }
}

/// A time in whole seconds, from 1970 to 9999: `2026-11-29T10:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Second(u64);

const DAY_S: u64 = 86_400;

impl Second {
    /// The second a time lies in; none beyond the year 9999.
    #[must_use]
    pub const fn of(time: UnixMillis) -> Option<Self> {
        Self::new(time.get() / 1000)
    }

    /// Seconds since 1970; none beyond the year 9999.
    #[must_use]
    pub const fn new(seconds: u64) -> Option<Self> {
        if seconds < STATEMENT_SECONDS_END {
            Some(Self(seconds))
        } else {
            None
        }
    }

    /// The first second that begins at or after a time; none beyond the year 9999.
    #[must_use]
    pub const fn not_before(time: UnixMillis) -> Option<Self> {
        Self::new(time.get().div_ceil(1000))
    }

    /// A second as it is printed; none of another text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        <Self as Word>::read(text).filter(|second| second.to_string() == text)
    }

    /// Its first millisecond.
    #[must_use]
    pub const fn start(self) -> UnixMillis {
        UnixMillis::new(self.0 * 1000)
    }
}

/// Year, month and day of a day since 1970, by the proleptic Gregorian calendar (Hinnant's algorithm,
/// whose years begin in March).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year + era * 400 + (month <= 2) as u64, month, day)
}

/// The day since 1970 of a date from 1970 on. A date that is none gives the day of another one, which
/// prints in another way.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / DAY_S);
        let of_day = self.0 % DAY_S;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

impl Word for Second {
    fn read(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let mut date = date.splitn(3, '-').map(digits);
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let mut time = time.splitn(3, ':').map(digits);
        let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
        let sane = (1970..10_000).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !sane {
            return None;
        }
        Self::new(days(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second)
    }
}

/// Digits alone, and few enough that sums of them cannot overflow.
fn digits(text: &str) -> Option<u64> {
    let fits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

impl Word for Month {
    fn read(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let (year, month) = (digits(year)?, digits(month)?);
        let number = year
            .checked_sub(1970)?
            .checked_mul(12)?
            .checked_add(month.checked_sub(1).filter(|month| *month < 12)?)?;
        Self::new(u16::try_from(number).ok()?)
    }
}

/// As statements write it: `2026-10`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month) = (self.get() / 12 + 1970, self.get() % 12 + 1);
        write!(f, "{year:04}-{month:02}")
    }
}

/// Random bytes that make a text one of its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Display for Nonce<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl<const N: usize> fmt::Debug for Nonce<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

impl<const N: usize> Word for Nonce<N> {
    fn read(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

/// The log as it was when the statement was drafted: records and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Records.
    pub size: u64,
    /// Root of the tree over them.
    pub root: TreeHash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.size)?;
        write_hex(&self.root.0, f)
    }
}

impl Word for Head {
    fn read(text: &str) -> Option<Self> {
        let (size, root) = text.split_once(' ')?;
        Some(Self {
            size: u64::read(size)?,
            root: TreeHash(parse_hex(root)?),
        })
    }
}

impl Word for u64 {
    fn read(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok()?;
        (plain && number <= COUNTING_MAX).then_some(number)
    }
}

impl Word for Opening {
    fn read(text: &str) -> Option<Self> {
        let opening = u32::try_from(u64::read(text)?).ok().map(Self::new)?;
        (opening.in_range() && !opening.is_zero()).then_some(opening)
    }
}

impl Word for LogIndex {
    fn read(text: &str) -> Option<Self> {
        u64::read(text).map(Self::new)
    }
}

/// The public key of a log, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPublic(pub [u8; 32]);

impl fmt::Display for LogPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest(self.0).fmt(f)
    }
}

impl fmt::Debug for LogPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogPublic({self})")
    }
}

impl Word for LogPublic {
    fn read(text: &str) -> Option<Self> {
        Digest::parse_hex(text).map(|key| Self(key.0))
    }
}

impl Word for Digest {
    fn read(text: &str) -> Option<Self> {
        Self::parse_hex(text)
    }
}

impl Word for DiskId {
    fn read(text: &str) -> Option<Self> {
        Self::parse_hex(text)
    }
}

impl Word for BucketId {
    fn read(text: &str) -> Option<Self> {
        Self::parse_hex(text)
    }
}

impl Word for PublicKey {
    fn read(text: &str) -> Option<Self> {
        Self::from_text(text).ok()
    }
}

impl Word for WitnessKey {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}
