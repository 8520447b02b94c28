//! What a walk says of a segment when disks do not answer.

use stele_format::units::{DiskId, LaneId, PoolId, SegmentId};

use super::{Extent, Mode, Walk};
use crate::engine::DiskSlot;
use crate::heal::{CopyAt, Identity, Outcome, Role};

fn copy(number: u16, role: Role) -> CopyAt {
    CopyAt {
        disk: DiskId::new([u8::try_from(number).expect("few disks"); 16]),
        slot: DiskSlot(number),
        base: 0,
        role,
    }
}

fn walk(roles: &[Role]) -> Walk {
    let identity = Identity {
        pool: PoolId::new([9; 16]),
        segment: SegmentId::new(3),
        lane: LaneId::new(1),
        unit_bytes: 64 << 10,
        units: 1,
    };
    let extent = Extent::Closed {
        data_end: 4096,
        cut: false,
        stated: None,
    };
    let copies = (0..).zip(roles).map(|(number, role)| copy(number, *role));
    Walk::new(identity, Mode::Fill, extent, copies.collect())
}

/// Every disk that is still asked gives nothing that verifies; what comes of it.
fn end(mut walk: Walk) -> Outcome {
    loop {
        if let Some(outcome) = walk.finished() {
            return outcome;
        }
        for number in 0..3 {
            walk.give_nothing(DiskSlot(number));
        }
        walk.go_on();
    }
}

#[test]
fn what_is_lost_is_only_known_where_every_disk_has_answered() {
    let check = |roles: &[Role], silent: &[u16], conclusive: bool| {
        let mut walk = walk(roles);
        for number in silent {
            walk.unheard(DiskSlot(*number), true);
        }
        let outcome = end(walk);
        assert_eq!(
            outcome.is_conclusive(),
            conclusive,
            "{roles:?} {silent:?}: {outcome:?}"
        );
        assert_eq!(outcome.unheard, !silent.is_empty());
        assert!(!conclusive || !outcome.lost.is_empty());
    };
    check(&[Role::Member, Role::Member], &[], true);
    check(&[Role::Member, Role::Member], &[0], false);
    check(&[Role::Member, Role::Member], &[0, 1], false);
    check(&[Role::Member, Role::Witness], &[1], false);
    check(&[Role::Target, Role::Witness], &[1], false);
    check(&[Role::Target, Role::Member], &[0], false);
}

#[test]
fn only_one_disk_that_does_not_answer_is_alone() {
    let mut walk = walk(&[Role::Member, Role::Member, Role::Member]);
    walk.unheard(DiskSlot(0), true);
    walk.unheard(DiskSlot(1), false);
    assert!(!end(walk).alone);
}
