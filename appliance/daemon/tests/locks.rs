//! Object Lock as a client meets it: requests in any order against a served vault, beside a small model that
//! says of every version what must hold. What is locked stays, byte for byte, and no request makes its lock
//! weaker without the right to.

mod common;

use common::locks::{Retention, Wish, between, headers, in_parts, order, shown, stamp, wall_ms};
use common::s3::{Client, Reply};
use common::{DISK, Place, Server, succeed, text};

/// One vault and one sequence each. A sequence that failed is added here.
const SEEDS: [u64; 3] = [1, 2, 3];
const ACTS: usize = 70;
/// Acts after which everything is looked at, not only what was touched.
const ACTS_BETWEEN_CHECKS: usize = 14;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// The default retention of a bucket in a vault for evaluation.
const DAY_MS: u64 = 24 * HOUR_MS;
/// The first gives its versions a retention of its own, the second only what a client asks for.
const BUCKETS: [&str; 2] = ["kept", "asked"];
const KEYS: u64 = 3;

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn once_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// A version or, without content, a marker.
#[derive(Clone)]
struct Version {
    bucket: usize,
    key: u64,
    id: String,
    content: Option<Vec<u8>>,
    retention: Option<Retention>,
    hold: bool,
}

impl Version {
    fn path(&self) -> String {
        format!("/{}/k{}", BUCKETS[self.bucket], self.key)
    }

    fn query(&self, more: &str) -> String {
        format!("{}?{more}versionId={}", self.path(), self.id)
    }
}

struct World {
    place: Place,
    server: Option<Server>,
    /// With the rights to bypass GOVERNANCE and to lift holds, and without.
    strong: Client,
    weak: Client,
    numbers: Numbers,
    /// What dates are counted from.
    start_ms: u64,
    /// How far compliance time was set forward.
    ahead_ms: u64,
    /// All that S3 shows, in the order in which it was made.
    versions: Vec<Version>,
    trail: Vec<String>,
}

fn denied() -> (u16, String) {
    (403, "AccessDenied".to_owned())
}

/// Where there is nothing to bypass, who asks for it is refused.
fn no_bypass() -> (u16, String) {
    (400, "InvalidArgument".to_owned())
}

fn done(status: u16) -> (u16, String) {
    (status, String::new())
}

impl World {
    fn new(seed: u64) -> World {
        let place = Place::new();
        let vault = text(&place.vault);
        let rights = ["--client-rights", "governance-bypass,hold-off"];
        let kind = ["--disk-bytes", DISK, "--simulated-clock"];
        succeed(&[&["create", vault][..], &kind, &rights].concat());
        let server = Server::start(&place);
        let strong = Client::of(&place, &server);
        let add = ["client", "add", "--vault", vault, "--name", "weak"];
        let own = ["--same-owner-as", strong.id()];
        let rights = ["--rights", "put,get,list,delete,release"];
        let weak = succeed(&[&add[..], &own, &rights].concat());
        let weak = Client::with(&place, &server, &weak);
        strong.put("/kept", b"");
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        let made = strong.request("PUT", "/asked", &lock, b"");
        assert_eq!(made.status, 200, "{}", made.text());
        World {
            place,
            server: Some(server),
            strong,
            weak,
            numbers: Numbers(seed),
            start_ms: wall_ms() / 1_000 * 1_000,
            ahead_ms: 0,
            versions: Vec::new(),
            trail: Vec::new(),
        }
    }

    /// Where the clock is simulated, the wall clock counts as one that was set forward too.
    fn now_ms(&self) -> u64 {
        wall_ms() + self.ahead_ms
    }

    fn holds(&self, retention: Option<Retention>) -> Option<Retention> {
        let now_ms = self.now_ms();
        retention.filter(|retention| retention.until_ms > now_ms)
    }

    /// Dates lie hours away from every hour to which the clock is set, so that seconds do not matter.
    fn some_retention(&mut self) -> Retention {
        let hours = self.ahead_ms / HOUR_MS + 7 * self.numbers.below(12) + 3;
        Retention {
            compliance: self.numbers.once_in(2),
            until_ms: self.start_ms + hours.saturating_sub(14) * HOUR_MS,
        }
    }

    fn some_wish(&mut self) -> Wish {
        let retention = self.numbers.once_in(2).then(|| self.some_retention());
        let hold = self.numbers.once_in(4).then(|| self.numbers.once_in(2));
        Wish { retention, hold }
    }

    fn some_content(&mut self) -> Vec<u8> {
        // Some are too large for the journal and lie in the lanes for data.
        let bytes = [0, 100, 5_000, 150_000][usize::try_from(self.numbers.below(4)).expect("few")];
        (0..bytes)
            .map(|_| u8::try_from(self.numbers.below(256)).expect("a byte"))
            .collect()
    }

    fn some_version(&mut self) -> Option<usize> {
        let count = u64::try_from(self.versions.len()).expect("few");
        let at = (count > 0).then(|| self.numbers.below(count))?;
        usize::try_from(at).ok()
    }

    fn some_object(&mut self) -> Option<usize> {
        let at = self.some_version()?;
        self.versions[at].content.as_ref().map(|_| at)
    }

    fn some_place(&mut self) -> (usize, u64) {
        let bucket = usize::from(self.numbers.once_in(2));
        (bucket, self.numbers.below(KEYS))
    }

    fn client(&self, strong: bool) -> &Client {
        if strong { &self.strong } else { &self.weak }
    }

    fn note(&mut self, what: String) {
        self.trail.push(what);
    }

    fn upload(&mut self, parts: bool) {
        let ((bucket, key), wish) = (self.some_place(), self.some_wish());
        let content = self.some_content();
        self.note(format!(
            "upload of {} bytes to {bucket}/{key}, in parts: {parts}, lock {:?} {:?}",
            content.len(),
            wish.retention,
            wish.hold
        ));
        let path = format!("/{}/k{key}", BUCKETS[bucket]);
        let until = wish.retention.map(|retention| stamp(retention.until_ms));
        let headers = headers(wish, until.as_deref());
        let before_ms = self.now_ms();
        let reply = if parts {
            in_parts(&self.strong, &path, &headers, &content)
        } else {
            self.strong.request("PUT", &path, &headers, &content)
        };
        self.stored(&reply, (bucket, key), wish, content, before_ms);
    }

    fn copy(&mut self) {
        let Some(from) = self.some_object() else {
            return;
        };
        let from = self.versions[from].clone();
        let ((bucket, key), wish) = (self.some_place(), self.some_wish());
        self.note(format!(
            "copy of {} to {bucket}/{key}, lock {:?} {:?}",
            from.id, wish.retention, wish.hold
        ));
        let until = wish.retention.map(|retention| stamp(retention.until_ms));
        let mut headers = headers(wish, until.as_deref());
        let source = from.query("");
        headers.push(("x-amz-copy-source", source.as_str()));
        let path = format!("/{}/k{key}", BUCKETS[bucket]);
        let before_ms = self.now_ms();
        let reply = self.strong.request("PUT", &path, &headers, b"");
        let content = from.content.expect("an object");
        self.stored(&reply, (bucket, key), wish, content, before_ms);
    }

    /// What must have come of an upload: no lock of the source, the default only where none was asked for.
    fn stored(
        &mut self,
        reply: &Reply,
        (bucket, key): (usize, u64),
        wish: Wish,
        content: Vec<u8>,
        before_ms: u64,
    ) {
        if let Some(wished) = wish.retention
            && wished.until_ms <= before_ms
        {
            assert_eq!(reply.outcome(), (400, "InvalidArgument".to_owned()));
            return;
        }
        assert_eq!(reply.outcome(), done(200));
        let id = reply.header("x-amz-version-id").expect("a version");
        let mut version = Version {
            bucket,
            key,
            id: id.to_owned(),
            content: Some(content),
            retention: wish.retention,
            hold: wish.hold == Some(true),
        };
        if wish.retention.is_none() && bucket == 0 {
            // It began somewhere within the request.
            let head = self.strong.request("HEAD", &version.query(""), &[], b"");
            let until_ms = shown(&head).expect("the default").until_ms;
            // What passed while the vault was killed does not count for its clock.
            let span = before_ms + DAY_MS - MINUTE_MS..=self.now_ms() + DAY_MS;
            assert!(span.contains(&until_ms), "{until_ms} not in {span:?}");
            version.retention = Some(Retention {
                compliance: true,
                until_ms,
            });
        }
        self.note(format!("  it is {}", version.id));
        self.check_version(&version);
        self.versions.push(version);
    }

    fn retain(&mut self) {
        let Some(at) = self.some_object() else {
            return;
        };
        let wanted = (!self.numbers.once_in(6)).then(|| self.some_retention());
        let (strong, bypass) = (self.numbers.once_in(2), self.numbers.once_in(2));
        let version = &self.versions[at];
        let said = format!(
            "retention {wanted:?} for {}, strong: {strong}, bypass: {bypass}",
            version.id
        );
        let current = self.holds(version.retention);
        let in_past = wanted.is_some_and(|wanted| wanted.until_ms <= self.now_ms());
        let may = current.is_none_or(|current| {
            let extends = wanted.is_some_and(|wanted| {
                wanted.compliance == current.compliance && wanted.until_ms >= current.until_ms
            });
            extends || (!current.compliance && bypass && strong)
        });
        let document = match wanted {
            None => "<Retention/>".to_owned(),
            Some(wanted) => format!(
                "<Retention><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>",
                wanted.mode(),
                stamp(wanted.until_ms)
            ),
        };
        let path = version.query("retention=&");
        let outcome = order(self.client(strong), "PUT", &path, &document, bypass).outcome();
        self.note(said);
        if in_past {
            assert_eq!(outcome, (400, "InvalidArgument".to_owned()));
        } else if may {
            assert_eq!(outcome, done(200));
            self.versions[at].retention = wanted;
        } else {
            assert_eq!(outcome, denied());
        }
        self.check_version(&self.versions[at]);
    }

    fn hold(&mut self) {
        let Some(at) = self.some_object() else {
            return;
        };
        let (on, strong) = (self.numbers.once_in(2), self.numbers.once_in(2));
        let version = &self.versions[at];
        let said = format!("hold {on} for {}, strong: {strong}", version.id);
        let may = on || !version.hold || strong;
        let word = if on { "ON" } else { "OFF" };
        let document = format!("<LegalHold><Status>{word}</Status></LegalHold>");
        let path = version.query("legal-hold=&");
        // Bypassing governance never lifts a hold.
        let bypassed = order(self.client(strong), "PUT", &path, &document, true);
        let outcome = order(self.client(strong), "PUT", &path, &document, false).outcome();
        self.note(said);
        assert_eq!(bypassed.outcome(), no_bypass());
        if may {
            assert_eq!(outcome, done(200));
            self.versions[at].hold = on;
        } else {
            assert_eq!(outcome, denied());
        }
        self.check_version(&self.versions[at]);
    }

    /// A DELETE without a version: always allowed, and nothing goes.
    fn mark(&mut self) {
        let (bucket, key) = self.some_place();
        self.note(format!("marker for {bucket}/{key}"));
        let path = format!("/{}/k{key}", BUCKETS[bucket]);
        let reply = self.weak.request("DELETE", &path, &[], b"");
        assert_eq!(reply.outcome(), done(204));
        assert_eq!(reply.header("x-amz-delete-marker"), Some("true"));
        let id = reply.header("x-amz-version-id").expect("a version");
        self.versions.push(Version {
            bucket,
            key,
            id: id.to_owned(),
            content: None,
            retention: None,
            hold: false,
        });
    }

    fn may_go(&self, version: &Version, strong: bool, bypass: bool) -> bool {
        let free = |current: Retention| !current.compliance && bypass && strong;
        !version.hold && self.holds(version.retention).is_none_or(free)
    }

    fn delete(&mut self) {
        let Some(at) = self.some_version() else {
            return;
        };
        let (strong, bypass) = (self.numbers.once_in(2), self.numbers.once_in(2));
        let version = self.versions[at].clone();
        self.note(format!(
            "deletion of {}, strong: {strong}, bypass: {bypass}",
            version.id
        ));
        let may = self.may_go(&version, strong, bypass);
        let path = version.query("");
        let outcome = order(self.client(strong), "DELETE", &path, "", bypass).outcome();
        if may {
            assert_eq!(outcome, done(204));
            self.versions.remove(at);
            let gone = self.strong.request("GET", &path, &[], b"");
            assert_eq!(gone.status, 404);
        } else {
            assert_eq!(outcome, denied());
            self.check_version(&version);
        }
    }

    fn delete_many(&mut self) {
        let bucket = usize::from(self.numbers.once_in(2));
        let (strong, bypass) = (self.numbers.once_in(2), self.numbers.once_in(2));
        let all = self.versions.clone().into_iter();
        let mut picked: Vec<Version> = all.filter(|version| version.bucket == bucket).collect();
        picked.retain(|_| self.numbers.once_in(3));
        if picked.is_empty() {
            return;
        }
        self.note(format!(
            "deletion of {} together, strong: {strong}, bypass: {bypass}",
            picked.len()
        ));
        let (go, stay): (Vec<Version>, Vec<Version>) = picked
            .iter()
            .cloned()
            .partition(|version| self.may_go(version, strong, bypass));
        let line = |version: &Version| {
            let (key, id) = (version.key, &version.id);
            format!("<Object><Key>k{key}</Key><VersionId>{id}</VersionId></Object>")
        };
        let objects: String = picked.iter().map(line).collect();
        let document = format!("<Delete>{objects}</Delete>");
        let path = format!("/{}?delete=", BUCKETS[bucket]);
        let reply = order(self.client(strong), "POST", &path, &document, bypass);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let said = reply.text();
        let ids = |element: &str| {
            let parts = between(&said, element).into_iter();
            let mut ids: Vec<String> = parts
                .flat_map(|part| between(part, "VersionId"))
                .map(str::to_owned)
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids("Deleted"), sorted(&go), "{said}");
        assert_eq!(ids("Error"), sorted(&stay), "{said}");
        let codes = between(&said, "Code");
        assert_eq!(codes, vec!["AccessDenied"; stay.len()]);
        self.versions
            .retain(|version| go.iter().all(|gone| gone.id != version.id));
        stay.iter().for_each(|version| self.check_version(version));
    }

    /// Configurations by which versions could lose what protects them.
    fn configure(&mut self) {
        let bucket = BUCKETS[usize::from(self.numbers.once_in(2))];
        let (action, outcome) = match self.numbers.below(3) {
            // Of what goes there is a test of its own; here nothing is that old.
            0 => ("<Expiration><Days>3650</Days></Expiration>", (200, "")),
            1 => (
                "<NoncurrentVersionExpiration><NoncurrentDays>3650</NoncurrentDays>\
                 </NoncurrentVersionExpiration>",
                (200, ""),
            ),
            _ => (
                "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
                 </AbortIncompleteMultipartUpload>",
                (200, ""),
            ),
        };
        self.note(format!("lifecycle of {bucket}: {action}"));
        let document = format!(
            "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status>\
             <Filter><Prefix></Prefix></Filter>{action}</Rule></LifecycleConfiguration>"
        );
        let path = format!("/{bucket}?lifecycle=");
        let reply = order(&self.strong, "PUT", &path, &document, true);
        assert_eq!(reply.outcome(), no_bypass());
        let (status, code) = order(&self.strong, "PUT", &path, &document, false).outcome();
        assert_eq!((status, code.as_str()), outcome);
        // Nobody here may lower a default.
        let document = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
                        </ObjectLockConfiguration>";
        let reply = order(&self.strong, "PUT", "/kept?object-lock=", document, true);
        assert_eq!(reply.outcome(), no_bypass());
        let reply = order(&self.strong, "PUT", "/kept?object-lock=", document, false);
        assert_eq!(reply.outcome(), denied());
        if self
            .versions
            .iter()
            .any(|version| BUCKETS[version.bucket] == bucket)
        {
            let reply = self
                .strong
                .request("DELETE", &format!("/{bucket}"), &[], b"");
            assert_eq!(reply.outcome(), (409, "BucketNotEmpty".to_owned()));
        }
    }

    fn advance(&mut self) {
        let hours = 7 * (1 + self.numbers.below(3));
        self.note(format!("the clock goes on by {hours} h"));
        let by = format!("{hours}h");
        succeed(&["clock", "advance", "--vault", text(&self.place.vault), &by]);
        self.ahead_ms += hours * HOUR_MS;
    }

    fn act(&mut self) {
        match self.numbers.below(24) {
            0..=3 => self.upload(false),
            4..=5 => self.upload(true),
            6..=7 => self.copy(),
            8..=11 => self.retain(),
            12..=14 => self.hold(),
            15 => self.mark(),
            16..=18 => self.delete(),
            19..=20 => self.delete_many(),
            21 => self.configure(),
            _ => self.advance(),
        }
        (0..BUCKETS.len()).for_each(|bucket| self.check_listing(bucket));
    }

    /// S3 lists exactly what the model has, and of each key the newest as the latest.
    fn check_listing(&self, bucket: usize) {
        let path = format!("/{}?versions=", BUCKETS[bucket]);
        let said = self.weak.request("GET", &path, &[], b"").text();
        let mut listed = Vec::new();
        for (element, marker) in [("Version", false), ("DeleteMarker", true)] {
            for row in between(&said, element) {
                let one = |name: &str| between(row, name).concat();
                listed.push((one("VersionId"), one("Key"), marker, one("IsLatest")));
            }
        }
        let here = || {
            self.versions
                .iter()
                .filter(move |version| version.bucket == bucket)
        };
        let mut expected: Vec<_> = here()
            .map(|version| {
                let newest = here().rfind(|other| other.key == version.key);
                let latest = newest.is_some_and(|newest| newest.id == version.id);
                (
                    version.id.clone(),
                    format!("k{}", version.key),
                    version.content.is_none(),
                    latest.to_string(),
                )
            })
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
    }

    /// A version is there with its content and exactly the lock that the model has.
    fn check_version(&self, version: &Version) {
        let Some(content) = &version.content else {
            return;
        };
        let reply = self.weak.request("GET", &version.query(""), &[], b"");
        assert_eq!(reply.outcome(), done(200), "{}", version.id);
        assert!(&reply.body == content, "{} has other bytes", version.id);
        let head = self.weak.request("HEAD", &version.query(""), &[], b"");
        assert_eq!(head.status, 200, "{}", version.id);
        for reply in [&reply, &head] {
            assert_eq!(shown(reply), version.retention, "{}", version.id);
            let hold = reply.header("x-amz-object-lock-legal-hold") == Some("ON");
            assert_eq!(hold, version.hold, "{}", version.id);
        }
    }

    fn check(&self) {
        (0..BUCKETS.len()).for_each(|bucket| self.check_listing(bucket));
        self.versions
            .iter()
            .for_each(|version| self.check_version(version));
    }

    /// SIGKILL, and another start.
    fn restart(&mut self) {
        self.note("killed".to_owned());
        self.server.take().expect("serves").kill();
        let server = Server::start(&self.place);
        self.strong = self.strong.at(&server);
        self.weak = self.weak.at(&server);
        self.server = Some(server);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what was done:\n{}", self.trail.join("\n"));
        }
    }
}

fn sorted(versions: &[Version]) -> Vec<String> {
    let mut ids: Vec<String> = versions.iter().map(|version| version.id.clone()).collect();
    ids.sort();
    ids
}

#[test]
fn what_is_locked_stays_whatever_clients_ask_for() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        world.note(format!("seed {seed}"));
        for number in 1..=ACTS {
            world.act();
            if number == ACTS / 2 {
                world.restart();
                world.check();
            } else if number % ACTS_BETWEEN_CHECKS == 0 {
                world.check();
            }
        }
        world.check();
        world.restart();
        world.check();
    }
}

#[test]
fn lock_13_a_copy_has_no_lock_of_its_source_and_takes_none_away() {
    let world = World::new(0);
    let strong = &world.strong;
    let far = Retention {
        compliance: true,
        until_ms: world.start_ms + 400 * DAY_MS,
    };
    let until = stamp(far.until_ms);
    let wish = Wish {
        retention: Some(far),
        hold: Some(true),
    };
    for (bucket, has_default) in [("kept", true), ("asked", false)] {
        let path = format!("/{bucket}/k");
        let stored = |headers: &[(&str, &str)], body: &[u8]| {
            let reply = strong.request("PUT", &path, headers, body);
            assert_eq!(reply.outcome(), done(200), "{bucket}");
            let id = reply.header("x-amz-version-id").expect("a version");
            format!("{path}?versionId={id}")
        };
        let old = stored(&headers(wish, Some(&until)), b"kept");
        let new = stored(
            &[
                ("x-amz-copy-source", &path),
                ("x-amz-metadata-directive", "REPLACE"),
            ],
            b"",
        );
        let copied = strong.request("HEAD", &new, &[], b"");
        let default = shown(&copied);
        assert_eq!(default.is_some(), has_default, "{bucket}");
        // A day, and not what the source has.
        let ends_ms = default.map_or(0, |retention| retention.until_ms);
        assert!(ends_ms < world.start_ms + 2 * DAY_MS, "{ends_ms}");
        assert_eq!(copied.header("x-amz-object-lock-legal-hold"), None);
        for bypass in [false, true] {
            let outcome = order(strong, "DELETE", &old, "", bypass).outcome();
            assert_eq!(outcome, denied(), "{bucket}");
        }
        let kept = strong.request("GET", &old, &[], b"");
        assert_eq!(kept.body, b"kept", "{bucket}");
        assert_eq!(shown(&kept), Some(far), "{bucket}");
        let hold = kept.header("x-amz-object-lock-legal-hold");
        assert_eq!(hold, Some("ON"), "{bucket}");
    }
}
