//! How much fits, as clients are told: it is true while a vault fills up, and nothing when it is full.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_format::units::UnixMillis;
use stele_store::policy::{Mode, Retention};
use stele_store::request::{Answer, Command, LockWish, Metadata, Purpose, Refusal};
use support::{Rig, Running, content, name};

const OBJECT_BYTES: usize = 3_000_000;

fn capacity(vault: &mut Running) -> (u64, u64) {
    match vault.ask(Command::Capacity).unwrap() {
        Answer::Capacity {
            total_bytes,
            free_bytes,
        } => (total_bytes, free_bytes),
        other => panic!("unexpected {other:?}"),
    }
}

fn put(vault: &mut Running, number: usize) -> Result<(), Refusal> {
    let purpose = Purpose::Object {
        metadata: Metadata::default(),
        lock: LockWish::default(),
    };
    let stream = vault.open_put(&name("b", &format!("k{number}")), purpose)?;
    vault.feed(stream, &content(number, OBJECT_BYTES))?;
    vault.commit(stream).map(|_stored| ())
}

#[test]
fn what_clients_are_told_fits_and_a_full_vault_takes_no_tags_but_every_lock() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    let (total, at_first) = capacity(&mut vault);
    assert!(0 < at_first && at_first <= total, "{at_first} of {total}");
    let (mut stored, mut before) = (0, at_first);
    let refused = loop {
        if let Err(refused) = put(&mut vault, stored) {
            break refused;
        }
        stored += 1;
        let (now_total, free) = capacity(&mut vault);
        assert_eq!(now_total, total);
        assert!(free <= before, "{free} after {before}");
        before = free;
        assert!(stored < 1000, "never full");
    };
    assert_eq!(refused, Refusal::Full);
    assert_eq!(capacity(&mut vault), (total, 0));
    let bytes = (stored * OBJECT_BYTES) as u64;
    // The log takes its part, and segments are not filled to the last byte.
    assert!(bytes <= total && bytes > total / 2, "{bytes} of {total}");
    let object = name("b", "k0");
    let tags = Command::SetTags {
        name: object.clone(),
        version: None,
        tags: vec![("a".to_owned(), "1".to_owned())],
    };
    assert_eq!(vault.ask(tags).unwrap_err(), Refusal::Full);
    let retention = Command::SetRetention {
        name: object.clone(),
        version: None,
        retention: Some(Retention {
            mode: Mode::Compliance,
            until: UnixMillis::new(1_800_000_000_000),
        }),
        bypass: false,
    };
    vault.ask(retention).unwrap();
    let hold = Command::SetHold {
        name: object,
        version: None,
        on: true,
    };
    vault.ask(hold).unwrap();
    vault.stop();
}
