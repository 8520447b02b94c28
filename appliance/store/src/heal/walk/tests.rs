//! What a walk says of a segment when disks do not answer.

use stele_format::units::{DiskId, LaneId, PoolId, SegmentId};

use super::{Ask, Extent, Mode, Walk};
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

/// What is asked for is not there, but silent disks do not answer at all; what comes of it.
fn end(mut walk: Walk, silent: &[usize]) -> Outcome {
    for now_ms in 1.. {
        if let Some(outcome) = walk.finished() {
            return outcome;
        }
        for ask in walk.take_asks() {
            match ask {
                Ask::Read { token, copy, .. } if silent.contains(&copy) => {
                    walk.unheard(token, now_ms);
                }
                Ask::Read { token, .. } => walk.read_done(token, None),
                Ask::Write { token, .. } | Ask::Flush { token, .. } => walk.done(token),
                Ask::Judge { .. } => unreachable!("nothing was read"),
            }
        }
        walk.go_on();
    }
    unreachable!("a walk ends")
}

#[test]
fn what_is_lost_is_only_known_where_every_disk_has_answered() {
    let check = |roles: &[Role], silent: &[usize], conclusive: bool| {
        let outcome = end(walk(roles), silent);
        assert_eq!(
            outcome.is_conclusive(),
            conclusive,
            "{roles:?} {silent:?}: {outcome:?}"
        );
        assert_eq!(outcome.unheard, !silent.is_empty());
    };
    check(&[Role::Member, Role::Member], &[], true);
    check(&[Role::Member, Role::Member], &[0], false);
    check(&[Role::Member, Role::Member], &[0, 1], false);
    check(&[Role::Member, Role::Witness], &[1], false);
    check(&[Role::Target, Role::Witness], &[1], false);
    check(&[Role::Target, Role::Member], &[0], false);
}
