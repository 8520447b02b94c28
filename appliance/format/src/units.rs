//! Names for numbers: ids, counts, positions and times, each its own type.
//!
//! Invariant: no two of them mix without a word at the call site. Nothing here panics; arithmetic
//! that could overflow returns an option.

use core::fmt;

use crate::limits::{
    COUNTING_MAX, EPOCH_MAX, KEY_COUNTER_MAX, KEY_MONTH_MAX, OPENING_MAX, OPENING_SHIFT,
};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident: $int:ty, max $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($int);

        impl $name {
            /// Zero, which means "none" where a field says so.
            pub const ZERO: Self = Self(0);
            /// The highest value the format can hold.
            pub const MAX: Self = Self($max);

            /// Wraps a plain number.
            #[must_use]
            pub const fn new(value: $int) -> Self {
                Self(value)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> $int {
                self.0
            }

            /// True for zero.
            #[must_use]
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// True when it is no higher than the format allows.
            #[must_use]
            pub const fn in_range(self) -> bool {
                self.checked_add(0).is_some()
            }

            /// The value after this one, unless this is the highest.
            #[must_use]
            pub const fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            /// Sum within the range of the format.
            #[must_use]
            pub const fn checked_add(self, more: $int) -> Option<Self> {
                match self.0.checked_add(more) {
                    Some(sum) if sum <= $max => Some(Self(sum)),
                    _ => None,
                }
            }

            /// Difference, unless it would be negative.
            #[must_use]
            pub const fn checked_sub(self, less: $int) -> Option<Self> {
                match self.0.checked_sub(less) {
                    Some(rest) => Some(Self(rest)),
                    None => None,
                }
            }

            /// Distance from an earlier value, unless `earlier` is later.
            #[must_use]
            pub const fn since(self, earlier: Self) -> Option<$int> {
                self.0.checked_sub(earlier.0)
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $int {
            fn from(value: $name) -> $int {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// Number of a segment in the pool; the first is 1, 0 means none. Never used twice.
    SegmentId: u64, max COUNTING_MAX
}
number! {
    /// Number of a frame in its lane; the first is 1, 0 means none.
    Sequence: u64, max COUNTING_MAX
}
number! {
    /// Number of a record in the journal, from 0.
    LogIndex: u64, max COUNTING_MAX
}
number! {
    /// Number of a label or key-state write; only grows.
    Generation: u64, max COUNTING_MAX
}
number! {
    /// A place in bytes, from the start of what the field names (disk or segment).
    ByteOffset: u64, max u64::MAX
}
number! {
    /// An amount of bytes.
    ByteCount: u64, max u64::MAX
}
number! {
    /// Milliseconds since 1970-01-01 UTC; 0 means none where a field says so.
    UnixMillis: u64, max COUNTING_MAX
}
number! {
    /// One start of the writer; at most 20 bits. The first is 1, 0 means none.
    Epoch: u32, max EPOCH_MAX
}
number! {
    /// Number of a frame in its segment, from 0.
    FrameIndex: u32, max u32::MAX
}
number! {
    /// Number of an allocation unit on a disk, from 0.
    UnitIndex: u32, max u32::MAX
}
number! {
    /// An amount of allocation units.
    UnitCount: u32, max u32::MAX
}
number! {
    /// A lane; 0 is the journal.
    LaneId: u16, max u16::MAX
}

impl SegmentId {
    /// No segment.
    pub const NONE: Self = Self(0);
}

number! {
    /// How often a vault was forced open without disks that its log needed; 0 for one that never was.
    Opening: u32, max OPENING_MAX
}

impl Sequence {
    /// How many forced openings came before the journal's frame of this number.
    #[must_use]
    pub const fn opening(self) -> Opening {
        let count = self.0 >> OPENING_SHIFT;
        if count < OPENING_MAX as u64 {
            Opening(count as u32)
        } else {
            Opening::MAX
        }
    }

    /// The journal's first frame after a forced opening: lost frames are not numbered again.
    #[must_use]
    pub const fn first_of(opening: Opening) -> Self {
        if opening.is_zero() {
            Self::FIRST
        } else {
            Self((opening.0 as u64) << OPENING_SHIFT)
        }
    }

    /// No frame.
    pub const NONE: Self = Self(0);
    /// The first frame of a lane.
    pub const FIRST: Self = Self(1);
}

impl UnixMillis {
    /// No time.
    pub const NONE: Self = Self(0);
}

impl LaneId {
    /// The journal: the one lane of records.
    pub const JOURNAL: Self = Self(0);

    /// True for the journal.
    #[must_use]
    pub const fn is_journal(self) -> bool {
        self.0 == 0
    }
}

pub(crate) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N.checked_mul(2)? {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = pair
            .iter()
            .try_fold(0, |high, &digit| Some(high << 4 | nibble(digit)?))?;
    }
    Some(bytes)
}

/// Only lower case is hexadecimal here, so that an id has one spelling.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// All zero: none, where a field says so.
            pub const ZERO: Self = Self([0; 16]);

            /// Wraps sixteen bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0
            }

            /// The sixteen bytes, borrowed.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// True when all bytes are zero.
            #[must_use]
            pub fn is_zero(&self) -> bool {
                self.0 == [0; 16]
            }

            /// Reads exactly 32 lower-case hexadecimal digits.
            #[must_use]
            pub fn parse_hex(text: &str) -> Option<Self> {
                parse_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        id! { $(#[$doc])* $name }

        impl $name {
            /// Wraps sixteen random bytes.
            #[must_use]
            pub const fn new(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }
    };
}

random_id! {
    /// A pool: the disks of one vault.
    PoolId
}
random_id! {
    /// A disk of a pool.
    DiskId
}
random_id! {
    /// A bucket; outlives its name.
    BucketId
}
random_id! {
    /// An object: one bucket and name.
    ObjectId
}
id! {
    /// A version of an object: its ordinal (the log index of the record that made it,
    /// big-endian, so that ids sort by age) and eight random bytes.
    VersionId
}
id! {
    /// A multipart upload; built like a version id, from its UPLOAD record.
    UploadId
}

macro_rules! ordinal_id {
    ($name:ident) => {
        impl $name {
            /// Puts an id together from the record's log index and random bytes.
            #[must_use]
            pub fn new(ordinal: LogIndex, random: [u8; 8]) -> Self {
                let value =
                    u128::from(ordinal.get()) << 64 | u128::from(u64::from_be_bytes(random));
                Self(value.to_be_bytes())
            }

            /// The log index of the record that made this.
            #[must_use]
            pub const fn ordinal(self) -> LogIndex {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                LogIndex(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    };
}

ordinal_id!(VersionId);
ordinal_id!(UploadId);

/// Records of an upload carry its id in the header's version field.
impl From<UploadId> for VersionId {
    fn from(upload: UploadId) -> Self {
        Self(upload.0)
    }
}

impl From<VersionId> for UploadId {
    fn from(version: VersionId) -> Self {
        Self(version.0)
    }
}

/// A calendar month (UTC), counted from January 1970; at most 12 bits (April 2311).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u16);

impl Month {
    /// The month with this number, if it fits 12 bits.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number <= KEY_MONTH_MAX {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Months since January 1970.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The month a time lies in, if the format can hold it.
    #[must_use]
    pub fn of(time: UnixMillis) -> Option<Self> {
        // An average month gives the number to within one; start below it and step up.
        let guess = time.get() / MILLIS_PER_MONTH_MEAN;
        let mut month = Self(u16::try_from(guess).ok()?.saturating_sub(1));
        loop {
            let next = Self(month.0.checked_add(1)?);
            if next.start() > time {
                return Self::new(month.0);
            }
            month = next;
        }
    }

    /// The first millisecond of the month.
    #[must_use]
    pub fn start(self) -> UnixMillis {
        let (year, month) = (1970 + u64::from(self.0) / 12, u64::from(self.0) % 12);
        let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
        let leap_year = leap_days(year) > leap_days(year - 1);
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let in_year = usize::try_from(month)
            .ok()
            .and_then(|m| before.get(m))
            .copied()
            .unwrap_or(0);
        let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
            + in_year
            + u64::from(leap_year && month > 1);
        UnixMillis(days * 86_400_000)
    }
}

/// A twelfth of a mean Gregorian year.
const MILLIS_PER_MONTH_MEAN: u64 = 2_629_746_000;

/// What a key leaf is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// An object version, or nothing at all when the record names no key.
    #[default]
    Object,
    /// A part of an upload that is not complete yet.
    PendingPart,
}

impl KeyClass {
    /// The number on media.
    #[must_use]
    pub const fn get(self) -> u8 {
        match self {
            Self::Object => 0,
            Self::PendingPart => 1,
        }
    }

    /// The class with this number; the others are reserved.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Object),
            1 => Some(Self::PendingPart),
            _ => None,
        }
    }
}

/// Place of a leaf in the key tree: `0(4) month(12) class(4) epoch(20) counter(24)`; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(u64);

/// The parts of a key index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyIndexParts {
    /// Month the leaf is expected to be cut in.
    pub month: Month,
    /// What the leaf is for.
    pub class: KeyClass,
    /// Epoch that gave the leaf out; never 0.
    pub epoch: Epoch,
    /// Number within month, class and epoch's counter; at most 24 bits.
    pub counter: u32,
}

impl KeyIndex {
    /// No leaf.
    pub const NONE: Self = Self(0);
    /// Bits below the month.
    pub const MONTH_SHIFT: u32 = 48;
    /// Bits below the class.
    pub const CLASS_SHIFT: u32 = 44;
    /// Bits below the epoch.
    pub const EPOCH_SHIFT: u32 = 24;

    /// Wraps the number from media; `parts` says whether it makes sense.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number on media.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// True when no leaf is named.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Puts an index together; `None` when epoch is 0 or a part exceeds its bits.
    #[must_use]
    pub fn compose(parts: KeyIndexParts) -> Option<Self> {
        let KeyIndexParts {
            month,
            class,
            epoch,
            counter,
        } = parts;
        if epoch.is_zero() || !epoch.in_range() || counter > KEY_COUNTER_MAX {
            return None;
        }
        Some(Self(
            u64::from(month.get()) << Self::MONTH_SHIFT
                | u64::from(class.get()) << Self::CLASS_SHIFT
                | u64::from(epoch.get()) << Self::EPOCH_SHIFT
                | u64::from(counter),
        ))
    }

    /// Takes an index apart; `None` when the top bits are set, the class is reserved or the
    /// epoch is 0.
    #[must_use]
    pub fn parts(self) -> Option<KeyIndexParts> {
        let field = |shift: u32, mask: u32| u32::try_from(self.0 >> shift & u64::from(mask)).ok();
        let parts = KeyIndexParts {
            month: Month::new(u16::try_from(self.0 >> Self::MONTH_SHIFT).ok()?)?,
            class: KeyClass::new(u8::try_from(field(Self::CLASS_SHIFT, 0xf)?).ok()?)?,
            epoch: Epoch::new(field(Self::EPOCH_SHIFT, EPOCH_MAX)?),
            counter: field(0, KEY_COUNTER_MAX)?,
        };
        (!parts.epoch.is_zero()).then_some(parts)
    }

    /// First and last index that share a month and class: the prefix a monthly cut removes.
    #[must_use]
    pub fn month_range(month: Month, class: KeyClass) -> (Self, Self) {
        let first = u64::from(month.get()) << Self::MONTH_SHIFT
            | u64::from(class.get()) << Self::CLASS_SHIFT;
        (Self(first), Self(first | ((1 << Self::CLASS_SHIFT) - 1)))
    }
}

impl fmt::Display for KeyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:015x}", self.0)
    }
}
