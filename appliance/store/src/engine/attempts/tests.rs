use super::*;
use stele_format::limits::ATTEMPTS_MAX;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn at(ms: u64) -> UnixMillis {
    UnixMillis::new(1_800_000_000_000 + ms)
}

fn client(key_id: &str, bucket: u8) -> Attempted {
    Attempted::Client {
        client: ClientTag::new(key_id).unwrap_or_default(),
        bucket: BucketId::new([bucket; 16]),
        first: VersionRef::default(),
    }
}

const DELETION: Words = ("delete-version", "locked");

/// A day of attempts, one each second, by clients and buckets that change every time.
#[test]
fn a_flood_writes_a_record_a_minute_whatever_it_is_made_of() {
    let mut attempts = Attempts::default();
    let (mut records, mut counted) = (0, 0);
    for second in 0..24 * 3_600_u32 {
        let now = at(u64::from(second) * 1_000);
        for word in ["delete-version", "lift-hold", "lower-default"] {
            let by = client(&format!("K{second}"), 7);
            attempts.note(by, (word, "locked"), 1, now);
        }
        if attempts.is_due(now) {
            let written = attempts.take();
            assert!(written.len() <= ATTEMPTS_MAX);
            counted += written.iter().map(|attempt| attempt.count).sum::<u64>();
            records += 1;
        }
    }
    counted += attempts
        .take()
        .iter()
        .map(|attempt| attempt.count)
        .sum::<u64>();
    assert_eq!(counted, 3 * 24 * 3_600);
    // One each minute, and one each hour at most for each of the three kinds.
    assert!((24 * 55..=24 * 63).contains(&records), "{records}");
}

#[test]
fn the_first_of_a_kind_is_written_at_once_and_the_next_with_the_minute() {
    let mut attempts = Attempts::default();
    attempts.note(client("K", 1), DELETION, 1, at(0));
    assert!(attempts.is_due(at(0)));
    assert_eq!(attempts.take().len(), 1);
    attempts.note(client("K", 1), DELETION, 1, at(1_000));
    attempts.note(client("K", 1), DELETION, 1, at(2_000));
    attempts.note(client("K", 2), DELETION, 1, at(3_000));
    assert!(!attempts.is_due(at(MINUTE)));
    // Another kind does not wait.
    attempts.note(
        client("K", 1),
        ("lift-hold", "right-missing"),
        1,
        at(MINUTE),
    );
    assert!(attempts.is_due(at(MINUTE)));
    let written = attempts.take();
    let counts: Vec<u64> = written.iter().map(|attempt| attempt.count).collect();
    assert_eq!(counts, [2, 1, 1]);
    assert_eq!(
        (written[0].first_ms, written[0].last_ms),
        (at(1_000), at(2_000))
    );
    // After an hour it is news again.
    attempts.note(client("K", 1), DELETION, 1, at(HOUR));
    assert!(attempts.is_due(at(HOUR)));
}

#[test]
fn what_has_no_row_any_more_is_counted_by_what_was_tried() {
    let mut attempts = Attempts::default();
    for bucket in 0..200 {
        attempts.note(client("K", bucket), DELETION, 1, at(0));
    }
    let written = attempts.take();
    assert_eq!(written.len(), ATTEMPT_COUNT_MAX + 1);
    let more = written.last().expect("the rest");
    assert_eq!((&more.by, more.why.as_str()), (&Attempted::More, "more"));
    assert_eq!(more.count, 200 - ATTEMPT_COUNT_MAX as u64);
}

#[test]
fn deletes_alarm_above_a_thousand_an_hour_and_once_an_hour() {
    let mut attempts = Attempts::default();
    let mut told = Vec::new();
    // A thousand an hour for three hours, evenly: nothing.
    for step in 0..3_000_u64 {
        told.extend(attempts.deleted("slow", at(step * 3_600)));
    }
    assert!(told.is_empty(), "{told:?}");
    // Five thousand within a quarter of an hour: once; another client's are its own.
    for step in 0..5_000_u64 {
        told.extend(attempts.deleted("fast", at(step * 180)));
        told.extend(attempts.deleted(&format!("other{}", step % 10), at(step * 180)));
    }
    assert_eq!(told, [DELETE_RATE_MAX + 1]);
    // It goes on: once more in each hour.
    for step in 0..5_000_u64 {
        told.extend(attempts.deleted("fast", at(2 * HOUR + step * 180)));
    }
    assert_eq!(told.len(), 2);
}
