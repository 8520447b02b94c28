//! Deterministic CBOR (RFC 8949, 4.2.1), narrowed: unsigned integers, byte and text strings,
//! arrays and maps of definite length, nothing else.
//!
//! Invariant: `check` runs over a whole document before any value of it is used, so a reader never
//! allocates for a length that is not backed by bytes; every decoder also encodes what it read and
//! compares.

use core::convert::Infallible;

use minicbor::{Decoder, Encoder};
use zeroize::Zeroizing;

use crate::codec::{DecodeError, Fault};
use crate::digest::Digest;
use crate::limits::{CBOR_DEPTH_MAX, COUNTING_MAX};
use crate::tree::{Frontier, TreeHash};

const MAJOR_UINT: u8 = 0;
const MAJOR_BYTES: u8 = 2;
const MAJOR_TEXT: u8 = 3;
const MAJOR_ARRAY: u8 = 4;
const MAJOR_MAP: u8 = 5;

struct Head {
    major: u8,
    argument: u64,
    next: usize,
}

struct Walker<'b> {
    noun: &'static str,
    bytes: &'b [u8],
}

impl Walker<'_> {
    fn refuse<T>(&self, offset: usize, what: Fault) -> Result<T, DecodeError> {
        Err(DecodeError::new(self.noun, "cbor", offset, what))
    }

    fn head(&self, at: usize) -> Result<Head, DecodeError> {
        let Some(&first) = self.bytes.get(at) else {
            return self.refuse(at, Fault::Short);
        };
        let (major, info) = (first >> 5, first & 31);
        if !matches!(
            major,
            MAJOR_UINT | MAJOR_BYTES | MAJOR_TEXT | MAJOR_ARRAY | MAJOR_MAP
        ) {
            return self.refuse(at, Fault::Unsupported);
        }
        let extra = match info {
            0..=23 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => return self.refuse(at, Fault::Indefinite),
            _ => return self.refuse(at, Fault::Unsupported),
        };
        let next = at + 1 + extra;
        let Some(tail) = self.bytes.get(at + 1..next) else {
            return self.refuse(at, Fault::Short);
        };
        let argument = match extra {
            0 => u64::from(info),
            _ => tail
                .iter()
                .fold(0, |value, &byte| value << 8 | u64::from(byte)),
        };
        let least = match extra {
            0 => 0,
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if argument < least {
            return self.refuse(at, Fault::NonMinimal);
        }
        Ok(Head {
            major,
            argument,
            next,
        })
    }

    /// Checks the item at `at` and returns where the next one starts.
    fn item(&self, at: usize, depth: usize) -> Result<usize, DecodeError> {
        let head = self.head(at)?;
        match head.major {
            MAJOR_UINT => Ok(head.next),
            MAJOR_BYTES | MAJOR_TEXT => self.string(at, &head),
            _ if depth == 0 => self.refuse(at, Fault::Depth),
            MAJOR_ARRAY => {
                let mut next = head.next;
                for _ in 0..head.argument {
                    next = self.item(next, depth - 1)?;
                }
                Ok(next)
            }
            _ => self.map(&head, depth - 1),
        }
    }

    fn string(&self, at: usize, head: &Head) -> Result<usize, DecodeError> {
        let end = usize::try_from(head.argument)
            .ok()
            .and_then(|len| head.next.checked_add(len));
        let Some(content) = end.and_then(|end| self.bytes.get(head.next..end)) else {
            return self.refuse(at, Fault::Short);
        };
        if head.major == MAJOR_TEXT && core::str::from_utf8(content).is_err() {
            return self.refuse(at, Fault::Utf8);
        }
        Ok(head.next + content.len())
    }

    /// Keys ascend in the bytewise order of their encoding.
    fn map(&self, head: &Head, depth: usize) -> Result<usize, DecodeError> {
        let mut next = head.next;
        let mut before: &[u8] = &[];
        for _ in 0..head.argument {
            let value = self.item(next, depth)?;
            let key = self.bytes.get(next..value).unwrap_or_default();
            match before.cmp(key) {
                core::cmp::Ordering::Less => before = key,
                core::cmp::Ordering::Equal => return self.refuse(next, Fault::DuplicateKey),
                core::cmp::Ordering::Greater => return self.refuse(next, Fault::KeyOrder),
            }
            next = self.item(value, depth)?;
        }
        Ok(next)
    }
}

/// Checks that bytes are exactly one document in the narrowed deterministic encoding.
pub(crate) fn check(noun: &'static str, bytes: &[u8]) -> Result<(), DecodeError> {
    let walker = Walker { noun, bytes };
    let end = walker.item(0, CBOR_DEPTH_MAX)?;
    if end == bytes.len() {
        Ok(())
    } else {
        walker.refuse(end, Fault::Trailing)
    }
}

/// Reads values of a document that passed `check`.
pub(crate) struct Reader<'b> {
    noun: &'static str,
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    pub(crate) fn open(noun: &'static str, bytes: &'b [u8]) -> Result<Self, DecodeError> {
        check(noun, bytes)?;
        Ok(Self {
            noun,
            decoder: Decoder::new(bytes),
        })
    }

    pub(crate) fn refuse<T>(&self, field: &'static str, what: Fault) -> Result<T, DecodeError> {
        Err(DecodeError::new(
            self.noun,
            field,
            self.decoder.position(),
            what,
        ))
    }

    fn typed<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, minicbor::decode::Error>,
    ) -> Result<T, DecodeError> {
        let at = self.decoder.position();
        read(&mut self.decoder).map_err(|_| DecodeError::new(self.noun, field, at, Fault::Type))
    }

    pub(crate) fn uint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let at = self.decoder.position();
        let value = self.typed(field, Decoder::u64)?;
        if value > COUNTING_MAX {
            return Err(DecodeError::new(self.noun, field, at, Fault::Limit));
        }
        Ok(value)
    }

    /// An integer of a smaller type.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        let at = self.decoder.position();
        T::try_from(self.uint(field)?)
            .map_err(|_| DecodeError::new(self.noun, field, at, Fault::Limit))
    }

    /// 0 or 1.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.uint(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => self.refuse(field, Fault::Value),
        }
    }

    /// An integer that names a variant.
    pub(crate) fn variant<T>(
        &mut self,
        field: &'static str,
        variant: impl FnOnce(u8) -> Option<T>,
    ) -> Result<T, DecodeError> {
        let number = self.small(field)?;
        variant(number).map_or_else(|| self.refuse(field, Fault::Value), Ok)
    }

    pub(crate) fn bytes(
        &mut self,
        field: &'static str,
        limit: usize,
    ) -> Result<&'b [u8], DecodeError> {
        let bytes = self.typed(field, Decoder::bytes)?;
        if bytes.len() > limit {
            self.refuse(field, Fault::Limit)
        } else {
            Ok(bytes)
        }
    }

    pub(crate) fn fixed<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let bytes = self.typed(field, Decoder::bytes)?;
        <[u8; N]>::try_from(bytes).or_else(|_| self.refuse(field, Fault::Count))
    }

    pub(crate) fn text(
        &mut self,
        field: &'static str,
        limit: usize,
    ) -> Result<&'b str, DecodeError> {
        let text = self.typed(field, Decoder::str)?;
        if text.len() > limit {
            self.refuse(field, Fault::Limit)
        } else {
            Ok(text)
        }
    }

    /// Start of an array; the length is backed by bytes.
    pub(crate) fn array(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let len = self.typed(field, Decoder::array)?;
        Ok(len.and_then(|len| usize::try_from(len).ok()).unwrap_or(0))
    }

    /// Start of an array that must have this many items.
    pub(crate) fn tuple(&mut self, field: &'static str, items: usize) -> Result<(), DecodeError> {
        if self.array(field)? == items {
            Ok(())
        } else {
            self.refuse(field, Fault::Count)
        }
    }

    /// An array of items that all read alike.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        limit: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.array(field)?;
        if count > limit {
            return self.refuse(field, Fault::Limit);
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// Start of a map of any keys.
    pub(crate) fn open_map(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let len = self.typed(field, Decoder::map)?;
        Ok(len.and_then(|len| usize::try_from(len).ok()).unwrap_or(0))
    }

    /// A map with integer keys, read in ascending order.
    pub(crate) fn map(&mut self) -> Result<MapReader<'_, 'b>, DecodeError> {
        let left = self.open_map("map")?;
        Ok(MapReader {
            reader: self,
            left,
            key: None,
        })
    }

    pub(crate) fn digest(&mut self, field: &'static str) -> Result<Digest, DecodeError> {
        self.fixed(field).map(Digest)
    }

    fn skip(&mut self) -> Result<(), DecodeError> {
        self.typed("value", Decoder::skip)
    }
}

/// Reads a map whose keys are integers, in ascending order.
pub(crate) struct MapReader<'r, 'b> {
    reader: &'r mut Reader<'b>,
    left: usize,
    key: Option<u64>,
}

impl<'b> MapReader<'_, 'b> {
    fn peek(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.key.is_none() && self.left > 0 {
            self.key = Some(self.reader.uint("key")?);
            self.left -= 1;
        }
        Ok(self.key)
    }

    /// The value of a key that may be absent.
    pub(crate) fn optional<T>(
        &mut self,
        key: u64,
        read: impl FnOnce(&mut Reader<'b>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.peek()? {
            Some(next) if next == key => {
                self.key = None;
                read(self.reader).map(Some)
            }
            Some(next) if next < key => self.reader.refuse("key", Fault::UnknownKey),
            _ => Ok(None),
        }
    }

    /// The value of a key that must be present.
    pub(crate) fn required<T>(
        &mut self,
        key: u64,
        read: impl FnOnce(&mut Reader<'b>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let value = self.optional(key, read)?;
        value.map_or_else(|| self.reader.refuse("key", Fault::MissingKey), Ok)
    }

    /// An error at the current place.
    pub(crate) fn refuse<T>(&self, field: &'static str, what: Fault) -> Result<T, DecodeError> {
        self.reader.refuse(field, what)
    }

    /// The end: no key is left.
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => self.reader.refuse("key", Fault::UnknownKey),
        }
    }

    /// The end, whatever is left: for record types that a later version defines.
    pub(crate) fn skip_rest(mut self) -> Result<(), DecodeError> {
        while self.peek()?.is_some() {
            self.key = None;
            self.reader.skip()?;
        }
        Ok(())
    }
}

fn infallible<T>(result: Result<T, minicbor::encode::Error<Infallible>>) {
    assert!(result.is_ok(), "writing CBOR to memory cannot fail");
}

/// Writes a map with integer keys; the caller writes keys in ascending order.
pub(crate) struct MapWriter {
    encoder: Encoder<Vec<u8>>,
    count: u8,
}

/// Keys a map may have so that its head stays one byte.
const MAP_KEYS_MAX: u8 = 23;

impl MapWriter {
    /// `capacity` should be enough for all: a vector that grows leaves copies behind.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(0);
        Self {
            encoder: Encoder::new(out),
            count: 0,
        }
    }

    /// Writes a key; its value must follow.
    pub(crate) fn key(&mut self, key: u64) -> Writer<'_> {
        self.count += 1;
        assert!(self.count <= MAP_KEYS_MAX, "no structure has so many keys");
        let mut writer = Writer(&mut self.encoder);
        writer.uint(key);
        writer
    }

    /// Writes a key with a value that is present.
    pub(crate) fn optional<T>(
        &mut self,
        key: u64,
        value: Option<T>,
        write: impl FnOnce(&mut Writer<'_>, T),
    ) {
        if let Some(value) = value {
            write(&mut self.key(key), value);
        }
    }

    /// The same, after checking that the capacity given was enough.
    pub(crate) fn finish_secret(self, capacity: usize) -> Zeroizing<Vec<u8>> {
        let out = Zeroizing::new(self.finish());
        debug_assert!(
            out.len() <= capacity,
            "a copy of the secret was left behind by growing"
        );
        out
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = self.encoder.into_writer();
        if let Some(head) = out.first_mut() {
            *head = MAJOR_MAP << 5 | self.count;
        }
        out
    }
}

/// Writes values.
pub(crate) struct Writer<'e>(&'e mut Encoder<Vec<u8>>);

impl Writer<'_> {
    pub(crate) fn uint(&mut self, value: impl Into<u64>) -> &mut Self {
        infallible(self.0.u64(value.into()));
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        infallible(self.0.bytes(value));
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        infallible(self.0.str(value));
        self
    }

    pub(crate) fn array(&mut self, items: usize) -> &mut Self {
        infallible(self.0.array(u64::try_from(items).unwrap_or(u64::MAX)));
        self
    }

    pub(crate) fn map(&mut self, entries: usize) -> &mut Self {
        infallible(self.0.map(u64::try_from(entries).unwrap_or(u64::MAX)));
        self
    }

    pub(crate) fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.array(items.len());
        items.iter().for_each(|item| write(self, item));
    }
}

/// Encodes one bare value (not a map).
pub(crate) fn encode_value(capacity: usize, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(capacity));
    write(&mut Writer(&mut encoder));
    encoder.into_writer()
}

/// Writes the tree as three keys: size, root, frontier.
pub(crate) fn write_tree(map: &mut MapWriter, first_key: u64, log: Option<&Frontier>) {
    let nodes = log.map_or(&[][..], Frontier::nodes);
    map.key(first_key).uint(log.map_or(0, Frontier::size));
    map.key(first_key + 1)
        .bytes(log.map_or(TreeHash::ZERO, Frontier::root).as_bytes());
    map.key(first_key + 2).list(nodes, |w, node| {
        w.bytes(node.as_bytes());
    });
}

/// Reads what `write_tree` wrote; an all-zero root of an empty tree means "not known".
pub(crate) fn read_tree(
    map: &mut MapReader<'_, '_>,
    first_key: u64,
) -> Result<Option<Frontier>, DecodeError> {
    let size = map.required(first_key, |r| r.uint("log_size"))?;
    let root = TreeHash(map.required(first_key + 1, |r| r.fixed("log_root"))?);
    let limit = crate::limits::FRONTIER_NODES_MAX;
    let nodes = map.required(first_key + 2, |r| {
        r.list("frontier", limit, |r| r.fixed("frontier").map(TreeHash))
    })?;
    let reader = &mut *map.reader;
    let Some(frontier) = Frontier::from_parts(size, nodes) else {
        return reader.refuse("frontier", Fault::Count);
    };
    if size == 0 && root == TreeHash::ZERO {
        return Ok(None);
    }
    if frontier.root() != root {
        return reader.refuse("log_root", Fault::Digest);
    }
    Ok(Some(frontier))
}
