//! Texts of a forced opening. They are drafted while nothing serves the vault, for what a look at it found.

use stele_format::record::StatementBody;
use stele_format::sshsig::{STATEMENT_NAMESPACE, Signature};
use stele_format::statement::{Act, Answer, Kind, Name, Nonce, Request, Role, Statement, Verb};
use stele_format::units::LogIndex;
use stele_store::policy::approval::PersonView;
use stele_store::policy::people::Standing;
use stele_store::recovery::{ForcedRefusal, Outlook};
use stele_store::request::PeopleView;

use super::NotStated;
use super::draft::{Note, random};
use crate::error::Outcome;
use crate::force::NotForced;

/// A text to sign, with what is kept sealed beside it.
#[derive(Debug)]
pub struct ForcedDraft {
    /// The text.
    pub text: String,
    /// Its note.
    pub note: Option<String>,
}

fn name(text: &str) -> Outcome<Name> {
    Ok(Name::new(text).map_err(NotStated::Draft)?)
}

fn text_of(people: &PeopleView, kind: Kind) -> Outcome<String> {
    let statement = Statement::new(people.origin, kind).map_err(NotStated::Draft)?;
    Ok(statement.to_text())
}

/// The request for exactly this.
///
/// # Errors
/// Whoever asks may not.
pub fn request(
    people: &PeopleView,
    outlook: &Outlook,
    by: &str,
    reason: &str,
) -> Outcome<ForcedDraft> {
    let by = name(by)?;
    active(people, &by, Role::Officer)?;
    let note = Note::new(reason)?;
    let request = Request {
        act: act(outlook),
        head: outlook.head,
        nonce: Nonce(random()?),
        reason: note.digest(),
        by,
    };
    Ok(ForcedDraft {
        text: text_of(people, Kind::Request(request))?,
        note: Some(note.encode()),
    })
}

/// The approval of a signed request, if that is for exactly this and by somebody who may ask for it. What is signed
/// is judged once more before anything is opened.
///
/// # Errors
/// It is not, or whoever approves may not.
pub fn approval(
    people: &PeopleView,
    outlook: &Outlook,
    signed: &StatementBody,
    by: &str,
) -> Outcome<ForcedDraft> {
    let by = name(by)?;
    active(people, &by, Role::Approver)?;
    let statement = Statement::parse(&signed.text).map_err(NotStated::Text)?;
    let Kind::Request(request) = statement.kind() else {
        return Err(NotForced::NoRequest.into());
    };
    is_for(request, outlook)?;
    if statement.origin() != people.origin {
        return Err(NotForced::OtherVault.into());
    }
    verify(people, request, signed)?;
    let answer = Answer {
        verb: Verb::Approve,
        request: LogIndex::new(outlook.head.size),
        digest: statement.digest(),
        by,
    };
    Ok(ForcedDraft {
        text: text_of(people, Kind::Answer(answer))?,
        note: None,
    })
}

fn act(outlook: &Outlook) -> Act {
    Act::ForceOpen {
        opening: outlook.opening,
        lost: outlook.known_lost,
        missing: outlook.missing(),
        disks: outlook.disks.clone(),
    }
}

fn is_for(request: &Request, outlook: &Outlook) -> Result<(), NotForced> {
    match outlook.check(request) {
        Err(ForcedRefusal::OtherStatements) => Err(NotForced::NoRequest),
        checked => Ok(checked?),
    }
}

/// Somebody who may act, in this role.
fn active<'a>(
    people: &'a PeopleView,
    name: &Name,
    role: Role,
) -> Result<&'a PersonView, NotForced> {
    let mut persons = people.persons.iter();
    let found = persons.find(|one| one.name == *name);
    let found = found.filter(|one| one.role == role && one.standing == Standing::Active);
    found.ok_or_else(|| NotForced::Nobody {
        name: name.to_string(),
        role: role.name(),
    })
}

fn verify(people: &PeopleView, request: &Request, signed: &StatementBody) -> Outcome<()> {
    let person = active(people, &request.by, Role::Officer)?;
    let [bytes] = signed.signatures.as_slice() else {
        return Err(NotForced::Signer.into());
    };
    let signature = Signature::decode(bytes).map_err(NotStated::Signature)?;
    let verified = signature.verify(signed.text.as_bytes(), STATEMENT_NAMESPACE);
    let fingerprint = verified.map_err(NotStated::Mismatch)?.key().fingerprint();
    let mut keys = person.keys.iter();
    let known = keys.any(|key| key.standing == Standing::Active && key.fingerprint == fingerprint);
    match known {
        true => Ok(()),
        false => Err(NotForced::Signer.into()),
    }
}
