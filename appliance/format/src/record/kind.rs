//! Record types: what is written today, what is reserved, what may be skipped.

/// Bit of a record type that allows readers to skip what they do not know.
pub const OPTIONAL_BIT: u16 = 0x8000;

macro_rules! record_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal),* $(,)?) => {
        /// What a record states.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RecordType {
            $($(#[$doc])* $name,)*
            /// A later type (bit 15 set) that a reader may skip.
            Optional(u16),
        }

        impl RecordType {
            /// Every type with a number of its own.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number on media.
            #[must_use]
            pub const fn get(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Optional(number) => number | OPTIONAL_BIT,
                }
            }

            /// The type with this number; `None` when it must be refused.
            #[must_use]
            pub const fn new(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    other if other & OPTIONAL_BIT != 0 => Some(Self::Optional(other)),
                    _ => None,
                }
            }
        }
    };
}

record_types! {
    /// The first record of a pool.
    #[default]
    Genesis = 1,
    /// A writer started, or a key counter was full.
    Epoch = 2,
    /// A segment got its place.
    Alloc = 3,
    /// A segment was sealed.
    Seal = 4,
    /// Nothing happened for a while: a witness for the frames before.
    Marker = 5,
    /// An object version exists.
    Commit = 6,
    /// A multipart upload became an object version.
    Complete = 7,
    /// A delete marker exists.
    DeleteMarker = 8,
    /// Retention of a version was set.
    Retention = 9,
    /// Legal hold of a version was set or lifted.
    Hold = 10,
    /// A version left the S3 view.
    Release = 11,
    /// A bucket was made or changed.
    Bucket = 12,
    /// A bucket was deleted.
    BucketDelete = 13,
    /// Configuration.
    Config = 14,
    /// A multipart upload began.
    Upload = 15,
    /// A part was uploaded.
    Part = 16,
    /// A multipart upload was given up.
    Abort = 17,
    /// Membership of the pool changed.
    Member = 18,
    /// A range of a segment is lost for good.
    Loss = 19,
    /// The index was made durable.
    Snapshot = 20,
    /// Every copy of a segment was read again.
    Scrub = 21,
    /// The tags of a version were replaced.
    Tags = 22,
    /// A manifest was sealed again under a later leaf.
    Rehome = 32,
    /// Versions are destroyed, by an approved request.
    Tombstone = 33,
    /// The keys of a request's tombstones are gone.
    Destroyed = 34,
    /// Reserved: a record without its destroyed inline body.
    Skeleton = 35,
    /// A signed statement of one person or several.
    Statement = 36,
    /// Reserved: a segment was copied to tape.
    Taped = 37,
    /// A clock event.
    Clock = 38,
    /// Reserved: a segment was copied off site.
    Shipped = 39,
    /// A copy of a closed segment moves to another disk.
    Relocate = 40,
    /// Segments that hold nothing any more are given back.
    Trim = 41,
    /// Reserved: an audit result.
    Audit = 42,
    /// A piece of an exact list of versions.
    Scope = 43,
    /// What a request asked for has been done.
    Enacted = 44,
    /// What was tried and refused, counted.
    Refused = 45,
    /// A checkpoint of this log with the cosignatures of witnesses.
    Cosigned = 46,
    /// Another key signs the log.
    LogKey = 47,
    /// The vault was forced open: what follows is another log, which begins with the records before.
    ForcedOpen = 48,
    /// The release of a version is undone: S3 shows it again.
    Unrelease = 49,
}

impl RecordType {
    /// True when this version of the format defines a body for the type.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.get() <= Self::Tags.get()
            || matches!(
                self,
                Self::Relocate
                    | Self::Trim
                    | Self::Rehome
                    | Self::Tombstone
                    | Self::Destroyed
                    | Self::Statement
                    | Self::Clock
                    | Self::Scope
                    | Self::Enacted
                    | Self::Refused
                    | Self::Cosigned
                    | Self::LogKey
                    | Self::ForcedOpen
                    | Self::Unrelease
            )
    }

    /// True when a reader may step over the record without knowing it.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Optional(_))
    }
}
