//! Reading the rows of the index again while the vault serves: part of scrub.

use super::{Action, Engine, StopState};
use crate::index::{IndexError, IndexRequest, Verified};

impl Engine {
    /// Asks for the next piece when it is time. Not of an index that is to be made anew.
    pub(super) fn pump_rows_check(&mut self) {
        self.pump_mirror_copy();
        if self.read_only.is_some() || self.stop != StopState::Running || self.index_lost {
            return;
        }
        let (now, now_ms) = (self.clock.latest(), self.now.monotonic_ms);
        if self.healer.rows.take_due(now, now_ms) {
            let rows_max = self.healer.plan.index_rows;
            let request = IndexRequest::Verify { rows_max };
            self.io.action(Action::Index(request));
        }
    }

    /// A piece was read. An index that does not hold what it states is made anew from the journal, like one
    /// that cannot be read.
    pub(super) fn rows_verified(&mut self, result: Result<Verified, IndexError>) {
        let (now, now_ms) = (self.clock.latest(), self.now.monotonic_ms);
        match result {
            Ok(Verified::Partly) => self.healer.rows.go_on(now_ms),
            Ok(Verified::AsStated { rows }) => self.healer.rows.end(rows, now, now_ms),
            Ok(Verified::Otherwise { found, stated }) => {
                self.alarms.index_contradiction(&words(found, stated));
                self.index_lost = true;
            }
            Err(_) => self.index_lost = true,
        }
    }
}

fn words(found: u64, stated: u64) -> String {
    match found == stated {
        true => format!("the {found} rows of the index are not the ones it states"),
        false => format!("the index holds {found} rows and states {stated}"),
    }
}
