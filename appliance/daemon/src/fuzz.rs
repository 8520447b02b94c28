//! What must hold for any bytes that this process reads of others: of the gateway's process, on the control socket, in
//! `vault.json` and in the files that people hand over. A share runs with the other tests; `cargo xtask fuzz` runs
//! more, in a process of its own, whose memory is bounded.

#[path = "../../format/examples/text_fuzz/drive.rs"]
#[expect(dead_code, reason = "its words come from the environment")]
mod drive;
mod link;

use std::path::Path;

use stele_format::units::UnixMillis;
use stele_gateway::tls::{Tls, certificates, private_key};
use stele_store::policy::BucketKind;

use crate::certificate::Identity;
use crate::clients::Clients;
use crate::control::clients::{Bound, ClientAsk, ClientWish, Rule, RuleAsk, RuleChange, Secret};
use crate::control::desk::{ActWish, DeskAsk, Which, WhichReleased};
use crate::control::protocol::{Ask, Challenge, Join, PROTOCOL, Question, Reply, Session};
use crate::control::tls::TlsAsk;
use crate::control::wipe::WipeAsk;
use crate::tls::certificates_pem;
use crate::vault::config::Config;

use drive::Reader;

/// Cases of each reader that run with the other tests.
const SHARE: u64 = 2_000;
/// `TARGET CASES SEED` of a longer run, or `names`.
const WISH: &str = "STELE_FUZZ";

fn all() -> Vec<Reader> {
    vec![
        Reader {
            name: "link",
            run: link::run,
            samples: link::samples(),
            words: &[
                b"\xff\xff\xff\xff\x0f",
                b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
                b"\0\0\0\0",
                b"\x80\x80\x04",
                b".system-d26a9498",
                b"\xf0\x9f\x90\x80",
                b"\xc3",
                b"\x01\x01",
                b"\xff\xff\x7f\0",
            ],
        },
        Reader {
            name: "control",
            run: control,
            samples: questions(),
            words: JSON,
        },
        Reader {
            name: "control-reply",
            run: control_reply,
            samples: replies(),
            words: JSON,
        },
        Reader {
            name: "vault-json",
            run: vault_json,
            samples: configurations(),
            words: JSON,
        },
        Reader {
            name: "clients",
            run: clients,
            samples: registers(),
            words: JSON,
        },
        Reader {
            name: "pem",
            run: pem,
            samples: pems(),
            words: &[
                b"-----BEGIN CERTIFICATE-----\n",
                b"-----END CERTIFICATE-----\n",
                b"-----BEGIN PRIVATE KEY-----\n",
                b"-----BEGIN EC PRIVATE KEY-----\n",
                b"-----",
                b"\r\n",
                b"=",
                b"MII",
                b"\0",
            ],
        },
    ]
}

/// Words of JSON, and of what is said in it.
const JSON: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"null",
    b"true",
    b"{\"a\":",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"1e400",
    b"-0",
    b"18446744073709551615",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"\"protocol\":1",
    b"\"/dev/null\"",
    b"\"../..\"",
    b"\"0.0.0.0/0\"",
    b"\"::/129\"",
    b"\"\"",
    b"\xff",
];

#[test]
fn every_sample_is_read() {
    for reader in all() {
        assert!(!reader.samples.is_empty(), "{}", reader.name);
        for sample in &reader.samples {
            (reader.run)(sample);
        }
    }
    for question in questions() {
        let said = String::from_utf8_lossy(&question).into_owned();
        assert!(
            serde_json::from_slice::<Question>(&question).is_ok(),
            "{said}"
        );
    }
    for reply in replies() {
        assert!(serde_json::from_slice::<Reply>(&reply).is_ok());
    }
    for configuration in configurations() {
        let text = String::from_utf8(configuration).expect("text");
        assert!(Config::parse(&text, Path::new("vault.json")).is_ok());
    }
    for register in registers() {
        assert!(Clients::decode(&register).is_ok());
    }
}

#[test]
fn readers_hold() {
    let Ok(wish) = std::env::var(WISH) else {
        for reader in all() {
            drive::drive(&reader, 0..SHARE, 1).expect("it holds");
        }
        return;
    };
    if wish == drive::NAMES {
        // The runner's own line ends before.
        print!("\n{}", drive::names(&all()));
        return;
    }
    let words: Vec<&str> = wish.split(' ').collect();
    let [name, cases, seed] = words.as_slice() else {
        panic!("{WISH} is TARGET CASES SEED")
    };
    let cases: u64 = cases.parse().expect("a number");
    let seed = seed.parse().expect("a number");
    let reader = all().into_iter().find(|reader| reader.name == *name);
    let reader = reader.expect("a target");
    println!(
        "{}",
        drive::bounded(&reader, 0..cases, seed).expect("it holds")
    );
}

/// A question on the control socket.
fn control(input: &[u8]) {
    // A line that is no text is refused before.
    let Ok(line) = str::from_utf8(input) else {
        return;
    };
    if let Ok(question) = serde_json::from_str::<Question>(line) {
        let said = serde_json::to_string(&question).expect("it can be said");
        let again = serde_json::from_str(&said);
        assert!(
            again.is_ok_and(|again: Question| again == question),
            "{said}"
        );
    }
}

fn control_reply(input: &[u8]) {
    let Ok(line) = str::from_utf8(input) else {
        return;
    };
    if let Ok(reply) = serde_json::from_str::<Reply>(line) {
        let said = serde_json::to_string(&reply).expect("it can be said");
        let again = serde_json::from_str(&said);
        assert!(again.is_ok_and(|again: Reply| again == reply), "{said}");
    }
}

fn vault_json(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let path = Path::new("vault.json");
    let Ok(config) = Config::parse(text, path) else {
        return;
    };
    let printed = config.text(path).expect("it can be written");
    let again = Config::parse(&printed, path);
    assert!(again.is_ok_and(|again| again == config), "{printed}");
    let directory = Path::new("/vault");
    let disks = config.disks(directory);
    let fillings = config.filling(directory);
    assert!(
        fillings.iter().all(|(_, disk)| disks.contains(disk)),
        "it fills another"
    );
    let here = (0..disks.len() + 1).map(|at| (at, "serial".to_owned()));
    let changed = config.with_serials(here).with_drained(Some(disks.len()));
    assert_eq!(changed.disks(directory), disks);
    let kinds = [
        BucketKind::DefaultLocked,
        BucketKind::ClientLocked,
        BucketKind::Plain,
    ];
    assert!(kinds.contains(&config.client_buckets()), "another kind");
    config.key_source();
}

fn clients(input: &[u8]) {
    let Ok(clients) = Clients::decode(input) else {
        return;
    };
    let now = UnixMillis::new(1_796_000_000_000);
    for entry in clients.iter() {
        // Let in or not: it is decided.
        let admitted = clients.admit(&entry.id, [192, 0, 2, 1].into(), now);
        assert!(entry.revoked_ms.is_none() || admitted.is_err(), "revoked");
    }
    let encoded = clients.encode();
    let again = encoded.map(|value| Clients::decode(&value));
    assert!(!matches!(again, Ok(Err(_))), "it cannot be read again");
}

/// Certificates and keys that people install.
fn pem(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let chain_pem = certificates_pem(text);
    let chain = certificates(input);
    assert!(
        chain_pem.is_err() || chain.is_ok(),
        "it is kept and not read"
    );
    if let (Ok(chain), Ok(key)) = (chain, private_key(input)) {
        let mut tls = Tls::new(chain.clone(), &key);
        drop(tls.check());
        tls.client_authorities_der = chain;
        drop(tls.check());
        drop(tls.check_life(1_796_000_000_000));
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it can be said")
}

fn questions() -> Vec<Vec<u8>> {
    let text = str::to_owned;
    let wish = ClientWish {
        name: Some(text("till 1")),
        rights: Some(vec![text("get"), text("put")]),
        buckets: Some(vec![text("bucket/prefix")]),
        networks: Some(vec![text("192.0.2.0/24")]),
        quota_bytes: Some(Bound::At(1 << 40)),
        expires_ms: Some(Bound::None),
        ..ClientWish::default()
    };
    let which = || Which {
        bucket: text("bucket"),
        key: Some(text("key")),
        prefix: None,
        versions: vec![text("00112233445566778899aabbccddeeff")],
    };
    let released = WhichReleased {
        bucket: text("bucket"),
        since_ms: Some(1),
        ..WhichReleased::default()
    };
    let request = |act| {
        Ask::Desk(DeskAsk::Request {
            act,
            by: text("anna"),
            reason: text("why"),
        })
    };
    let asks = vec![
        Ask::Status,
        Ask::Challenge,
        Ask::Drain(3),
        Ask::Join(Join::Add {
            path: text("/dev/disk/by-id/a"),
            bytes: Some(1 << 30),
        }),
        Ask::Join(Join::Replace {
            number: 2,
            path: text("/disk"),
            bytes: None,
        }),
        Ask::Wipe(WipeAsk::Wipe {
            request: 9,
            path: text("/disk"),
        }),
        Ask::Client(ClientAsk::Add {
            wish: wish.clone(),
            same_owner_as: Some(text("STELEA")),
        }),
        Ask::Client(ClientAsk::Limit {
            key_id: text("STELEA"),
            wish,
        }),
        Ask::Rule(RuleAsk {
            bucket: text("bucket"),
            change: Some(RuleChange {
                prefix: text("logs/"),
                days: Some(30),
            }),
        }),
        Ask::Tls(TlsAsk::Install {
            chain_pem: text("-----BEGIN CERTIFICATE-----\n"),
            key_pem: Secret(text("-----BEGIN PRIVATE KEY-----\n")),
        }),
        request(ActWish::Lines(vec![
            text("act suspend"),
            text("person anna"),
        ])),
        request(ActWish::Expiry {
            month: text("2026-11"),
            noncurrent: vec![text("bucket")],
        }),
        request(ActWish::Erase {
            which: which(),
            governance: true,
        }),
        Ask::Desk(DeskAsk::Hold {
            case: text("case"),
            which: which(),
            by: text("anna"),
        }),
        Ask::Desk(DeskAsk::State {
            text: text("stele-statement v1\n"),
            signatures: vec![text("-----BEGIN SSH SIGNATURE-----\n")],
            note: None,
        }),
        Ask::Desk(DeskAsk::Create {
            bucket: text("bucket"),
            tier: text("compliance=3y"),
            rules: vec![Rule {
                prefix: text("logs/"),
                days: 30,
            }],
        }),
        Ask::Desk(DeskAsk::Unrelease { which: released }),
        Ask::Desk(DeskAsk::Advance { by_ms: 86_400_000 }),
    ];
    let question = |ask| Question {
        protocol: PROTOCOL,
        ask,
        session: None,
    };
    let mut samples: Vec<Vec<u8>> = asks.into_iter().map(|ask| json(&question(ask))).collect();
    samples.push(json(&Question {
        session: Some(Session {
            text: text("stele-statement v1\n"),
            signature: text("-----BEGIN SSH SIGNATURE-----\n"),
        }),
        ..question(Ask::Challenge)
    }));
    samples
}

fn replies() -> Vec<Vec<u8>> {
    let challenge = Challenge {
        log: "stele/abababababababababababababababab".to_owned(),
        nonce: "00".repeat(32),
        at: "2026-11-29T10:00:00Z".to_owned(),
    };
    let refused = Reply::Refused("why".to_owned());
    vec![
        json(&Reply::Challenge(challenge)),
        json(&refused),
        br#"{"status":{"serving":true,"process":7,"version":"0.1.0","directory":"/v","state":"ok","reasons":[],"evaluation":true,"simulated_clock":false,"disks":[],"alarms":["a"]}}"#
            .to_vec(),
        br#"{"joined":{"number":3,"file":"/disk"}}"#.to_vec(),
        br#"{"rules":{"default":null,"rules":[{"prefix":"logs/","days":30}]}}"#.to_vec(),
        br#"{"tls":{"minimum":"1.3","installed":false,"client_authorities":0}}"#.to_vec(),
    ]
}

fn configurations() -> Vec<Vec<u8>> {
    let disks = ["disk1.disk", "/dev/disk/by-id/a b", "disk3.disk"].map(Into::into);
    let config = Config::new(&disks, BucketKind::Plain).expect("valid");
    let filling = config.with_filling(Some(1), Path::new("/other"), 2);
    let serials = config.with_serials([(0, "WD-1".to_owned())].into_iter());
    let drained = serials.with_draining(Some(3)).with_drained(Some(2));
    [config, filling.expect("valid"), serials, drained]
        .iter()
        .map(|config| {
            config
                .text(Path::new("vault.json"))
                .expect("text")
                .into_bytes()
        })
        .collect()
}

fn registers() -> Vec<Vec<u8>> {
    vec![
        br#"{"clients":[{"id":"STELEA","rights":[]}]}"#.to_vec(),
        br#"{"clients":[{"id":"STELEA","rights":["hold-off"]},{"id":"STELEB","rights":[],"grants":["get","put"],"name":"till","owner":"b","buckets":["bucket/p"],"networks":["192.0.2.0/24","2001:db8::/32"],"writes_per_minute":60,"bytes_per_second":1000000,"expires_ms":1796000000001,"created_ms":1,"revoked_ms":2}],"tenants":[{"owner":"b","quota_bytes":1099511627776,"quota_versions":9}]}"#
            .to_vec(),
    ]
}

fn pems() -> Vec<Vec<u8>> {
    let identity = Identity::issue(1_790_000_000_000).expect("issued");
    let certificate = pem::encode(&pem::Pem::new(
        "CERTIFICATE",
        identity.certificate_der.clone(),
    ));
    let key = pem::encode(&pem::Pem::new(
        "PRIVATE KEY",
        identity.private_key_der().to_vec(),
    ));
    let authority = identity.ca_pem.clone();
    [
        format!("{certificate}{authority}{key}"),
        format!("{key}{certificate}"),
        authority,
        key,
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}
