//! The first people: who must sign, and how few there may be.

use stele_format::sshsig::PublicKey;
use stele_format::statement::{Found, Kind, Role};
use stele_store::policy::approval::{Accepted, Approvals, StatementRefusal};

use crate::authenticator::SoftKey;
use crate::world::{FOUNDERS, World, founding, name, origin};

fn keys(of: &[(&str, Role, u64)]) -> Vec<SoftKey> {
    of.iter().map(|(.., seed)| SoftKey::new(*seed)).collect()
}

fn found(people: &[(&str, Role, u64)], signers: &[SoftKey]) -> Result<Accepted, StatementRefusal> {
    let signers: Vec<&SoftKey> = signers.iter().collect();
    let applied = World::empty().state(Kind::Found(founding(people)), &signers)?;
    Ok(applied.accepted)
}

#[test]
fn a_founding_is_signed_by_everybody_it_names_and_nobody_else() {
    assert_eq!(found(&FOUNDERS, &keys(&FOUNDERS)), Ok(Accepted::Founded));
    assert_eq!(
        found(&FOUNDERS, &keys(&FOUNDERS[1..])),
        Err(StatementRefusal::FoundingUnsigned(name("oona")))
    );
    let mut more = keys(&FOUNDERS);
    more.push(SoftKey::new(99));
    assert_eq!(
        found(&FOUNDERS, &more),
        Err(StatementRefusal::FoundingStranger)
    );
}

/// O8 begins at the founding: one operator, two approvers, two officers at least.
#[test]
fn o8_a_founding_has_the_minimum_of_people() {
    let five: Vec<_> = [0, 2, 3, 5, 6].map(|at| FOUNDERS[at]).to_vec();
    assert_eq!(found(&five, &keys(&five)), Ok(Accepted::Founded));
    for (left_out, role, min) in [
        (0, Role::Operator, 1),
        (1, Role::Approver, 2),
        (2, Role::Approver, 2),
        (3, Role::Officer, 2),
        (4, Role::Officer, 2),
    ] {
        let mut four = five.clone();
        four.remove(left_out);
        assert_eq!(
            found(&four, &keys(&four)),
            Err(StatementRefusal::BelowMinimum { role, min })
        );
    }
}

#[test]
fn a_vault_is_founded_once_and_before_anything_else() {
    let mut world = World::founded();
    let people = [
        FOUNDERS[0],
        FOUNDERS[2],
        FOUNDERS[3],
        FOUNDERS[5],
        FOUNDERS[6],
    ];
    let keys = keys(&people);
    let keys: Vec<&SoftKey> = keys.iter().collect();
    let again = world.state(Kind::Found(founding(&people)), &keys);
    assert_eq!(again.unwrap_err(), StatementRefusal::Founded);
    assert_eq!(
        World::empty().hold(("oona", 1)),
        Err(StatementRefusal::NotFounded)
    );
}

fn with_plain_keys(policy: Option<&str>, evaluation: bool) -> Result<Accepted, StatementRefusal> {
    let mut founding: Found = founding(&FOUNDERS);
    let plain: Vec<SoftKey> = FOUNDERS
        .iter()
        .map(|(.., seed)| SoftKey::plain(*seed))
        .collect();
    for (entry, key) in founding.keys.iter_mut().zip(&plain) {
        entry.key = PublicKey::from_blob(&key.blob("")).unwrap();
    }
    if let Some(value) = policy {
        founding.policies.push((name("plain-keys"), name(value)));
    }
    let mut world = World::empty();
    world.fold = Approvals::new(origin(), evaluation);
    let keys: Vec<&SoftKey> = plain.iter().collect();
    Ok(world.state(Kind::Found(founding), &keys)?.accepted)
}

#[test]
fn plain_keys_count_only_in_evaluation_vaults_that_were_founded_so() {
    assert_eq!(with_plain_keys(Some("yes"), true), Ok(Accepted::Founded));
    for (policy, evaluation) in [
        (None, true),
        (Some("no"), true),
        (None, false),
        (Some("yes"), false),
    ] {
        assert_eq!(
            with_plain_keys(policy, evaluation),
            Err(StatementRefusal::PlainKey),
            "{policy:?} {evaluation}"
        );
    }
    assert_eq!(
        with_plain_keys(Some("maybe"), true),
        Err(StatementRefusal::Policy)
    );
}
