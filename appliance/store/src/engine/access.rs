//! What each command is, as far as it matters who may ask it: one table, no default, so that a new
//! command has no meaning before it stands here.

use std::collections::BTreeMap;

use stele_format::units::BucketId;

use super::Engine;
use crate::index::rows::BucketRow;
use crate::policy::client::Place;
use crate::policy::{Act, Asker, Grant};
use crate::request::{Command, Refusal, StreamId};

/// What a command touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access<'a> {
    /// A stream that is open; who opened it may go on.
    Free,
    /// The list of buckets, which shows those the asker may touch.
    Buckets,
    /// Something of the vault itself.
    Vault,
    /// A bucket by name, and a key or the prefix of keys in it.
    Bucket(Act, &'a str, Option<&'a [u8]>),
}

/// Refuses what the asker may not. Judged when a request comes, before it holds up anybody, and at
/// every attempt at its decision, against the bucket that has the name then: while it waited, another
/// client may have made it anew.
pub(super) fn permit(
    asker: &Asker,
    buckets: &BTreeMap<BucketId, BucketRow>,
    access: Access<'_>,
) -> Result<(), Refusal> {
    match access {
        Access::Free => Ok(()),
        Access::Buckets => Ok(asker.has(Grant::List)?),
        Access::Vault => match asker {
            Asker::Vault(_) => Ok(()),
            Asker::Client(_) | Asker::Nobody => Err(crate::policy::Refusal::OnlyVault.into()),
        },
        Access::Bucket(act, name, key) => {
            // What has that version id is seen later: a marker, which hides and locks nothing, takes no more than
            // to make one, and what is not there is deleted for everybody.
            let act = match act {
                Act::Release if asker.has(Grant::Release).is_err() => Act::Delete,
                act => act,
            };
            let own = asker.owner();
            let found = buckets
                .values()
                .find(|row| row.name == name && !row.deleted);
            let owner = match found {
                Some(row) if act != Act::Create => &row.owner,
                // Where there is no bucket, the decision says so to those who may ask.
                _ => &own,
            };
            Ok(asker.permits(act, Place { name, owner }, key)?)
        }
    }
}

impl Engine {
    /// What a command touches. A commit touches what its stream was opened for.
    pub(super) fn access_of<'a>(&'a self, command: &'a Command) -> Access<'a> {
        match command {
            Command::CommitPut { stream, .. } => match self.puts.get(stream) {
                Some(put) => Access::Bucket(Act::Put, &put.name.bucket, Some(&put.name.key)),
                None => Access::Free,
            },
            other => access(other),
        }
    }

    /// What is judged before anything is done with a question: whether its asker is anybody, and for a
    /// stream whether it is the asker's and still within its rights. What a client has open may always
    /// be closed.
    pub(super) fn may_ask(&self, asker: &Asker, command: &Command) -> Result<(), Refusal> {
        let (stream, grant) = match command {
            Command::AbortPut { .. } | Command::CloseGet { .. } => return Ok(()),
            Command::PutData { stream, .. } | Command::CommitPut { stream, .. } => {
                (*stream, Grant::Put)
            }
            Command::NextData { stream } => (*stream, Grant::Get),
            _ => {
                return match asker {
                    Asker::Nobody => Err(crate::policy::Refusal::UnknownClient.into()),
                    _ => Ok(()),
                };
            }
        };
        asker.has(grant)?;
        match self.opener_of(stream) {
            Some(opener) if !opener.is(asker) => Err(Refusal::NoSuchStream),
            _ => Ok(()),
        }
    }

    /// Who opened a stream; none if it is not open.
    fn opener_of(&self, stream: StreamId) -> Option<&Asker> {
        let put = self.puts.get(&stream).map(|put| &put.asker);
        put.or_else(|| self.gets.get(&stream).map(|get| &get.asker))
    }
}

fn access(command: &Command) -> Access<'_> {
    match command {
        Command::ListBuckets => Access::Buckets,
        Command::CreateBucket { name, .. } => Access::Bucket(Act::Create, name, None),
        Command::HeadBucket { name } => Access::Bucket(Act::See, name, None),
        Command::DeleteBucket { name } => Access::Bucket(Act::Remove, name, None),
        Command::SetDefaultRetention { bucket, .. } | Command::SetLifecycle { bucket, .. } => Access::Bucket(Act::Change, bucket, None),
        Command::OpenGet { name, .. } | Command::Head { name, .. } => {
            Access::Bucket(Act::Get, &name.bucket, Some(&name.key))
        }
        Command::Delete { name, version, .. } => {
            let act = match version {
                None => Act::Delete,
                Some(_) => Act::Release,
            };
            Access::Bucket(act, &name.bucket, Some(&name.key))
        }
        Command::List(wish) | Command::ListVersions(wish) | Command::ListUploads(wish) => {
            Access::Bucket(Act::List, &wish.bucket, Some(&wish.prefix))
        }
        Command::OpenPut { name, .. }
        | Command::Put { name, .. }
        | Command::SetRetention { name, .. }
        | Command::SetHold { name, .. }
        | Command::SetTags { name, .. }
        | Command::HeadUpload { name, .. }
        | Command::CreateUpload { name, .. }
        | Command::ListParts { name, .. }
        | Command::CompleteUpload { name, .. }
        | Command::AbortUpload { name, .. } => {
            Access::Bucket(Act::Put, &name.bucket, Some(&name.key))
        }
        Command::PutConfig { .. }
        | Command::GetConfig { .. }
        | Command::ListOldUploads { .. }
        | Command::CreateBucketIn { .. }
        | Command::SetRule { .. }
        | Command::SetBound { .. }
        | Command::Expire { .. }
        | Command::ListExpiring { .. }
        | Command::Unrelease { .. }
        | Command::ListReleased(_)
        | Command::Census { .. }
        | Command::PutScope(_)
        | Command::State { .. }
        | Command::Rehome { .. }
        | Command::AdvanceClock { .. }
        | Command::Cosign { .. }
        | Command::People
        | Command::Effect { .. }
        | Command::Note { .. }
        | Command::PlaceHolds { .. }
        | Command::ReleaseHolds { .. }
        | Command::Tombstone { .. } => Access::Vault,
        Command::PutData { .. }
        | Command::CommitPut { .. }
        | Command::AbortPut { .. }
        | Command::NextData { .. }
        | Command::CloseGet { .. }
        // Backup programs ask for it to plan, and every client of a vault fills the same disks.
        | Command::Capacity => Access::Free,
    }
}
