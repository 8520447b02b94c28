//! O1: for every act and every pair of roles, exactly the cells of the table go through.

use stele_format::checkpoint::WitnessKey;
use stele_format::digest::Digest;
use stele_format::sshsig::PublicKey;
use stele_format::statement::{Act, BucketDefault, LaterAct, Role};
use stele_format::units::{BucketId, DiskId, Opening};
use stele_store::policy::approval::{Accepted, RequestState, StatementRefusal};
use stele_store::policy::limits::DAY_MS;

use crate::authenticator::SoftKey;
use crate::world::{
    FOUNDERS, START, World, enrol, erase, erase_of, grant, name, public, release_hold, suspend,
};

/// An act, who may ask for it, and which roles must all approve it.
type Row = (Act, &'static [(Role, &'static [Role])], u64);

const OFFICER_APPROVER: &[(Role, &[Role])] = &[(Role::Officer, &[Role::Approver])];
const EITHER: &[(Role, &[Role])] = &[
    (Role::Officer, &[Role::Approver]),
    (Role::Approver, &[Role::Officer]),
];

fn witness() -> WitnessKey {
    let key = SoftKey::new(52).blob("ssh:");
    let point: [u8; 32] = *PublicKey::from_blob(&key).unwrap().point();
    WitnessKey::new("witness.example/w1", &point).unwrap()
}

fn rows() -> Vec<Row> {
    let later = START + 200 * DAY_MS;
    let who = |text| name(text);
    vec![
        (erase(), &[(Role::Operator, &[Role::Approver])], 3),
        (
            erase_of(10, true),
            &[(Role::Operator, &[Role::Approver, Role::Officer])],
            3,
        ),
        (release_hold(), OFFICER_APPROVER, 7),
        (grant(later), OFFICER_APPROVER, 7),
        (
            Act::LowerDefault {
                bucket: BucketId::new([1; 16]),
                default: BucketDefault::None,
            },
            OFFICER_APPROVER,
            7,
        ),
        (enrol("nina", Role::Operator, 50), OFFICER_APPROVER, 7),
        (
            Act::AddKey {
                person: who("uwe"),
                key: public(&SoftKey::new(51)),
            },
            OFFICER_APPROVER,
            7,
        ),
        (
            Act::Policy {
                name: who("erase-approvals"),
                value: who("2"),
            },
            OFFICER_APPROVER,
            7,
        ),
        (
            Act::Witness {
                name: who("branch"),
                key: witness(),
            },
            OFFICER_APPROVER,
            7,
        ),
        // The world's wall clock is thirty days ahead.
        (Act::Clock { by_hours: 24 }, OFFICER_APPROVER, 7),
        (
            Act::ForceOpen {
                opening: Opening::new(1),
                lost: 0,
                missing: Vec::new(),
                disks: vec![DiskId::new([1; 16])],
            },
            OFFICER_APPROVER,
            0,
        ),
        (
            Act::Reinitialise {
                disk: DiskId::new([1; 16]),
                label: Digest::ZERO,
            },
            OFFICER_APPROVER,
            3,
        ),
        (suspend("uwe"), EITHER, 0),
        (Act::Remove { person: who("uwe") }, EITHER, 0),
        (
            Act::RemoveKey {
                person: who("uwe"),
                key: public(&SoftKey::new(9)),
            },
            EITHER,
            0,
        ),
        (Act::Later(LaterAct::Tape), &[], 0),
        (Act::Later(LaterAct::Firmware), &[], 0),
        (Act::Later(LaterAct::Forward), &[], 0),
    ]
}

/// Tries one pair of people; whether the request was executed.
fn pair(
    act: &Act,
    days: u64,
    requester: (&str, u64),
    approver: (&str, u64),
    more: &[(&str, u64)],
) -> bool {
    let mut world = World::founded();
    let Ok(request) = world.request(requester, act.clone()) else {
        return false;
    };
    let mut last = match world.approve(approver, request) {
        Ok(accepted) => accepted,
        Err(_) => return false,
    };
    for other in more {
        if let Ok(accepted) = world.approve(*other, request) {
            last = accepted;
        }
    }
    match last {
        Accepted::TookEffect(_) => {
            assert_eq!(days, 0, "{}", act.name());
            return true;
        }
        // Nobody waits for a vault that is not open.
        Accepted::Executed(_) => {
            assert_eq!((days, act.name()), (0, "force-open"));
            return true;
        }
        Accepted::Approved(_) => {}
        _ => return false,
    }
    world.after_days(days);
    let executed = world.execute(requester, request).is_ok();
    let done = world.fold.request(request.0, world.time()).unwrap().state;
    assert_eq!(
        executed,
        matches!(done, RequestState::Executing | RequestState::Executed)
    );
    executed
}

#[test]
fn o1_exactly_the_allowed_pairs_of_roles_execute() {
    let mut executed = 0;
    for (act, allowed, days) in rows() {
        for (requester, asks, seed) in FOUNDERS {
            for (approver, approves, other_seed) in FOUNDERS {
                let may = requester != approver
                    && allowed
                        .iter()
                        .any(|(from, by)| *from == asks && **by == [approves]);
                let subject = requester == "uwe" || approver == "uwe";
                assert!(
                    !(may && subject),
                    "nobody in a cell is the person acted upon"
                );
                let did = pair(&act, days, (requester, seed), (approver, other_seed), &[]);
                assert_eq!(did, may, "{}: {requester}, {approver}", act.name());
                executed += u32::from(did);
            }
        }
    }
    // erase 2 x 3; ten acts of officer and approver 2 x 3; three acts of either 2 x 2 x 3.
    assert_eq!(executed, 6 + 10 * 6 + 3 * 12);
}

#[test]
fn o1_early_erasure_needs_an_approver_and_an_officer() {
    let act = erase_of(10, true);
    let mut executed = Vec::new();
    for (first, _, seed) in FOUNDERS {
        for (second, _, other) in FOUNDERS {
            if first != second && pair(&act, 3, ("oona", 1), (first, seed), &[(second, other)]) {
                executed.push((first, second));
            }
        }
    }
    let roles: Vec<(Role, Role)> = executed
        .iter()
        .map(|(a, b)| {
            let role = |who| FOUNDERS.iter().find(|entry| entry.0 == who).unwrap().1;
            (role(*a), role(*b))
        })
        .collect();
    let either = |pair: &(Role, Role)| {
        [
            (Role::Approver, Role::Officer),
            (Role::Officer, Role::Approver),
        ]
        .contains(pair)
    };
    assert!(roles.iter().all(either));
    assert_eq!(roles.len(), 12);
}

#[test]
fn o1_acts_rest_exactly_as_long_as_the_table_says() {
    for (act, allowed, days) in rows() {
        let Some((asks, by)) = allowed.first().filter(|_| days > 0) else {
            continue;
        };
        let of = |role, skip| {
            let entry = FOUNDERS.iter().filter(|entry| entry.1 == role).nth(skip);
            entry.map(|(who, _, seed)| (*who, *seed)).unwrap()
        };
        let requester = of(*asks, 0);
        let mut world = World::founded();
        let request = world.request(requester, act.clone()).unwrap();
        for role in *by {
            world.approve(of(*role, 1), request).unwrap();
        }
        let from = world.now + days * DAY_MS;
        world.now = from - 1;
        let early = world.execute(requester, request);
        assert!(
            matches!(early, Err(StatementRefusal::Cooling { from: at, .. }) if at.get() == from),
            "{}: {early:?}",
            act.name()
        );
        let mut late = world.clone();
        world.now = from;
        world.execute(requester, request).unwrap();
        late.now = from + 3 * DAY_MS - 1;
        late.clone().execute(requester, request).unwrap();
        late.now += 1;
        assert!(matches!(
            late.execute(requester, request),
            Err(StatementRefusal::ExecutionLate { .. })
        ));
    }
}

/// The clock goes forward only, and by no more than the wall clock is ahead.
#[test]
fn o1_the_clock_is_set_forward_to_at_most_the_wall_clock() {
    let mut world = World::founded();
    let by = |by_hours| Act::Clock { by_hours };
    // It is thirty days ahead.
    assert_eq!(
        world.request(("fred", 6), by(30 * 24 + 1)),
        Err(StatementRefusal::ClockTime)
    );
    let request = world.request(("fred", 6), by(30 * 24)).unwrap();
    // A second one would make up for the same hours.
    assert_eq!(
        world.request(("fred", 6), by(1)),
        Err(StatementRefusal::ClockAsked)
    );
    world.approve(("anna", 3), request).unwrap();
    world.after_days(7);
    // Somebody has set it back meanwhile.
    world.wall_ahead = 0;
    assert_eq!(
        world.request(("fred", 6), by(1)),
        Err(StatementRefusal::ClockTime)
    );
    assert_eq!(
        world.execute(("fred", 6), request),
        Err(StatementRefusal::ClockTime)
    );
}
