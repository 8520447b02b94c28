//! Every version of the vault, page by page, without a name: what lists of expired versions are made of.

use stele_format::units::ObjectId;

use super::{Facts, Outcome};
use crate::engine::view::{Stop, View};
use crate::index::rows::{ObjectRow, Table, TableRow, VersionRow};
use crate::index::{Scan, keys};
use crate::limits::SCAN_ROW_COUNT;
use crate::request::{Answer, CensusPage, CensusRow};

/// A page from `after` on, or from the first version.
pub(crate) fn page(
    facts: &Facts<'_>,
    view: &View<'_>,
    after: Option<&[u8]>,
) -> Result<Outcome, Stop> {
    let mut scan = Scan::prefix(Table::Versions, Vec::new(), SCAN_ROW_COUNT);
    if let Some(after) = after {
        scan.from = after.to_vec();
    }
    let merged = view.scan(&scan)?;
    let (mut rows, mut needs) = (Vec::new(), Vec::new());
    let mut last: Option<(ObjectId, ObjectRow)> = None;
    for (key, value) in &merged.rows {
        let Some(object) = keys::object_of(key) else {
            continue;
        };
        let row = VersionRow::decode(value)?;
        if last.as_ref().is_none_or(|(known, _)| *known != object) {
            match view.row::<ObjectRow>(keys::object(object)) {
                Ok(Some(row)) => last = Some((object, row)),
                Ok(None) => continue,
                Err(Stop::Need(more)) => {
                    needs.extend(more);
                    continue;
                }
                Err(stop) => return Err(stop),
            }
        }
        if let Some((_, object_row)) = &last {
            rows.push(CensusRow {
                bucket: object_row.bucket,
                object,
                version: row.version,
                released: row.released.is_some(),
                lock: facts.lock_of(&row),
                content_bytes: row.content_bytes.get(),
                stored: row.modified,
                leaf: row.key_index,
            });
        }
    }
    if !needs.is_empty() {
        return Err(Stop::Need(needs));
    }
    Ok(Outcome::Answer(Answer::Census(CensusPage {
        rows,
        resume: merged.resume,
        time: facts.time,
    })))
}
