//! XML documents that the S3 library would misread or miswrite.
//!
//! It overlooks elements that it does not know and takes a number for as long as it lasts, so that a lock would come
//! out shorter than it was asked for, or not at all. What clients send is therefore looked at first, with the same XML
//! parser: only elements of S3 where S3 has them, and numbers that are nothing else.

use std::io::Write;

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::events::Event;
use s3s::S3Result;
use s3s::xml::{SerResult, Serialize, Serializer};

use crate::body::BodyFault;
use crate::error::wrong_answer;
use crate::refused::Feature;

/// What an element holds.
#[derive(Debug)]
enum Holds {
    /// Text.
    Text,
    /// The name of an object.
    Key,
    /// A whole number.
    Number,
    /// Elements of these names, and white space.
    Elements(&'static [(&'static str, Holds)]),
    /// What is refused wherever it stands.
    Refused(Feature),
}

use Holds::{Elements, Key, Number, Refused, Text};

/// The documents that change something, with all that S3 has in them. What the vault does not do of it is refused by
/// the operations, with a reason; documents of which it does nothing at all are not here.
static DOCUMENTS: Holds = Elements(&[
    ("CompleteMultipartUpload", Elements(&[("Part", PART)])),
    (
        "CreateBucketConfiguration",
        Elements(&[
            (
                "Bucket",
                Elements(&[("DataRedundancy", Text), ("Type", Text)]),
            ),
            ("Location", Elements(&[("Name", Text), ("Type", Text)])),
            ("LocationConstraint", Text),
            // The S3 library does not know of them.
            ("Tags", Elements(&[("Tag", Refused(Feature::BucketTags))])),
        ]),
    ),
    (
        "Delete",
        Elements(&[("Object", NAMED_OBJECT), ("Quiet", Text)]),
    ),
    ("LegalHold", Elements(&[("Status", Text)])),
    ("LifecycleConfiguration", Elements(&[("Rule", RULE)])),
    (
        "ObjectLockConfiguration",
        Elements(&[
            ("ObjectLockEnabled", Text),
            ("Rule", Elements(&[("DefaultRetention", DEFAULT_RETENTION)])),
        ]),
    ),
    (
        "Retention",
        Elements(&[("Mode", Text), ("RetainUntilDate", Text)]),
    ),
    (
        "Tagging",
        Elements(&[("TagSet", Elements(&[("Tag", TAG)]))]),
    ),
    (
        "VersioningConfiguration",
        Elements(&[("MfaDelete", Text), ("Status", Text)]),
    ),
]);

const PART: Holds = Elements(&[
    ("ChecksumCRC32", Text),
    ("ChecksumCRC32C", Text),
    ("ChecksumCRC64NVME", Text),
    ("ChecksumMD5", Text),
    ("ChecksumSHA1", Text),
    ("ChecksumSHA256", Text),
    ("ChecksumSHA512", Text),
    ("ChecksumXXHASH128", Text),
    ("ChecksumXXHASH3", Text),
    ("ChecksumXXHASH64", Text),
    ("ETag", Text),
    ("PartNumber", Number),
]);

const NAMED_OBJECT: Holds = Elements(&[
    ("ETag", Text),
    ("Key", Key),
    ("LastModifiedTime", Text),
    ("Size", Number),
    ("VersionId", Text),
]);

const TAG: Holds = Elements(&[("Key", Text), ("Value", Text)]);

const DEFAULT_RETENTION: Holds = Elements(&[("Days", Number), ("Mode", Text), ("Years", Number)]);

const RULE: Holds = Elements(&[
    (
        "AbortIncompleteMultipartUpload",
        Elements(&[("DaysAfterInitiation", Number)]),
    ),
    (
        "Expiration",
        Elements(&[
            ("Date", Text),
            ("Days", Number),
            ("ExpiredObjectDeleteMarker", Text),
        ]),
    ),
    ("Filter", FILTER),
    ("ID", Text),
    (
        "NoncurrentVersionExpiration",
        Elements(&[
            ("NewerNoncurrentVersions", Number),
            ("NoncurrentDays", Number),
        ]),
    ),
    (
        "NoncurrentVersionTransition",
        Elements(&[
            ("NewerNoncurrentVersions", Number),
            ("NoncurrentDays", Number),
            ("StorageClass", Text),
        ]),
    ),
    ("Prefix", Text),
    ("Status", Text),
    (
        "Transition",
        Elements(&[("Date", Text), ("Days", Number), ("StorageClass", Text)]),
    ),
]);

const FILTER: Holds = Elements(&[
    (
        "And",
        Elements(&[
            ("ObjectSizeGreaterThan", Number),
            ("ObjectSizeLessThan", Number),
            ("Prefix", Text),
            ("Tag", TAG),
        ]),
    ),
    ("ObjectSizeGreaterThan", Number),
    ("ObjectSizeLessThan", Number),
    ("Prefix", Text),
    ("Tag", TAG),
]);

const ILL_FORMED: BodyFault = BodyFault::Malformed("the XML you provided is not well-formed");

impl Holds {
    /// What an element of this name holds here.
    fn inside(&self, name: &[u8]) -> Option<&'static Self> {
        let Elements(inner) = self else {
            return None;
        };
        let mut inner = inner.iter();
        inner
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, holds)| holds)
    }
}

/// An element whose end has not come.
struct Open {
    holds: &'static Holds,
    /// The text of a number.
    number: Vec<u8>,
}

impl Open {
    const fn new(holds: &'static Holds) -> Self {
        Self {
            holds,
            number: Vec::new(),
        }
    }

    fn element(&self, name: &[u8]) -> Result<Self, BodyFault> {
        match self.holds.inside(name) {
            Some(Refused(feature)) => Err(BodyFault::Refused(*feature)),
            Some(holds) => Ok(Self::new(holds)),
            None => Err(BodyFault::Malformed(
                "an element of the XML you provided does not belong where it stands",
            )),
        }
    }

    fn text(&mut self, text: &[u8]) -> Result<(), BodyFault> {
        match self.holds {
            // To XML it is a line feed, to a client that wrote it so it was none; both keys may be there.
            Key if text.contains(&b'\r') => Err(BodyFault::Malformed(
                "a carriage return in a key must be written as &#13;",
            )),
            Number => {
                self.number.extend_from_slice(text);
                Ok(())
            }
            Elements(_) | Refused(_) if !text.trim_ascii().is_empty() => Err(BodyFault::Malformed(
                "there is text in the XML you provided where only elements belong",
            )),
            _ => Ok(()),
        }
    }

    fn reference(&self) -> Result<(), BodyFault> {
        match self.holds {
            Text | Key => Ok(()),
            Number | Elements(_) | Refused(_) => Err(BodyFault::Malformed(
                "there is a reference in the XML you provided where none belongs",
            )),
        }
    }

    fn end(&self) -> Result<(), BodyFault> {
        let text = self.number.trim_ascii();
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let whole = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        match self.holds {
            Number if !whole => Err(BodyFault::Malformed(
                "an element of the XML you provided that is a number holds something else",
            )),
            _ => Ok(()),
        }
    }
}

/// A document of a request as the S3 library reads it rightly.
pub(crate) fn read(document: Bytes) -> Result<Bytes, BodyFault> {
    let document = resolved(document);
    check(&document)?;
    Ok(document)
}

/// Refuses elements that S3 does not have, and numbers that are none, in the documents that are known.
fn check(document: &[u8]) -> Result<(), BodyFault> {
    let mut reader = Reader::from_reader(document);
    let mut open = Vec::from_iter(root(&mut reader).map(Open::new));
    while let Some(here) = open.last_mut() {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                let element = here.element(start.name().as_ref())?;
                open.push(element);
            }
            Ok(Event::Empty(start)) => here.element(start.name().as_ref())?.end()?,
            Ok(Event::End(_)) => {
                here.end()?;
                open.pop();
            }
            Ok(Event::Text(text)) => here.text(&text)?,
            Ok(Event::GeneralRef(_)) => here.reference()?,
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
            Ok(Event::CData(_) | Event::DocType(_) | Event::Eof) | Err(_) => {
                return Err(ILL_FORMED);
            }
        }
    }
    Ok(())
}

/// What the outermost element holds, if it is known and not empty.
fn root(reader: &mut Reader<&[u8]>) -> Option<&'static Holds> {
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => return DOCUMENTS.inside(start.name().as_ref()),
            Ok(Event::Text(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
            _ => return None,
        }
    }
}

/// The document with the characters in the place of references to them that the S3 library takes for malformed. It is
/// as long as it was, which the library compares with what the head says: white space at its end means nothing.
fn resolved(document: Bytes) -> Bytes {
    if !document.windows(2).any(|two| two == b"&#") {
        return document;
    }
    let mut out = Vec::with_capacity(document.len());
    let mut rest: &[u8] = &document;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match overlooked(rest) {
            Some((character, after)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            None => {
                out.push(byte);
                tail
            }
        };
    }
    out.resize(document.len(), b' ');
    out.into()
}

/// The character of U+10000 to U+FFFFF that a reference here stands for, and what follows it.
fn overlooked(text: &[u8]) -> Option<(char, &[u8])> {
    let text = text.strip_prefix(b"&#")?;
    let (radix, text) = match text.strip_prefix(b"x") {
        Some(text) => (16, text),
        None => (10, text),
    };
    let end = text.iter().position(|byte| !byte.is_ascii_hexdigit())?;
    let (digits, after) = text.split_at(end);
    let digits = str::from_utf8(digits).ok()?;
    let number = u32::from_str_radix(digits, radix).ok()?;
    let number = Some(number).filter(|number| (0x1_0000..=0xF_FFFF).contains(number));
    Some((char::from_u32(number?)?, after.strip_prefix(b";")?))
}

/// The document of an answer in the place of what the S3 library would write.
#[derive(Clone)]
pub(crate) struct Written(pub Bytes);

/// Writes the document of an answer. A carriage return stands in it as a reference, since readers of XML take it for
/// a line feed.
pub(crate) fn write(document: &impl Serialize) -> S3Result<Written> {
    let mut bytes = Vec::new();
    let mut writer = Serializer::new(Escaping(&mut bytes));
    let done: SerResult = writer.decl().and_then(|()| document.serialize(&mut writer));
    done.map_err(|_failed| wrong_answer())?;
    Ok(Written(bytes.into()))
}

/// Writes carriage returns as references.
struct Escaping<'b>(&'b mut Vec<u8>);

impl Write for Escaping<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for (place, piece) in bytes.split(|byte| *byte == b'\r').enumerate() {
            if place > 0 {
                self.0.extend_from_slice(b"&#13;");
            }
            self.0.extend_from_slice(piece);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
