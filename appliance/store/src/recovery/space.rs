//! Which data segments hold nothing any more that anybody may read.
//!
//! Asked at the start that follows a destruction, before clients are let in: every segment of earlier epochs is
//! closed then, and whatever no version and no part of an open upload has in its span was destroyed, given up by
//! a client, or never became part of anything.

use std::collections::BTreeMap;

use stele_format::record::SegmentSpan;
use stele_format::units::{Epoch, Generation, SegmentId};

use super::OpenError;
use super::cut::{AllRows, DAMAGED};
use crate::index::rows::{DestroyedRow, PartRow, Table, TableRow, VersionRow};
use crate::pool::Pool;

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idle {
    /// Segments to be given up, ascending.
    pub(crate) segments: Vec<SegmentId>,
    /// The key state up to which destruction was taken into account.
    pub(crate) through: Generation,
}

/// Whether something was destroyed since the last search.
pub(super) fn is_due(rows: &AllRows<'_>, pool: &Pool) -> Result<bool, OpenError> {
    let mut due = false;
    rows.each(Table::Destroyed, |_, value| {
        let row = DestroyedRow::decode(value).map_err(|_| DAMAGED)?;
        due |= row.generation > pool.freed.searched;
        Ok(())
    })?;
    Ok(due)
}

/// The closed data segments before `epoch` that no span has. The newest one stays, so that numbers of frames
/// only grow; and so do those from before the log lost records, whose versions may be of those.
pub(super) fn find(
    rows: &AllRows<'_>,
    pool: &Pool,
    epoch: Epoch,
    through: Generation,
) -> Result<Idle, OpenError> {
    let mut needed = Spans::default();
    rows.each(Table::Parts, |_, value| {
        needed.add(PartRow::decode(value).map_err(|_| DAMAGED)?.span);
        Ok(())
    })?;
    rows.each(Table::Versions, |_, value| {
        needed.add(VersionRow::decode(value).map_err(|_| DAMAGED)?.span);
        Ok(())
    })?;
    let data = || {
        let all = pool.segments.iter();
        all.filter(|(_, info)| !info.lane.is_journal())
    };
    let newest = data().next_back().map(|(id, _)| *id);
    let idle = data()
        .filter(|(_, info)| info.is_written() && info.data_end.is_some() && info.epoch < epoch)
        .filter(|(id, _)| pool.doubted.is_none_or(|doubted| **id >= doubted))
        .map(|(id, _)| *id)
        .filter(|id| Some(*id) != newest && !needed.have(*id));
    Ok(Idle {
        segments: idle.collect(),
        through,
    })
}

/// Spans laid over each other: last segment by first, none touching another.
#[derive(Debug, Default)]
struct Spans(BTreeMap<SegmentId, SegmentId>);

impl Spans {
    fn add(&mut self, span: Option<SegmentSpan>) {
        let Some(mut span) = span else { return };
        // Those that overlap begin no later than it ends.
        while let Some((first, last)) = self.0.range(..=span.last()).next_back()
            && *last >= span.first()
        {
            let (first, last) = (*first, *last);
            self.0.remove(&first);
            span = SegmentSpan::new(first, last).map_or(span, |other| span.join(other));
        }
        self.0.insert(span.first(), span.last());
    }

    fn have(&self, segment: SegmentId) -> bool {
        let before = self.0.range(..=segment).next_back();
        before.is_some_and(|(_, last)| *last >= segment)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use stele_format::record::SegmentSpan;
    use stele_format::units::SegmentId;

    use super::Spans;

    proptest! {
        #[test]
        fn a_segment_is_had_exactly_if_a_span_has_it(given in proptest::collection::vec((1..60_u64, 0..9_u64), 0..20), mixed in any::<bool>()) {
            let mut spans: Vec<SegmentSpan> = given
                .iter()
                .filter_map(|(first, more)| SegmentSpan::new(SegmentId::new(*first), SegmentId::new(first + more)))
                .collect();
            if mixed {
                spans.reverse();
            }
            let mut all = Spans::default();
            spans.iter().for_each(|span| all.add(Some(*span)));
            for number in 1..80 {
                let segment = SegmentId::new(number);
                let expected = spans.iter().any(|span| span.contains(segment));
                prop_assert_eq!(all.have(segment), expected, "{}", number);
            }
        }
    }
}
