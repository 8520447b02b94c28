//! Listings of the real engine against a simple model: every prefix, delimiter, start and page size, over
//! markers, released versions, several versions and several uploads of a name.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_format::units::VersionId;
use stele_store::index::Scan;
use stele_store::index::message::{IndexRequest, Query};
use stele_store::policy::{BucketKind, CurrentExpiry, FilterForm, LifecycleRule};
use stele_store::request::{
    Answer, Command, Expiring, ListWish, ListedObject, ListedUpload, ListedVersion, LockWish,
    Metadata, Page,
};
use support::{Rig, Running, name};

const KEYS: [&str; 10] = [
    "a", "a/1", "a/2", "a//3", "a0", "b/x/1", "b/x/2", "c", "\u{1}odd", "\u{e4}/1",
];
const PREFIXES: [&str; 7] = ["", "a", "a/", "b/x/", "b/x/1", "nothing", "\u{e4}"];
const DELIMITERS: [Option<&str>; 4] = [None, Some("/"), Some("x/"), Some("0")];
const STARTS: [Option<&str>; 6] = [
    None,
    Some("a"),
    Some("a/"),
    Some("a/1"),
    Some("b/x/"),
    Some("zzz"),
];
const PAGES: [u32; 4] = [1, 2, 5, 1000];

/// A row of a listing: its name, and what tells it from others of that name.
type Row = (Vec<u8>, String);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Row(Row),
    Prefix(Vec<u8>),
}

impl Entry {
    fn place(&self) -> &[u8] {
        match self {
            Entry::Row((name, _)) => name,
            Entry::Prefix(prefix) => prefix,
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|at| at == wanted)
}

/// What a listing of these rows gives in all.
fn model(
    rows: &[Row],
    prefix: &[u8],
    delimiter: Option<&[u8]>,
    after: Option<&[u8]>,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    for row in rows {
        let Some(rest) = row.0.strip_prefix(prefix) else {
            continue;
        };
        let cut = delimiter.and_then(|wanted| Some(find(rest, wanted)? + wanted.len()));
        let entry = match cut {
            Some(cut) => Entry::Prefix(row.0[..prefix.len() + cut].to_vec()),
            None => Entry::Row(row.clone()),
        };
        let rolled = matches!(entry, Entry::Prefix(_)) && entries.contains(&entry);
        if !rolled && after.is_none_or(|after| entry.place() > after) {
            entries.push(entry);
        }
    }
    entries
}

/// One page, whichever listing it is of.
type Shown = (Vec<Row>, Vec<Vec<u8>>, Option<(Vec<u8>, Option<String>)>);

fn shown<R>(page: Page<R>, row: impl Fn(R) -> Row) -> Shown {
    let rows = page.rows.into_iter().map(row).collect();
    (rows, page.common_prefixes, page.next)
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Objects,
    Versions,
    Uploads,
}

fn page(vault: &mut Running, kind: Kind, wish: ListWish) -> Shown {
    let command = match kind {
        Kind::Objects => Command::List(wish),
        Kind::Versions => Command::ListVersions(wish),
        Kind::Uploads => Command::ListUploads(wish),
    };
    match vault.ask(command).unwrap() {
        Answer::Listing(page) => shown(page, |row: ListedObject| (row.key, row.etag)),
        Answer::VersionListing(page) => shown(page, |row: ListedVersion| {
            (row.key, row.version.to_string())
        }),
        Answer::Uploads(page) => shown(page, |row: ListedUpload| (row.key, row.upload.to_string())),
        other => panic!("unexpected {other:?}"),
    }
}

/// All pages of a listing, merged as a client sees them.
fn walk(vault: &mut Running, kind: Kind, wish: &ListWish) -> Vec<Entry> {
    let mut wish = wish.clone();
    let mut seen = Vec::new();
    for _ in 0..100 {
        let (rows, prefixes, next) = page(vault, kind, wish.clone());
        assert!(rows.len() + prefixes.len() <= wish.entries_max as usize);
        let mut entries: Vec<Entry> = rows
            .into_iter()
            .map(Entry::Row)
            .chain(prefixes.into_iter().map(Entry::Prefix))
            .collect();
        // Rows of one name keep the order they came in.
        entries.sort_by(|a, b| a.place().cmp(b.place()));
        seen.extend(entries);
        let Some((after, version)) = next else {
            return seen;
        };
        wish.after = Some(after);
        wish.after_version = version;
    }
    panic!("a listing without an end")
}

/// A bucket with everything that listings can meet, and the rows each listing is made of.
fn filled(vault: &mut Running) -> [(Kind, Vec<Row>); 3] {
    vault.bucket("b", true);
    let (mut objects, mut versions, mut uploads) = (Vec::new(), Vec::new(), Vec::new());
    for (number, key) in KEYS.into_iter().enumerate() {
        let object = name("b", key);
        let mut of_key = Vec::new();
        let mut current = None;
        for _ in 0..=number % 3 {
            let stored = vault.put(&object, key.as_bytes());
            of_key.push(stored.version.unwrap());
            current = Some(stored.etag);
        }
        let delete = |version| Command::Delete {
            name: object.clone(),
            version,
            bypass: false,
        };
        // Some have a marker as the newest, some lost an old version.
        if number % 4 == 1 {
            let Answer::Deleted { version, .. } = vault.ask(delete(None)).unwrap() else {
                panic!("no marker")
            };
            of_key.push(version.unwrap());
            current = None;
        }
        if number % 3 == 2 {
            vault.ask(delete(Some(of_key.remove(0)))).unwrap();
        }
        objects.extend(current.map(|etag| (key.as_bytes().to_vec(), etag)));
        let newest_first = of_key.iter().rev();
        versions.extend(newest_first.map(|id| (key.as_bytes().to_vec(), id.to_string())));
        for _ in 0..number % 3 {
            let begin = Command::CreateUpload {
                name: object.clone(),
                metadata: Metadata::default(),
                lock: LockWish::default(),
                announced: None,
            };
            let Answer::Upload(upload) = vault.ask(begin).unwrap() else {
                panic!("no upload")
            };
            uploads.push((key.as_bytes().to_vec(), upload.to_string()));
        }
    }
    // By name; what belongs to one name stays in its order.
    for rows in [&mut objects, &mut versions, &mut uploads] {
        rows.sort_by(|a, b| a.0.cmp(&b.0));
    }
    [
        (Kind::Objects, objects),
        (Kind::Versions, versions),
        (Kind::Uploads, uploads),
    ]
}

#[test]
fn every_listing_gives_every_entry_once_whatever_is_asked() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let listings = filled(&mut vault);
    // Once from memory, once from the file.
    for restarted in [false, true] {
        if restarted {
            vault.stop();
            vault = rig.start();
        }
        for (kind, rows) in &listings {
            for prefix in PREFIXES {
                for delimiter in DELIMITERS {
                    for after in STARTS {
                        for entries_max in PAGES {
                            let bytes = |text: &str| text.as_bytes().to_vec();
                            let wish = ListWish {
                                bucket: "b".to_owned(),
                                prefix: bytes(prefix),
                                delimiter: delimiter.map(bytes),
                                after: after.map(bytes),
                                after_version: None,
                                entries_max,
                            };
                            let seen = walk(&mut vault, *kind, &wish);
                            let expected = model(
                                rows,
                                &wish.prefix,
                                wish.delimiter.as_deref(),
                                wish.after.as_deref(),
                            );
                            assert_eq!(
                                seen, expected,
                                "{kind:?} {prefix:?} {delimiter:?} after {after:?}, {entries_max} a page"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_listing_goes_on_behind_any_version_and_any_upload() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let [_, versions, uploads] = filled(&mut vault);
    for (kind, rows) in [versions, uploads] {
        for (at, (key, id)) in rows.iter().enumerate() {
            let wish = ListWish {
                bucket: "b".to_owned(),
                after: Some(key.clone()),
                after_version: Some(id.clone()),
                entries_max: 3,
                ..ListWish::default()
            };
            let seen = walk(&mut vault, kind, &wish);
            let expected: Vec<Entry> = rows[at + 1..].iter().cloned().map(Entry::Row).collect();
            assert_eq!(seen, expected, "{kind:?} behind row {at}");
        }
    }
}

#[test]
fn a_page_of_nothing_says_so() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let listings = filled(&mut vault);
    for (kind, _) in listings {
        let wish = ListWish {
            bucket: "b".to_owned(),
            entries_max: 0,
            ..ListWish::default()
        };
        let (rows, prefixes, next) = page(&mut vault, kind, wish);
        assert!(
            rows.is_empty() && prefixes.is_empty() && next.is_none(),
            "{kind:?}"
        );
    }
}

/// Asks, and counts what the index is asked for: scans, and those asked for again.
fn counted(vault: &mut Running, command: Command) -> (Answer, usize, usize) {
    let mut scans = Vec::new();
    let mut again = 0;
    vault.index_busy = Some(Vec::new());
    let id = vault.send(command);
    while let asked = vault.asked_of_index()
        && !asked.is_empty()
    {
        for request in &asked {
            if let IndexRequest::Query(Query { scans: more, .. }) = request {
                let (known, new): (Vec<Scan>, Vec<Scan>) =
                    more.iter().cloned().partition(|scan| scans.contains(scan));
                again += known.len();
                scans.extend(new);
            }
        }
        vault.index_busy = Some(Vec::new());
        vault.answer_index(asked);
    }
    vault.index_busy = None;
    while !vault.replies.contains_key(&id) {
        vault.turn();
    }
    let answer = vault.replies.remove(&id).unwrap().unwrap();
    (answer, scans.len(), again)
}

/// Backup clients delete for years, and what they deleted is kept: names that show nothing.
#[test]
fn names_that_show_nothing_are_read_in_large_steps_and_once() {
    const DELETED: usize = 3_000;
    let mut rig = Rig::create(2);
    rig.options.snapshot_rows = 1_000;
    rig.options.new_bucket.kind = BucketKind::Plain;
    rig.options.new_bucket.default = None;
    let mut vault = rig.start();
    vault.bucket("b", false);
    let delete = |vault: &mut Running, key: &str, version: Option<VersionId>| {
        let deleted = Command::Delete {
            name: name("b", key),
            version,
            bypass: false,
        };
        assert!(version.is_some());
        vault.ask(deleted).unwrap();
    };
    let first = vault.put(&name("b", "a"), b"").version;
    for number in 0..DELETED {
        let key = format!("dead/{number:05}");
        let version = vault.put(&name("b", &key), b"").version;
        delete(&mut vault, &key, version);
    }
    let last = vault.put(&name("b", "z"), b"").version;
    vault.stop();
    let mut vault = rig.start();
    for delimiter in [None, Some(b"/".to_vec())] {
        let wish = ListWish {
            bucket: "b".into(),
            delimiter,
            entries_max: 2,
            ..ListWish::default()
        };
        for command in [Command::List(wish.clone()), Command::ListVersions(wish)] {
            let (answer, scans, again) = counted(&mut vault, command);
            let keys: Vec<Vec<u8>> = match answer {
                Answer::Listing(page) => page.rows.into_iter().map(|row| row.key).collect(),
                Answer::VersionListing(page) => page.rows.into_iter().map(|row| row.key).collect(),
                other => panic!("{other:?}"),
            };
            assert_eq!(keys, [b"a", b"z"]);
            assert!(scans < 30 && again == 0, "{scans} scans, {again} again");
        }
    }
    delete(&mut vault, "a", first);
    delete(&mut vault, "z", last);
    let gone = Command::DeleteBucket { name: "b".into() };
    let (_, scans, _) = counted(&mut vault, gone);
    assert!(scans < 30, "{scans} scans");
}

/// As lifecycle rules leave a key: a marker before very many versions that are released and kept. Nothing that is
/// asked about it reads them in small steps, nor again and again.
#[test]
fn a_marker_goes_from_before_thousands_of_released_versions() {
    const COUNT: usize = 3_000;
    let mut rig = Rig::create(2);
    rig.options.snapshot_rows = 1_000;
    rig.options.new_bucket.kind = BucketKind::ClientLocked;
    rig.options.new_bucket.default = None;
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = name("b", "k");
    let delete = |version| Command::Delete {
        name: key.clone(),
        version,
        bypass: false,
    };
    for _ in 0..COUNT {
        let version = vault.put(&key, b"").version;
        vault.ask(delete(version)).unwrap();
    }
    vault.ask(delete(None)).unwrap();
    let rule = LifecycleRule {
        id: "r".into(),
        form: FilterForm::Whole,
        prefix: Vec::new(),
        bytes_min: 0,
        bytes_below: 0,
        disabled: false,
        upload_days: None,
        current: Some(CurrentExpiry::LoneMarker),
        noncurrent: None,
    };
    let set = Command::SetLifecycle {
        bucket: "b".into(),
        rules: vec![rule],
    };
    vault.ask(set).unwrap();
    vault.stop();
    let mut vault = rig.start();
    let look = Command::ListExpiring {
        bucket: "b".into(),
        after: None,
        done: None,
    };
    let (answer, scans, again) = counted(&mut vault, look);
    assert!(scans < 40 && again == 0, "{scans} scans, {again} again");
    let Answer::Expiring { due, .. } = answer else {
        panic!("{answer:?}")
    };
    let [marker] = <[Expiring; 1]>::try_from(due).unwrap();
    let expire = Command::Expire {
        name: key,
        version: marker.version,
        next: marker.next,
    };
    let (_, scans, again) = counted(&mut vault, expire);
    assert!(scans < 60 && again == 0, "{scans} scans, {again} again");
}
