//! What stays is found again when the index is made anew without the manifests of what is gone.

use stele_format::statement::{Act, Cut, Verb};
use stele_format::units::{Epoch, KeyClass, KeyIndex, KeyIndexParts, Month, VersionId};
use stele_store::config::NewBucket;
use stele_store::policy::BucketKind;
use stele_store::policy::approval::RequestState;

use crate::erase::keys_on;
use crate::support::steps::turns;
use crate::support::{Rig, content, name};
use crate::world::{
    DAY_MS, census, complete, founded_in, list, part, put_as, rehome, request, ripe, say, upload,
    view, work_off,
};

/// An object in a plain bucket whose older versions are destroyed, the newest one by a multipart upload that
/// began before or after them.
fn overwritten_then_destroyed(begun_before: bool) {
    let mut rig = Rig::create(3);
    rig.options.new_bucket = NewBucket {
        kind: BucketKind::Plain,
        default: None,
        floor_ms: 0,
    };
    let (mut rig, mut vault) = founded_in(rig);
    vault.bucket("b", false);
    let object = name("b", "o");
    let early = begun_before.then(|| upload(&mut vault, &object));
    let old: Vec<VersionId> = (0..2)
        .map(|seed| put_as(&mut vault, &object, seed, 300, None))
        .collect();
    let upload = early.unwrap_or_else(|| upload(&mut vault, &object));
    let etags: Vec<String> = (1..2)
        .map(|number| part(&mut vault, &object, upload, number, 7, 700))
        .collect();
    let new = complete(&mut vault, &object, upload, &etags);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &old, Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((2, 0)));
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let mut vault = rig.start();
    assert!(vault.report.index_rebuilt);
    turns(&mut vault);
    let rows = census(&mut vault);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].version, rows[0].released), (new, false));
    let read = vault.get(&object, None, None);
    assert_eq!(
        read.unwrap(),
        content(7, 700),
        "begun before {begun_before}"
    );
    vault.stop();
}

#[test]
fn what_was_uploaded_in_parts_stays_when_what_it_replaced_is_destroyed() {
    for begun_before in [true, false] {
        overwritten_then_destroyed(begun_before);
    }
}

/// Newer versions go first, by one request after the other, while the index file still has all of them.
#[test]
fn the_oldest_version_stays_when_the_newer_ones_are_destroyed_one_after_the_other() {
    let (mut rig, mut vault) = founded_in(Rig::create(3));
    vault.bucket("b", true);
    let object = name("b", "o");
    let versions: Vec<VersionId> = (0..3)
        .map(|seed| put_as(&mut vault, &object, seed, 300, None))
        .collect();
    vault.sleep(DAY_MS);
    let requests: Vec<_> = [versions[2], versions[1]]
        .iter()
        .map(|version| {
            let erase = list(&mut vault, &[*version], Cut::Leaves, false);
            let asked = request(&mut vault, Act::Erase(erase), "oona").unwrap();
            for who in ["anna", "axel"] {
                say(&mut vault, Verb::Approve, asked, who).unwrap();
            }
            asked
        })
        .collect();
    vault.sleep(7 * DAY_MS);
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let mut vault = rig.start();
    for asked in requests {
        say(&mut vault, Verb::Execute, asked, "oona").unwrap();
        assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    }
    assert_eq!(vault.get(&object, None, None), Ok(content(0, 300)));
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    assert_eq!(vault.get(&object, None, None), Ok(content(0, 300)));
    assert_eq!(census(&mut vault).len(), 1);
    vault.stop();
}

/// How many leaves of a month's parts are cut, of the first ones.
fn parts_cut(rig: &Rig, month: Month) -> usize {
    let keys = keys_on(rig);
    let indexes = (0..32).flat_map(|epoch| (0..32).map(move |counter| (epoch, counter)));
    let leaves = indexes.filter_map(|(epoch, counter)| {
        let parts = KeyIndexParts {
            month,
            class: KeyClass::PendingPart,
            epoch: Epoch::new(epoch),
            counter,
        };
        KeyIndex::compose(parts)
    });
    leaves.filter(|leaf| !keys.tree.has_leaf(*leaf)).count()
}

/// Its manifest lies elsewhere then: the keys of its own record are gone.
#[test]
fn an_upload_that_was_completed_says_so_when_its_month_has_been_cut() {
    let (mut rig, mut vault) = founded_in(Rig::create(3));
    vault.bucket("b", true);
    let object = name("b", "o");
    let of = upload(&mut vault, &object);
    let etag = part(&mut vault, &object, of, 1, 7, 700);
    let staying = complete(&mut vault, &object, of, std::slice::from_ref(&etag));
    let doomed = put_as(&mut vault, &name("b", "doomed"), 1, 300, None);
    let month = census(&mut vault)[0].leaf.parts().unwrap().month;
    vault.sleep(40 * DAY_MS);
    let erase = list(&mut vault, &[doomed], Cut::Month(month), false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(rehome(&mut vault, asked), 1);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let mut vault = rig.start();
    let again = complete(&mut vault, &object, of, &[etag]);
    assert_eq!(again, staying);
    vault.stop();
}

/// The upload's own key goes with the month it began in, the keys of its parts do not: what is replayed in many
/// stages, or from a snapshot, must not miss the upload, nor forget the leaves of its parts.
#[test]
fn a_part_whose_upload_went_with_its_month_does_not_keep_the_vault_from_starting() {
    let mut rig = Rig::create(3);
    rig.options.snapshot_rows = 3;
    let (mut rig, mut vault) = founded_in(rig);
    vault.bucket("b", true);
    let object = name("b", "o");
    let early = upload(&mut vault, &object);
    let doomed = put_as(&mut vault, &name("b", "doomed"), 1, 300, None);
    let month = census(&mut vault)[0].leaf.parts().unwrap().month;
    vault.sleep(40 * DAY_MS);
    let later = Month::of(view(&mut vault).now).unwrap();
    let etag = part(&mut vault, &object, early, 1, 7, 700);
    let erase = list(&mut vault, &[doomed], Cut::Month(month), false);
    let asked = ripe(&mut vault, erase);
    let staying = complete(&mut vault, &object, early, &[etag]);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    rehome(&mut vault, asked);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let mut vault = rig.start();
    turns(&mut vault);
    let state = view(&mut vault).requests[0].state;
    assert_eq!(state, RequestState::Executed);
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    // The index is lost as well: the journal alone tells.
    for handle in rig.handles.iter().take(2).flatten() {
        handle.tamper((1 << 20) + (256 << 10), &vec![0x5a_u8; 1 << 20]);
    }
    for _ in 0..2 {
        let mut vault = rig.start();
        turns(&mut vault);
        let rows = census(&mut vault);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0].version, staying);
        assert_eq!(vault.get(&object, None, None), Ok(content(7, 700)));
        rig.clock_ms = view(&mut vault).now.get();
        drop(vault);
    }
    assert_eq!(parts_cut(&rig, later), 0);
    let mut vault = rig.start();
    let erase = list(&mut vault, &[staying], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let mut vault = rig.start();
    turns(&mut vault);
    vault.stop();
    assert_eq!(
        parts_cut(&rig, later),
        1,
        "the leaf of its part went with it"
    );
}
