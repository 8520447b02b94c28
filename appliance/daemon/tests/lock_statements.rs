//! Statements about Object Lock by their numbers, those of the gateway's and the engine's own tests, as a client
//! meets them at a served vault: what was answered, and what is there afterwards.

mod common;

use std::time::Duration;

use common::locks::{
    LOCKS, Retention, Wish, between, done, headers, in_parts, is_gone, listed, order, refused,
    shown, stamp, store, tells, version, wall_ms, wish,
};
use common::s3::{Client, PAYLOAD, checksum};
use common::{DISK, Place, Server, succeed, text};

const DAY_MS: u64 = 86_400_000;

struct World {
    place: Place,
    server: Option<Server>,
    /// With the rights to bypass GOVERNANCE and to lift holds, and without.
    strong: Client,
    weak: Client,
    /// Days away, in whole seconds.
    until_ms: u64,
}

impl World {
    /// A vault whose buckets are plain, and one bucket with Object Lock.
    fn new() -> World {
        let place = Place::new();
        let vault = text(&place.vault);
        let kind = ["--client-buckets", "plain"];
        let rights = ["--client-rights", "governance-bypass,hold-off"];
        succeed(&[&["create", vault, "--disk-bytes", DISK][..], &kind, &rights].concat());
        let server = Server::start(&place);
        let strong = Client::of(&place, &server);
        let add = ["client", "add", "--vault", vault, "--name", "weak"];
        let own = ["--same-owner-as", strong.id()];
        let rights = ["--rights", "put,get,list,delete,release"];
        let weak = Client::with(
            &place,
            &server,
            &succeed(&[&add[..], &own, &rights].concat()),
        );
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        assert_eq!(strong.request("PUT", "/asked", &lock, b"").status, 200);
        World {
            place,
            server: Some(server),
            strong,
            weak,
            until_ms: (wall_ms() / 1_000 + 90 * 86_400) * 1_000,
        }
    }

    /// SIGKILL, and another start.
    fn restart(&mut self) {
        self.server.take().expect("serves").kill();
        let server = Server::start(&self.place);
        self.strong = self.strong.at(&server);
        self.weak = self.weak.at(&server);
        self.server = Some(server);
    }

    fn store(&self, path: &str, wish: Wish) -> String {
        store(&self.strong, path, wish, b"content")
    }

    fn tells(&self, path: &str, id: &str, wish: Wish, what: &str) {
        tells(&self.weak, path, id, wish, b"content", what);
    }

    fn is_gone(&self, path: &str, id: &str, what: &str) {
        is_gone(&self.weak, path, id, what);
    }

    /// What S3 lists of a bucket: key, kind and version id.
    fn listed(&self, bucket: &str) -> Vec<(String, String, String)> {
        listed(&self.weak, bucket)
    }
}

/// Uploads of `content` of which nothing but its own headers says what the content is.
const BARE: [(&str, &str); 1] = [(PAYLOAD, "UNSIGNED-PAYLOAD")];
const MD5: (&str, &str) = ("content-md5", "mgNkuembtIDdJeHwKEyFVQ==");
const CRC32: (&str, &str) = ("x-amz-checksum-crc32", "/sUwqQ==");

#[test]
fn lock_06_what_will_be_locked_must_carry_a_digest() {
    let world = World::new();
    let (client, vault) = (&world.strong, text(&world.place.vault));
    client.put("/plain", b"");
    let make = ["bucket", "create", "--vault", vault, "tier"];
    succeed(&[&make[..], &["--tier", "operational=30d"]].concat());
    let lock = [("x-amz-bucket-object-lock-enabled", "true")];
    assert_eq!(client.request("PUT", "/default", &lock, b"").status, 200);
    let document = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
                    <DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>\
                    </ObjectLockConfiguration>";
    let reply = order(client, "PUT", "/default?object-lock=", document, false);
    assert_eq!(reply.outcome(), done(200));
    let until = stamp(world.until_ms);
    let governed = Wish {
        retention: Some(Retention {
            compliance: false,
            until_ms: world.until_ms,
        }),
        hold: None,
    };
    let held = Wish {
        retention: None,
        hold: Some(true),
    };
    let nothing = Wish {
        retention: None,
        hold: None,
    };
    let sha256 = checksum(b"content");
    let covered = [MD5, CRC32, ("x-amz-checksum-sha256", &sha256)];
    for (bucket, takes_locks) in [
        ("plain", false),
        ("asked", true),
        ("default", true),
        ("tier", true),
    ] {
        for (number, wish) in [nothing, governed, held].into_iter().enumerate() {
            if number > 0 && !takes_locks {
                continue;
            }
            let lock = headers(wish, Some(&until));
            let put = |digest: &[(&str, &str)]| {
                let headers = [&BARE[..], &lock, digest].concat();
                let path = format!("/{bucket}/key{number}");
                client.request("PUT", &path, &headers, b"content").outcome()
            };
            let what = format!("{bucket}, {lock:?}");
            let before = world.listed(bucket);
            if takes_locks {
                assert_eq!(put(&[]), refused(400, "InvalidRequest"), "{what}");
                for wrong in [
                    ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
                    ("x-amz-checksum-crc32", "AAAAAA=="),
                ] {
                    assert_eq!(
                        put(&[wrong]),
                        refused(400, "BadDigest"),
                        "{what}, {wrong:?}"
                    );
                }
                assert_eq!(world.listed(bucket), before, "{what}");
            } else {
                assert_eq!(put(&[]), done(200), "{what}");
            }
            for digest in covered {
                assert_eq!(put(&[digest]), done(200), "{what}, {digest:?}");
            }
        }
        digests_in_pieces(&world, bucket, takes_locks);
    }
}

/// The same of a body in chunks, by a trailer or by signatures, and of the parts of an upload.
fn digests_in_pieces(world: &World, bucket: &str, takes_locks: bool) {
    let client = &world.strong;
    let bare = match takes_locks {
        true => refused(400, "InvalidRequest"),
        false => done(200),
    };
    let path = format!("/{bucket}/chunks");
    let before = world.listed(bucket);
    let trailer = [
        ("content-encoding", "aws-chunked"),
        (PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "7"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let chunks = |sum: &str| format!("7\r\ncontent\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n");
    let reply = client.request("PUT", &path, &trailer, chunks("AAAAAA==").as_bytes());
    assert_eq!(reply.outcome(), refused(400, "BadDigest"), "{bucket}");
    assert_eq!(world.listed(bucket), before, "{bucket}");
    let reply = client.request("PUT", &path, &trailer, chunks(CRC32.1).as_bytes());
    assert_eq!(reply.outcome(), done(200), "{bucket}");
    let signed = client.put_in_signed_chunks(&path, &[b"content"], false);
    assert_eq!(signed, done(200), "{bucket}");
    let begun = client.request("POST", &format!("/{bucket}/parts?uploads="), &[], b"");
    let upload = between(&begun.text(), "UploadId").concat();
    let part = format!("/{bucket}/parts?partNumber=1&uploadId={upload}");
    let reply = client.request("PUT", &part, &BARE, b"content");
    assert_eq!(reply.outcome(), bare, "{bucket}");
    let headers = [BARE[0], MD5];
    let reply = client.request("PUT", &part, &headers, b"content");
    assert_eq!(reply.outcome(), done(200), "{bucket}");
}

#[test]
fn lock_10_a_locked_version_goes_by_the_bypass_of_governance_alone() {
    let world = World::new();
    for lock in LOCKS {
        let wish = wish(lock, world.until_ms);
        for (right, bypass) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("{}, right {right}, bypass {bypass}", lock.0);
            let path = format!("/asked/{}-{right}-{bypass}", lock.0);
            let id = world.store(&path, wish);
            let client = if right { &world.strong } else { &world.weak };
            let delete = |id: &str, bypass: bool| {
                let path = format!("{path}?versionId={id}");
                order(client, "DELETE", &path, "", bypass)
            };
            // A marker is always made, takes no lock, and goes again.
            let marked = client.request("DELETE", &path, &[], b"");
            assert_eq!(marked.outcome(), done(204), "{what}");
            assert_eq!(marked.header("x-amz-delete-marker"), Some("true"));
            let marker = version(&marked);
            let hidden = client.request("GET", &path, &[], b"");
            assert_eq!(hidden.outcome(), refused(404, "NoSuchKey"), "{what}");
            world.tells(&path, &id, wish, &what);
            for (of, document) in [
                (
                    "retention",
                    "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2140-01-01T00:00:00Z\
                  </RetainUntilDate></Retention>",
                ),
                ("legal-hold", "<LegalHold><Status>ON</Status></LegalHold>"),
            ] {
                let path = format!("{path}?{of}=&versionId={marker}");
                let reply = order(client, "PUT", &path, document, false);
                assert_eq!(reply.outcome(), refused(405, "MethodNotAllowed"), "{what}");
            }
            let unmarked = delete(&marker, false);
            assert_eq!(unmarked.outcome(), done(204), "{what}");
            assert_eq!(unmarked.header("x-amz-delete-marker"), Some("true"));
            let current = client.request("GET", &path, &[], b"");
            assert_eq!(version(&current), id, "{what}");
            let outcome = delete(&id, bypass).outcome();
            if lock.0 == "free" || (lock.0 == "governed" && right && bypass) {
                assert_eq!(outcome, done(204), "{what}");
                world.is_gone(&path, &id, &what);
            } else {
                assert_eq!(outcome, refused(403, "AccessDenied"), "{what}");
                world.tells(&path, &id, wish, &what);
            }
        }
    }
}

#[test]
fn lock_11_many_deletes_are_answered_key_by_key() {
    let mut world = World::new();
    let mut after = Vec::new();
    for (right, bypass) in [(false, false), (false, true), (true, false), (true, true)] {
        let what = format!("right {right}, bypass {bypass}");
        let key = |lock: &str| format!("{lock}-{right}-{bypass}");
        let mut versions = Vec::new();
        for lock in LOCKS {
            let wish = wish(lock, world.until_ms);
            let id = world.store(&format!("/asked/{}", key(lock.0)), wish);
            versions.push((lock.0, id, wish));
        }
        let line = |(lock, id, _): &(&str, String, Wish)| {
            format!(
                "<Object><Key>{}</Key><VersionId>{id}</VersionId></Object>",
                key(lock)
            )
        };
        let objects: String = versions.iter().map(line).collect();
        // The last one hides what the first ones could not take, and one names no version that there is.
        let document = format!(
            "<Delete>{objects}<Object><Key>{}</Key></Object><Object><Key>kept</Key><VersionId>none</VersionId>\
             </Object></Delete>",
            key("kept")
        );
        let client = if right { &world.strong } else { &world.weak };
        let reply = order(client, "POST", "/asked?delete=", &document, bypass);
        assert_eq!(reply.status, 200, "{what}");
        let said = reply.text();
        let (deleted, errors) = (between(&said, "Deleted"), between(&said, "Error"));
        assert_eq!(deleted.len() + errors.len(), versions.len() + 2, "{said}");
        let names = |part: &str, key: &str, id: &str| {
            between(part, "Key") == [key] && between(part, "VersionId") == [id]
        };
        let error = |key: &str, id: &str| {
            let mut found = errors.iter().filter(|part| names(part, key, id));
            found.next().map(|part| between(part, "Code").concat())
        };
        for (lock, id, wish) in versions {
            let (key, path) = (key(lock), format!("/asked/{}", key(lock)));
            let goes = lock == "free" || (lock == "governed" && right && bypass);
            let told = deleted.iter().filter(|part| names(part, &key, &id)).count();
            assert_eq!(told, usize::from(goes), "{what}, {lock}: {said}");
            let code = (!goes).then(|| "AccessDenied".to_owned());
            assert_eq!(error(&key, &id), code, "{what}, {lock}: {said}");
            after.push((path, id, wish, goes));
        }
        assert_eq!(error("kept", "none").as_deref(), Some("InvalidArgument"));
        let marked = deleted
            .iter()
            .filter(|part| between(part, "DeleteMarker") == ["true"]);
        let marked: Vec<&str> = marked.flat_map(|part| between(part, "Key")).collect();
        assert_eq!(marked, [key("kept")], "{said}");
        let hidden = client.request("GET", &format!("/asked/{}", key("kept")), &[], b"");
        assert_eq!(hidden.outcome(), refused(404, "NoSuchKey"), "{what}");
    }
    for what in ["afterwards", "after a crash"] {
        for (path, id, wish, gone) in &after {
            match gone {
                true => world.is_gone(path, id, what),
                false => world.tells(path, id, *wish, what),
            }
        }
        world.restart();
    }
}

/// What a bucket gives by default is counted from the moment in which the version comes to be, not from when its upload began.
#[test]
fn lock_12_a_default_counts_from_the_completion_of_an_upload() {
    const GAP: Duration = Duration::from_secs(5);
    let world = World::new();
    let client = &world.strong;
    let default = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                   <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    let set = order(client, "PUT", "/asked?object-lock=", default, false);
    assert_eq!(set.outcome(), done(200));
    let begun = client.request("POST", "/asked/key?uploads=", &[], b"");
    let upload = between(&begun.text(), "UploadId").concat();
    let of_upload = format!("uploadId={upload}");
    let to = format!("/asked/key?partNumber=1&{of_upload}");
    let part = client.request("PUT", &to, &[], b"content");
    let etag = part.header("etag").expect("an ETag");
    std::thread::sleep(GAP);
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let before = wall_ms();
    let to = format!("/asked/key?{of_upload}");
    let reply = client.request("POST", &to, &[], document.as_bytes());
    let after = wall_ms();
    assert_eq!(reply.outcome(), done(200));
    let head = client.request("HEAD", "/asked/key", &[], b"");
    let lock = shown(&head).expect("the default");
    assert!(lock.compliance);
    let (first, last) = (before + DAY_MS - 1_000, after + DAY_MS + 1_000);
    assert!(
        (first..=last).contains(&lock.until_ms),
        "{first} {lock:?} {last}"
    );
}

#[test]
fn lock_15_reads_tell_the_lock_of_each_version() {
    let mut world = World::new();
    let mut versions = Vec::new();
    // All under one key: what is told is that of the version, not of the newest.
    for (number, lock) in LOCKS.iter().enumerate() {
        let wish = wish(
            *lock,
            world.until_ms + u64::try_from(number).expect("few") * DAY_MS,
        );
        versions.push((world.store("/asked/key", wish), wish));
        let until = wish.retention.map(|retention| stamp(retention.until_ms));
        let reply = in_parts(
            &world.strong,
            "/asked/key",
            &headers(wish, until.as_deref()),
            b"content",
        );
        assert_eq!(reply.outcome(), done(200), "{}", lock.0);
        versions.push((version(&reply), wish));
    }
    let modified = |world: &World, id: &str| {
        let path = format!("/asked/key?versionId={id}");
        let head = world.weak.request("HEAD", &path, &[], b"");
        head.header("last-modified").expect("a date").to_owned()
    };
    for (id, wish) in &versions {
        world.tells("/asked/key", id, *wish, "as stored");
    }
    // Locks that are set later, and a hold that is lifted, are told of this version and change no other date.
    let far = Retention {
        compliance: true,
        until_ms: world.until_ms + 400 * DAY_MS,
    };
    let (free, held) = (0, 6);
    let dates = [free, held].map(|at: usize| modified(&world, &versions[at].0));
    std::thread::sleep(Duration::from_millis(1_100));
    let document = format!(
        "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>",
        stamp(far.until_ms)
    );
    let path = format!("/asked/key?retention=&versionId={}", versions[free].0);
    assert_eq!(
        order(&world.weak, "PUT", &path, &document, false).outcome(),
        done(200)
    );
    versions[free].1.retention = Some(far);
    let path = format!("/asked/key?legal-hold=&versionId={}", versions[held].0);
    let document = "<LegalHold><Status>OFF</Status></LegalHold>";
    assert_eq!(
        order(&world.strong, "PUT", &path, document, false).outcome(),
        done(200)
    );
    versions[held].1.hold = Some(false);
    let reply = world.weak.request("DELETE", "/asked/key", &[], b"");
    let marker = version(&reply);
    for what in ["changed", "after a crash"] {
        for (id, wish) in &versions {
            world.tells("/asked/key", id, *wish, what);
        }
        assert_eq!(
            [free, held].map(|at| modified(&world, &versions[at].0)),
            dates,
            "{what}"
        );
        for (of, by_id, code) in [
            ("retention", true, (405, "MethodNotAllowed")),
            ("legal-hold", true, (405, "MethodNotAllowed")),
            ("retention", false, (404, "NoSuchKey")),
            ("legal-hold", false, (404, "NoSuchKey")),
        ] {
            let id = if by_id {
                format!("&versionId={marker}")
            } else {
                String::new()
            };
            let reply = world
                .weak
                .request("GET", &format!("/asked/key?{of}={id}"), &[], b"");
            assert_eq!(
                reply.outcome(),
                refused(code.0, code.1),
                "{what}, {of}, {by_id}"
            );
        }
        world.restart();
    }
    // Where there are no locks, none is told.
    world.strong.put("/plain", b"");
    world.strong.put("/plain/key", b"content");
    let head = world.weak.request("HEAD", "/plain/key", &[], b"");
    assert_eq!((head.status, shown(&head)), (200, None));
    assert_eq!(head.header("x-amz-object-lock-legal-hold"), None);
    for of in ["retention", "legal-hold"] {
        let reply = world
            .weak
            .request("GET", &format!("/plain/key?{of}="), &[], b"");
        assert_eq!(reply.outcome(), refused(400, "InvalidRequest"), "{of}");
    }
}
