//! Leave to wipe a disk, and the record that it was done.

use stele_format::record::{Body, RecordType};
use stele_format::statement::Act;
use stele_format::units::LogIndex;

use super::{Action, Engine, Now};
use crate::draft::Draft;
use crate::policy::approval::RequestState;
use crate::policy::wiping::{
    FoundDisk, NotWiped, VaultDisk, VaultDisks, may_wipe, vault_needs_no_other,
};
use crate::wipe::{Found, WipeDone, WipeOrder};

impl Engine {
    /// Whether a disk may be wiped, if two people sign for it.
    ///
    /// # Errors
    /// [`NotWiped`]: it may not, however many do.
    pub fn may_wipe(&self, found: &FoundDisk) -> Result<(), NotWiped> {
        may_wipe(found, &self.vault_disks())
    }

    /// Leave to wipe a disk, or to go on with it, by a request that was executed.
    ///
    /// # Errors
    /// [`NotWiped`]: the request is not executed or is about something else, or the disk may not be wiped now.
    pub fn wipe_order(&self, request: LogIndex, found: &Found) -> Result<WipeOrder, NotWiped> {
        let now = self.clock.latest();
        let disk = found.disk();
        let begun = match found {
            Found::Labelled(_) => false,
            Found::Begun(mark) => {
                if mark.request != request {
                    return Err(NotWiped::OtherDisk(mark.request));
                }
                true
            }
        };
        let view = self.desk.approvals.request(request, now);
        let same = view.as_ref().is_some_and(|view| asks_for(&view.act, &disk));
        let done = view.is_some_and(|view| view.state == RequestState::Executed);
        let approved = match begun && same && done {
            true => None,
            false => Some(self.desk.approvals.execute(request, now)?),
        };
        if !same {
            return Err(NotWiped::OtherDisk(request));
        }
        if disk.pool != self.pool.id {
            return Err(NotWiped::Foreign(disk.pool));
        }
        let vault = self.vault_disks();
        match begun {
            // What is left of it is no disk of any vault.
            true => vault_needs_no_other(&vault)?,
            false => may_wipe(&disk, &vault)?,
        }
        Ok(WipeOrder::new(found, request, approved))
    }

    /// Writes down that a disk is wiped. Appends what is to be done; the record is durable once
    /// [`Effect`](crate::request::Effect) shows it.
    ///
    /// # Errors
    /// [`NotWiped`]: nothing can be written, or the request is not one that waits for this.
    pub fn note_wiped(
        &mut self,
        now: Now,
        done: WipeDone,
        actions: &mut Vec<Action>,
    ) -> Result<(), NotWiped> {
        if self.stranded {
            return Err(NotWiped::Rebuilding);
        }
        if self.read_only.is_some() {
            return Err(NotWiped::ReadOnly);
        }
        self.now = now;
        let request = done.mark.request;
        let approved = self.desk.approvals.execute(request, self.clock.latest())?;
        let same = matches!(approved.act(), Act::Reinitialise { disk, label }
            if *disk == done.mark.disk && *label == done.mark.label);
        if !same {
            return Err(NotWiped::OtherDisk(request));
        }
        // Asked again before the record is durable: it is on its way.
        if self.desk.wiped.insert(request) {
            let body = Body::Enacted(request);
            self.journal
                .push_own(Draft::of_engine(RecordType::Enacted, body));
        }
        self.pump();
        self.io.drain(actions);
        Ok(())
    }

    fn vault_disks(&self) -> VaultDisks {
        let members = self.pool.members.iter();
        let disks = members.map(|member| VaultDisk {
            disk: member.disk,
            number: member.ordinal + 1,
            state: member.state,
            voter: member.voter,
        });
        VaultDisks {
            pool: self.pool.id,
            read_only: self.read_only.is_some(),
            moving: self.fill.is_some() || self.drain_progress().is_some() || self.relabelling,
            lost: self.healer.counts().has_losses(),
            in_force: self.pool.in_force,
            disks: disks.collect(),
        }
    }
}

fn asks_for(act: &Act, found: &FoundDisk) -> bool {
    matches!(act, Act::Reinitialise { disk, label }
        if *disk == found.disk && *label == found.label)
}
