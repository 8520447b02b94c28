//! Which records are missing, and until when that leaves open what is lawful.

use stele_format::record::LostSpan;
use stele_format::statement::RecordSpan;
use stele_format::units::LogIndex;

/// Records that are missing up to the one looked at.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Something cannot be read, and nothing says which records that were.
    damaged: bool,
    /// Those that nobody gave up.
    open: Vec<RecordSpan>,
    /// Some were missing ever.
    ever: bool,
}

impl Missing {
    /// Something cannot be read.
    pub(super) const fn lose(&mut self) {
        self.damaged = true;
        self.ever = true;
    }

    /// This record comes where that one is due.
    pub(super) fn jump(&mut self, due: LogIndex, next: LogIndex) {
        let last = LogIndex::new(next.get().saturating_sub(1));
        if last < due {
            return self.lose();
        }
        self.open.push(RecordSpan { first: due, last });
        self.ever = true;
    }

    /// Two people gave these up, and from here on the log is one without them.
    pub(super) fn give_up(&mut self, lost: &[LostSpan]) {
        for span in lost {
            let left = self.open.iter().flat_map(|one| rest(*one, span));
            self.open = left.collect();
        }
    }

    /// Whether records are missing that nobody gave up: what is found is not sure.
    pub(super) const fn any(&self) -> bool {
        self.damaged || !self.open.is_empty()
    }

    /// Whether records are missing, given up or not.
    pub(super) const fn ever(&self) -> bool {
        self.ever
    }
}

/// What is left of missing records without those of a span.
fn rest(one: RecordSpan, span: &LostSpan) -> impl Iterator<Item = RecordSpan> {
    let before = LogIndex::new(span.first_record.get().saturating_sub(1)).min(one.last);
    let before = (one.first < span.first_record).then_some(RecordSpan {
        last: before,
        ..one
    });
    let behind = (span.next_record <= one.last).then_some(RecordSpan {
        first: span.next_record.max(one.first),
        ..one
    });
    before.into_iter().chain(behind)
}
