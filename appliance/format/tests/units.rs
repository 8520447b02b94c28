//! Names for numbers: hexadecimal, calendar, key index, arithmetic at the edges.
#![allow(clippy::unwrap_used, reason = "a test may stop on surprise")]

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use stele_format::digest::Digest;
use stele_format::units::{
    Epoch, KeyClass, KeyIndex, KeyIndexParts, LogIndex, Month, Opening, PoolId, SegmentId,
    Sequence, UnixMillis, UploadId, VersionId,
};

const DAY: u64 = 86_400_000;

#[test]
fn an_id_has_one_spelling() {
    let id = PoolId::new([0xab; 16]);
    assert_eq!(id.to_string(), "ab".repeat(16));
    assert_eq!(PoolId::parse_hex(&"ab".repeat(16)), Some(id));
    for wrong in [
        "",
        "ab",
        &"AB".repeat(16),
        &"ab".repeat(17),
        &"ag".repeat(16),
        &"é".repeat(16),
    ] {
        assert_eq!(PoolId::parse_hex(wrong), None, "{wrong}");
    }
    assert_eq!(format!("{id:?}"), format!("PoolId({id})"));
    let digest = Digest::of(b"");
    assert_eq!(Digest::parse_hex(&digest.to_string()), Some(digest));
}

/// The empty input of the official BLAKE3 test vectors.
#[test]
fn the_digest_is_blake3() {
    let known = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(Digest::of(b"").to_string(), known);
    assert_ne!(
        Digest::chain(b""),
        Digest::of(b""),
        "the record chain has a domain of its own"
    );
}

#[test]
fn version_ids_sort_by_age_and_tell_it() {
    let old = VersionId::new(LogIndex::new(255), [0xff; 8]);
    let new = VersionId::new(LogIndex::new(256), [0; 8]);
    assert!(old < new);
    assert_eq!(old.ordinal(), LogIndex::new(255));
    assert_eq!(old.to_string(), "00000000000000ffffffffffffffffff");
    assert_eq!(VersionId::from(UploadId::from(old)), old);
}

#[test]
fn arithmetic_stops_at_the_edges() {
    assert_eq!(Sequence::new(u64::MAX).next(), None);
    assert_eq!(SegmentId::NONE.next(), Some(SegmentId::new(1)));
    assert_eq!(Epoch::MAX.next(), None);
    assert_eq!(Epoch::new(5).checked_sub(6), None);
    assert_eq!(Sequence::new(7).since(Sequence::new(3)), Some(4));
    assert_eq!(Sequence::new(3).since(Sequence::new(7)), None);
    assert!(!Epoch::new(Epoch::MAX.get() + 1).in_range());
}

#[test]
fn months_follow_the_calendar() {
    let check = |month: u16, days: u64| {
        let month = Month::new(month).unwrap();
        let start = UnixMillis::new(days * DAY);
        assert_eq!(month.start(), start, "{month:?}");
        assert_eq!(Month::of(start), Some(month), "first instant of {month:?}");
        if let Some(before) = start.checked_sub(1) {
            assert_eq!(
                Month::of(before),
                Month::new(month.get() - 1),
                "before {month:?}"
            );
        }
    };
    check(0, 0);
    check(1, 31);
    check(2, 59);
    // 2000-02-29 and its neighbours: 2000 is a leap year, 2100 is not.
    check(30 * 12 + 1, 10_988);
    check(30 * 12 + 2, 11_017);
    check(130 * 12 + 2, 47_541);
    check(56 * 12 + 10, 20_758);
    assert_eq!(Month::new(4096), None);
    assert_eq!(Month::of(UnixMillis::MAX), None);
    let last = Month::new(4095).unwrap();
    assert_eq!(
        Month::of(UnixMillis::new(last.start().get() + 30 * DAY - 1)),
        Some(last)
    );
    assert_eq!(
        Month::of(UnixMillis::new(last.start().get() + 30 * DAY)),
        None
    );
}

fn parts(month: u16, class: KeyClass, epoch: u32, counter: u32) -> Option<KeyIndex> {
    let month = Month::new(month).unwrap();
    KeyIndex::compose(KeyIndexParts {
        month,
        class,
        epoch: Epoch::new(epoch),
        counter,
    })
}

#[test]
fn a_key_index_has_sixty_bits_in_their_places() {
    let index = parts(0xabc, KeyClass::PendingPart, 0x12345, 0x0067_89ab).unwrap();
    assert_eq!(index.get(), 0x0abc_1123_4567_89ab);
    assert_eq!(index.to_string(), "abc1123456789ab");
    assert_eq!(parts(0, KeyClass::Object, 0, 0), None, "epoch 0");
    assert_eq!(
        parts(0, KeyClass::Object, 1 << 20, 0),
        None,
        "epoch of 21 bits"
    );
    assert_eq!(
        parts(0, KeyClass::Object, 1, 1 << 24),
        None,
        "counter of 25 bits"
    );
    for wrong in [1 << 60, 1 << 63, (2 << 44) | (1 << 24), 7] {
        assert_eq!(KeyIndex::new(wrong).parts(), None, "{wrong:#x}");
    }
}

#[test]
fn a_month_is_one_run_of_indexes() {
    let month = Month::new(682).unwrap();
    let (first, last) = KeyIndex::month_range(month, KeyClass::Object);
    let lowest = parts(682, KeyClass::Object, 1, 0).unwrap();
    let highest = parts(682, KeyClass::Object, (1 << 20) - 1, (1 << 24) - 1).unwrap();
    assert!(first < lowest && last == highest);
    let (next, _) = KeyIndex::month_range(month, KeyClass::PendingPart);
    assert_eq!(last.get() + 1, next.get());
}

proptest! {
    #[test]
    fn key_indexes_come_apart_as_they_were_put_together(
        month in 0..4096_u16, part: bool, epoch in 1..1_048_576_u32, counter in 0..1_u32 << 24,
    ) {
        let class = if part { KeyClass::PendingPart } else { KeyClass::Object };
        let index = parts(month, class, epoch, counter).unwrap();
        let found = index.parts().unwrap();
        prop_assert_eq!(KeyIndex::compose(found), Some(index));
        prop_assert_eq!((found.month.get(), found.class), (month, class));
        prop_assert_eq!((found.epoch.get(), found.counter), (epoch, counter));
    }

    #[test]
    fn any_number_that_comes_apart_is_put_together_again(number: u64) {
        if let Some(parts) = KeyIndex::new(number).parts() {
            prop_assert_eq!(KeyIndex::compose(parts).map(KeyIndex::get), Some(number));
        }
    }

    #[test]
    fn a_time_lies_in_its_month(time in 0..10_700_000_000_000_u64) {
        let month = Month::of(UnixMillis::new(time)).unwrap();
        prop_assert!(month.start().get() <= time);
        if let Some(next) = Month::new(month.get() + 1) {
            prop_assert!(time < next.start().get());
        }
    }

    #[test]
    fn hexadecimal_reads_back(bytes in any::<[u8; 16]>()) {
        let id = VersionId::from_bytes(bytes);
        prop_assert_eq!(VersionId::parse_hex(&id.to_string()), Some(id));
    }
}

#[test]
fn a_frame_after_a_forced_opening_has_a_number_that_no_frame_before_had() {
    let first = |opening| Sequence::first_of(Opening::new(opening));
    assert_eq!((first(0), first(1).get()), (Sequence::FIRST, 1 << 40));
    for opening in [0, 1, 2, 77] {
        let (own, next) = (first(opening), first(opening + 1));
        assert_eq!(own.opening(), Opening::new(opening));
        assert_eq!(
            Sequence::new(next.get() - 1).opening(),
            Opening::new(opening)
        );
    }
    assert_eq!(Sequence::MAX.opening(), Opening::MAX);
    assert!(Sequence::first_of(Opening::MAX).in_range());
}
