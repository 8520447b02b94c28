//! The readers of answers: what is right is read, and nothing else, whatever bytes come.

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::super::form::Header;
use super::super::message::{empty_trailer, parse};
use super::super::note::PcrSet;
use super::super::session::split_trailer;
use super::super::template::{StorageKey, sealed_public};
use super::super::wire::{Malformed, Writer};
use super::{CAPABILITY_HANDLES, counter_value, created, handles_of, pcr_values, unsealed};
use crate::limits::TPM_HANDLES_MAX;

const POLICY: [u8; 32] = [9; 32];

fn created_answer(unique: &[u8; 32]) -> Vec<u8> {
    let answer = Writer::new()
        .sized(b"private area")
        .sized(sealed_public(&POLICY, unique).as_slice())
        .sized(b"creation data")
        .sized(&[1; 32])
        .u16(0x8021)
        .u32(0x4000_0001)
        .sized(&[2; 32]);
    answer.as_slice().to_vec()
}

fn handles_answer(handles: &[u32]) -> Vec<u8> {
    let count = u32::try_from(handles.len()).expect("few");
    let head = Writer::new().u8(0).u32(CAPABILITY_HANDLES).u32(count);
    let all = handles
        .iter()
        .fold(head, |answer, handle| answer.u32(*handle));
    all.as_slice().to_vec()
}

fn pcr_answer(selected: [u8; 3], values: usize) -> Vec<u8> {
    let count = u32::try_from(values).expect("few");
    let head = Writer::new()
        .u32(77)
        .u32(1)
        .u16(0x0b)
        .u8(3)
        .bytes(&selected)
        .u32(count);
    let all = (0..values).fold(head, |answer, _| answer.sized(&[5; 32]));
    all.as_slice().to_vec()
}

fn point_answer(x: usize, y: usize) -> Vec<u8> {
    let template = StorageKey::template();
    let bytes = template.as_slice();
    // The template ends with two empty coordinates.
    let head = &bytes[..bytes.len() - 4];
    let answer = Writer::new()
        .bytes(head)
        .sized(&vec![7; x])
        .sized(&vec![8; y]);
    answer.as_slice().to_vec()
}

/// Every cut and every added byte is refused.
fn only_whole<T>(answer: &[u8], read: impl Fn(&[u8]) -> Result<T, Malformed>) {
    assert!(read(answer).is_ok(), "the whole");
    for length in 0..answer.len() {
        assert!(read(&answer[..length]).is_err(), "cut at {length}");
    }
    assert!(read(&[answer, &[0]].concat()).is_err(), "one byte more");
}

#[test]
fn right_answers_are_read_and_only_whole_ones() {
    let eight = Writer::new().sized(&258_u64.to_be_bytes());
    assert_eq!(counter_value(eight.as_slice()), Ok(258));
    only_whole(eight.as_slice(), counter_value);
    only_whole(Writer::new().sized(&[3; 32]).as_slice(), unsealed);
    only_whole(&created_answer(&[4; 32]), |answer| created(answer, &POLICY));
    only_whole(&point_answer(32, 31), |answer| StorageKey::read(1, answer));
    assert_eq!(handles_of(&handles_answer(&[5, 6])), Ok(vec![5, 6]));
    only_whole(&handles_answer(&[5, 6]), handles_of);
    let trailer = Writer::new().sized(&[1; 32]).u8(1).sized(&[2; 32]);
    only_whole(trailer.as_slice(), |answer| {
        split_trailer(answer).map(|_| ())
    });
    only_whole(
        Writer::new().sized(&[]).u8(1).sized(&[]).as_slice(),
        empty_trailer,
    );
}

#[test]
fn answers_that_are_not_about_what_was_asked_are_refused() {
    let other_policy = created(&created_answer(&[4; 32]), &[8; 32]);
    assert!(other_policy.is_err(), "another policy");
    assert!(
        StorageKey::read(1, &point_answer(33, 32)).is_err(),
        "too long"
    );
    let many = vec![1; usize::try_from(TPM_HANDLES_MAX).expect("small") + 1];
    assert!(handles_of(&handles_answer(&many)).is_err(), "too many");
    let short = Writer::new().sized(&[3; 31]);
    assert!(unsealed(short.as_slice()).is_err(), "31 bytes");
}

#[test]
fn registers_come_lowest_first_and_one_at_least() {
    let wanted: PcrSet = "0,2,9".parse().expect("registers");
    let read = |selected, values| {
        let answer = pcr_answer(selected, values);
        pcr_values(&answer, wanted).map(|(left, values)| (left.to_string(), values.len()))
    };
    assert_eq!(read([5, 2, 0], 3), Ok(("none".to_owned(), 3)));
    assert_eq!(read([5, 0, 0], 2), Ok(("9".to_owned(), 2)));
    assert_eq!(read([1, 0, 0], 1), Ok(("2,9".to_owned(), 1)));
    let refused = [
        ([0, 0, 0], 0),
        ([4, 0, 0], 1),
        ([1, 2, 0], 2),
        ([5, 0, 0], 3),
        ([3, 0, 0], 2),
        ([5, 2, 1], 4),
    ];
    for (selected, values) in refused {
        assert_eq!(read(selected, values), Err(Malformed), "{selected:?}");
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in bytes(), sessions: bool, handle: bool) {
        let _ = parse(&bytes, sessions, handle);
        let _ = empty_trailer(&bytes);
        let _ = split_trailer(&bytes);
        let _ = handles_of(&bytes);
        let _ = counter_value(&bytes);
        let _ = pcr_values(&bytes, PcrSet::from_bits(0xff_00ff).expect("registers"));
        let _ = created(&bytes, &POLICY);
        let _ = unsealed(&bytes);
        let _ = StorageKey::read(1, &bytes);
        let _ = Header::split(&bytes);
    }

    /// What is nearly right gets further into the readers.
    #[test]
    fn damaged_answers_never_panic_and_never_give_another_key(
        at in 0..400_usize, value: u8, tail in bytes()
    ) {
        let damage = |mut answer: Vec<u8>| {
            let length = answer.len();
            answer[at % length] = value;
            [answer, tail.clone()].concat()
        };
        if let Ok(sealed) = created(&damage(created_answer(&[4; 32])), &POLICY) {
            prop_assert!(tail.is_empty() && sealed.private.len() == 12);
        }
        if let Ok((left, _)) = pcr_values(
            &damage(pcr_answer([5, 2, 0], 3)),
            PcrSet::from_bits(0x205).expect("registers"),
        ) {
            prop_assert!(left.is_empty());
        }
        let _ = handles_of(&damage(handles_answer(&[5, 6])));
        let _ = StorageKey::read(1, &damage(point_answer(32, 32)));
        let length = u8::try_from(30).expect("small");
        let whole = [&[0x80, 2, 0, 0, 0, length], &[0; 24][..]].concat();
        let _ = parse(&damage(whole), true, at % 2 == 0);
    }

    #[test]
    fn headers_are_read_as_written(
        value: u64, pcrs in 0_u32..1 << 24, unique: [u8; 32], private in prop::collection::vec(any::<u8>(), 1..512)
    ) {
        let pcrs = PcrSet::from_bits(pcrs).expect("registers");
        let pcr_digest = if pcrs.is_empty() { [0; 32] } else { unique };
        let header = Header { value, pcrs, pcr_digest, unique, private };
        let bytes = header.encode();
        let sealed = [bytes.as_slice(), b"message"].concat();
        let (read, head, message) = Header::split(&sealed).expect("read");
        prop_assert_eq!(&read, &header);
        prop_assert_eq!(head, bytes.as_slice());
        prop_assert_eq!(message, b"message");
        prop_assert!(Header::split(&bytes[..bytes.len() - 1]).is_err());
    }
}
