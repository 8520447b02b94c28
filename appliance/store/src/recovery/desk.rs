//! People and requests at a start: the recorded statements, folded again.

use stele_format::digest::Digest;
use stele_format::record::{VersionRef, scope_digest};
use stele_format::statement::{Act, Kind, Origin, Statement};
use stele_format::units::{LogIndex, PoolId};

use super::OpenError;
use super::cut::{AllRows, DAMAGED};
use crate::engine::people::Desk;
use crate::index::keys;
use crate::index::rows::{
    CosignedRow, DestroyedRow, EnactedRow, ForcedRow, ScopeRow, StatementRow, Table, TableRow,
};
use crate::policy::approval::Approvals;

/// What the rows say people stated, and what was done of it.
pub(super) fn read(rows: &AllRows<'_>, pool: PoolId, evaluation: bool) -> Result<Desk, OpenError> {
    let mut desk = Desk::new(Approvals::new(Origin::of(pool), evaluation));
    let mut between = between(rows)?.into_iter().peekable();
    rows.each(Table::Statements, |key, value| {
        let index = keys::index_of(key).ok_or(DAMAGED)?;
        let row = StatementRow::decode(value).map_err(|_| DAMAGED)?;
        // A witness counts from the statement on that brought it in, and a forced opening ends what was stated before.
        while let Some((index, other)) = between.next_if(|(other, _)| *other < index) {
            other.tell(index, &mut desk);
        }
        let scope_count = scope_count(rows, &row.text)?;
        desk.take(index, &row, scope_count);
        Ok(())
    })?;
    between.for_each(|(index, other)| other.tell(index, &mut desk));
    rows.each(Table::Tombstones, |key, _| {
        if let Some((request, _)) = keys::tombstone_of(key) {
            let _begun = desk.approvals.mark_begun(request);
        }
        Ok(())
    })?;
    rows.each(Table::Destroyed, |key, value| {
        let row = DestroyedRow::decode(value).map_err(|_| DAMAGED)?;
        desk.enacted(keys::index_of(key).ok_or(DAMAGED)?, row.index, row.at);
        Ok(())
    })?;
    rows.each(Table::Enacted, |key, value| {
        let row = EnactedRow::decode(value).map_err(|_| DAMAGED)?;
        desk.enacted(keys::index_of(key).ok_or(DAMAGED)?, row.index, row.at);
        Ok(())
    })?;
    Ok(desk)
}

/// A record that has its place among the statements.
enum Other {
    Cosigned(CosignedRow),
    Forced(ForcedRow),
}

impl Other {
    fn tell(&self, index: LogIndex, desk: &mut Desk) {
        match self {
            Self::Cosigned(row) => desk.cosigned(row),
            Self::Forced(row) => desk.forced(index, row),
        }
    }
}

/// What lies between the statements, in the order of the records.
fn between(rows: &AllRows<'_>) -> Result<Vec<(LogIndex, Other)>, OpenError> {
    let mut between = Vec::new();
    rows.each(Table::Cosigned, |key, value| {
        let index = keys::index_of(key).ok_or(DAMAGED)?;
        let row = CosignedRow::decode(value).map_err(|_| DAMAGED)?;
        between.push((index, Other::Cosigned(row)));
        Ok(())
    })?;
    rows.each(Table::Openings, |key, value| {
        let index = keys::index_of(key).ok_or(DAMAGED)?;
        let row = ForcedRow::decode(value).map_err(|_| DAMAGED)?;
        between.push((index, Other::Forced(row)));
        Ok(())
    })?;
    between.sort_by_key(|(index, _)| *index);
    Ok(between)
}

/// Entries of the list that a statement cites.
fn scope_count(rows: &AllRows<'_>, text: &str) -> Result<Option<u64>, OpenError> {
    let Ok(statement) = Statement::parse(text) else {
        return Ok(None);
    };
    let scope = match statement.kind() {
        Kind::Hold(hold) => hold.scope,
        Kind::Request(request) => match &request.act {
            Act::Erase(erase) => erase.scope,
            Act::ReleaseHold(release) => release.scope,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(self::scope(rows, scope)?.map(|entries| entries.len() as u64))
}

/// The list behind a digest, if it was recorded as a whole.
pub(super) fn scope(
    rows: &AllRows<'_>,
    digest: Digest,
) -> Result<Option<Vec<VersionRef>>, OpenError> {
    let mut entries = Vec::new();
    rows.prefix(Table::Scopes, digest.0.to_vec(), |_, value| {
        entries.extend(ScopeRow::decode(value).map_err(|_| DAMAGED)?.entries);
        Ok(())
    })?;
    let whole = !entries.is_empty() && scope_digest(&entries) == digest;
    Ok(whole.then_some(entries))
}
