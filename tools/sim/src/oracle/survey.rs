//! Everything a vault shows, asked for with nothing else going on.

use std::collections::BTreeMap;

use stele_format::limits::FRAME_HEADER_BYTES;
use stele_format::statement::Act;
use stele_format::units::{UploadId, VersionId};
use stele_store::request::{
    Answer, BucketInfo, Command, ListWish, ListedObject, ListedPart, ListedUpload, ListedVersion,
    ObjectInfo, ObjectName, Refusal,
};

use super::Oracle;
use super::book::OfficeSurvey;
use super::deed::kind;
use super::model::Place;
use crate::content::Body;
use crate::context::Context;
use crate::driver::Machine;
use crate::error::{Halt, Run, Violation};

/// A version as listed, and as HEAD tells it.
pub struct Seen {
    /// The row of the listing.
    pub row: ListedVersion,
    /// HEAD; none for markers, and for what cannot be read.
    pub info: Option<ObjectInfo>,
}

/// What a bucket shows.
pub struct BucketSurvey {
    /// The bucket.
    pub info: BucketInfo,
    /// Versions and markers.
    pub versions: Vec<Seen>,
    /// Current objects.
    pub objects: Vec<ListedObject>,
    /// Open uploads with their parts.
    pub uploads: Vec<(ListedUpload, Vec<ListedPart>)>,
}

/// What a vault shows.
#[derive(Default)]
pub struct Survey {
    /// Buckets in the order listed.
    pub buckets: Vec<BucketSurvey>,
    /// Questions that were refused.
    pub refused: u64,
    /// Configuration values asked for.
    pub configs: BTreeMap<String, Option<Vec<u8>>>,
    /// What people see.
    pub office: Option<OfficeSurvey>,
}

/// Asks, with the leniency of the oracle for what only a second fault explains.
struct Asking<'a> {
    machine: &'a mut Machine,
    context: &'a mut Context,
    oracle: &'a Oracle,
    page: u32,
    refused: u64,
}

impl Asking<'_> {
    /// An answer; none when it was refused and that is allowed.
    fn ask(&mut self, command: Command) -> Run<Option<Answer>> {
        let deed = format!("{command:?}");
        match self.machine.ask(self.context, command)? {
            Ok(answer) => Ok(Some(answer)),
            // A disk lies to the index just now: it can be made anew at the next start.
            Err(Refusal::Rebuilding) if self.context.index_at_risk && !self.oracle.is_lenient() => {
                self.context.report.refusal("Rebuilding".to_owned());
                Err(Halt::Restart)
            }
            Err(refusal) if self.oracle.may_lack() && self.may_be_said(&refusal) => {
                self.refused += 1;
                self.context
                    .say(format_args!("refused: {deed}: {refusal:?}"));
                self.context.damaged += u64::from(kind(&refusal) == "Damaged");
                self.context.report.refused += 1;
                self.context.report.refusal(kind(&refusal).to_owned());
                Ok(None)
            }
            Err(refusal) => Err(unexpected(deed, &refusal).into()),
        }
    }

    fn may_be_said(&self, refusal: &Refusal) -> bool {
        self.oracle.may_say_of_absence(kind(refusal))
    }

    fn wish(&self, bucket: &str, next: Option<(Vec<u8>, Option<String>)>) -> ListWish {
        let (after, after_version) = match next {
            Some((after, version)) => (Some(after), version),
            None => (None, None),
        };
        ListWish {
            bucket: bucket.to_owned(),
            after,
            after_version,
            entries_max: self.page,
            ..ListWish::default()
        }
    }

    fn versions(&mut self, bucket: &str) -> Run<Vec<ListedVersion>> {
        let mut rows = Vec::new();
        let mut next = None;
        loop {
            let command = Command::ListVersions(self.wish(bucket, next));
            let Some(Answer::VersionListing(page)) = self.ask(command)? else {
                return Ok(rows);
            };
            rows.extend(page.rows);
            next = page.next;
            if next.is_none() {
                return Ok(rows);
            }
        }
    }

    fn objects(&mut self, bucket: &str) -> Run<Vec<ListedObject>> {
        let mut rows = Vec::new();
        let mut next = None;
        loop {
            let command = Command::List(self.wish(bucket, next));
            let Some(Answer::Listing(page)) = self.ask(command)? else {
                return Ok(rows);
            };
            rows.extend(page.rows);
            next = page.next;
            if next.is_none() {
                return Ok(rows);
            }
        }
    }

    fn uploads(&mut self, bucket: &str) -> Run<Vec<ListedUpload>> {
        let mut rows = Vec::new();
        let mut next = None;
        loop {
            let command = Command::ListUploads(self.wish(bucket, next));
            let Some(Answer::Uploads(page)) = self.ask(command)? else {
                return Ok(rows);
            };
            rows.extend(page.rows);
            next = page.next;
            if next.is_none() {
                return Ok(rows);
            }
        }
    }

    fn parts(&mut self, name: &ObjectName, upload: UploadId) -> Run<Vec<ListedPart>> {
        let (mut rows, mut after) = (Vec::new(), 0);
        loop {
            let name = name.clone();
            let command = Command::ListParts {
                name,
                upload,
                after,
                parts_max: self.page,
            };
            let Some(Answer::Parts(page, more)) = self.ask(command)? else {
                return Ok(rows);
            };
            let last = page.last().map(|row: &ListedPart| row.number);
            rows.extend(page);
            match last.filter(|_| more) {
                Some(last) => after = last,
                None => return Ok(rows),
            }
        }
    }

    fn bucket(&mut self, info: BucketInfo) -> Run<BucketSurvey> {
        let name_of = |key: &[u8]| ObjectName {
            bucket: info.name.clone(),
            key: key.to_vec(),
        };
        let mut versions = Vec::new();
        for row in self.versions(&info.name)? {
            let mut seen = Seen { row, info: None };
            if !seen.row.marker {
                let version = Some(seen.row.version);
                let command = Command::Head {
                    name: name_of(&seen.row.key),
                    version,
                };
                if let Some(Answer::Object(head)) = self.ask(command)? {
                    seen.info = Some(*head);
                }
            }
            versions.push(seen);
        }
        let objects = self.objects(&info.name)?;
        let mut uploads = Vec::new();
        for row in self.uploads(&info.name)? {
            let parts = self.parts(&name_of(&row.key), row.upload)?;
            uploads.push((row, parts));
        }
        Ok(BucketSurvey {
            info,
            versions,
            objects,
            uploads,
        })
    }
}

impl Asking<'_> {
    /// How everything stands with people, all versions, and what became of what was executed.
    fn office(&mut self) -> Run<Option<OfficeSurvey>> {
        let Some(Answer::People(view)) = self.ask(Command::People)? else {
            return Ok(None);
        };
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let Some(Answer::Census(page)) = self.ask(Command::Census { after })? else {
                return Ok(None);
            };
            rows.extend(page.rows);
            after = page.resume;
            if after.is_none() {
                break;
            }
        }
        if self.context.show {
            for row in &rows {
                println!("         counted: {row:?}");
            }
        }
        let mut effects = BTreeMap::new();
        for shown in &view.requests {
            let request = shown.request;
            if shown.executed_by.is_none() || !matches!(shown.act, Act::Erase(_)) {
                continue;
            }
            if let Some(Answer::Effect(effect)) = self.ask(Command::Effect { request })? {
                effects.insert(request, *effect);
            }
        }
        Ok(Some(OfficeSurvey {
            view: *view,
            rows,
            effects,
        }))
    }
}

/// Takes a survey.
///
/// # Errors
/// The power was cut, or a question was refused that must not be.
pub fn take(machine: &mut Machine, context: &mut Context, oracle: &Oracle) -> Run<Survey> {
    let page = match context.rng.below(4) {
        0 => u32::try_from(context.rng.between(1, 6)).unwrap_or(1),
        _ => 1000,
    };
    let mut asking = Asking {
        machine,
        context,
        oracle,
        page,
        refused: 0,
    };
    let mut survey = Survey::default();
    let Some(Answer::Buckets(buckets)) = asking.ask(Command::ListBuckets)? else {
        survey.refused = 1;
        return Ok(survey);
    };
    for info in buckets {
        survey.buckets.push(asking.bucket(info)?);
    }
    for name in oracle.config_names() {
        let command = Command::GetConfig { name: name.clone() };
        if let Some(Answer::Config(value)) = asking.ask(command)? {
            survey.configs.insert(name, value);
        }
    }
    if oracle.book.open {
        survey.office = asking.office()?;
    }
    survey.refused = asking.refused;
    Ok(survey)
}

/// Reads versions of a survey and compares all their bytes: every one where `share` is 1, else one of
/// so many, by chance.
///
/// # Errors
/// The power was cut, a version cannot be read although at most one disk is at fault, or its bytes
/// are wrong.
pub fn read_all(
    machine: &mut Machine,
    context: &mut Context,
    oracle: &Oracle,
    survey: &Survey,
    share: u64,
) -> Run<()> {
    for bucket in &survey.buckets {
        for seen in &bucket.versions {
            let at = Place {
                bucket: bucket.info.name.clone(),
                key: seen.row.key.clone(),
            };
            if let Some(info) = &seen.info
                && context.rng.below(share) == 0
            {
                context.report.versions_read += 1;
                read(machine, context, oracle, &at, info)?;
            }
            context.report.versions_checked += 1;
        }
    }
    Ok(())
}

fn read(
    machine: &mut Machine,
    context: &mut Context,
    oracle: &Oracle,
    at: &Place,
    info: &ObjectInfo,
) -> Run<()> {
    let body = oracle.body_of(at, info);
    let version = info.version;
    let mut asking = Asking {
        machine,
        context,
        oracle,
        page: 0,
        refused: 0,
    };
    let name = ObjectName {
        bucket: at.bucket.clone(),
        key: at.key.clone(),
    };
    let command = Command::OpenGet {
        name,
        version: Some(version),
        range: None,
    };
    let Some(Answer::Opened { stream, .. }) = asking.ask(command)? else {
        return Ok(());
    };
    let mut offset = 0;
    loop {
        match asking.ask(Command::NextData { stream })? {
            Some(Answer::Data(piece)) => {
                let end = piece.start + piece.len;
                let bytes = piece.buffer.get(piece.start..end).unwrap_or_default();
                check_bytes(at, version, body.as_ref(), offset, bytes)?;
                offset += bytes.len() as u64;
                asking.context.report.bytes_checked += bytes.len() as u64;
            }
            Some(Answer::End) => break,
            _ => return Ok(()),
        }
    }
    asking.ask(Command::CloseGet { stream })?;
    if offset != info.content_bytes {
        return Err(Violation::Bytes {
            place: at.to_string(),
            version,
            offset,
        }
        .into());
    }
    Ok(())
}

/// Compares delivered bytes.
///
/// # Errors
/// When they are wrong.
pub fn check_bytes(
    at: &Place,
    version: VersionId,
    body: Option<&Body>,
    offset: u64,
    bytes: &[u8],
) -> Result<(), Violation> {
    match body.and_then(|body| body.differs(offset, bytes)) {
        None => Ok(()),
        Some(offset) => Err(Violation::Bytes {
            place: at.to_string(),
            version,
            offset,
        }),
    }
}

/// Where the data of a piece that goes in must start.
pub const PIECE_START: usize = FRAME_HEADER_BYTES as usize;

fn unexpected(deed: String, refusal: &Refusal) -> Violation {
    Violation::Answer {
        deed,
        expected: "success".to_owned(),
        got: format!("{refusal:?}"),
    }
}
