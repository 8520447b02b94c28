//! Retention and legal hold of existing versions.

use stele_format::record::{Body, RecordType};

use super::object::find_version;
use super::{After, Facts, Outcome};
use crate::draft::{Draft, Origin, VersionSlot};
use crate::engine::view::{Stop, View};
use crate::index::Fact;
use crate::policy::{Retention, Rights, check_bound, may_change, may_set_hold};
use crate::request::ObjectName;
use stele_format::units::VersionId;

/// Sets, extends or (where that is allowed) weakens retention.
pub(crate) fn set_retention(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
    wanted: Option<Retention>,
    bypass: bool,
    rights: Rights,
) -> Result<Outcome, Stop> {
    let found = find_version(facts, view, name, version)?;
    let current = found.row.retention;
    let (_, bucket) = facts.bucket(&name.bucket)?;
    // What is kept for longer already may be said again.
    let longer = wanted.filter(|wanted| current.is_none_or(|current| wanted.until > current.until));
    if let Some(longer) = longer {
        check_bound(bucket.max_days, longer.until, facts.time)?;
    }
    facts.note(may_change(
        found.kind, current, wanted, bypass, rights, facts.time,
    )?);
    view.foresee(&Fact::RetentionSet {
        object: found.object,
        version: found.row.version,
        retention: wanted,
    })?;
    let mut draft = Draft::of_engine(RecordType::Retention, Body::Retention);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    draft.bucket = found.bucket;
    draft.object = found.object;
    draft.version = VersionSlot::Version(found.row.version);
    draft.retention = wanted;
    draft.hold = found.row.hold == Some(true);
    Ok(Outcome::Write(vec![draft], After::Done))
}

/// Turns a legal hold on or, with the right to, off.
pub(crate) fn set_hold(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
    on: bool,
    rights: Rights,
) -> Result<Outcome, Stop> {
    let found = find_version(facts, view, name, version)?;
    facts.note(may_set_hold(
        found.kind,
        found.row.hold == Some(true),
        on,
        rights,
    )?);
    view.foresee(&Fact::HoldSet {
        object: found.object,
        version: found.row.version,
        on,
        at: facts.compliance,
    })?;
    let mut draft = Draft::of_engine(RecordType::Hold, Body::Hold);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    draft.bucket = found.bucket;
    draft.object = found.object;
    draft.version = VersionSlot::Version(found.row.version);
    draft.retention = found.row.retention;
    draft.hold = on;
    Ok(Outcome::Write(vec![draft], After::Done))
}
