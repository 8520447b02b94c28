//! Tags of existing versions.
//!
//! Tags may name a person, so they are sealed, and under the leaf of their version: whatever cuts that
//! leaf cuts them too. They are no part of what a lock protects: replacing them is free for everybody,
//! and changes neither content nor lock nor date.

use stele_format::manifest::{Manifest, ManifestKind};
use stele_format::record::{Body, RecordType};
use stele_format::units::VersionId;

use super::object::{check_metadata, find_version};
use super::{After, Facts, Outcome};
use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::engine::view::{Stop, View};
use crate::fact;
use crate::index::Fact;
use crate::index::rows::VersionRow;
use crate::policy::BucketKind;
use crate::request::{Metadata, ObjectName};

/// Replaces all tags of a version; no tags removes them.
pub(crate) fn set(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
    tags: &[(String, String)],
) -> Result<Outcome, Stop> {
    let metadata = Metadata {
        tags: tags.to_vec(),
        ..Metadata::default()
    };
    check_metadata(&metadata)?;
    let found = find_version(facts, view, name, version)?;
    view.foresee(&Fact::TagsSet {
        object: found.object,
        version: found.row.version,
        location: found.row.location,
    })?;
    let manifest = Manifest {
        kind: ManifestKind::Tags,
        tags: metadata.tags,
        ..Manifest::default()
    };
    let mut draft = Draft::of_engine(RecordType::Tags, Body::Tags);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    draft.bucket = found.bucket;
    draft.object = found.object;
    draft.version = VersionSlot::Version(found.row.version);
    draft.retention = found.row.retention;
    draft.hold = found.row.hold == Some(true);
    draft.sealed = Sealed::SameLeaf(Box::new(manifest), found.row.key_index);
    let after = After::Tagged {
        version: found.row.version,
        versioned: found.kind != BucketKind::Plain,
    };
    Ok(Outcome::Write(vec![draft], after))
}

/// The tags that replaced those a version was stored with, if any did. Notes the record it needs; the
/// result counts only once the view has settled.
pub(crate) fn replaced(
    facts: &Facts<'_>,
    view: &View<'_>,
    row: &VersionRow,
) -> Result<Option<Vec<(String, String)>>, Stop> {
    let Some(location) = row.tags else {
        return Ok(None);
    };
    let manifest = view
        .record(&location)
        .and_then(|record| fact::open_manifest(&record, facts.keys, facts.pool))
        .filter(|manifest| manifest.kind == ManifestKind::Tags);
    match manifest {
        Some(manifest) => Ok(Some(manifest.tags)),
        None => Err(Stop::Damaged(location)),
    }
}
