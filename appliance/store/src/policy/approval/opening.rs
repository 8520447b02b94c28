//! A forced opening among what people state: when it counts, and what it ends.
//!
//! Its request and its approval are signed for a vault that is not open. They are the first two records after it, and
//! the ForcedOpen record is the third. Until that, nothing has happened.

use stele_format::statement::{Act, Answer, Request, Verb};
use stele_format::units::{LogIndex, Opening, UnixMillis};

use super::matrix::is_destructive;
use super::pending::Phase;
use super::{Approvals, StatementRefusal};
use crate::policy::limits::FORCED_REST_MS;

/// What the record of a forced opening says to whoever folds statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forced {
    /// The record.
    pub record: LogIndex,
    /// Its compliance time.
    pub at: UnixMillis,
    /// The request it cites.
    pub request: LogIndex,
    /// Its number.
    pub opening: Opening,
}

impl Approvals {
    /// The vault was forced open. Requests that were open are dead, and the log has another name.
    ///
    /// # Errors
    /// [`StatementRefusal`]: no two people said so right before; nothing changed then.
    pub fn forced(&mut self, forced: Forced) -> Result<(), StatementRefusal> {
        let Forced {
            record,
            at,
            request,
            opening,
        } = forced;
        let pending = self.pending.get_mut(&request);
        let pending = pending.ok_or(StatementRefusal::NoRequest(request))?;
        let asked = matches!(&pending.statement.act, Act::ForceOpen { opening: asked, .. } if *asked == opening);
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
        Ok(())
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
