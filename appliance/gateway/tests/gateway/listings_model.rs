//! All listings against a simple model: every prefix, delimiter, page size, encoding and start, page by
//! page.

use crate::client::{Call, Reply};
use crate::world::World;

const KEYS: [&str; 9] = [
    "a/1",
    "a/2",
    "a//3",
    "a b+c",
    "b",
    "b/x/1",
    "b/x/2",
    "d & <e>",
    "\u{e4}/\u{20ac}",
];
const PREFIXES: [&str; 6] = ["", "a", "a/", "b/x/", "nothing", "\u{e4}"];
const DELIMITERS: [&str; 4] = ["", "/", "x/", " "];
const PAGES: [usize; 4] = [1, 2, 3, 1000];

/// What a listing consists of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Key(String),
    Prefix(String),
}

impl Entry {
    fn place(&self) -> &str {
        match self {
            Entry::Key(place) | Entry::Prefix(place) => place,
        }
    }
}

/// The entries of all keys in order, each key as often as it has rows.
fn model(keys: &[String], prefix: &str, delimiter: &str, after: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for key in keys {
        let Some(rest) = key.strip_prefix(prefix) else {
            continue;
        };
        let cut = match delimiter {
            "" => None,
            delimiter => rest.find(delimiter).map(|at| at + delimiter.len()),
        };
        let entry = match cut {
            Some(cut) => Entry::Prefix(format!("{prefix}{}", &rest[..cut])),
            None => Entry::Key(key.clone()),
        };
        let known = matches!(entry, Entry::Prefix(_)) && entries.contains(&entry);
        if !known && (after.is_empty() || entry.place() > after) {
            entries.push(entry);
        }
    }
    entries
}

/// One of the listings: its fixed parameters, and how its pages say where to go on.
struct Kind {
    fixed: &'static [(&'static str, &'static str)],
    most: &'static str,
    /// Parameter to start after a key.
    after: &'static str,
    /// Element and parameter of the next page.
    next: &'static [(&'static str, &'static str)],
    /// Whether the next page's place is encoded like a name.
    encoded_next: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        fixed: &[],
        most: "max-keys",
        after: "marker",
        next: &[("NextMarker", "marker")],
        encoded_next: true,
    },
    Kind {
        fixed: &[("list-type", "2")],
        most: "max-keys",
        after: "start-after",
        next: &[("NextContinuationToken", "continuation-token")],
        encoded_next: false,
    },
    Kind {
        fixed: &[("versions", "")],
        most: "max-keys",
        after: "key-marker",
        next: &[
            ("NextKeyMarker", "key-marker"),
            ("NextVersionIdMarker", "version-id-marker"),
        ],
        encoded_next: true,
    },
    Kind {
        fixed: &[("uploads", "")],
        most: "max-uploads",
        after: "key-marker",
        next: &[
            ("NextKeyMarker", "key-marker"),
            ("NextUploadIdMarker", "upload-id-marker"),
        ],
        encoded_next: true,
    },
];

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(&tail[..2]).expect("digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// The entries of a page, in order.
fn entries(reply: &Reply, encoded: bool) -> Vec<Entry> {
    let name = |text: String| if encoded { decode(&text) } else { text };
    let inner = |text: String| {
        let text = text.trim_start_matches("<Prefix>");
        name(text.trim_end_matches("</Prefix>").to_owned())
    };
    let keys = reply
        .all("Key")
        .into_iter()
        .map(|key| Entry::Key(name(key)));
    let prefixes = reply.all("CommonPrefixes").into_iter();
    let mut entries: Vec<Entry> = keys
        .chain(prefixes.map(|prefix| Entry::Prefix(inner(prefix))))
        .collect();
    entries.sort_by(|a, b| a.place().cmp(b.place()));
    entries
}

struct Wish<'w> {
    prefix: &'w str,
    delimiter: &'w str,
    after: &'w str,
    page: usize,
    encoded: bool,
}

async fn walk(world: &World, kind: &Kind, wish: &Wish<'_>) -> Vec<Entry> {
    let mut seen = Vec::new();
    let mut place: Vec<(&str, String)> = Vec::new();
    if !wish.after.is_empty() {
        place.push((kind.after, wish.after.to_owned()));
    }
    for _ in 0..=2 * KEYS.len() {
        let mut call = Call::bucket("GET", "locked").query(kind.most, &wish.page.to_string());
        for (name, value) in kind.fixed {
            call = call.query(name, value);
        }
        for (name, value) in [("prefix", wish.prefix), ("delimiter", wish.delimiter)] {
            if !value.is_empty() {
                call = call.query(name, value);
            }
        }
        if wish.encoded {
            call = call.query("encoding-type", "url");
        }
        for (name, value) in &place {
            call = call.query(name, value);
        }
        let reply = world.call(call).await.expect(200);
        assert_eq!(
            reply.one("EncodingType"),
            if wish.encoded { "url" } else { "" }
        );
        let page = entries(&reply, wish.encoded);
        assert!(page.len() <= wish.page);
        seen.extend(page);
        if reply.one("IsTruncated") != "true" {
            return seen;
        }
        place.clear();
        for (element, parameter) in kind.next {
            let value = reply.one(element);
            let value = match wish.encoded && kind.encoded_next {
                true => decode(&value),
                false => value,
            };
            if !value.is_empty() {
                place.push((parameter, value));
            }
        }
    }
    panic!("a listing without an end");
}

#[tokio::test]
async fn every_listing_gives_every_entry_once_whatever_the_page() {
    let world = World::start().await;
    world.bucket("locked").await;
    for key in KEYS {
        world.put("locked", key, b"x").await;
        let begin = Call::object("POST", "locked", key).query("uploads", "");
        world.call(begin).await.expect(200);
    }
    // Some names have two versions, and two uploads.
    for key in ["a/2", "b"] {
        world.put("locked", key, b"y").await;
        let begin = Call::object("POST", "locked", key).query("uploads", "");
        world.call(begin).await.expect(200);
    }
    let mut keys: Vec<String> = KEYS.map(str::to_owned).into();
    keys.sort();
    let mut rows = keys.clone();
    rows.extend(["a/2".to_owned(), "b".to_owned()]);
    rows.sort();
    for (number, kind) in KINDS.iter().enumerate() {
        let rows = if number < 2 { &keys } else { &rows };
        for prefix in PREFIXES {
            for delimiter in DELIMITERS {
                for page in PAGES {
                    for (after, encoded) in [("", false), ("", true), ("a/2", true), ("b", false)] {
                        let wish = Wish {
                            prefix,
                            delimiter,
                            after,
                            page,
                            encoded,
                        };
                        let seen = walk(&world, kind, &wish).await;
                        let expected = model(rows, prefix, delimiter, after);
                        assert_eq!(
                            seen, expected,
                            "{:?} prefix {prefix:?} delimiter {delimiter:?} page {page} after {after:?}",
                            kind.fixed
                        );
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn parts_are_listed_page_by_page() {
    let world = World::start().await;
    world.bucket("locked").await;
    let begin = Call::object("POST", "locked", "big").query("uploads", "");
    let upload = world.call(begin).await.expect(200).one("UploadId");
    let numbers = ["1", "2", "7", "8", "10000"];
    for number in numbers {
        let put = Call::object("PUT", "locked", "big")
            .query("uploadId", &upload)
            .query("partNumber", number);
        world.call(put.body("x")).await.expect(200);
    }
    for page in [1, 2, 5, 1000] {
        for (after, skipped) in [("", 0), ("0", 0), ("2", 2), ("3", 2), ("10000", 5)] {
            let mut seen = Vec::new();
            let mut marker = after.to_owned();
            loop {
                let mut call = Call::object("GET", "locked", "big")
                    .query("uploadId", &upload)
                    .query("max-parts", &page.to_string());
                if !marker.is_empty() {
                    call = call.query("part-number-marker", &marker);
                }
                let reply = world.call(call).await.expect(200);
                seen.extend(reply.all("PartNumber"));
                if reply.one("IsTruncated") == "false" {
                    break;
                }
                marker = reply.one("NextPartNumberMarker");
            }
            assert_eq!(seen, numbers[skipped..], "{page} after {after:?}");
        }
    }
}
