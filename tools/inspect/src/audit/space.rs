//! Segments that are given up: nothing that lives may lie in them.

use stele_format::record::{Body, RecordHeader};

use super::Auditor;
use super::finding::Breach;
use crate::space::SpaceFault;

impl Auditor {
    /// What a record says of space.
    pub(super) fn take_space(&mut self, header: &RecordHeader, body: &Body) {
        for fault in self.space.take(header, body) {
            let breach = match fault {
                SpaceFault::Living(record) => Breach::TrimLiving(record),
                SpaceFault::Stranger => Breach::TrimStranger,
            };
            self.breach(header.log_index, breach);
        }
    }
}
