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
    CosignedRow, DestroyedRow, EnactedRow, ScopeRow, StatementRow, Table, TableRow,
};
use crate::policy::approval::Approvals;

/// What the rows say people stated, and what was done of it.
pub(super) fn read(rows: &AllRows<'_>, pool: PoolId, evaluation: bool) -> Result<Desk, OpenError> {
    let mut desk = Desk::new(Approvals::new(Origin::of(pool), evaluation));
    let mut said = cosigned(rows)?.into_iter().peekable();
    rows.each(Table::Statements, |key, value| {
        let index = keys::index_of(key).ok_or(DAMAGED)?;
        let row = StatementRow::decode(value).map_err(|_| DAMAGED)?;
        // A witness counts from the statement on that brought it in.
        while let Some((_, note)) = said.next_if(|(said, _)| *said < index) {
            desk.cosigned(&note);
        }
        let scope_count = scope_count(rows, &row.text)?;
        desk.take(index, &row, scope_count);
        Ok(())
    })?;
    said.for_each(|(_, note)| desk.cosigned(&note));
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

/// What witnesses said, by record.
fn cosigned(rows: &AllRows<'_>) -> Result<Vec<(LogIndex, CosignedRow)>, OpenError> {
    let mut said = Vec::new();
    rows.each(Table::Cosigned, |key, value| {
        let index = keys::index_of(key).ok_or(DAMAGED)?;
        said.push((index, CosignedRow::decode(value).map_err(|_| DAMAGED)?));
        Ok(())
    })?;
    Ok(said)
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
