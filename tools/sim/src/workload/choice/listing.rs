//! Listings a client may ask for.

use stele_store::request::{Command, ListWish};

use super::{Operation, upload, version};
use crate::context::Context;
use crate::oracle::Oracle;
use crate::oracle::deed::Deed;
use crate::oracle::model::Place;
use crate::workload::task::{Task, name_of};

pub(super) fn wish(context: &mut Context, oracle: &Oracle, at: &Place) -> ListWish {
    let rng = &mut context.rng;
    let prefix = match rng.below(5) {
        0 => b"a".to_vec(),
        1 => b"locks/".to_vec(),
        _ => Vec::new(),
    };
    let delimiter = rng.permille(400).then(|| b"/".to_vec());
    let after = rng.permille(300).then(|| at.key.clone());
    let with_version = after.is_some() && rng.permille(500);
    let after_version = if with_version {
        version(context, oracle, at)
    } else {
        None
    };
    let entries_max = match context.rng.below(3) {
        0 => u32::try_from(context.rng.between(1, 5)).unwrap_or(1),
        _ => 1000,
    };
    ListWish {
        bucket: at.bucket.clone(),
        prefix,
        delimiter,
        after,
        after_version: after_version.map(|version| version.to_string()),
        entries_max,
    }
}

/// A listing of any kind.
pub(super) fn list(context: &mut Context, oracle: &Oracle, at: Place) -> Operation {
    let mut wish = wish(context, oracle, &at);
    match context.rng.below(5) {
        0 | 1 => {
            wish.after_version = None;
            (
                Task::Single,
                Command::List(wish.clone()),
                Some(Deed::List(wish)),
            )
        }
        2 | 3 => (
            Task::Single,
            Command::ListVersions(wish.clone()),
            Some(Deed::ListVersions(wish)),
        ),
        _ => {
            wish.after_version = None;
            let (at, upload) = upload(context, oracle, at);
            if context.rng.permille(500) {
                return (
                    Task::Single,
                    Command::ListUploads(wish.clone()),
                    Some(Deed::ListUploads(wish)),
                );
            }
            let after = u16::try_from(context.rng.below(3)).unwrap_or(0);
            let parts_max = u32::try_from(context.rng.between(1, 4)).unwrap_or(1);
            let command = Command::ListParts {
                name: name_of(&at),
                upload,
                after,
                parts_max,
            };
            (
                Task::Single,
                command,
                Some(Deed::ListParts {
                    at,
                    upload,
                    after,
                    parts_max,
                }),
            )
        }
    }
}
