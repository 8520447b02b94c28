//! Refusals, from the engine's words to the gateway's.

use stele_gateway::message as gateway;
use stele_gateway::message::RetentionDateFault;
use stele_store::policy;
use stele_store::request::Refusal;

use super::mode_up;

/// Translates a refusal.
pub fn to_gateway(refusal: Refusal) -> gateway::Refusal {
    match refusal {
        Refusal::NoSuchBucket => gateway::Refusal::NoSuchBucket,
        Refusal::NoSuchKey { marker } => gateway::Refusal::NoSuchKey { marker },
        Refusal::NoSuchVersion => gateway::Refusal::NoSuchVersion,
        Refusal::IsMarker { version, modified } => gateway::Refusal::IsMarker { version, modified },
        Refusal::NoSuchUpload => gateway::Refusal::NoSuchUpload,
        Refusal::BucketExists => gateway::Refusal::BucketExists,
        Refusal::BucketTaken => gateway::Refusal::BucketTaken,
        Refusal::BucketNotEmpty => gateway::Refusal::BucketNotEmpty,
        Refusal::TooManyBuckets { buckets_max } => gateway::Refusal::TooManyBuckets { buckets_max },
        Refusal::TooManyBucketsMade { buckets_max } => {
            gateway::Refusal::TooManyBucketsMade { buckets_max }
        }
        Refusal::Policy(refusal) => policy_up(refusal),
        Refusal::Range { content_bytes } => gateway::Refusal::Range { content_bytes },
        Refusal::Precondition => gateway::Refusal::Precondition,
        Refusal::Part { number } => gateway::Refusal::Part { number },
        Refusal::PartOrder => gateway::Refusal::PartOrder,
        Refusal::PartTooSmall { number } => gateway::Refusal::PartTooSmall { number },
        Refusal::PartsReplaced { count_max } => gateway::Refusal::PartsReplaced { count_max },
        Refusal::TooLarge { bytes_max } => gateway::Refusal::TooLarge { bytes_max },
        Refusal::Checksum => gateway::Refusal::Checksum,
        Refusal::MetadataTooLarge { bytes_max } => gateway::Refusal::MetadataTooLarge { bytes_max },
        Refusal::Busy => gateway::Refusal::Busy,
        Refusal::Full => gateway::Refusal::Full,
        Refusal::ReadOnly(reason) => gateway::Refusal::ReadOnly(reason.to_string()),
        Refusal::MayBeLost(reason) => gateway::Refusal::MayBeLost(reason.to_string()),
        Refusal::Rebuilding => gateway::Refusal::Rebuilding,
        Refusal::Undecided => gateway::Refusal::Unanswered,
        Refusal::Damaged { segment, place } => gateway::Refusal::Damaged {
            segment,
            place: place.to_string(),
        },
        // Nobody but the vault itself asks for what these refuse.
        Refusal::Statement(_)
        | Refusal::ScopeKept { .. }
        | Refusal::ScopeDiffers
        | Refusal::NoCase
        | Refusal::BadScope
        | Refusal::OutOfOrder { .. }
        | Refusal::ClockNotSimulated
        | Refusal::ClockTooFar
        | Refusal::ClockSuspends
        | Refusal::Witness(_)
        | Refusal::WitnessSilent(_)
        | Refusal::WitnessBehind { .. }
        | Refusal::MonthNotOver
        | Refusal::MonthLives
        | Refusal::KeyStateFull
        | Refusal::NotReleased
        | Refusal::KeyTaken
        | Refusal::BeingDestroyed { .. } => {
            gateway::Refusal::NotAllowed(policy::Refusal::OnlyVault.to_string())
        }
        Refusal::NoSuchStream => gateway::Refusal::NoSuchStream,
        Refusal::Stopping => gateway::Refusal::Stopping,
    }
}

fn policy_up(refusal: policy::Refusal) -> gateway::Refusal {
    match refusal {
        policy::Refusal::Locked { mode, until } => gateway::Refusal::Locked {
            mode: mode_up(mode),
            until,
        },
        policy::Refusal::Held => gateway::Refusal::Held,
        policy::Refusal::NeedsRight(right) => gateway::Refusal::NeedsRight(right_up(right)),
        policy::Refusal::GovernanceToComplianceNeedsRight => {
            gateway::Refusal::NeedsRight(gateway::Right::GovernanceBypass)
        }
        policy::Refusal::Weaker { .. } => gateway::Refusal::Weaker,
        policy::Refusal::NoLockOnBucket => gateway::Refusal::NoLockOnBucket,
        policy::Refusal::DatePast => gateway::Refusal::RetentionDate(RetentionDateFault::Past),
        // The gateway refuses impossible periods by itself; what is left is one too long.
        policy::Refusal::DateTooFar | policy::Refusal::PeriodInvalid => {
            gateway::Refusal::RetentionDate(RetentionDateFault::TooFar)
        }
        policy::Refusal::QuotaBytes { .. } | policy::Refusal::QuotaVersions { .. } => {
            gateway::Refusal::QuotaExceeded(refusal.to_string())
        }
        policy::Refusal::TooFast => gateway::Refusal::TooFast,
        policy::Refusal::UnknownClient
        | policy::Refusal::NotGranted(_)
        | policy::Refusal::ForeignBucket
        | policy::Refusal::OutsidePrefix
        | policy::Refusal::OnlyVault
        // Rules of retention are set at the console alone, and the gateway keeps those of lifecycles whole.
        | policy::Refusal::RuleInvalid
        | policy::Refusal::LifecycleRuleInvalid
        | policy::Refusal::NotDue
        | policy::Refusal::NoSuchRule
        | policy::Refusal::TooManyRules { .. }
        | policy::Refusal::RuleNeedsDefault
        | policy::Refusal::RuleLowers
        | policy::Refusal::RuleTwice
        | policy::Refusal::BoundInvalid
        // As where a policy of the bucket denies it.
        | policy::Refusal::BeyondBound { .. } => gateway::Refusal::NotAllowed(refusal.to_string()),
    }
}

fn right_up(right: policy::Right) -> gateway::Right {
    match right {
        policy::Right::GovernanceBypass => gateway::Right::GovernanceBypass,
        policy::Right::HoldOff => gateway::Right::HoldOff,
        policy::Right::LockAdmin => gateway::Right::LockAdmin,
    }
}
