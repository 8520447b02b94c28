//! What was tried and refused: counted, so that whoever tries a thousand times writes one line.

use crate::cbor::{MapReader, MapWriter, Reader, Writer};
use crate::codec::{DecodeError, Fault};
use crate::digest::Digest;
use crate::limits::{
    ATTEMPT_WORD_BYTES_MAX, ATTEMPTS_MAX, FINGERPRINT_BYTES_MAX, STATEMENT_WORD_CHARS_MAX,
};
use crate::record::{ClientTag, VersionRef};
use crate::units::{BucketId, UnixMillis};

const NOBODY: u8 = 0;
const CLIENT: u8 = 1;
const STATEMENT: u8 = 2;
const DELETES: u8 = 3;

/// Who tried, and what it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// More tried than there is room for: counted without names.
    More,
    /// A client was refused something about what is locked.
    Client {
        /// Its access key; none where the vault does not know it as one.
        client: ClientTag,
        /// The bucket; zero if there is none of that name.
        bucket: BucketId,
        /// The version the first attempt was about; zero where none was looked up.
        first: VersionRef,
    },
    /// Somebody brought a statement that does not count.
    Statement {
        /// Whom it names, if that is a person of the vault; else empty.
        person: String,
        /// The fingerprint of the key whose signature verified; else empty.
        fingerprint: String,
        /// BLAKE3 of the text that was brought first.
        first: Digest,
    },
    /// Nothing was refused: a client deletes at a rate that somebody should look at.
    Deletes {
        /// Its access key.
        client: ClientTag,
    },
}

/// Attempts of one kind by one asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who, and about what.
    pub by: Attempted,
    /// What was tried: a word of small letters, digits and hyphens.
    pub what: String,
    /// Why it was refused: such a word.
    pub why: String,
    /// How often, at least once.
    pub count: u64,
    /// The first time, by the compliance clock.
    pub first_ms: UnixMillis,
    /// The last time.
    pub last_ms: UnixMillis,
}

impl Attempted {
    const fn code(&self) -> u8 {
        match self {
            Self::More => NOBODY,
            Self::Client { .. } => CLIENT,
            Self::Statement { .. } => STATEMENT,
            Self::Deletes { .. } => DELETES,
        }
    }

    const fn items(&self) -> u8 {
        match self {
            Self::More => 6,
            Self::Deletes { .. } => 7,
            Self::Client { .. } | Self::Statement { .. } => 9,
        }
    }
}

pub(super) fn write_attempts(map: &mut MapWriter, attempts: &[Attempt]) {
    map.key(1).list(attempts, |w, attempt| {
        w.array(usize::from(attempt.by.items()))
            .uint(attempt.by.code())
            .text(&attempt.what)
            .text(&attempt.why)
            .uint(attempt.count)
            .uint(attempt.first_ms)
            .uint(attempt.last_ms);
        write_by(w, &attempt.by);
    });
}

fn write_by(w: &mut Writer<'_>, by: &Attempted) {
    match by {
        Attempted::More => {}
        Attempted::Client {
            client,
            bucket,
            first,
        } => {
            w.text(&client.text())
                .bytes(bucket.as_bytes())
                .bytes(&first.encode());
        }
        Attempted::Statement {
            person,
            fingerprint,
            first,
        } => {
            w.text(person).text(fingerprint).bytes(first.as_bytes());
        }
        Attempted::Deletes { client } => {
            w.text(&client.text());
        }
    }
}

pub(super) fn read_attempts(map: &mut MapReader<'_, '_>) -> Result<Vec<Attempt>, DecodeError> {
    let attempts = map.required(1, |r| r.list("attempts", ATTEMPTS_MAX, read_attempt))?;
    if attempts.is_empty() {
        return map.refuse("attempts", Fault::Count);
    }
    Ok(attempts)
}

fn read_attempt(r: &mut Reader<'_>) -> Result<Attempt, DecodeError> {
    let items = r.array("attempt")?;
    let code: u8 = r.small("who")?;
    let (what, why) = (word(r, "what")?, word(r, "why")?);
    let count = r.uint("count")?;
    let first_ms = UnixMillis::new(r.uint("first")?);
    let last_ms = UnixMillis::new(r.uint("last")?);
    let by = match code {
        NOBODY => Attempted::More,
        CLIENT => Attempted::Client {
            client: client(r)?,
            bucket: BucketId::new(r.fixed("bucket")?),
            first: VersionRef::decode(&r.fixed("version")?),
        },
        STATEMENT => Attempted::Statement {
            person: r.text("person", STATEMENT_WORD_CHARS_MAX)?.to_owned(),
            fingerprint: r.text("fingerprint", FINGERPRINT_BYTES_MAX)?.to_owned(),
            first: r.digest("text")?,
        },
        DELETES => Attempted::Deletes { client: client(r)? },
        _ => return r.refuse("who", Fault::Value),
    };
    let attempt = Attempt {
        by,
        what,
        why,
        count,
        first_ms,
        last_ms,
    };
    if items != usize::from(attempt.by.items()) {
        return r.refuse("attempt", Fault::Count);
    }
    if attempt.count == 0 || attempt.first_ms > attempt.last_ms || !is_plain(&attempt.by) {
        return r.refuse("attempt", Fault::Value);
    }
    Ok(attempt)
}

fn word(r: &mut Reader<'_>, field: &'static str) -> Result<String, DecodeError> {
    let text = r.text(field, ATTEMPT_WORD_BYTES_MAX)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        r.refuse(field, Fault::Value)
    }
}

fn client(r: &mut Reader<'_>) -> Result<ClientTag, DecodeError> {
    let text = r.text("client", ATTEMPT_WORD_BYTES_MAX)?;
    if text.is_empty() {
        return Ok(ClientTag::NONE);
    }
    ClientTag::new(text).map_or_else(|| r.refuse("client", Fault::Value), Ok)
}

/// Names and fingerprints are printed as they are.
fn is_plain(by: &Attempted) -> bool {
    match by {
        Attempted::Statement {
            person,
            fingerprint,
            ..
        } => [person, fingerprint]
            .iter()
            .all(|text| text.bytes().all(|byte| byte.is_ascii_graphic())),
        _ => true,
    }
}
