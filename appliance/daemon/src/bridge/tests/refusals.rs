//! Every refusal keeps its meaning on the way up.

use stele_format::units::UnixMillis;
use stele_gateway::message as gateway;
use stele_store::policy::{self, Mode, Right};
use stele_store::request as store;

use super::version;
use crate::bridge::refusal_to_gateway;

#[test]
fn refusals_keep_their_meaning_and_numbers() {
    let check = |refusal: store::Refusal, expected: gateway::Refusal| {
        assert_eq!(refusal_to_gateway(refusal), expected);
    };
    let until = UnixMillis::new(5);
    check(
        policy::Refusal::Locked {
            mode: Mode::Compliance,
            until,
        }
        .into(),
        gateway::Refusal::Locked {
            mode: gateway::LockMode::Compliance,
            until,
        },
    );
    check(policy::Refusal::Held.into(), gateway::Refusal::Held);
    check(store::Refusal::BucketTaken, gateway::Refusal::BucketTaken);
    check(policy::Refusal::TooFast.into(), gateway::Refusal::TooFast);
    let in_words = |refusal: policy::Refusal| refusal.to_string();
    for refusal in [
        policy::Refusal::UnknownClient,
        policy::Refusal::NotGranted(policy::Grant::Put),
        policy::Refusal::ForeignBucket,
        policy::Refusal::OutsidePrefix,
        policy::Refusal::OnlyVault,
    ] {
        let expected = gateway::Refusal::NotAllowed(in_words(refusal));
        check(refusal.into(), expected);
    }
    for refusal in [
        policy::Refusal::QuotaBytes { max: 1 },
        policy::Refusal::QuotaVersions { max: 1 },
    ] {
        let expected = gateway::Refusal::QuotaExceeded(in_words(refusal));
        check(refusal.into(), expected);
    }
    check(
        Right::HoldOff.into(),
        gateway::Refusal::NeedsRight(gateway::Right::HoldOff),
    );
    check(
        Right::LockAdmin.into(),
        gateway::Refusal::NeedsRight(gateway::Right::LockAdmin),
    );
    check(
        policy::Refusal::GovernanceToComplianceNeedsRight.into(),
        gateway::Refusal::NeedsRight(gateway::Right::GovernanceBypass),
    );
    check(
        policy::Refusal::Weaker {
            mode: Mode::Governance,
            until,
        }
        .into(),
        gateway::Refusal::Weaker,
    );
    // 403 AccessDenied at the door, with the words.
    let beyond = policy::Refusal::BeyondBound { days_max: 30 };
    check(
        beyond.into(),
        gateway::Refusal::NotAllowed(in_words(beyond)),
    );
    check(
        policy::Refusal::DatePast.into(),
        gateway::Refusal::RetentionDate(gateway::RetentionDateFault::Past),
    );
    check(
        store::Refusal::Range { content_bytes: 3 },
        gateway::Refusal::Range { content_bytes: 3 },
    );
    check(
        store::Refusal::Part { number: 4 },
        gateway::Refusal::Part { number: 4 },
    );
    check(
        store::Refusal::ReadOnly(store::ReadOnlyReason::NewerFormat),
        gateway::Refusal::ReadOnly(store::ReadOnlyReason::NewerFormat.to_string()),
    );
    check(
        store::Refusal::MayBeLost(store::ReadOnlyReason::NewerFormat),
        gateway::Refusal::MayBeLost(store::ReadOnlyReason::NewerFormat.to_string()),
    );
    let marker = Some(version());
    check(
        store::Refusal::NoSuchKey { marker },
        gateway::Refusal::NoSuchKey { marker },
    );
    for (place, words) in [
        (store::DamagePlace::Frame(3), "frame 3"),
        (store::DamagePlace::Byte(8192), "at byte 8192"),
    ] {
        check(
            store::Refusal::Damaged { segment: 12, place },
            gateway::Refusal::Damaged {
                segment: 12,
                place: words.to_owned(),
            },
        );
    }
}
