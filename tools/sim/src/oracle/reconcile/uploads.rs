//! Uploads of unknown outcome, their parts, and what is known of them.

use stele_store::request::ListWish;

use super::super::Oracle;
use super::super::deed::{Asked, Deed};
use super::super::model::{Part, Place};
use super::super::survey::BucketSurvey;
use super::Open;
use crate::error::Violation;

impl Oracle {
    pub(super) fn settle_uploads(
        &mut self,
        open: &mut Open,
        seen: &BucketSurvey,
    ) -> Result<(), Violation> {
        let name = &seen.info.name;
        for (row, parts) in &seen.uploads {
            let at = Place {
                bucket: name.clone(),
                key: row.key.clone(),
            };
            let bucket = self.model.buckets.get(name);
            if !bucket.is_some_and(|bucket| bucket.uploads.contains_key(&row.upload)) {
                let began = |deed: &Deed| matches!(deed, Deed::CreateUpload { at: place, .. } if *place == at);
                let taken = open.take(began);
                let times = taken.as_ref().map(|asked| open.times(asked));
                let (
                    Some(times),
                    Some(Asked {
                        deed: Deed::CreateUpload { number, lock, .. },
                        ..
                    }),
                ) = (times, taken)
                else {
                    let what = format!("upload {}", row.upload);
                    return Err(Violation::NotOpen {
                        place: at.to_string(),
                        what,
                    });
                };
                // Changes of one name go one after the other: of several, it was the first.
                self.upload(&at, row.upload, (Some(number), lock), times);
            }
            for part in parts {
                self.settle_part(open, name, row.upload, part);
            }
        }
        self.settle_aborts(open, seen)
    }

    fn settle_part(
        &mut self,
        open: &mut Open,
        bucket: &str,
        upload: stele_format::units::UploadId,
        row: &stele_store::request::ListedPart,
    ) {
        let bucket = self.model.buckets.get_mut(bucket);
        let Some(known) = bucket.and_then(|bucket| bucket.uploads.get_mut(&upload)) else {
            return;
        };
        if known
            .parts
            .get(&row.number)
            .is_some_and(|part| part.etag == row.etag)
        {
            return;
        }
        let stored = open.take(|deed| {
            matches!(deed, Deed::Part { upload: id, number, content, checksums, .. }
                if *id == upload && *number == row.number && content.bytes == row.content_bytes
                    && *checksums == row.checksums)
        });
        if let Some(Asked {
            deed: Deed::Part {
                content, checksums, ..
            },
            ..
        }) = stored
        {
            let etag = row.etag.clone();
            known.parts.insert(
                row.number,
                Part {
                    content,
                    etag,
                    checksums,
                },
            );
        }
    }

    fn settle_aborts(&mut self, open: &mut Open, seen: &BucketSurvey) -> Result<(), Violation> {
        let Some(bucket) = self.model.buckets.get_mut(&seen.info.name) else {
            return Ok(());
        };
        let mut lost = None;
        bucket.uploads.retain(|id, upload| {
            let shown = seen.uploads.iter().any(|(row, _)| row.upload == *id);
            let aborted =
                |deed: &Deed| matches!(deed, Deed::AbortUpload { upload, .. } if upload == id);
            if shown || lost.is_some() {
                return true;
            }
            if open.take(aborted).is_none() {
                let key = upload.key.clone();
                lost = Some((
                    Place {
                        bucket: seen.info.name.clone(),
                        key,
                    },
                    *id,
                ));
            }
            false
        });
        match lost {
            None => Ok(()),
            Some((at, upload)) => Err(Violation::UploadLost {
                place: at.to_string(),
                upload,
            }),
        }
    }

    pub(super) fn compare_uploads(
        &self,
        wish: &ListWish,
        seen: &BucketSurvey,
    ) -> Result<(), Violation> {
        let Some(bucket) = self.model.buckets.get(&wish.bucket) else {
            return Ok(());
        };
        for (row, parts) in &seen.uploads {
            let Some(known) = bucket.uploads.get(&row.upload) else {
                continue;
            };
            for (number, part) in &known.parts {
                let shown = parts.iter().find(|shown| shown.number == *number);
                let same = shown.is_some_and(|shown| {
                    shown.etag == part.etag && shown.content_bytes == part.content.bytes
                });
                if !same {
                    return Err(Violation::PartLost {
                        upload: row.upload,
                        number: *number,
                        found: format!("{shown:?}"),
                    });
                }
            }
            if let Some(extra) = parts
                .iter()
                .find(|part| !known.parts.contains_key(&part.number))
            {
                return Err(Violation::NotOpen {
                    place: wish.bucket.clone(),
                    what: format!("part {} of upload {}", extra.number, row.upload),
                });
            }
        }
        Ok(())
    }
}
