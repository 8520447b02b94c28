//! What an approved request destroys: lists of versions, tombstones, and later leaves for what stays.
//!
//! Nothing here cuts a key; a start does, once tombstones are durable.

use std::sync::Arc;

use stele_format::digest::Digest;
use stele_format::record::{Body, RecordType, Scope, Tombstone, VersionRef, scope_digest};
use stele_format::statement::{Act, Cut};
use stele_format::units::{KeyIndex, LogIndex, Month, ObjectId, UnixMillis};

use super::witness::destruction_time;
use super::{After, Facts, Outcome};
use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::engine::lists::{Freed, Held, List, Sums, Walk, is_among};
use crate::engine::people::Case;
use crate::engine::view::{Need, Stop, View};
use crate::fact;
use crate::index::Fact;
use crate::index::rows::{
    DestroyedRow, EnactedRow, ObjectRow, ScopeRow, Table, TableRow, TombstoneRow, VersionRow,
};
use crate::index::{Scan, keys};
use crate::keys::counter::{KeyClass, month_of};
use crate::limits::{
    KEY_STATE_CUT_BYTES_MAX, LEAF_CUT_BYTES_MAX, REHOME_BYTES_MAX, REHOME_COUNT_MAX,
    SCAN_ROW_COUNT, SCOPE_PIECE_COUNT_MAX, SCOPE_PIECES_COUNT_MAX,
};
use crate::plants::{Plant, on};
use crate::policy::approval::Approved;
use crate::policy::{EffectiveTime, Kept, may_destroy, may_destroy_unheld};
use crate::request::{Answer, Effect, Refusal, Tombstoned};

/// What an approved request destroys, taken from the value that only policy makes.
pub(crate) struct Erasure {
    /// The power to do it, used up by doing it.
    approved: Approved,
    /// Digest of its list.
    scope: Digest,
    /// The month that is cut as a whole.
    month: Option<Month>,
    /// Whether GOVERNANCE retention ends early by it.
    early: bool,
}

impl Erasure {
    /// Of an executed request that is not complete.
    pub(crate) fn of(facts: &Facts<'_>, request: LogIndex) -> Result<Self, Refusal> {
        let approved = facts.approvals.execute(request, facts.compliance)?;
        let Act::Erase(erase) = approved.act() else {
            return Err(Refusal::BadScope);
        };
        Ok(Self {
            scope: erase.scope,
            month: match erase.cut {
                Cut::Leaves => None,
                Cut::Month(month) => Some(month),
            },
            early: erase.governance,
            approved,
        })
    }

    /// Whether a leaf is one of the month that is cut.
    fn is_of_month(&self, leaf: KeyIndex) -> bool {
        let month = leaf.parts().map(|parts| parts.month);
        self.month.is_some() && month == self.month
    }
}

/// Records a piece of a list. A list that is there, or of which a piece is, cannot become another one.
pub(crate) fn put_scope(
    facts: &Facts<'_>,
    view: &View<'_>,
    scope: &Scope,
) -> Result<Outcome, Stop> {
    let fits = !scope.entries.is_empty()
        && scope.entries.len() <= SCOPE_PIECE_COUNT_MAX
        && scope.ordinal < scope.pieces
        && scope.pieces <= SCOPE_PIECES_COUNT_MAX
        && ascends(&scope.entries);
    if !fits {
        return Err(Refusal::BadScope.into());
    }
    let some = view.scan(&Scan::prefix(Table::Scopes, scope.digest.0.to_vec(), 1))?;
    if let Some((_, value)) = some.rows.first()
        && ScopeRow::decode(value)?.pieces != scope.pieces
    {
        return Err(Refusal::BadScope.into());
    }
    let key = keys::scope(&scope.digest, scope.ordinal);
    let known: Option<ScopeRow> = view.row(key)?;
    match known {
        Some(known) if known.entries != scope.entries => return Err(Refusal::BadScope.into()),
        Some(_) => {}
        None => check_continues(view, scope)?,
    }
    let mut draft = Draft::of_engine(RecordType::Scope, Body::Scope(scope.clone()));
    draft.origin = last_of(facts);
    Ok(Outcome::Write(vec![draft], After::Recorded))
}

/// A piece continues the one before it, and the last one makes the list that was digested: every list in the
/// log is what it is recorded as.
fn check_continues(view: &View<'_>, scope: &Scope) -> Result<(), Stop> {
    if let Some(ordinal) = scope.ordinal.checked_sub(1) {
        let before: Option<ScopeRow> = view.row(keys::scope(&scope.digest, ordinal))?;
        let before = before.ok_or(Refusal::OutOfOrder { ordinal })?;
        let ends = before.entries.last().into_iter();
        let joint: Vec<VersionRef> = ends.chain(scope.entries.first()).copied().collect();
        if !ascends(&joint) {
            return Err(Refusal::BadScope.into());
        }
    }
    if scope.ordinal + 1 < scope.pieces || on(Plant::ScopeUnchecked) {
        return Ok(());
    }
    let pieces = view.prefix::<ScopeRow>(scope.digest.0.to_vec())?;
    let before = pieces.iter().flat_map(|(_, row)| row.entries.iter());
    let entries: Vec<VersionRef> = before.chain(&scope.entries).copied().collect();
    if scope_digest(&entries) == scope.digest {
        Ok(())
    } else {
        Err(Refusal::BadScope.into())
    }
}

fn ascends(entries: &[VersionRef]) -> bool {
    entries.is_sorted_by(|a, b| a.version.ordinal() < b.version.ordinal())
}

const fn last_of(facts: &Facts<'_>) -> Origin {
    Origin::Request {
        id: facts.id,
        last: true,
    }
}

/// The whole list behind a digest: every piece is there, and together they are what was digested.
pub(crate) fn whole_scope(
    facts: &Facts<'_>,
    view: &View<'_>,
    digest: Digest,
) -> Result<Arc<List>, Stop> {
    if let Some(known) = facts.lists.get(digest) {
        return Ok(known);
    }
    let pieces = view.prefix::<ScopeRow>(digest.0.to_vec())?;
    let expected = pieces.first().map_or(0, |(_, row)| row.pieces);
    let in_order = pieces.iter().zip(0..).all(|((key, row), ordinal)| {
        *key == keys::scope(&digest, ordinal) && row.pieces == expected
    });
    let list = List::of(pieces.into_iter().map(|(_, row)| row.entries));
    let entries = list.entries();
    let whole = in_order
        && u32::try_from(list.pieces()).is_ok_and(|found| found == expected && found > 0)
        && ascends(entries)
        && (on(Plant::ScopeUnchecked) || scope_digest(entries) == digest);
    if whole {
        Ok(facts.lists.keep(digest, list))
    } else {
        Err(Refusal::BadScope.into())
    }
}

/// Goes through the rows of a list, and says what `each` summed up. No more of them are held than those of a page.
pub(crate) fn walk_rows(
    view: &View<'_>,
    (digest, list): (Digest, &List),
    mut each: impl FnMut(&mut Sums, VersionRef, Option<VersionRow>) -> Result<(), Stop>,
) -> Result<Sums, Stop> {
    let known = view.gathered.walk.take();
    let known = known.filter(|walk| walk.list == digest);
    let mut walk = known.unwrap_or_else(|| Walk::of(digest));
    let rest = list.entries().get(walk.done..).unwrap_or_default();
    for page in rest.chunks(SCAN_ROW_COUNT) {
        match rows_of(view, page) {
            Ok(rows) => {
                for (entry, row) in rows {
                    each(&mut walk.sums, entry, row)?;
                }
                walk.done += page.len();
            }
            // All rows of the page are asked for: what was at hand of them makes room with the rest.
            Err(Stop::Need(_)) => {
                view.gathered.is_used_up.set(true);
                view.gathered.walk.replace(Some(walk));
                let keys = page
                    .iter()
                    .map(|entry| keys::version(entry.object, entry.version));
                return Err(Stop::Need(
                    keys.map(|key| Need::Row(Table::Versions, key)).collect(),
                ));
            }
            Err(stop) => return Err(stop),
        }
    }
    let sums = walk.sums.clone();
    view.gathered.walk.replace(Some(walk));
    Ok(sums)
}

/// What the log shows of a request's effect.
pub(crate) fn effect(view: &View<'_>, request: LogIndex) -> Result<Outcome, Stop> {
    let key = request.get().to_be_bytes().to_vec();
    let mut effect = Effect::default();
    for (_, row) in view.prefix::<TombstoneRow>(key.clone())? {
        effect.destroyed += row.entries.len() as u64;
    }
    if let Some(row) = view.row::<DestroyedRow>(keys::destroyed(request))? {
        effect.keys_cut = Some((row.index, row.at));
        effect.generation = Some(row.generation);
        effect.disks = row.disks;
        effect.absent = row.absent;
        effect.anchor = row.anchor;
    }
    if let Some(row) = view.row::<EnactedRow>(key)? {
        effect.enacted = Some((row.index, row.at));
    }
    Ok(Outcome::Answer(Answer::Effect(Box::new(effect))))
}

/// Destroys what may be destroyed of a piece of the list.
pub(crate) fn tombstone(
    facts: &Facts<'_>,
    view: &View<'_>,
    erasure: Erasure,
    ordinal: u32,
) -> Result<Outcome, Stop> {
    let time = destruction_time(facts)?;
    let row: Option<ScopeRow> = view.row(keys::scope(&erasure.scope, ordinal))?;
    let scope = row.ok_or(Refusal::BadScope)?;
    let last = ordinal + 1 == scope.pieces;
    let request = erasure.approved.request();
    // In order, so that the last one says that all are there.
    if let Some(before) = ordinal.checked_sub(1)
        && view
            .row::<TombstoneRow>(keys::tombstone(request, before))?
            .is_none()
    {
        return Err(Refusal::OutOfOrder { ordinal: before }.into());
    }
    let done: Option<TombstoneRow> = view.row(keys::tombstone(request, ordinal))?;
    if done.is_some() {
        return Ok(Outcome::Answer(Answer::Tombstoned(Tombstoned {
            destroyed: 0,
            kept: Vec::new(),
            last,
        })));
    }
    let reserved = match erasure.month {
        Some(month) => {
            check_month(month, facts, time)?;
            0
        }
        // With its first piece, so that no list is stuck half done: from then on its leaves are to be cut.
        None if ordinal == 0 => leaves_of(facts, view, erasure.scope)?,
        None => 0,
    };
    let rest_ms = erasure.approved.rest_ms();
    let held = match on(Plant::CaseForgotten) {
        true => Held::by(Vec::new()),
        false => held_by_cases(facts, view, |_| true)?,
    };
    let freed = freed_by_cases(facts, view, rest_ms)?;
    let rehomed = facts.rehomed.contains(&request) || on(Plant::MonthUnspared);
    let (mut entries, mut kept) = (Vec::new(), Vec::new());
    let mut stays = false;
    for (entry, row) in rows_of(view, &scope.entries)? {
        let judged = match &row {
            None => Err(Kept::Gone),
            Some(_) if on(Plant::TombstoneUnjudged) => Ok(()),
            // A hold that was stated counts before it was put on every version.
            Some(_) if held.contains(entry.version) => Err(Kept::Hold),
            Some(row) => {
                let lock = facts.lock_of(row);
                let judged = may_destroy(&lock, erasure.early, time);
                // Left out now, it would never be destroyed by this request: better wait for a witness.
                if judged.is_err() && may_destroy(&lock, erasure.early, facts.time).is_ok() {
                    return Err(Refusal::WitnessBehind {
                        heard: time.release,
                    }
                    .into());
                }
                let unheld = row.unheld.max(freed.of(entry.version));
                judged.and_then(|()| may_destroy_unheld(unheld, rest_ms, facts.compliance))
            }
        };
        match judged {
            Ok(()) => entries.push(entry),
            Err(why) => {
                stays |= row.is_some_and(|row| erasure.is_of_month(row.key_index));
                kept.push((entry, why));
            }
        }
    }
    // The keys of the month go with the last piece: nothing that stays may have one.
    if last && erasure.month.is_some() && (stays || !rehomed) {
        return Err(Refusal::MonthLives.into());
    }
    let body = Tombstone {
        request,
        ordinal,
        last,
        month: erasure.month.filter(|_| last),
        entries,
    };
    view.foresee(&Fact::Tombstoned {
        request: body.request,
        ordinal,
        at: UnixMillis::ZERO,
        last,
        month: body.month,
        entries: body.entries.clone(),
    })?;
    let destroyed = u32::try_from(body.entries.len()).unwrap_or(u32::MAX);
    let mut draft = Draft::of_engine(RecordType::Tombstone, Body::Tombstone(body));
    draft.origin = last_of(facts);
    let after = After::Tombstoned {
        tombstoned: Tombstoned {
            destroyed,
            kept,
            last,
        },
        reserved,
    };
    Ok(Outcome::Write(vec![draft], after))
}

/// A month is cut as a whole when it is over for everybody who is asked.
fn check_month(month: Month, facts: &Facts<'_>, time: EffectiveTime) -> Result<(), Refusal> {
    if month < month_of(time.release) {
        return Ok(());
    }
    if month < month_of(facts.time.release) {
        return Err(Refusal::WitnessBehind {
            heard: time.release,
        });
    }
    Err(Refusal::MonthNotOver)
}

/// The leaves of a list, where they fit.
fn leaves_of(facts: &Facts<'_>, view: &View<'_>, scope: Digest) -> Result<u64, Stop> {
    let list = whole_scope(facts, view, scope)?;
    let sums = walk_rows(view, (scope, &list), |sums, _, row| {
        sums.leaves += row.map_or(0, |row| row.leaves().count() as u64);
        Ok(())
    })?;
    fits_key_state(facts, sums.leaves)?;
    Ok(sums.leaves)
}

/// Whether so many leaves more may be cut one by one, beside those that are to be: each leaves a hole in the key tree,
/// which must fit the key state. A month that is cut as a whole leaves none.
pub(crate) fn fits_key_state(facts: &Facts<'_>, leaves: u64) -> Result<(), Refusal> {
    let leaves = leaves.saturating_add(facts.leaves_due);
    let more = leaves.saturating_mul(LEAF_CUT_BYTES_MAX);
    let bytes = (facts.keys.tree.encoded_len() as u64).saturating_add(more);
    if bytes > KEY_STATE_CUT_BYTES_MAX {
        Err(Refusal::KeyStateFull)
    } else {
        Ok(())
    }
}

/// What the cases hold that are not released and that `counts`.
pub(crate) fn held_by_cases(
    facts: &Facts<'_>,
    view: &View<'_>,
    counts: impl Fn(&Case) -> bool,
) -> Result<Held, Stop> {
    let running = |case: &&Case| case.released.is_none() && counts(case);
    let cases = facts.cases.iter().filter(running);
    let lists: Result<_, Stop> = cases
        .map(|case| whole_scope(facts, view, case.scope))
        .collect();
    Ok(Held::by(lists?))
}

/// When the holds of cases on versions went, as far as that was less than `rest_ms` ago.
fn freed_by_cases(facts: &Facts<'_>, view: &View<'_>, rest_ms: u64) -> Result<Freed, Stop> {
    let recent = |at: &UnixMillis| may_destroy_unheld(Some(*at), rest_ms, facts.compliance);
    let mut lists = Vec::new();
    for case in facts.cases {
        if let Some(at) = case.released.filter(|at| recent(at).is_err()) {
            lists.push((whole_scope(facts, view, case.scope)?, at));
        }
    }
    Ok(Freed::at(lists))
}

/// The rows of versions, fetched all at once; none for one that is not there.
pub(crate) fn rows_of(
    view: &View<'_>,
    entries: &[VersionRef],
) -> Result<Vec<(VersionRef, Option<VersionRow>)>, Stop> {
    let (mut found, mut needs) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        match view.row::<VersionRow>(keys::version(entry.object, entry.version)) {
            Ok(row) => found.push((*entry, row.filter(|row| row.version == entry.version))),
            Err(Stop::Need(more)) => needs.extend(more),
            Err(stop) => return Err(stop),
        }
    }
    if needs.is_empty() {
        Ok(found)
    } else {
        Err(Stop::Need(needs))
    }
}

/// Seals the manifests of some versions again that stay when a month is cut.
pub(crate) fn rehome(
    facts: &Facts<'_>,
    view: &View<'_>,
    erasure: &Erasure,
    after: Option<&[u8]>,
) -> Result<Outcome, Stop> {
    let month = erasure.month.ok_or(Refusal::BadScope)?;
    let time = destruction_time(facts)?;
    check_month(month, facts, time)?;
    let list = whole_scope(facts, view, erasure.scope)?;
    // What was worked off and is left stays.
    let condemned = list.left_from(pieces_done(view, erasure, list.pieces())?);
    let held = held_by_cases(facts, view, |_| true)?;
    let rest_ms = erasure.approved.rest_ms();
    let freed = freed_by_cases(facts, view, rest_ms)?;
    let mut scan = Scan::prefix(Table::Versions, Vec::new(), SCAN_ROW_COUNT);
    if let Some(after) = after {
        scan.from = after.to_vec();
    }
    let merged = view.scan(&scan)?;
    let (mut staying, mut resume) = (Vec::new(), merged.resume);
    for (key, value) in &merged.rows {
        let row = VersionRow::decode(value)?;
        let unheld = row.unheld.max(freed.of(row.version));
        let goes = is_among(condemned, row.version)
            && !held.contains(row.version)
            && may_destroy(&facts.lock_of(&row), erasure.early, time).is_ok()
            && may_destroy_unheld(unheld, rest_ms, facts.compliance).is_ok();
        if goes || !erasure.is_of_month(row.key_index) {
            continue;
        }
        if staying.len() == REHOME_COUNT_MAX {
            resume = Some(key.clone());
            break;
        }
        if let Some(object) = keys::object_of(key) {
            staying.push((object, row));
        }
    }
    let drafts = rehome_drafts(facts, view, &staying)?;
    if let Some((object, row)) = staying.get(drafts.len()) {
        resume = Some(keys::version(*object, row.version));
    }
    let versions = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
    if drafts.is_empty() {
        return Ok(Outcome::Answer(Answer::Rehomed { versions, resume }));
    }
    Ok(Outcome::Write(drafts, After::Rehomed { versions, resume }))
}

/// Pieces of the list that were worked off: they are in order.
fn pieces_done(view: &View<'_>, erasure: &Erasure, pieces: usize) -> Result<usize, Stop> {
    let request = erasure.approved.request();
    let is_done = |ordinal: usize| -> Result<bool, Stop> {
        let ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX);
        let row = view.row::<TombstoneRow>(keys::tombstone(request, ordinal))?;
        Ok(row.is_some())
    };
    // Mostly none.
    if pieces == 0 || !is_done(0)? {
        return Ok(0);
    }
    let (mut done, mut open) = (1, pieces);
    while done < open {
        let middle = usize::midpoint(done, open);
        if is_done(middle)? {
            done = middle + 1;
        } else {
            open = middle;
        }
    }
    Ok(done)
}

fn rehome_drafts(
    facts: &Facts<'_>,
    view: &View<'_>,
    staying: &[(ObjectId, VersionRow)],
) -> Result<Vec<Draft>, Stop> {
    let records: Vec<_> = staying
        .iter()
        .map(|(_, row)| {
            let manifest = view.record(&row.manifest_location());
            (manifest, row.tags.map(|tags| view.record(&tags)))
        })
        .collect();
    let mut needs = Vec::new();
    let mut drafts = Vec::with_capacity(staying.len());
    let settled = view.settle();
    for (object, _) in staying {
        match view.row::<ObjectRow>(keys::object(*object)) {
            Ok(_) => {}
            Err(Stop::Need(more)) => needs.extend(more),
            Err(stop) => return Err(stop),
        }
    }
    match settled {
        Ok(()) if needs.is_empty() => {}
        Ok(()) => return Err(Stop::Need(needs)),
        Err(Stop::Need(more)) => {
            needs.extend(more);
            return Err(Stop::Need(needs));
        }
        Err(stop) => return Err(stop),
    }
    let mut bytes = 0;
    for ((object, row), (record, tags)) in staying.iter().zip(records) {
        let damaged = || Stop::Damaged(row.manifest_location());
        let open = |record: &crate::read::VerifiedRecord| {
            fact::open_manifest(record, facts.keys, facts.pool)
        };
        let mut manifest = record.as_deref().and_then(open).ok_or_else(damaged)?;
        if let Some(location) = row.tags {
            let newer = tags.flatten().as_deref().and_then(open);
            manifest.tags = newer.ok_or(Stop::Damaged(location))?.tags;
        }
        let object_row: Option<ObjectRow> = view.row(keys::object(*object))?;
        let mut draft = Draft::of_engine(RecordType::Rehome, Body::Rehome);
        draft.origin = Origin::Request {
            id: facts.id,
            last: false,
        };
        draft.bucket = object_row.map(|row| row.bucket).unwrap_or_default();
        draft.object = *object;
        draft.version = VersionSlot::Version(row.version);
        draft.retention = row.retention;
        draft.hold = row.hold == Some(true);
        draft.sealed = Sealed::Leaf(Box::new(manifest), KeyClass::Object);
        view.foresee(&Fact::Rehomed {
            object: *object,
            version: row.version,
            key_index: row.key_index,
            location: row.location,
            content: None,
        })?;
        bytes += draft.bytes_max();
        if bytes > REHOME_BYTES_MAX && !drafts.is_empty() {
            break;
        }
        drafts.push(draft);
    }
    if let Some(draft) = drafts.last_mut() {
        draft.origin = last_of(facts);
    }
    Ok(drafts)
}
