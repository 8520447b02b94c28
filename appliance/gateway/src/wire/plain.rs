//! The format's identities and times as plain numbers and bytes. Here and not in the format, whose
//! bytes on media are never derived.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stele_format::units::{UnixMillis, UploadId, VersionId};

/// Something that travels as something plain.
pub(crate) trait Plain: Sized + Copy {
    type Raw: Serialize + for<'de> Deserialize<'de>;
    fn to_raw(self) -> Self::Raw;
    fn from_raw(raw: Self::Raw) -> Self;
}

impl Plain for UnixMillis {
    type Raw = u64;

    fn to_raw(self) -> u64 {
        self.get()
    }

    fn from_raw(raw: u64) -> Self {
        Self::new(raw)
    }
}

impl Plain for VersionId {
    type Raw = [u8; 16];

    fn to_raw(self) -> [u8; 16] {
        self.to_bytes()
    }

    fn from_raw(raw: [u8; 16]) -> Self {
        Self::from_bytes(raw)
    }
}

impl Plain for UploadId {
    type Raw = [u8; 16];

    fn to_raw(self) -> [u8; 16] {
        self.to_bytes()
    }

    fn from_raw(raw: [u8; 16]) -> Self {
        Self::from_bytes(raw)
    }
}

impl<T: Plain> Plain for Option<T> {
    type Raw = Option<T::Raw>;

    fn to_raw(self) -> Self::Raw {
        self.map(T::to_raw)
    }

    fn from_raw(raw: Self::Raw) -> Self {
        raw.map(T::from_raw)
    }
}

pub(crate) fn serialize<T: Plain, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.to_raw().serialize(serializer)
}

pub(crate) fn deserialize<'de, T: Plain, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::Raw::deserialize(deserializer).map(T::from_raw)
}
