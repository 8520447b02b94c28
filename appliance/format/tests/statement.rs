//! Statements: one spelling each, and nothing else is read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

#[path = "shared/authenticator.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod authenticator;

use std::fs;
use std::path::Path;

use authenticator::SoftKey;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stele_format::Digest;
use stele_format::checkpoint::WitnessKey;
use stele_format::limits::{CLOCK_HOURS_MAX, OPENING_MAX};
use stele_format::sshsig::PublicKey;
use stele_format::statement::{
    Act, Answer, BucketDefault, ClientKey, Cut, DefaultMode, DefaultPeriod, Erase, Found, FoundKey,
    GrantRights, Head, Hold, Kind, LaterAct, LogPublic, Name, Nonce, Origin, RecordSpan,
    ReleaseHold, Request, Review, Role, Second, Session, SpecialRights, Statement, StatementError,
    Verb,
};
use stele_format::tree::TreeHash;
use stele_format::units::{BucketId, DiskId, LogIndex, Month, Opening, PoolId, UnixMillis};

fn span(first: u64, last: u64) -> RecordSpan {
    RecordSpan {
        first: LogIndex::new(first),
        last: LogIndex::new(last),
    }
}

fn key(seed: u64) -> PublicKey {
    let key = if seed.is_multiple_of(2) {
        SoftKey::new(seed)
    } else {
        SoftKey::plain(seed)
    };
    PublicKey::from_blob(&key.blob("ssh:")).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn second(seconds: u64) -> Second {
    Second::new(seconds).unwrap()
}

fn names() -> impl Strategy<Value = Name> {
    "[a-z0-9][a-z0-9.-]{0,31}".prop_map(|text| name(&text))
}

fn keys() -> impl Strategy<Value = PublicKey> {
    any::<u64>().prop_map(key)
}

fn digests() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn seconds() -> impl Strategy<Value = Second> {
    (0..253_402_300_800u64).prop_map(second)
}

fn counts() -> impl Strategy<Value = u64> {
    0..=1u64 << 62
}

fn heads() -> impl Strategy<Value = Head> {
    (counts(), any::<[u8; 32]>()).prop_map(|(size, root)| Head {
        size,
        root: TreeHash(root),
    })
}

fn erases() -> impl Strategy<Value = Act> {
    let cut = prop_oneof![
        Just(Cut::Leaves),
        (0..4096u16).prop_map(|month| Cut::Month(Month::new(month).unwrap())),
    ];
    let times = (seconds(), seconds(), option::of(seconds()));
    (digests(), counts(), counts(), cut, any::<bool>(), times).prop_map(
        |(scope, count, bytes, cut, governance, (oldest, newest, latest_retention))| {
            Act::Erase(Erase {
                scope,
                count,
                bytes,
                cut,
                governance,
                oldest,
                newest,
                latest_retention,
            })
        },
    )
}

fn defaults() -> impl Strategy<Value = BucketDefault> {
    let mode = prop_oneof![Just(DefaultMode::Governance), Just(DefaultMode::Compliance)];
    let period = prop_oneof![
        any::<u32>().prop_map(DefaultPeriod::Days),
        any::<u32>().prop_map(DefaultPeriod::Years),
    ];
    prop_oneof![
        Just(BucketDefault::None),
        (mode, period).prop_map(|(mode, period)| BucketDefault::Period(mode, period)),
    ]
}

fn roles() -> impl Strategy<Value = Role> {
    (0..Role::ALL.len()).prop_map(|at| Role::ALL[at])
}

fn content_acts() -> impl Strategy<Value = Act> {
    let rights = (1..8u8).prop_map(|bits| SpecialRights {
        hold_off: bits & 1 != 0,
        governance_bypass: bits & 2 != 0,
        lock_admin: bits & 4 != 0,
    });
    let client = "[A-Za-z0-9]{1,64}".prop_map(|text| ClientKey::new(&text).unwrap());
    prop_oneof![
        erases(),
        (digests(), digests(), counts())
            .prop_map(|(case, scope, count)| Act::ReleaseHold(ReleaseHold { case, scope, count })),
        (client, rights, seconds()).prop_map(|(client, rights, until)| Act::Grant(GrantRights {
            client,
            rights,
            until
        })),
        (any::<[u8; 16]>(), defaults()).prop_map(|(bucket, default)| Act::LowerDefault {
            bucket: BucketId::new(bucket),
            default
        }),
        (1..=CLOCK_HOURS_MAX).prop_map(|by_hours| Act::Clock { by_hours }),
        (
            1..=OPENING_MAX,
            vec(any::<[u8; 16]>(), 1..33),
            vec((0..9_u64, 1..9_u64), 0..17)
        )
            .prop_map(|(opening, mut disks, spans)| {
                let mut next = 0;
                let missing = spans.into_iter().map(|(len, apart)| {
                    let first = next + apart;
                    next = first + len + 1;
                    span(first, first + len)
                });
                let missing = missing.collect();
                disks.sort_unstable();
                disks.dedup();
                Act::ForceOpen {
                    opening: Opening::new(opening),
                    lost: u64::from(opening) - 1,
                    missing,
                    disks: disks.into_iter().map(DiskId::new).collect(),
                }
            }),
        (any::<[u8; 16]>(), digests()).prop_map(|(disk, label)| Act::Reinitialise {
            disk: DiskId::new(disk),
            label
        }),
        any::<[u8; 32]>().prop_map(|key| Act::LogKey {
            key: LogPublic(key)
        }),
        prop_oneof![
            Just(LaterAct::Tape),
            Just(LaterAct::Firmware),
            Just(LaterAct::Forward)
        ]
        .prop_map(Act::Later),
    ]
}

fn witness() -> WitnessKey {
    let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]).verifying_key();
    WitnessKey::new("witness.example/w1", key.as_bytes()).unwrap()
}

fn people_acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        (names(), roles(), keys()).prop_map(|(person, role, key)| Act::Enrol { person, role, key }),
        (names(), keys()).prop_map(|(person, key)| Act::AddKey { person, key }),
        (names(), keys()).prop_map(|(person, key)| Act::RemoveKey { person, key }),
        names().prop_map(|person| Act::Suspend { person }),
        names().prop_map(|person| Act::Remove { person }),
        names().prop_map(|person| Act::Resume { person }),
        names().prop_map(|name| Act::Witness {
            name,
            key: witness()
        }),
        names().prop_map(|name| Act::RemoveWitness { name }),
        (names(), names()).prop_map(|(name, value)| Act::Policy { name, value }),
    ]
}

fn foundings() -> impl Strategy<Value = Kind> {
    let people = vec((names(), roles(), any::<bool>()), 1..12);
    (people, vec((names(), names()), 0..3)).prop_map(|(mut people, mut policies)| {
        people.sort_by(|a, b| a.0.cmp(&b.0));
        people.dedup_by(|a, b| a.0 == b.0);
        policies.sort();
        policies.dedup_by(|a, b| a.0 == b.0);
        let mut keys = Vec::new();
        for (person, role, two) in people {
            for _ in 0..=u8::from(two) {
                let seed = u64::try_from(keys.len()).unwrap();
                keys.push(FoundKey {
                    person: person.clone(),
                    role,
                    key: key(seed),
                });
            }
        }
        Kind::Found(Found { keys, policies })
    })
}

fn kinds() -> impl Strategy<Value = Kind> {
    let verb = prop_oneof![Just(Verb::Approve), Just(Verb::Veto), Just(Verb::Execute)];
    let acts = prop_oneof![content_acts(), people_acts()];
    prop_oneof![
        foundings(),
        (acts, heads(), any::<[u8; 16]>(), digests(), names()).prop_map(
            |(act, head, nonce, reason, by)| Kind::Request(Request {
                act,
                head,
                nonce: Nonce(nonce),
                reason,
                by
            })
        ),
        (verb, counts(), digests(), names()).prop_map(|(verb, request, digest, by)| {
            Kind::Answer(Answer {
                verb,
                request: LogIndex::new(request),
                digest,
                by,
            })
        }),
        (digests(), digests(), counts(), any::<[u8; 16]>(), names()).prop_map(
            |(case, scope, count, nonce, by)| Kind::Hold(Hold {
                case,
                scope,
                count,
                nonce: Nonce(nonce),
                by
            })
        ),
        (heads(), any::<[u8; 16]>(), names()).prop_map(|(head, nonce, by)| Kind::Review(Review {
            head,
            nonce: Nonce(nonce),
            by
        })),
        (any::<[u8; 32]>(), seconds(), names()).prop_map(|(nonce, at, by)| Kind::Session(
            Session {
                nonce: Nonce(nonce),
                at,
                ask: Digest::of(b"asked"),
                by
            }
        )),
    ]
}

fn statements() -> impl Strategy<Value = Statement> {
    (any::<[u8; 16]>(), kinds())
        .prop_map(|(pool, kind)| Statement::new(Origin::of(PoolId::new(pool)), kind).unwrap())
}

proptest! {
    #[test]
    fn what_prints_reads_back(statement in statements()) {
        let text = statement.to_text();
        prop_assert_eq!(Statement::parse(&text), Ok(statement.clone()));
        prop_assert_eq!(statement.digest(), Digest::of(text.as_bytes()));
        prop_assert!(text.is_ascii() && text.ends_with('\n') && !text.contains(" \n"));
    }

    /// A changed text is refused or is another statement that prints like that; never the same one.
    #[test]
    fn a_changed_text_is_refused_or_says_something_else(
        statement in statements(), at in any::<usize>(), byte in 0u8..128, kind in 0..4u8,
    ) {
        let mut bytes = statement.to_text().into_bytes();
        let at = at % bytes.len();
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => { bytes.remove(at); }
            _ => bytes.truncate(at),
        }
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(other) = Statement::parse(&text) {
            prop_assert_eq!(other.to_text(), text.as_str());
            prop_assert_eq!(other == statement, text == statement.to_text());
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(stele-statement v1\n)?(log stele/[0-9a-f]{32}\n)?.{0,300}") {
        let _ = Statement::parse(&text);
    }

    #[test]
    fn times_read_back_and_months_agree_with_them(seconds in 0..253_402_300_800u64) {
        let time = second(seconds);
        let text = time.to_string();
        let session = session_at(&text);
        let Kind::Session(session) = Statement::parse(&session).unwrap().kind().clone() else { unreachable!() };
        prop_assert_eq!(session.at, time);
        if let Some(month) = Month::of(time.start()) {
            prop_assert_eq!(&text[..7], month.to_string());
        }
    }
}

fn session_at(time: &str) -> String {
    let pool = "00".repeat(16);
    let nonce = "00".repeat(32);
    let lines = format!("kind session\nnonce {nonce}\nat {time}\nask {nonce}\nby a\n");
    format!("stele-statement v1\nlog stele/{pool}\n{lines}")
}

#[test]
fn dates_that_are_none_are_refused() {
    assert!(Statement::parse(&session_at("2024-02-29T23:59:59Z")).is_ok());
    for bad in [
        "2023-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-00-10T00:00:00Z",
        "2024-13-10T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "1969-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "2024-1-01T00:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01t00:00:00z",
        "2024-01-01T00:00:00+00:00",
        "2024-01-01T00:00:00.0Z",
        "+024-01-01T00:00:00Z",
    ] {
        assert!(Statement::parse(&session_at(bad)).is_err(), "{bad}");
    }
    assert_eq!(Second::new(253_402_300_800), None);
    assert_eq!(Second::not_before(UnixMillis::new(1001)), Second::new(2));
    assert_eq!(Second::of(UnixMillis::new(1999)), Second::new(1));
}

#[test]
fn names_are_short_and_plain() {
    for good in ["a", "0", "a.b-c", &"x".repeat(32)] {
        assert!(Name::new(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "A",
        ".a",
        "-a",
        "a b",
        "a_b",
        "\u{e4}",
        "a\n",
        &"x".repeat(33),
    ] {
        assert_eq!(Name::new(bad), Err(StatementError::Name), "{bad}");
    }
}

#[test]
fn a_founding_names_each_person_and_key_once() {
    let entry = |person: &str, role, seed| FoundKey {
        person: name(person),
        role,
        key: key(seed),
    };
    let make = |keys| {
        let found = Found {
            keys,
            policies: Vec::new(),
        };
        Statement::new(Origin::of(PoolId::ZERO), Kind::Found(found))
    };
    let (operator, officer) = (Role::Operator, Role::Officer);
    assert!(make(vec![entry("a", operator, 0), entry("a", operator, 2)]).is_ok());
    for bad in [
        vec![],
        vec![entry("a", operator, 0), entry("b", officer, 0)],
        vec![entry("a", operator, 0), entry("a", officer, 2)],
        vec![
            entry("a", operator, 0),
            entry("b", officer, 2),
            entry("a", operator, 4),
        ],
        vec![
            entry("a", operator, 0),
            entry("a", operator, 2),
            entry("a", operator, 4),
        ],
    ] {
        assert_eq!(make(bad), Err(StatementError::Persons));
    }
    let many: Vec<FoundKey> = (0..100)
        .map(|n| entry(&format!("p{n}"), operator, n))
        .collect();
    assert_eq!(make(many), Err(StatementError::TooLong { max: 8192 }));
}

/// The texts of the specification: one of each kind and act, as files that a second reader can use.
#[test]
fn each_kind_and_act_is_spelled_as_its_file_has_it() {
    let folder =
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("tests/golden/statements");
    let mut seen = Vec::new();
    for (file, kind) in samples() {
        let statement = Statement::new(Origin::of(PoolId::new([0xab; 16])), kind).unwrap();
        let path = folder.join(format!("{file}.txt"));
        if std::env::var_os("STELE_GOLDEN_REGENERATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, statement.to_text()).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(statement.to_text(), text, "{file}");
        assert_eq!(Statement::parse(&text), Ok(statement), "{file}");
        seen.push(path);
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(seen.contains(&path), "{} is no sample", path.display());
    }
}

fn samples() -> Vec<(String, Kind)> {
    let request = |act| {
        Kind::Request(Request {
            act,
            head: Head {
                size: 4711,
                root: TreeHash([0x11; 32]),
            },
            nonce: Nonce([0x22; 16]),
            reason: Digest([0x33; 32]),
            by: name("oona"),
        })
    };
    let mut samples: Vec<(String, Kind)> = sample_acts()
        .into_iter()
        .map(|act| (format!("request-{}", act.name()), request(act)))
        .collect();
    for verb in [Verb::Approve, Verb::Veto, Verb::Execute] {
        let kind = Kind::Answer(Answer {
            verb,
            request: LogIndex::new(4720),
            digest: Digest([0x44; 32]),
            by: name("anna"),
        });
        samples.push((verb.name().to_owned(), kind));
    }
    let found = |person, role, seed| FoundKey {
        person: name(person),
        role,
        key: key(seed),
    };
    let others = [
        Kind::Found(Found {
            keys: vec![
                found("oona", Role::Operator, 2),
                found("anna", Role::Approver, 4),
                found("anna", Role::Approver, 5),
                found("fred", Role::Officer, 6),
                found("carl", Role::Custodian, 8),
                found("uwe", Role::Auditor, 10),
            ],
            policies: vec![(name("plain-keys"), name("yes"))],
        }),
        Kind::Hold(Hold {
            case: Digest([0x55; 32]),
            scope: Digest([0x66; 32]),
            count: 3,
            nonce: Nonce([0x22; 16]),
            by: name("fred"),
        }),
        Kind::Review(Review {
            head: Head {
                size: 4711,
                root: TreeHash([0x11; 32]),
            },
            nonce: Nonce([0x22; 16]),
            by: name("fred"),
        }),
        Kind::Session(Session {
            nonce: Nonce([0x77; 32]),
            at: second(1_796_464_800),
            ask: Digest([0x3c; 32]),
            by: name("uwe"),
        }),
    ];
    samples.extend(
        others
            .into_iter()
            .map(|kind| (kind.name().to_owned(), kind)),
    );
    samples
}

fn sample_acts() -> Vec<Act> {
    let person = || name("nina");
    vec![
        Act::Erase(Erase {
            scope: Digest([0x66; 32]),
            count: 12,
            bytes: 34_567,
            cut: Cut::Month(Month::new(681).unwrap()),
            governance: false,
            oldest: second(1_790_000_000),
            newest: second(1_791_000_000),
            latest_retention: Some(second(1_796_000_000)),
        }),
        Act::ReleaseHold(ReleaseHold {
            case: Digest([0x55; 32]),
            scope: Digest([0x66; 32]),
            count: 3,
        }),
        Act::Grant(GrantRights {
            client: ClientKey::new("STELE0123456789ABCDE").unwrap(),
            rights: SpecialRights {
                hold_off: true,
                governance_bypass: true,
                lock_admin: true,
            },
            until: second(1_800_000_000),
        }),
        Act::LowerDefault {
            bucket: BucketId::new([0x88; 16]),
            default: BucketDefault::Period(DefaultMode::Compliance, DefaultPeriod::Days(7)),
        },
        Act::Enrol {
            person: person(),
            role: Role::Approver,
            key: key(20),
        },
        Act::AddKey {
            person: person(),
            key: key(22),
        },
        Act::RemoveKey {
            person: person(),
            key: key(20),
        },
        Act::Suspend { person: person() },
        Act::Remove { person: person() },
        Act::Resume { person: person() },
        Act::Policy {
            name: name("erase-approvals"),
            value: name("2"),
        },
        Act::Clock { by_hours: 1440 },
        Act::Witness {
            name: name("sister-branch"),
            key: witness(),
        },
        Act::RemoveWitness {
            name: name("sister-branch"),
        },
        Act::ForceOpen {
            opening: Opening::new(1),
            lost: 17,
            missing: vec![span(5, 5), span(7, 12)],
            disks: vec![DiskId::new([0x98; 16]), DiskId::new([0x99; 16])],
        },
        Act::Reinitialise {
            disk: DiskId::new([0x99; 16]),
            label: Digest([0x77; 32]),
        },
        Act::LogKey {
            key: LogPublic([0x9a; 32]),
        },
        Act::Later(LaterAct::Tape),
        Act::Later(LaterAct::Firmware),
        Act::Later(LaterAct::Forward),
    ]
}

/// Each sample with one thing wrong with its spelling.
#[test]
fn no_other_spelling_of_a_sample_is_read() {
    for (file, kind) in samples() {
        let text = Statement::new(Origin::of(PoolId::new([0xab; 16])), kind)
            .unwrap()
            .to_text();
        let mut wrong = vec![
            text.replace('\n', "\r\n"),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{text}by anna\n"),
            format!("\u{feff}{text}"),
            text.replacen("abab", "ABAB", 1),
            text.replacen("v1", "v2", 1),
            text.replacen("stele/", "stele/00", 1),
        ];
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for at in 0..lines.len() {
            let without: String = [&lines[..at], &lines[at + 1..]].concat().concat();
            // A founding without one of its keys, or its policy, is another founding.
            let repeated = ["person ", "policy ", "missing ", "disk "]
                .iter()
                .any(|name| lines[at].starts_with(name));
            if !repeated || file == "request-reinitialise" {
                wrong.push(without);
            }
            wrong.push(text.replacen(lines[at], &lines[at].replacen(' ', "  ", 1), 1));
            wrong.push(text.replacen(lines[at], &lines[at].replace('\n', " \n"), 1));
            wrong.push(text.replacen(lines[at], &lines[at].repeat(2), 1));
        }
        for number in [
            "request 4720",
            "count 3",
            "count 12",
            "bytes 34567",
            "head 4711",
        ] {
            if let Some((word, digits)) = number.split_once(' ') {
                for other in [
                    format!("0{digits}"),
                    format!("+{digits}"),
                    "4611686018427387905".to_owned(),
                ] {
                    let other = text.replace(number, &format!("{word} {other}"));
                    if other != text {
                        wrong.push(other);
                    }
                }
            }
        }
        for bad in wrong {
            assert!(Statement::parse(&bad).is_err(), "{file}:\n{bad}");
        }
    }
}
