//! Deletions, retention and holds of the test engine.

use stele_format::units::VersionId;
use stele_gateway::message::{
    Answer, BucketKind, LockMode, LockWish, ObjectName, Refusal, Retention, Right,
};

use super::{State, Version, marker_info, now};

impl State {
    /// Whether the version may not be deleted or loosened.
    fn locked(&self, version: &Version, bypass: bool) -> Result<(), Refusal> {
        if version.info.hold == Some(true) {
            return Err(Refusal::Held);
        }
        match version.info.retention {
            Some(Retention { mode, until }) if until > now() => {
                let bypassed = mode == LockMode::Governance && bypass && self.rights;
                if bypassed {
                    Ok(())
                } else {
                    Err(Refusal::Locked { mode, until })
                }
            }
            _ => Ok(()),
        }
    }

    pub(super) fn delete(
        &mut self,
        name: ObjectName,
        wanted: Option<VersionId>,
        bypass: bool,
    ) -> Result<Answer, Refusal> {
        let versioned = self.bucket(&name.bucket)?.kind != BucketKind::Plain;
        let place = (name.bucket.clone(), name.key.clone());
        let Some(id) = wanted else {
            if !versioned {
                self.objects.remove(&place);
                return Ok(Answer::Deleted {
                    marker: false,
                    version: None,
                    versioned,
                });
            }
            let version = self.version();
            let stored = Version {
                info: marker_info(version),
                content: Vec::new(),
                marker: true,
            };
            self.objects.entry(place).or_default().push(stored);
            return Ok(Answer::Deleted {
                marker: true,
                version: Some(version),
                versioned,
            });
        };
        let versions = self.objects.get(&place).ok_or(Refusal::NoSuchVersion)?;
        let found = versions.iter().find(|version| version.info.version == id);
        let found = found.ok_or(Refusal::NoSuchVersion)?;
        let marker = found.marker;
        self.locked(found, bypass)?;
        if let Some(versions) = self.objects.get_mut(&place) {
            versions.retain(|version| version.info.version != id);
        }
        Ok(Answer::Deleted {
            marker,
            version: Some(id),
            versioned,
        })
    }

    pub(super) fn set_retention(
        &mut self,
        name: &ObjectName,
        wanted: Option<VersionId>,
        retention: Option<Retention>,
        bypass: bool,
    ) -> Result<Answer, Refusal> {
        let bypass = bypass && self.rights;
        self.check_lock(
            &name.bucket,
            &LockWish {
                retention,
                hold: None,
            },
        )?;
        let found = self.find_mut(name, wanted)?;
        if !found.info.lock_enabled {
            return Err(Refusal::NoLockOnBucket);
        }
        let kept = match (found.info.retention, retention) {
            (None, _) => true,
            (Some(old), Some(new)) => old.mode == new.mode && new.until >= old.until,
            (Some(_), None) => false,
        };
        let loose = found
            .info
            .retention
            .is_some_and(|old| old.mode == LockMode::Governance)
            && bypass;
        if !kept && !loose {
            return Err(Refusal::Weaker);
        }
        found.info.retention = retention;
        Ok(Answer::Done)
    }

    pub(super) fn set_hold(
        &mut self,
        name: &ObjectName,
        wanted: Option<VersionId>,
        on: bool,
    ) -> Result<Answer, Refusal> {
        let rights = self.rights;
        let found = self.find_mut(name, wanted)?;
        if !found.info.lock_enabled {
            return Err(Refusal::NoLockOnBucket);
        }
        if !on && found.info.hold == Some(true) && !rights {
            return Err(Refusal::NeedsRight(Right::HoldOff));
        }
        found.info.hold = Some(on);
        Ok(Answer::Done)
    }
}
