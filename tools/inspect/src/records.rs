//! What the records of a journal frame state, each held to the log before it.

use stele_format::record::{
    Alloc, Body, EpochReason, Placement, RecordHeader, RecordReader, RecordType, SealNote,
    StoredEntry,
};
use stele_format::units::KeyClass;

use crate::compare::{Reference, SegmentFacts};
use crate::journal::{Closed, Log, RecordFault, Watch, read_frame_bytes};
use crate::pool::Pool;
use crate::space::SpaceFault;
use crate::ties::CitedBy;

/// A frame and the disks that hold it.
pub(crate) struct Place {
    by: CitedBy,
    disks: Vec<usize>,
}

impl Log {
    pub(crate) fn read_frame(
        &mut self,
        pool: &Pool<'_>,
        facts: &SegmentFacts,
        reference: &Reference,
        watch: &mut dyn Watch,
    ) {
        let header = &reference.frame.header;
        let Some(bytes) = read_frame_bytes(pool, facts, reference) else {
            // It verified a moment ago; a copy that no longer does is reported by its own scan.
            self.lose();
            return;
        };
        let Ok(payload) = header.check_payload(&bytes) else {
            return;
        };
        let place = Place {
            by: CitedBy {
                segment: facts.segment,
                frame: reference.frame.index,
            },
            disks: facts.disks_of(reference),
        };
        self.check_landing(header, &place);
        for view in RecordReader::new(payload, header.record_count) {
            let view = match view {
                Ok(view) => view,
                Err(error) => {
                    self.fault(&place, error.to_string());
                    self.lose();
                    return;
                }
            };
            let claims = *view.claims();
            let record = view.verify();
            self.check_order(&claims, &place);
            if let Ok(record) = &record {
                self.check_tree(&claims, record.body(), &place);
            }
            self.step(&claims);
            if self.lost {
                watch.gap();
            }
            match record {
                Ok(record) => {
                    self.take(&record.header, record.body(), &place);
                    watch.record(&record.header, record.body());
                }
                Err(error) => {
                    if let Some(headers) = &mut self.headers {
                        headers.changed(claims.log_index.get());
                    }
                    self.fault(&place, error.to_string());
                    watch.gap();
                }
            }
        }
    }

    pub(crate) fn fault(&mut self, place: &Place, what: String) {
        self.faults.push(RecordFault {
            segment: place.by.segment,
            frame: Some(place.by.frame),
            disks: place.disks.clone(),
            what,
        });
    }

    fn check_order(&mut self, header: &RecordHeader, place: &Place) {
        let index = header.log_index;
        if let Some(next) = self.next.filter(|next| *next != index) {
            self.fault(
                place,
                format!("record {index} where record {next} should be"),
            );
            self.frontier = None;
        }
        if self.head.is_some_and(|head| head != header.previous_header) {
            self.fault(
                place,
                format!("record {index} does not continue the record chain"),
            );
        }
        if header.epoch < self.epoch || header.compliance_ms < self.compliance {
            self.fault(
                place,
                format!("epoch or compliance clock of record {index} went back"),
            );
        }
    }

    /// Compares the tree that a marker or seal record repeats with that of the records before it,
    /// or goes on from it where records are lost.
    fn check_tree(&mut self, header: &RecordHeader, body: &Body, place: &Place) {
        let index = header.log_index.get();
        let tree = match body {
            Body::Marker(marker) if marker.log.size() != index => {
                self.fault(
                    place,
                    "a marker repeats the tree of another place".to_owned(),
                );
                return;
            }
            Body::Marker(marker) => &marker.log,
            Body::Seal(SealNote {
                log: Some(tree), ..
            }) => tree,
            _ => return,
        };
        let Some(own) = &self.frontier else {
            if tree.size() == index {
                self.frontier = Some(tree.clone());
                if let Some(headers) = &mut self.headers {
                    headers.take_up(tree, header.previous_header);
                }
            }
            return;
        };
        let same_size = if own.size() == tree.size() {
            Some(own)
        } else {
            self.segment_ends.get(&tree.size())
        };
        if same_size.is_some_and(|known| known != tree) {
            self.fault(
                place,
                "it repeats another log root than its records give".to_owned(),
            );
        }
    }

    /// Takes the record into chain and tree.
    fn step(&mut self, header: &RecordHeader) {
        self.records += 1;
        if let Some(headers) = &mut self.headers {
            headers.take(header);
        }
        self.epoch = self.epoch.max(header.epoch);
        self.compliance = self.compliance.max(header.compliance_ms);
        if let Some(frontier) = &mut self.frontier {
            frontier.push(header.leaf_hash());
        }
        self.head = Some(header.chain_digest());
        self.next = header.log_index.next();
    }

    fn take(&mut self, header: &RecordHeader, body: &Body, place: &Place) {
        self.check_leap(header, body, place);
        if let Some(what) = broken_rule(header, body) {
            self.fault(place, format!("record {}: {what}", header.log_index));
        }
        let faults = self.space.take(header, body);
        // A record that was given up may have freed it.
        let told = !self.given_up.may_be_missed(self.opening);
        for fault in faults.into_iter().filter(|_| told) {
            let what = match fault {
                SpaceFault::Living(record) => {
                    format!("it gives segments up in which the content of record {record} may lie")
                }
                SpaceFault::Stranger => {
                    "it gives up segments of the journal or the newest one, or wipes others than \
                     were given up"
                        .to_owned()
                }
            };
            self.fault(place, what);
        }
        match body {
            Body::Epoch(start) => {
                if start.reason == EpochReason::Start {
                    self.started = header.epoch;
                }
                for tail in &start.abandoned {
                    // What was sealed once stays sealed: nothing of it may be given up later.
                    let end = Closed::Abandoned(tail.data_end.get());
                    self.closed.entry(tail.segment).or_insert(end);
                }
            }
            Body::Alloc(alloc) => self.take_alloc(alloc, place),
            Body::Relocate(relocate) => self.moves.take(relocate),
            Body::Seal(note) => {
                self.closed.insert(note.segment, Closed::Sealed(note.seal));
            }
            Body::Commit(commit) | Body::Complete(commit, _) => {
                self.cite(commit.placement, &commit.entries, place);
            }
            Body::Part(part) => self.cite(part.placement, &part.entries, place),
            Body::Member(change) => {
                self.members = Some((change.generation, change.members.clone()));
            }
            _ => {}
        }
    }

    fn take_alloc(&mut self, alloc: &Alloc, place: &Place) {
        if self.allocs.insert(alloc.segment, alloc.clone()).is_some() {
            self.fault(
                place,
                format!("segment {} is allocated twice", alloc.segment),
            );
        }
    }

    fn cite(&mut self, placement: Placement, entries: &[StoredEntry], place: &Place) {
        if let Placement::DataLane(span) = placement
            && self.cites
        {
            entries
                .iter()
                .for_each(|entry| self.citations.cite(entry, place.by, span));
        }
    }
}

/// Rules between a record's header and its body that the encoding alone does not enforce.
fn broken_rule(header: &RecordHeader, body: &Body) -> Option<&'static str> {
    let kind = body.record_type();
    let first = header.log_index.is_zero();
    if first != (kind == RecordType::Genesis) {
        return Some("genesis is the first record and only that");
    }
    let new_version = matches!(
        kind,
        RecordType::Commit | RecordType::Complete | RecordType::DeleteMarker
    );
    if new_version && header.key_index.is_none() {
        return Some("a version without a key");
    }
    if new_version && header.version.ordinal() != header.log_index {
        return Some("a version id that belongs to another record");
    }
    let pending = header.class == KeyClass::PendingPart;
    match kind {
        RecordType::Part if !pending => Some("a part under a key that is not for parts"),
        RecordType::Tags if pending || header.key_index.is_none() => {
            Some("tags that are not sealed under the key of a version")
        }
        _ if new_version && pending => Some("a version under a key for parts"),
        RecordType::Bucket | RecordType::Config if !header.sealed => {
            Some("a document that must be sealed is not marked as sealed")
        }
        _ => None,
    }
}
