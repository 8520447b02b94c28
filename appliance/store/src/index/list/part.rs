//! Parts of a multipart upload: `ListParts`.

use stele_format::units::UploadId;

use crate::index::bundle::{MergedScan, Scan};
use crate::index::keys;
use crate::index::limits::LIST_ROWS_MAX;
use crate::index::list::{Draft, Page};
use crate::index::rows::{PartRow, RowError, Table, TableRow};

/// A listed part: its number and row.
pub type ListedPart = (u16, PartRow);

/// Lists parts by number.
pub struct PartLister {
    position: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
    draft: Draft<ListedPart, u16>,
}

impl PartLister {
    /// Begins a page behind part number `after`; 0 for the first page.
    #[must_use]
    pub fn new(upload: UploadId, after: u16, parts_max: usize) -> Self {
        let first = after
            .checked_add(1)
            .map(|number| keys::part(upload, number));
        Self {
            position: first.filter(|_| parts_max > 0),
            end: keys::prefix_end(&keys::upload(upload)),
            draft: Draft::new(parts_max),
        }
    }

    /// What to read next; nothing when the page is complete.
    #[must_use]
    pub fn next(&self) -> Vec<Scan> {
        let limit = (self.draft.room() + 1).min(LIST_ROWS_MAX);
        let scan = |from| Scan {
            table: Table::Parts,
            from,
            end: self.end.clone(),
            limit,
        };
        self.position.clone().map(scan).into_iter().collect()
    }

    /// Takes the answers to [`PartLister::next`].
    ///
    /// # Errors
    /// [`RowError`] when a row does not decode.
    pub fn feed(&mut self, answers: Vec<MergedScan>) -> Result<(), RowError> {
        for answer in answers {
            self.position = answer.resume;
            for (key, value) in &answer.rows {
                let number = keys::part_of(key).ok_or(RowError {
                    table: Table::Parts,
                })?;
                if !self.draft.admit() {
                    self.position = None;
                    break;
                }
                self.draft
                    .add_row((number, PartRow::decode(value)?), number);
            }
        }
        Ok(())
    }

    /// The page; its marker is the last part number.
    #[must_use]
    pub fn finish(self) -> Page<ListedPart, u16> {
        self.draft.finish()
    }
}
