//! People and requests at a start: the recorded statements, folded again.

use stele_format::statement::{Act, Kind, Origin, Statement};
use stele_format::units::{PoolId, UnixMillis};

use super::OpenError;
use super::cut::AllRows;
use crate::engine::people::Desk;
use crate::index::keys;
use crate::index::rows::{ScopeRow, StatementRow, Table, TableRow};
use crate::policy::approval::Approvals;

/// What the rows say people stated, and what was done of it.
pub(super) fn read(rows: &AllRows<'_>, pool: PoolId, evaluation: bool) -> Result<Desk, OpenError> {
    let mut desk = Desk::new(Approvals::new(Origin::new(pool), evaluation));
    let mut latest = UnixMillis::ZERO;
    rows.each(Table::Statements, |key, value| {
        let (Some(index), Ok(row)) = (keys::index_of(key), StatementRow::decode(value)) else {
            return Ok(());
        };
        latest = row.at;
        let scope_count = scope_count(rows, &row.text)?;
        desk.take(index, &row, scope_count);
        Ok(())
    })?;
    rows.each(Table::Tombstones, |key, _| {
        if let Some((request, _)) = keys::tombstone_of(key) {
            let _begun = desk.approvals.mark_begun(request);
        }
        Ok(())
    })?;
    for table in [Table::Destroyed, Table::Enacted] {
        rows.each(table, |key, _| {
            if let Some(request) = keys::index_of(key) {
                desk.enacted(request, latest);
            }
            Ok(())
        })?;
    }
    Ok(desk)
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
    let mut count = 0;
    rows.prefix(Table::Scopes, scope.0.to_vec(), |_, value| {
        if let Ok(row) = ScopeRow::decode(value) {
            count += row.entries.len() as u64;
        }
        Ok(())
    })?;
    Ok((count > 0).then_some(count))
}
