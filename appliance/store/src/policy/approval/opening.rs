//! A forced opening among what people state: when it counts, and what it ends.
//!
//! Its request and its approval are signed for a vault that is not open. They are the first two records after it, and
//! the ForcedOpen record is the third. Until that, nothing has happened.

use stele_format::statement::{Act, Answer, Cut, RecordSpan, Request, Verb};
use stele_format::units::{LogIndex, Opening, UnixMillis};

use super::matrix::is_destructive;
use super::pending::Phase;
use super::{Approvals, StatementRefusal};
use crate::policy::limits::FORCED_REST_MS;

/// What the record of a forced opening says to whoever folds statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forced<'a> {
    /// The record.
    pub record: LogIndex,
    /// Its compliance time.
    pub at: UnixMillis,
    /// The request it cites.
    pub request: LogIndex,
    /// Its number.
    pub opening: Opening,
    /// Records before it that it says are lost.
    pub missing: &'a [RecordSpan],
}

impl Approvals {
    /// The vault was forced open. Requests that were open are dead, and the log has another name.
    ///
    /// # Errors
    /// [`StatementRefusal`]: no two people said so right before; nothing changed then.
    pub fn forced(&mut self, forced: Forced<'_>) -> Result<(), StatementRefusal> {
        let Forced {
            record,
            at,
            request,
            opening,
            missing,
        } = forced;
        let pending = self.pending.get_mut(&request);
        let pending = pending.ok_or(StatementRefusal::NoRequest(request))?;
        let asked = match &pending.statement.act {
            Act::ForceOpen {
                opening: asked,
                missing: given_up,
                ..
            } => *asked == opening && given_up == missing,
            _ => false,
        };
        let follows = record.since(request) == Some(2);
        if !asked || !follows || pending.phase != Phase::Executing {
            return Err(StatementRefusal::ForcedAlone);
        }
        pending.phase = Phase::Executed;
        for other in self.pending.values_mut() {
            if other.phase == Phase::Open {
                other.phase = Phase::Lost;
            }
        }
        self.origin = self.origin.after(opening);
        self.forced = Some(at);
        if !missing.is_empty() {
            self.doubted = Some((opening, record));
        }
        Ok(())
    }

    /// Whether a record lies before some that the log lost: what those said of it nobody knows. A hold or a longer
    /// retention may be among them, and no signature stands in for one, so nothing stored by it is destroyed any more.
    #[must_use]
    pub fn is_doubted(&self, record: LogIndex) -> bool {
        self.doubted.is_some_and(|(_, forced)| record < forced)
    }

    /// The last forced opening that gave up records in the middle of the log.
    #[must_use]
    pub fn doubted(&self) -> Option<Opening> {
        self.doubted.map(|(opening, _)| opening)
    }

    /// Whether keys may be cut by month: not where the log lost records, of which versions may be that nothing lists.
    pub(super) fn check_cut(&self, act: &Act) -> Result<(), StatementRefusal> {
        match act {
            Act::Erase(erase) if matches!(erase.cut, Cut::Month(_)) && self.doubted.is_some() => {
                Err(StatementRefusal::MonthDoubted)
            }
            _ => Ok(()),
        }
    }

    /// Until when nothing frees, if the vault was forced open.
    #[must_use]
    pub fn frees_from(&self) -> Option<UnixMillis> {
        let at = self.forced?;
        Some(UnixMillis::new(at.get().saturating_add(FORCED_REST_MS)))
    }

    /// Whether enough time has passed since the last forced opening for something that frees.
    ///
    /// # Errors
    /// [`StatementRefusal::AfterForcedOpening`].
    pub fn check_freeing(&self, now: UnixMillis) -> Result<(), StatementRefusal> {
        match self.frees_from() {
            Some(until) if now < until => Err(StatementRefusal::AfterForcedOpening { until }),
            _ => Ok(()),
        }
    }

    pub(super) fn check_rested(&self, act: &Act, now: UnixMillis) -> Result<(), StatementRefusal> {
        if is_destructive(act) {
            return self.check_freeing(now);
        }
        Ok(())
    }

    /// A forced opening counts for one state of the log and under a number that was not used.
    pub(super) fn check_forced_request(
        &self,
        request: &Request,
        record: LogIndex,
    ) -> Result<(), StatementRefusal> {
        let Act::ForceOpen { opening, .. } = request.act else {
            return Ok(());
        };
        let used = self.origin.opening();
        if opening <= used {
            return Err(StatementRefusal::ForcedNumber { opening, used });
        }
        if request.head.size == record.get() {
            Ok(())
        } else {
            Err(StatementRefusal::ForcedHead)
        }
    }
}

/// No other record lies between such a request and its approval.
pub(super) fn check_forced_answer(
    answer: &Answer,
    act: &Act,
    record: LogIndex,
) -> Result<(), StatementRefusal> {
    if !matches!(act, Act::ForceOpen { .. }) {
        return Ok(());
    }
    let follows = record.since(answer.request) == Some(1);
    if answer.verb == Verb::Approve && follows {
        Ok(())
    } else {
        Err(StatementRefusal::ForcedAlone)
    }
}
