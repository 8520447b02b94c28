//! What the logs may not hold: names, content, secrets.

use std::fmt::{Debug, Write as _};
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::client::Call;
use crate::sign::Key;
use crate::world::{HOST, World};

/// Everything that was logged in this process, at any level.
static LOGGED: Mutex<String> = Mutex::new(String::new());

struct Listener;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a String");
    }
}

fn log(metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
    let mut line = Line(format!("{}:{}", metadata.target(), metadata.name()));
    record(&mut line);
    let mut logged = LOGGED.lock().expect("no test panics in here");
    logged.push_str(&line.0);
    logged.push('\n');
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The client's own half of TLS and HTTP runs in this process too.
        !metadata.target().starts_with("rustls") && !metadata.target().starts_with("h2")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        log(span.metadata(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        log(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn nothing_a_client_names_reaches_the_logs() {
    // Another listener in this process would only mean that this test sees nothing.
    tracing::subscriber::set_global_default(Listener).expect("the only listener");
    let world = World::start().await;
    world.bucket("pharmacy").await;
    let put = || {
        Call::object("PUT", "pharmacy", "patient-0815")
            .header("x-amz-meta-diagnosis", "diagnosis-4711")
            .body("content-1234")
    };
    world.call(put()).await.expect(200);
    let wrong = put().header("content-md5", &crate::md5_base64(b"other"));
    world.call(wrong).await.refused(400, "BadDigest");
    let thief = Key {
        id: world.key.id.clone(),
        secret: "guessed-secret".to_owned(),
    };
    let reply = world.raw("PUT", &put().wire(&thief, HOST)).await;
    reply.refused(403, "SignatureDoesNotMatch");
    let xml = "<Delete><Object><Key>patient-0815</Key></Object>";
    let delete = Call::bucket("POST", "pharmacy")
        .query("delete", "")
        .document(xml);
    world.call(delete).await.refused(400, "MalformedXML");
    world
        .call(Call::object("GET", "pharmacy", "patient-0815"))
        .await
        .expect(200);
    let missing = Call::object("GET", "pharmacy", "patient-none");
    world.call(missing).await.refused(404, "NoSuchKey");
    let list = Call::bucket("GET", "pharmacy").query("prefix", "patient-");
    world.call(list).await.expect(200);

    let logged = LOGGED.lock().expect("no test panics in here").clone();
    assert!(
        logged.contains("status=400"),
        "the listener hears the gateway"
    );
    for word in [
        "patient",
        "pharmacy",
        "diagnosis",
        "content-1234",
        "a secret",
        "guessed",
    ] {
        let line = logged.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "{word} was logged");
    }
}
