//! What people state: judged, recorded, and for holds and lists carried out piece by piece.

use stele_format::digest::Digest;
use stele_format::record::{Body, RecordType, StatementBody, VersionRef};
use stele_format::statement::{Act, Cut, Erase, Kind, Second};
use stele_format::units::{LogIndex, UnixMillis, VersionId};

use super::destroy::{fits_key_state, held_by_cases, rows_of, walk_rows, whole_scope};
use super::{After, Facts, Outcome};
use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::engine::lists::is_among;
use crate::engine::people::Case;
use crate::engine::view::{Stop, View};
use crate::fact;
use crate::index::Fact;
use crate::index::keys;
use crate::index::rows::{ObjectRow, ScopeRow, StatementRow};
use crate::limits::NOTE_BYTES_MAX;
use crate::policy::approval::{Recorded, StatementRefusal, VaultFacts, verified};
use crate::policy::{Kept, may_destroy};
use crate::request::{Answer, PeopleView, Refusal};

/// A statement as somebody brings it.
pub(crate) struct Brought<'a> {
    pub(crate) text: &'a str,
    pub(crate) signatures: &'a [Vec<u8>],
    pub(crate) note: Option<&'a [u8]>,
}

/// Records a statement that counts.
pub(crate) fn state(
    facts: &Facts<'_>,
    view: &View<'_>,
    brought: &Brought<'_>,
) -> Result<Outcome, Stop> {
    let refused = |refusal: StatementRefusal| Stop::from(Refusal::from(refusal));
    let (statement, signatures) = verified(brought.text, brought.signatures).map_err(refused)?;
    let scope_count = match statement.kind() {
        Kind::Request(request) => match &request.act {
            Act::Erase(erase) => Some(check_erase(facts, view, erase)?),
            Act::ReleaseHold(release) => {
                Some(whole_scope(facts, view, release.scope)?.entries().len())
            }
            Act::ForceOpen { .. } => return Err(refused(StatementRefusal::NoForcedOpening)),
            Act::LogKey { key } if !facts.receipts.knows(*key) => {
                return Err(refused(StatementRefusal::LogKeyUnknown));
            }
            _ => None,
        },
        Kind::Hold(hold) => Some(whole_scope(facts, view, hold.scope)?.entries().len()),
        _ => None,
    };
    let known = VaultFacts {
        versions: facts.versions,
        scope_count: scope_count.map(|count| count as u64),
    };
    let at = Recorded {
        log_index: facts.next,
        compliance: facts.compliance,
        wall: facts.wall,
    };
    facts
        .approvals
        .judge(&statement, &signatures, at, known)
        .map_err(refused)?;
    let body = StatementBody {
        text: brought.text.to_owned(),
        signatures: brought.signatures.to_vec(),
    };
    let mut draft = Draft::of_engine(RecordType::Statement, Body::Statement(body));
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    if let Some(note) = brought.note {
        if note.len() > NOTE_BYTES_MAX {
            return Err(Refusal::TooLarge {
                bytes_max: NOTE_BYTES_MAX as u64,
            }
            .into());
        }
        draft.sealed = Sealed::BoxKey(note.to_vec());
    }
    Ok(Outcome::Write(vec![draft], After::Stated(known)))
}

/// People, requests and what follows from them.
pub(crate) fn shown(view: PeopleView) -> Outcome {
    Outcome::Answer(Answer::People(Box::new(view)))
}

/// What was sealed beside a statement.
pub(crate) fn note(
    facts: &Facts<'_>,
    view: &View<'_>,
    statement: LogIndex,
) -> Result<Outcome, Stop> {
    let row: Option<StatementRow> = view.row(keys::statement(statement))?;
    let Some(row) = row else {
        return Ok(Outcome::Answer(Answer::Note(None)));
    };
    let record = view.record(&row.location);
    view.settle()?;
    let damaged = || Stop::Damaged(row.location);
    let record = record.ok_or_else(damaged)?;
    let note = fact::open_note(&record, facts.keys, facts.pool).map_err(|_| damaged())?;
    Ok(Outcome::Answer(Answer::Note(note)))
}

/// A request to destroy says what its list is: the numbers and dates people read before they sign are
/// those of the versions, and each may be destroyed by the time it is asked for.
fn check_erase(facts: &Facts<'_>, view: &View<'_>, erase: &Erase) -> Result<usize, Stop> {
    let list = whole_scope(facts, view, erase.scope)?;
    let sums = walk_rows(view, (erase.scope, &list), |sums, entry, row| {
        let kept = |why| {
            let record = entry.version.ordinal();
            Stop::from(Refusal::ScopeKept { record, why })
        };
        let row = row.ok_or_else(|| kept(Kept::Gone))?;
        may_destroy(&facts.lock_of(&row), erase.governance, facts.time).map_err(kept)?;
        sums.leaves += row.leaves().count() as u64;
        sums.bytes = sums.bytes.saturating_add(row.content_bytes.get());
        sums.oldest = sums.oldest.min(row.modified);
        sums.newest = sums.newest.max(row.modified);
        let until = row.retention.map(|retention| retention.until);
        sums.latest = sums.latest.max(until);
        Ok(())
    })?;
    if erase.cut == Cut::Leaves {
        fits_key_state(facts, sums.leaves)?;
    }
    let count = list.entries().len();
    let shown = scope_words(count, sums.bytes, sums.oldest, sums.newest, sums.latest);
    let stated = ScopeWords {
        count: erase.count,
        bytes: erase.bytes,
        oldest: Some(erase.oldest),
        newest: Some(erase.newest),
        latest_retention: erase.latest_retention,
    };
    if shown == stated {
        Ok(count)
    } else {
        Err(Refusal::ScopeDiffers.into())
    }
}

/// What a request says of its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeWords {
    /// Versions.
    pub count: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// The second in which the oldest was stored.
    pub oldest: Option<Second>,
    /// The second in which the newest was stored.
    pub newest: Option<Second>,
    /// The first second at which no retention of the list runs any more; none if nothing was ever retained.
    pub latest_retention: Option<Second>,
}

/// The words for a list of these sums.
#[must_use]
pub fn scope_words(
    count: usize,
    bytes: u64,
    oldest: UnixMillis,
    newest: UnixMillis,
    latest: Option<UnixMillis>,
) -> ScopeWords {
    let floor = |time: UnixMillis| Second::new(time.get() / 1_000);
    ScopeWords {
        count: count as u64,
        bytes,
        oldest: floor(oldest),
        newest: floor(newest),
        latest_retention: latest.and_then(Second::not_before),
    }
}

/// Puts a piece of a hold's list under hold.
pub(crate) fn place_holds(
    facts: &Facts<'_>,
    view: &View<'_>,
    statement: LogIndex,
    ordinal: u32,
) -> Result<Outcome, Stop> {
    let case = facts
        .cases
        .iter()
        .find(|case| case.statement == statement && case.released.is_none())
        .ok_or(Refusal::NoCase)?;
    let piece: Option<ScopeRow> = view.row(keys::scope(&case.scope, ordinal))?;
    let piece = piece.ok_or(Refusal::BadScope)?;
    let last = ordinal + 1 == piece.pieces;
    // Before the rows of the piece, which would make room for those of the list.
    if last && !case.placed {
        check_rest(facts, view, case.scope, &piece.entries, |_, held| held)?;
    }
    let mut drafts = hold_drafts(facts, view, &piece.entries, true)?;
    if last && !case.placed {
        let body = Body::Enacted(statement);
        drafts.push(Draft::of_engine(RecordType::Enacted, body));
    }
    Ok(held(facts, drafts, last))
}

/// Lifts a piece of the holds that an approved request releases; what another case holds stays held.
pub(crate) fn release_holds(
    facts: &Facts<'_>,
    view: &View<'_>,
    request: LogIndex,
    ordinal: u32,
) -> Result<Outcome, Stop> {
    let approved = facts
        .approvals
        .execute(request, facts.compliance)
        .map_err(Refusal::from)?;
    let Act::ReleaseHold(release) = approved.act() else {
        return Err(Refusal::BadScope.into());
    };
    let piece: Option<ScopeRow> = view.row(keys::scope(&release.scope, ordinal))?;
    let piece = piece.ok_or(Refusal::BadScope)?;
    let released = |case: &Case| {
        case.case == release.case && case.scope == release.scope && case.statement < request
    };
    let elsewhere = held_by_cases(facts, view, |case| !released(case))?;
    let free: Vec<VersionRef> = piece
        .entries
        .iter()
        .copied()
        .filter(|entry| !elsewhere.contains(entry.version))
        .collect();
    let last = ordinal + 1 == piece.pieces;
    if last {
        check_rest(
            facts,
            view,
            release.scope,
            &piece.entries,
            |version, held| !held || elsewhere.contains(version),
        )?;
    }
    let mut drafts = hold_drafts(facts, view, &free, false)?;
    if last {
        let body = Body::Enacted(approved.request());
        drafts.push(Draft::of_engine(RecordType::Enacted, body));
    }
    Ok(held(facts, drafts, last))
}

/// Before a list is said to be worked off, its other pieces are: each version of them is as it should be.
fn check_rest(
    facts: &Facts<'_>,
    view: &View<'_>,
    scope: Digest,
    piece: &[VersionRef],
    done: impl Fn(VersionId, bool) -> bool,
) -> Result<(), Stop> {
    let list = whole_scope(facts, view, scope)?;
    walk_rows(view, (scope, &list), |_, entry, row| {
        let rest = row.filter(|_| !is_among(piece, entry.version));
        if rest.is_none_or(|row| done(entry.version, row.hold == Some(true))) {
            return Ok(());
        }
        let ordinal = list.piece_of(entry.version).unwrap_or(u32::MAX);
        Err(Refusal::OutOfOrder { ordinal }.into())
    })?;
    Ok(())
}

fn held(facts: &Facts<'_>, mut drafts: Vec<Draft>, last: bool) -> Outcome {
    let versions = drafts.iter().filter(|draft| draft.kind == RecordType::Hold);
    let versions = u32::try_from(versions.count()).unwrap_or(u32::MAX);
    let count = drafts.len();
    for (at, draft) in drafts.iter_mut().enumerate() {
        draft.origin = Origin::Request {
            id: facts.id,
            last: at + 1 == count,
        };
    }
    if drafts.is_empty() {
        return Outcome::Answer(Answer::Held { versions, last });
    }
    Outcome::Write(drafts, After::Held { versions, last })
}

fn hold_drafts(
    facts: &Facts<'_>,
    view: &View<'_>,
    entries: &[VersionRef],
    on: bool,
) -> Result<Vec<Draft>, Stop> {
    let rows = rows_of(view, entries)?;
    let (mut drafts, mut needs) = (Vec::new(), Vec::new());
    for (entry, row) in rows {
        let Some(row) = row.filter(|row| (row.hold == Some(true)) != on) else {
            continue;
        };
        let object: ObjectRow = match view.row(keys::object(entry.object)) {
            Ok(Some(object)) => object,
            Ok(None) => continue,
            Err(Stop::Need(more)) => {
                needs.extend(more);
                continue;
            }
            Err(stop) => return Err(stop),
        };
        view.foresee(&Fact::HoldSet {
            object: entry.object,
            version: entry.version,
            on,
            at: facts.compliance,
        })?;
        let mut draft = Draft::of_engine(RecordType::Hold, Body::Hold);
        draft.origin = Origin::Request {
            id: facts.id,
            last: false,
        };
        draft.bucket = object.bucket;
        draft.object = entry.object;
        draft.version = VersionSlot::Version(entry.version);
        draft.retention = row.retention;
        draft.hold = on;
        drafts.push(draft);
    }
    if needs.is_empty() {
        Ok(drafts)
    } else {
        Err(Stop::Need(needs))
    }
}
