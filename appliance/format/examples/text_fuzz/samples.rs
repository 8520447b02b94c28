//! What readers of texts understand: made and signed here, so that it can be told what is genuine.

use ed25519_dalek::{Signer, SigningKey};
use stele_format::checkpoint::{
    Certificate, Checkpoint, KeyFrom, LogKey, Origin, UnverifiedCheckpoint, WitnessKey,
};
use stele_format::digest::Digest;
use stele_format::proof::Receipt;
use stele_format::record::{Body, Marker, RecordHeader, encode_record};
use stele_format::sshsig::{PublicKey, Signature};
use stele_format::statement::{
    Act, Answer, BucketDefault, ClientKey, Cut, DefaultMode, DefaultPeriod, Erase, Found, FoundKey,
    GrantRights, Head, Hold, Kind, LaterAct, LogPublic, Name, Nonce, RecordSpan, ReleaseHold,
    Request, Review, Role, Second, Session, SpecialRights, Statement, Verb,
};
use stele_format::tree::proof::Proofs;
use stele_format::tree::{Frontier, TreeHash, leaf_hash};
use stele_format::units::{BucketId, DiskId, Epoch, LogIndex, Month, Opening, PoolId};

use super::authenticator::{SoftKey, Wish};

const POOL: PoolId = PoolId::from_bytes([0xab; 16]);
/// When the witness signed.
pub const COSIGNED_S: u64 = 1_796_000_000;
/// What keys of people signed.
pub const SIGNED: &[u8] = b"stele-statement v1\n";
/// Records of the log in which receipts lie.
const RECORDS: u64 = 13;

fn signing() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn witness_signing() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// The log's key.
pub fn log_key() -> LogKey {
    LogKey::new(Origin::of(POOL), signing().verifying_key().as_bytes()).unwrap()
}

/// The same key after a forced opening.
pub fn later_key() -> LogKey {
    log_key().after(Opening::new(2))
}

/// The key of a witness.
pub fn witness_key() -> WitnessKey {
    let public = witness_signing().verifying_key();
    WitnessKey::new("witness.example/w1", public.as_bytes()).unwrap()
}

/// Every checkpoint that was signed.
pub fn signed() -> Vec<Checkpoint> {
    let early = Checkpoint {
        origin: Origin::of(POOL),
        size: 109_482,
        root: leaf_hash(b"root"),
    };
    let late = Checkpoint {
        origin: later_key().origin(),
        ..early
    };
    vec![early, late, log().2]
}

fn note_of(checkpoint: &Checkpoint, keys: &[LogKey]) -> String {
    let signature = signing().sign(checkpoint.to_string().as_bytes()).to_bytes();
    let signed: Vec<_> = keys.iter().map(|key| (key, &signature)).collect();
    checkpoint.note_of(&signed)
}

/// Of the log, with a witness, and of the log after a forced opening.
pub fn checkpoints() -> Vec<String> {
    let [early, late, _] = signed().try_into().unwrap();
    let plain = note_of(&early, &[log_key()]);
    let linked = note_of(&late, &[later_key(), log_key()]);
    let cosigned = |note: &str| {
        let note = UnverifiedCheckpoint::parse(note).unwrap();
        let text = note.claims().cosigned_text(COSIGNED_S);
        let signature = witness_signing().sign(text.as_bytes()).to_bytes();
        let cosigned = note.with_cosignature(&witness_key(), COSIGNED_S, &signature);
        cosigned.unwrap().text().to_owned()
    };
    vec![cosigned(&plain), cosigned(&linked), plain, linked]
}

/// A log: its headers, proofs and checkpoint.
fn log() -> (Vec<RecordHeader>, Proofs, Checkpoint) {
    let mut previous = Digest::ZERO;
    let mut headers = Vec::new();
    for log_index in (0..RECORDS).map(LogIndex::new) {
        let log = Frontier::new();
        let body = Body::Marker(Marker { log });
        let header = RecordHeader {
            record_type: body.record_type(),
            epoch: Epoch::new(1),
            log_index,
            previous_header: previous,
            ..RecordHeader::default()
        };
        let header = encode_record(header, &body, &[], &mut Vec::new()).unwrap();
        previous = header.chain_digest();
        headers.push(header);
    }
    let proofs = Proofs::of_log(headers.iter().map(RecordHeader::leaf_hash).collect());
    let checkpoint = Checkpoint {
        origin: Origin::of(POOL),
        size: RECORDS,
        root: proofs.root(RECORDS).unwrap(),
    };
    (headers, proofs, checkpoint)
}

/// The headers of all records.
pub fn recorded() -> Vec<RecordHeader> {
    log().0
}

/// Receipts of the first record, the last one, and one between.
pub fn receipts() -> Vec<String> {
    let (headers, proofs, checkpoint) = log();
    let note = note_of(&checkpoint, &[log_key()]);
    let receipt = |header: &RecordHeader| {
        let index = header.log_index.get();
        let path = proofs.inclusion(index, RECORDS).unwrap();
        Receipt::text(&header.encode(), index, &path, &note)
    };
    let chosen = [0, 9, RECORDS - 1].map(|at| headers[usize::try_from(at).unwrap()]);
    chosen.iter().map(receipt).collect()
}

fn certificate_of(lines: &[&str]) -> Certificate {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    Certificate::new(Origin::of(POOL), &lines).unwrap()
}

fn all_certificates() -> [Certificate; 2] {
    let erased = "of 2026-11: 412 versions destroyed, 3 held";
    [
        certificate_of(&["destroyed 412", erased, "record 99"]),
        certificate_of(&["a line"]),
    ]
}

/// The texts of all certificates.
pub fn certified() -> Vec<String> {
    let texts = all_certificates();
    texts.iter().map(|one| one.text().to_owned()).collect()
}

/// Certificates as they are handed over.
pub fn certificates() -> Vec<String> {
    let note = |certificate: &Certificate| {
        let signature = signing().sign(certificate.text().as_bytes());
        certificate.note(&log_key(), &signature.to_bytes())
    };
    all_certificates().iter().map(note).collect()
}

fn person_key(seed: u64) -> PublicKey {
    let key = match seed.is_multiple_of(2) {
        true => SoftKey::new(seed),
        false => SoftKey::plain(seed),
    };
    PublicKey::from_blob(&key.blob("ssh:")).unwrap()
}

/// Keys of logs, witnesses and people.
pub fn keys() -> Vec<String> {
    let (first, second) = (log_key(), later_key());
    let from = KeyFrom {
        key: second,
        from: 200,
    };
    vec![
        first.to_string(),
        format!("{first}\n{from}\n"),
        witness_key().to_string(),
        first.origin().to_string(),
        second.origin().to_string(),
        person_key(0).to_string(),
        format!("{} anna@vault\n", person_key(1)),
    ]
}

/// Signatures of people, as records keep them and as `ssh-keygen` writes them.
pub fn signatures() -> Vec<Vec<u8>> {
    let sha256 = Wish {
        hash: "sha256",
        counter: 77,
        ..Wish::default()
    };
    let blobs = [
        SoftKey::new(0).sign_as(SIGNED, &Wish::default()),
        SoftKey::new(2).sign_as(SIGNED, &sha256),
        SoftKey::plain(1).sign_as(SIGNED, &Wish::default()),
        SoftKey::plain(3).sign_as(SIGNED, &sha256),
    ];
    let armoured = blobs.each_ref().map(|blob| {
        let signature = Signature::decode(blob).unwrap();
        signature.to_armour().into_bytes()
    });
    blobs.into_iter().chain(armoured).collect()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn second(seconds: u64) -> Second {
    Second::new(seconds).unwrap()
}

/// Every act.
fn acts() -> Vec<Act> {
    let (scope, case) = (Digest::of(b"scope"), Digest::of(b"case"));
    let erase = |cut, governance| {
        Act::Erase(Erase {
            scope,
            count: 412,
            bytes: 99_000,
            cut,
            governance,
            oldest: second(1_700_000_000),
            newest: second(1_796_000_000),
            latest_retention: governance.then(|| second(1_795_000_000)),
        })
    };
    let span = |first, last| RecordSpan {
        first: LogIndex::new(first),
        last: LogIndex::new(last),
    };
    let person = || name("anna");
    let (bucket, disk) = (BucketId::new([5; 16]), DiskId::new([6; 16]));
    let period = |mode, period| BucketDefault::Period(mode, period);
    let lower = |default| Act::LowerDefault { bucket, default };
    vec![
        erase(Cut::Leaves, false),
        erase(Cut::Month(Month::new(80).unwrap()), true),
        Act::ReleaseHold(ReleaseHold {
            case,
            scope,
            count: 7,
        }),
        Act::Grant(GrantRights {
            client: ClientKey::new("STELEABC").unwrap(),
            rights: SpecialRights {
                hold_off: true,
                governance_bypass: false,
                lock_admin: true,
            },
            until: second(1_796_000_000),
        }),
        lower(BucketDefault::None),
        lower(period(DefaultMode::Governance, DefaultPeriod::Days(30))),
        lower(period(DefaultMode::Compliance, DefaultPeriod::Years(7))),
        Act::Clock { by_hours: 48 },
        Act::ForceOpen {
            opening: Opening::new(3),
            lost: 2,
            missing: vec![span(4, 9), span(11, 11)],
            disks: vec![DiskId::new([1; 16]), disk],
        },
        Act::Reinitialise { disk, label: scope },
        Act::LogKey {
            key: LogPublic([8; 32]),
        },
        Act::Enrol {
            person: person(),
            role: Role::ALL[0],
            key: person_key(0),
        },
        Act::AddKey {
            person: person(),
            key: person_key(1),
        },
        Act::RemoveKey {
            person: person(),
            key: person_key(2),
        },
        Act::Suspend { person: person() },
        Act::Remove { person: person() },
        Act::Resume { person: person() },
        Act::Policy {
            name: name("witness-silence-days"),
            value: name("30"),
        },
        Act::Witness {
            name: name("branch"),
            key: witness_key(),
        },
        Act::RemoveWitness {
            name: name("branch"),
        },
        Act::Later(LaterAct::Tape),
        Act::Later(LaterAct::Firmware),
        Act::Later(LaterAct::Forward),
    ]
}

fn kinds() -> Vec<Kind> {
    let (nonce, digest) = (Nonce([4; 16]), Digest::of(b"digest"));
    let by = || name("berta");
    let head = Head {
        size: 109_482,
        root: TreeHash([3; 32]),
    };
    let mut kinds: Vec<Kind> = acts()
        .into_iter()
        .map(|act| {
            Kind::Request(Request {
                act,
                head,
                nonce,
                reason: digest,
                by: by(),
            })
        })
        .collect();
    kinds.extend([Verb::Approve, Verb::Veto, Verb::Execute].map(|verb| {
        Kind::Answer(Answer {
            verb,
            request: LogIndex::new(77),
            digest,
            by: by(),
        })
    }));
    let found = |person: &str, role, seed| FoundKey {
        person: name(person),
        role,
        key: person_key(seed),
    };
    kinds.push(Kind::Found(Found {
        keys: vec![
            found("anna", Role::ALL[0], 0),
            found("anna", Role::ALL[0], 2),
            found("berta", Role::ALL[1], 1),
        ],
        policies: vec![(name("a-policy"), name("30"))],
    }));
    kinds.push(Kind::Hold(Hold {
        case: digest,
        scope: digest,
        count: 7,
        nonce,
        by: by(),
    }));
    kinds.push(Kind::Review(Review {
        head,
        nonce,
        by: by(),
    }));
    kinds.push(Kind::Session(Session {
        nonce: Nonce([2; 32]),
        at: second(1_796_000_000),
        ask: digest,
        by: by(),
    }));
    kinds
}

/// A statement of every kind, and a request of every act.
pub fn statements() -> Vec<String> {
    let statement = |kind| Statement::new(Origin::of(POOL), kind).unwrap().to_text();
    kinds().into_iter().map(statement).collect()
}
