//! Statements: what people sign, as text with exactly one spelling.
//!
//! ```text
//! stele-statement v1
//! log stele/<pool id>
//! kind request
//! ...
//! by alice
//! ```
//!
//! Invariants: a [`Statement`] prints to at most 8 KiB; [`Statement::parse`] accepts what
//! [`Statement::to_text`] prints and nothing else; whether a statement may be made is decided elsewhere.

mod act;
mod lines;
mod words;

use core::fmt;

use thiserror::Error;

pub use self::act::{
    Act, BucketDefault, Cut, DefaultMode, DefaultPeriod, Erase, GrantRights, LaterAct, RecordSpan,
    ReleaseHold, SpecialRights,
};
use self::lines::{Lines, put};
use self::words::Word;
pub use self::words::{ClientKey, Head, LogPublic, Name, Nonce, Role, Second};
pub use crate::checkpoint::Origin;
use crate::digest::Digest;
use crate::limits::{PERSON_KEYS_MAX, STATEMENT_BYTES_MAX};
use crate::sshsig::PublicKey;
use crate::units::LogIndex;

const FIRST_LINE: &str = "stele-statement v1\n";

/// Why a text is no statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// It is longer than anything we accept.
    #[error("a statement has at most {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The first line is another one.
    #[error("the text does not begin with the line `stele-statement v1`")]
    NoStatement,
    /// Another line stands where this one must.
    #[error("the line `{0}` is not where it must be")]
    Missing(&'static str),
    /// The line's value is none that it may have, or has another spelling.
    #[error("the line `{0}` has no value that it may have")]
    Value(&'static str),
    /// Something follows the last line.
    #[error("something follows the last line")]
    Trailing,
    /// It says something in another spelling than ours.
    #[error("the text is not spelled as the vault spells it")]
    Spelling,
    /// A name has characters that names do not have.
    #[error("a name is 1 to 32 of a-z, 0-9, dot and hyphen, the first a letter or digit")]
    Name,
    /// A founding names a key twice, a person in two roles or places, with too many keys, or nobody.
    #[error("each person stands once, in one role, with one or two keys, and no key stands twice")]
    Persons,
    /// A founding sets a policy twice.
    #[error("a policy is set twice")]
    Policies,
}

/// A key of a person at the founding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// Who.
    pub person: Name,
    /// As what.
    pub role: Role,
    /// Which key.
    pub key: PublicKey,
}

impl fmt::Display for FoundKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.person, self.role, self.key)
    }
}

impl Word for FoundKey {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        Some(Self {
            person: Name::read(words.next()?)?,
            role: Role::read(words.next()?)?,
            key: PublicKey::read(words.next()?)?,
        })
    }
}

/// The first people of a vault, signed by each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Their keys; the keys of one person stand together.
    pub keys: Vec<FoundKey>,
    /// Policies that get another value than the built-in one.
    pub policies: Vec<(Name, Name)>,
}

/// Somebody asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// For what.
    pub act: Act,
    /// The log when it was drafted.
    pub head: Head,
    /// Makes the text one of its kind.
    pub nonce: Nonce<16>,
    /// Salted digest of the note that says why.
    pub reason: Digest,
    /// Who asks.
    pub by: Name,
}

/// What is said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Yes.
    Approve,
    /// No.
    Veto,
    /// Now.
    Execute,
}

impl Verb {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Veto => "veto",
            Self::Execute => "execute",
        }
    }
}

/// Somebody answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How.
    pub verb: Verb,
    /// The request's record.
    pub request: LogIndex,
    /// Digest of the request's text.
    pub digest: Digest,
    /// Who answers.
    pub by: Name,
}

/// Somebody puts versions under legal hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Salted digest of the case's name.
    pub case: Digest,
    /// Digest of the list of versions.
    pub scope: Digest,
    /// Versions in it.
    pub count: u64,
    /// Makes the text one of its kind: a case that was lifted can be put on the same list again.
    pub nonce: Nonce<16>,
    /// Who.
    pub by: Name,
}

/// Somebody reviewed who has access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The log that was reviewed.
    pub head: Head,
    /// Makes the text one of its kind.
    pub nonce: Nonce<16>,
    /// Who.
    pub by: Name,
}

/// Somebody answers the challenge of the control socket, for one question. Recorded before the question is acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The challenge.
    pub nonce: Nonce<32>,
    /// When it was answered.
    pub at: Second,
    /// BLAKE3 of the question.
    pub ask: Digest,
    /// Who.
    pub by: Name,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first people.
    Found(Found),
    /// A request.
    Request(Request),
    /// An answer to one.
    Answer(Answer),
    /// A legal hold.
    Hold(Hold),
    /// A review of access.
    Review(Review),
    /// A session at the control socket.
    Session(Session),
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Request(_) => "request",
            Self::Answer(answer) => answer.verb.name(),
            Self::Hold(_) => "hold",
            Self::Review(_) => "review",
            Self::Session(_) => "session",
        }
    }

    /// Who says it; nobody alone for a founding.
    #[must_use]
    pub const fn by(&self) -> Option<&Name> {
        match self {
            Self::Found(_) => None,
            Self::Request(request) => Some(&request.by),
            Self::Answer(answer) => Some(&answer.by),
            Self::Hold(hold) => Some(&hold.by),
            Self::Review(review) => Some(&review.by),
            Self::Session(session) => Some(&session.by),
        }
    }
}

/// A statement that can be printed, and signed as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    origin: Origin,
    kind: Kind,
}

impl Statement {
    /// A statement of this log.
    ///
    /// # Errors
    /// [`StatementError`]: what the parts say cannot be written, or is too long.
    pub fn new(origin: Origin, kind: Kind) -> Result<Self, StatementError> {
        match &kind {
            Kind::Found(found) => check_found(found)?,
            Kind::Request(request) => request.act.check()?,
            _ => {}
        }
        let statement = Self { origin, kind };
        let text = statement.to_text();
        if text.len() > STATEMENT_BYTES_MAX {
            return Err(StatementError::TooLong {
                max: STATEMENT_BYTES_MAX,
            });
        }
        // Numbers and ids that a text cannot carry are found here.
        if read(&text)? == statement {
            Ok(statement)
        } else {
            Err(StatementError::Spelling)
        }
    }

    /// Reads a text; exactly what `to_text` prints is accepted.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        if text.len() > STATEMENT_BYTES_MAX {
            return Err(StatementError::TooLong {
                max: STATEMENT_BYTES_MAX,
            });
        }
        let Self { origin, kind } = read(text)?;
        let statement = Self::new(origin, kind)?;
        if statement.to_text() == text {
            Ok(statement)
        } else {
            Err(StatementError::Spelling)
        }
    }

    /// The text, as it is signed and recorded.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// BLAKE3 of the text: what answers name a request by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_text().as_bytes())
    }

    /// The log it is for.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// What it says.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Who says it; nobody alone for a founding.
    #[must_use]
    pub const fn by(&self) -> Option<&Name> {
        self.kind.by()
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = FIRST_LINE.to_owned();
        put(&mut out, "log", self.origin);
        put(&mut out, "kind", self.kind.name());
        put_kind(&mut out, &self.kind);
        if let Some(by) = self.by() {
            put(&mut out, "by", by);
        }
        f.write_str(&out)
    }
}

fn put_kind(out: &mut String, kind: &Kind) {
    match kind {
        Kind::Found(found) => {
            for key in &found.keys {
                put(out, "person", key);
            }
            for (name, value) in &found.policies {
                put(out, "policy", format_args!("{name} {value}"));
            }
        }
        Kind::Request(request) => {
            request.act.put(out);
            put(out, "head", request.head);
            put(out, "nonce", request.nonce);
            put(out, "reason", request.reason);
        }
        Kind::Answer(answer) => {
            put(out, "request", answer.request);
            put(out, "digest", answer.digest);
        }
        Kind::Hold(hold) => {
            put(out, "case", hold.case);
            put(out, "scope", hold.scope);
            put(out, "count", hold.count);
            put(out, "nonce", hold.nonce);
        }
        Kind::Review(review) => {
            put(out, "head", review.head);
            put(out, "nonce", review.nonce);
        }
        Kind::Session(session) => {
            put(out, "nonce", session.nonce);
            put(out, "at", session.at);
            put(out, "ask", session.ask);
        }
    }
}

/// Reads every line once; spelling is compared by the caller.
fn read(text: &str) -> Result<Statement, StatementError> {
    let rest = text
        .strip_prefix(FIRST_LINE)
        .ok_or(StatementError::NoStatement)?;
    let mut lines = Lines::new(rest);
    let origin = lines.word("log")?;
    let kind = match lines.value("kind")? {
        "found" => Kind::Found(Found {
            keys: lines.words("person")?,
            policies: read_policies(&mut lines)?,
        }),
        "request" => Kind::Request(Request {
            act: Act::read(&mut lines)?,
            head: lines.word("head")?,
            nonce: lines.word("nonce")?,
            reason: lines.word("reason")?,
            by: lines.word("by")?,
        }),
        "approve" => read_answer(&mut lines, Verb::Approve)?,
        "veto" => read_answer(&mut lines, Verb::Veto)?,
        "execute" => read_answer(&mut lines, Verb::Execute)?,
        "hold" => Kind::Hold(Hold {
            case: lines.word("case")?,
            scope: lines.word("scope")?,
            count: lines.word("count")?,
            nonce: lines.word("nonce")?,
            by: lines.word("by")?,
        }),
        "review" => Kind::Review(Review {
            head: lines.word("head")?,
            nonce: lines.word("nonce")?,
            by: lines.word("by")?,
        }),
        "session" => Kind::Session(Session {
            nonce: lines.word("nonce")?,
            at: lines.word("at")?,
            ask: lines.word("ask")?,
            by: lines.word("by")?,
        }),
        _ => return Err(StatementError::Value("kind")),
    };
    lines.end()?;
    Ok(Statement { origin, kind })
}

fn read_answer(lines: &mut Lines<'_>, verb: Verb) -> Result<Kind, StatementError> {
    Ok(Kind::Answer(Answer {
        verb,
        request: lines.word("request")?,
        digest: lines.word("digest")?,
        by: lines.word("by")?,
    }))
}

fn read_policies(lines: &mut Lines<'_>) -> Result<Vec<(Name, Name)>, StatementError> {
    let mut policies = Vec::new();
    while lines.is_next("policy") {
        policies.push(act::read_setting(lines, "policy")?);
    }
    Ok(policies)
}

fn check_found(found: &Found) -> Result<(), StatementError> {
    let mut keys: Vec<&[u8; 32]> = found.keys.iter().map(|entry| entry.key.point()).collect();
    keys.sort_unstable();
    let mut names: Vec<&Name> = Vec::new();
    for person in found.keys.chunk_by(|a, b| a.person == b.person) {
        let [first, ..] = person else { continue };
        names.push(&first.person);
        if person.len() > PERSON_KEYS_MAX || person.iter().any(|entry| entry.role != first.role) {
            return Err(StatementError::Persons);
        }
    }
    names.sort_unstable();
    if keys.is_empty() || !strictly_ascending(&keys) || !strictly_ascending(&names) {
        return Err(StatementError::Persons);
    }
    let mut policies: Vec<&Name> = found.policies.iter().map(|(name, _)| name).collect();
    policies.sort_unstable();
    if strictly_ascending(&policies) {
        Ok(())
    } else {
        Err(StatementError::Policies)
    }
}

fn strictly_ascending<T: Ord>(items: &[T]) -> bool {
    items.is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_names_the_question_it_answers_for() {
        let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
        let text = format!(
            "stele-statement v1\nlog stele/{}\nkind session\nnonce {zeros}\nat 2026-11-29T10:00:00Z\nask {ones}\nby olga\n",
            "2".repeat(32)
        );
        let statement = Statement::parse(&text).expect("a statement");
        let Kind::Session(session) = statement.kind() else {
            panic!("another kind")
        };
        assert_eq!(session.ask, Digest([0x11; 32]));
        assert_eq!(statement.to_text(), text);
        let without = text.replace(&format!("ask {ones}\n"), "");
        assert_eq!(
            Statement::parse(&without),
            Err(StatementError::Missing("ask"))
        );
    }
}
