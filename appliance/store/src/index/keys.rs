//! Keys of the tables: plain bytes whose order is the order of listings.

use stele_format::digest::Digest;
use stele_format::units::{BucketId, LogIndex, ObjectId, UploadId, VersionId};

/// Bytes of an id.
const ID_BYTES: usize = 16;

/// Ends an escaped name; a zero byte inside it is followed by [`NAME_ZERO`] and so sorts after.
const NAME_END: [u8; 2] = [0, 0];
const NAME_ZERO: u8 = 0xFF;

/// Key of a bucket.
#[must_use]
pub fn bucket(bucket: BucketId) -> Vec<u8> {
    bucket.as_bytes().to_vec()
}

/// Key of a name, or of the first name with this prefix.
#[must_use]
pub fn name(bucket: BucketId, name: &[u8]) -> Vec<u8> {
    join(bucket.as_bytes(), name)
}

/// The name inside a key of [`name`].
#[must_use]
pub fn name_of(key: &[u8]) -> Option<&[u8]> {
    key.get(ID_BYTES..)
}

/// Key of an object.
#[must_use]
pub fn object(object: ObjectId) -> Vec<u8> {
    object.as_bytes().to_vec()
}

/// Key of a version: newer versions sort first.
#[must_use]
pub fn version(object: ObjectId, version: VersionId) -> Vec<u8> {
    join(object.as_bytes(), &(!version.ordinal().get()).to_be_bytes())
}

/// The object inside a key of [`version`].
#[must_use]
pub fn object_of(key: &[u8]) -> Option<ObjectId> {
    let (object, _) = key.split_first_chunk::<ID_BYTES>()?;
    Some(ObjectId::from_bytes(*object))
}

/// Key of an upload.
#[must_use]
pub fn upload(upload: UploadId) -> Vec<u8> {
    upload.as_bytes().to_vec()
}

/// The upload of a key of [`upload`].
#[must_use]
pub fn upload_of(key: &[u8]) -> Option<UploadId> {
    key.try_into().ok().map(UploadId::from_bytes)
}

/// Key of an upload under its name.
#[must_use]
pub fn upload_name(bucket: BucketId, name: &[u8], upload: UploadId) -> Vec<u8> {
    let mut key = upload_name_prefix(bucket, name);
    key.extend_from_slice(&NAME_END);
    key.extend_from_slice(upload.as_bytes());
    key
}

/// What the keys of [`upload_name`] of all names with this prefix begin with.
#[must_use]
pub fn upload_name_prefix(bucket: BucketId, prefix: &[u8]) -> Vec<u8> {
    let mut key = bucket.as_bytes().to_vec();
    for &byte in prefix {
        key.push(byte);
        if byte == 0 {
            key.push(NAME_ZERO);
        }
    }
    key
}

/// The name and upload inside a key of [`upload_name`].
#[must_use]
pub fn upload_name_of(key: &[u8]) -> Option<(Vec<u8>, UploadId)> {
    let (rest, id) = key.get(ID_BYTES..)?.split_last_chunk::<ID_BYTES>()?;
    let (escaped, end) = rest.split_last_chunk::<2>()?;
    if *end != NAME_END {
        return None;
    }
    let mut name = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(&byte) = bytes.next() {
        if byte == 0 && bytes.next() != Some(&NAME_ZERO) {
            return None;
        }
        name.push(byte);
    }
    Some((name, UploadId::from_bytes(*id)))
}

/// Key of a part.
#[must_use]
pub fn part(upload: UploadId, number: u16) -> Vec<u8> {
    join(upload.as_bytes(), &number.to_be_bytes())
}

/// The part number inside a key of [`part`].
#[must_use]
pub fn part_of(key: &[u8]) -> Option<u16> {
    let number = key.get(ID_BYTES..)?;
    Some(u16::from_be_bytes(number.try_into().ok()?))
}

/// Key of a chunk.
#[must_use]
pub fn chunk(digest: &Digest) -> Vec<u8> {
    digest.0.to_vec()
}

/// Key of a configuration name.
#[must_use]
pub fn config(name: &str) -> Vec<u8> {
    name.as_bytes().to_vec()
}

/// Key of a statement.
#[must_use]
pub fn statement(index: LogIndex) -> Vec<u8> {
    index.get().to_be_bytes().to_vec()
}

/// The record number inside a key of [`statement`] or [`destroyed`].
#[must_use]
pub fn index_of(key: &[u8]) -> Option<LogIndex> {
    Some(LogIndex::new(u64::from_be_bytes(key.try_into().ok()?)))
}

/// Key of a piece of a list of versions.
#[must_use]
pub fn scope(digest: &Digest, ordinal: u32) -> Vec<u8> {
    join(&digest.0, &ordinal.to_be_bytes())
}

/// Key of a piece of a request's tombstones.
#[must_use]
pub fn tombstone(request: LogIndex, ordinal: u32) -> Vec<u8> {
    join(&request.get().to_be_bytes(), &ordinal.to_be_bytes())
}

/// Request and number inside a key of [`tombstone`].
#[must_use]
pub fn tombstone_of(key: &[u8]) -> Option<(LogIndex, u32)> {
    let (request, ordinal) = key.split_first_chunk::<8>()?;
    let request = LogIndex::new(u64::from_be_bytes(*request));
    Some((request, u32::from_be_bytes(ordinal.try_into().ok()?)))
}

/// Key of a request whose keys are gone.
#[must_use]
pub fn destroyed(request: LogIndex) -> Vec<u8> {
    request.get().to_be_bytes().to_vec()
}

/// The first key after `key`.
#[must_use]
pub fn successor(key: &[u8]) -> Vec<u8> {
    join(key, &[0])
}

/// The first key after all keys that begin with `prefix`; none when there can be none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

fn join(head: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(head.len() + tail.len());
    key.extend_from_slice(head);
    key.extend_from_slice(tail);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_end_is_the_first_key_after_all_keys_with_the_prefix() {
        let check = |prefix: &[u8], end: Option<&[u8]>| {
            assert_eq!(prefix_end(prefix).as_deref(), end, "{prefix:?}");
        };
        check(b"a", Some(b"b"));
        check(b"a\xff", Some(b"b"));
        check(b"a\xff\xff", Some(b"b"));
        check(b"\xff\xff", None);
        check(b"", None);
        check(b"a\xfe", Some(b"a\xff"));
    }

    #[test]
    fn upload_names_sort_as_their_names_and_come_back() {
        let bucket = BucketId::from_bytes([7; 16]);
        let names: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"a\0b", b"ab"];
        let mut keys = Vec::new();
        for name in names {
            for id in [[0_u8; 16], [0xFF; 16]] {
                let key = upload_name(bucket, name, UploadId::from_bytes(id));
                assert_eq!(
                    upload_name_of(&key),
                    Some((name.to_vec(), UploadId::from_bytes(id)))
                );
                assert!(key.starts_with(&upload_name_prefix(bucket, name)));
                keys.push(key);
            }
        }
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn foreign_bytes_are_no_upload_name() {
        for key in [&[0_u8; 3][..], &[1; 34], &[0; 33]] {
            assert_eq!(upload_name_of(key), None);
        }
    }
}
