//! Reads: all combinations of conditions, ranges, and headers that the request sets.

use crate::client::Call;
use crate::world::World;

const PAST: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
const FUTURE: &str = "Fri, 01 Jan 2140 00:00:00 GMT";

/// S3's table: what a read with these four conditions answers, each given as whether it holds.
fn expected(
    matches: Option<bool>,
    unmodified: Option<bool>,
    differs: Option<bool>,
    modified: Option<bool>,
) -> u16 {
    let fails = match (matches, unmodified) {
        (Some(matches), _) => !matches,
        (None, Some(unmodified)) => !unmodified,
        (None, None) => false,
    };
    let same = match (differs, modified) {
        (Some(differs), _) => !differs,
        (None, Some(modified)) => !modified,
        (None, None) => false,
    };
    match (fails, same) {
        (true, _) => 412,
        (false, true) => 304,
        (false, false) => 200,
    }
}

#[tokio::test]
async fn every_combination_of_conditions_is_answered_as_s3_does() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"content").await;
    let head = world.call(Call::object("HEAD", "locked", "key")).await;
    let etag = head.expect(200).header("etag").expect("an ETag").to_owned();
    let other = "\"00000000000000000000000000000000\"".to_owned();
    let states = [None, Some(true), Some(false)];
    for matches in states {
        for unmodified in states {
            for differs in states {
                for modified in states {
                    let tag = |holds: bool| if holds { &etag } else { &other };
                    let headers = [
                        ("if-match", matches.map(|holds| tag(holds).clone())),
                        ("if-none-match", differs.map(|holds| tag(!holds).clone())),
                        (
                            "if-unmodified-since",
                            unmodified.map(|holds| (if holds { FUTURE } else { PAST }).to_owned()),
                        ),
                        (
                            "if-modified-since",
                            modified.map(|holds| (if holds { PAST } else { FUTURE }).to_owned()),
                        ),
                    ];
                    let status = expected(matches, unmodified, differs, modified);
                    for method in ["GET", "HEAD"] {
                        let mut call = Call::object(method, "locked", "key");
                        for (name, value) in &headers {
                            if let Some(value) = value {
                                call = call.header(name, value);
                            }
                        }
                        let reply = world.call(call).await;
                        assert_eq!(reply.status, status, "{method} {headers:?}");
                    }
                }
            }
        }
    }
    let idle = |world: &World| world.engine.with(|state| state.idle());
    world.until("no download is open", idle).await;
}

#[tokio::test]
async fn a_request_may_set_headers_of_its_answer() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = Call::object("PUT", "locked", "key")
        .header("content-type", "text/plain")
        .header("cache-control", "no-store")
        .header("expires", PAST);
    world.call(put.body("content")).await.expect(200);
    let names = [
        ("content-type", "application/x-restored"),
        ("cache-control", "max-age=7"),
        ("content-disposition", "attachment; filename=\"a b\""),
        ("content-encoding", "identity"),
        ("content-language", "de"),
        ("expires", FUTURE),
    ];
    for method in ["GET", "HEAD"] {
        let mut call = Call::object(method, "locked", "key");
        for (name, value) in names {
            call = call.query(&format!("response-{name}"), value);
        }
        let reply = world.call(call).await.expect(200);
        for (name, value) in names {
            assert_eq!(reply.header(name), Some(value), "{method} {name}");
        }
        let plain = world.call(Call::object(method, "locked", "key")).await;
        assert_eq!(plain.header("content-type"), Some("text/plain"), "{method}");
        assert_eq!(plain.header("expires"), Some(PAST), "{method}");
    }
    for method in ["GET", "HEAD"] {
        let split = Call::object(method, "locked", "key")
            .query("response-content-disposition", "a\r\nx-injected: 1");
        let reply = world.call(split).await.expect(400);
        assert_eq!(reply.header("x-injected"), None);
    }
}

/// RFC 9110, 15.4.5: a 304 says of these what a 200 to the same request would have said.
#[tokio::test]
async fn what_a_request_sets_is_set_too_where_nothing_changed() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = Call::object("PUT", "locked", "key")
        .header("cache-control", "no-store")
        .header("expires", PAST);
    let put = world.call(put.body("content")).await.expect(200);
    let etag = put.header("etag").expect("an ETag");
    let call = |method: &str| Call::object(method, "locked", "key").header("if-none-match", etag);
    for method in ["GET", "HEAD"] {
        let cached = call(method).query("response-cache-control", "max-age=7");
        for (call, cache, expires) in [
            (call(method), "no-store", PAST),
            (cached.clone(), "max-age=7", PAST),
            (
                cached.query("response-expires", FUTURE),
                "max-age=7",
                FUTURE,
            ),
            (
                call(method).query("response-expires", FUTURE),
                "no-store",
                FUTURE,
            ),
        ] {
            let what = format!("{method} {:?}", call.query);
            let reply = world.call(call).await.expect(304);
            assert_eq!(reply.header("cache-control"), Some(cache), "{what}");
            assert_eq!(reply.header("expires"), Some(expires), "{what}");
            assert_eq!(reply.header("etag"), Some(etag), "{what}");
        }
    }
}

#[tokio::test]
async fn ranges_at_the_edges() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"0123456789").await;
    world.put("locked", "empty", b"").await;
    for (key, range, status, content) in [
        ("key", "bytes=0-0", 206, "0"),
        ("key", "bytes=9-9", 206, "9"),
        ("key", "bytes=9-", 206, "9"),
        ("key", "bytes=5-99", 206, "56789"),
        ("key", "bytes=-1", 206, "9"),
        ("key", "bytes=-99", 206, "0123456789"),
        // However long a number is, it names a place.
        ("key", "bytes=5-18446744073709551615", 206, "56789"),
        ("key", "bytes=5-99999999999999999999999", 206, "56789"),
        ("key", "bytes=-18446744073709551616", 206, "0123456789"),
        ("key", "bytes=9223372036854775808-", 416, ""),
        (
            "key",
            "bytes=18446744073709551616-18446744073709551617",
            416,
            "",
        ),
        // RFC 9110, 14.1: names of units are the same in any case.
        ("key", "Bytes=0-1", 206, "01"),
        ("key", "bytes=10-", 416, ""),
        ("key", "bytes=10-20", 416, ""),
        ("key", "bytes=-0", 416, ""),
        ("empty", "bytes=0-", 416, ""),
        ("empty", "bytes=-1", 416, ""),
        // What is not one range in bytes asks for nothing (RFC 9110, 14.2).
        ("key", "bytes=5-4", 200, "0123456789"),
        (
            "key",
            "bytes=18446744073709551617-18446744073709551616",
            200,
            "0123456789",
        ),
        ("key", "bytes=-", 200, "0123456789"),
        ("key", "bytes=+1-2", 200, "0123456789"),
        ("key", "bytes=0-1,", 200, "0123456789"),
        ("key", "bytes=0-1,3-4", 200, "0123456789"),
        ("key", "bytes=a-b", 200, "0123456789"),
        ("key", "lines=0-1", 200, "0123456789"),
    ] {
        for method in ["GET", "HEAD"] {
            let call = Call::object(method, "locked", key).header("range", range);
            let reply = world.call(call).await;
            assert_eq!(reply.status, status, "{method} {key} {range}");
            if status < 300 && method == "GET" {
                assert_eq!(reply.text(), content, "{key} {range}");
            }
        }
    }
}

/// RFC 9110, 13.2.2: a client that is told 416 would not learn that it is another object by now.
#[tokio::test]
async fn what_a_read_is_conditional_on_comes_before_the_range() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"0123456789").await;
    let head = world.call(Call::object("HEAD", "locked", "key")).await;
    let head = head.expect(200);
    let etag = head.header("etag").expect("an ETag");
    let other = "\"00000000000000000000000000000000\"";
    for method in ["GET", "HEAD"] {
        for (name, value, status) in [
            ("if-match", other, 412),
            ("if-none-match", etag, 304),
            ("if-match", etag, 416),
        ] {
            let call = Call::object(method, "locked", "key").header(name, value);
            world
                .call(call.header("range", "bytes=10-"))
                .await
                .expect(status);
            let call = Call::object(method, "locked", "key").header(name, value);
            world
                .call(call.query("partNumber", "2"))
                .await
                .expect(status);
        }
    }
    let idle = |world: &World| world.engine.with(|state| state.idle());
    world.until("no download is open", idle).await;
}

#[tokio::test]
async fn if_range_decides_between_a_part_and_the_whole() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"0123456789").await;
    let head = world.call(Call::object("HEAD", "locked", "key")).await;
    let head = head.expect(200);
    let etag = head.header("etag").expect("an ETag");
    let other = "\"00000000000000000000000000000000\"";
    let whole = "0123456789";
    for (range, wanted, status, content) in [
        ("bytes=2-3", etag, 206, "23"),
        ("bytes=2-3", FUTURE, 206, "23"),
        ("bytes=2-3", "Wed Jan  1 00:00:00 2070", 206, "23"),
        ("bytes=2-3", other, 200, whole),
        ("bytes=2-3", PAST, 200, whole),
        ("bytes=2-3", "nonsense", 200, whole),
        // It was longer when the client had a part of it.
        ("bytes=10-", other, 200, whole),
        ("bytes=10-", PAST, 200, whole),
    ] {
        let call = Call::object("GET", "locked", "key")
            .header("range", range)
            .header("if-range", wanted);
        let reply = world.call(call).await.expect(status);
        assert_eq!(reply.text(), content, "{range} {wanted}");
        assert_eq!(reply.header("content-range").is_some(), status == 206);
    }
    let call = Call::object("GET", "locked", "key").header("range", "bytes=10-");
    let same = world.call(call.header("if-range", etag)).await;
    same.expect(416);
    let idle = |world: &World| world.engine.with(|state| state.idle());
    world.until("no download is open", idle).await;
}
