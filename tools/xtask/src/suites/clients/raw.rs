//! What no well-behaved client sends: old TLS, broken bodies, half requests.

use super::{Bench, Case};
use crate::failure::{Failure, Outcome, ensure};
use crate::install;
use crate::s3::Client;

const BUCKET: &str = "raw-bucket";

/// The checks in order.
pub const CASES: [Case; 6] = [
    (
        "raw: TLS 1.3 is spoken for localhost and both loopback addresses",
        tls13,
    ),
    ("raw: TLS 1.2 and older are refused", tls12),
    (
        "raw: plain HTTP gets no answer that looks like S3",
        plain_http,
    ),
    (
        "raw: a body that is not what its signature says is refused",
        wrong_hash,
    ),
    ("raw: an upload that breaks off leaves nothing", abandoned),
    ("raw: an unsigned x-amz header is refused", unsigned_header),
];

fn port(bench: &Bench) -> Outcome<String> {
    let url = bench.variable("AWS_ENDPOINT_URL")?;
    let port = url
        .rsplit(':')
        .next()
        .ok_or_else(|| Failure::new("no port"))?;
    Ok(port.to_owned())
}

fn handshake(bench: &Bench, more: &[&str]) -> Outcome<crate::command::Finished> {
    let at = format!("127.0.0.1:{}", port(bench)?);
    let bundle = bench.variable("AWS_CA_BUNDLE")?;
    bench
        .client(install::OPENSSL.program, &[])?
        .args([
            "s_client",
            "-connect",
            &at,
            "-CAfile",
            bundle,
            "-verify_return_error",
        ])
        .args(more)
        .finish()
}

fn tls13(bench: &Bench) -> Outcome {
    for name in [
        ["-verify_hostname", "localhost"],
        ["-verify_ip", "127.0.0.1"],
        ["-verify_ip", "::1"],
    ] {
        let said = handshake(bench, &name)?;
        let good = said.stdout.contains("TLSv1.3") && said.stdout.contains("Verification: OK");
        ensure(good, || {
            said.unexpected(&format!("TLS 1.3 for {}", name[1]))
                .to_string()
        })?;
    }
    Ok(())
}

fn tls12(bench: &Bench) -> Outcome {
    for old in ["-tls1_2", "-tls1_1"] {
        let said = handshake(bench, &[old])?;
        ensure(!said.status.success(), || format!("{old} was accepted"))?;
        let none = said.stdout.contains("Cipher is (NONE)");
        ensure(none, || said.unexpected("no cipher").to_string())?;
    }
    Ok(())
}

fn plain_http(bench: &Bench) -> Outcome {
    use std::io::{Read, Write};
    let port: u16 = port(bench)?.parse().map_err(|_| Failure::new("odd port"))?;
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60)))?;
    socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut said = Vec::new();
    // The server may also just close or reset.
    let _ = socket.read_to_end(&mut said);
    let text = String::from_utf8_lossy(&said).into_owned();
    ensure(
        !text.contains("HTTP/1.1 2") && !text.contains("<?xml"),
        || format!("said {text}"),
    )
}

fn client(bench: &Bench) -> Outcome<Client> {
    let mut client = bench.server.client();
    let made = client.create_bucket(BUCKET, true)?;
    ensure(made.status == 200 || made.status == 409, || made.summary())?;
    Ok(client)
}

fn nothing_there(client: &mut Client, key: &str) -> Outcome {
    client.get(BUCKET, key, None)?.expect(404)?;
    let listed = client.ask(BUCKET, &[("versions", ""), ("prefix", key)])?;
    ensure(!listed.text().contains("<Version>"), || {
        "a version is listed".to_owned()
    })
}

fn wrong_hash(bench: &Bench) -> Outcome {
    let mut client = client(bench)?;
    let other = crate::s3::sha256_hex(b"something else");
    let answer = client.put(BUCKET, "wrong-hash", b"this body", Some(&other))?;
    answer.expect(400)?;
    let named = answer.text().contains("XAmzContentSHA256Mismatch");
    ensure(named, || {
        format!("another reason is given: {}", answer.summary())
    })?;
    nothing_there(&mut client, "wrong-hash")
}

fn abandoned(bench: &Bench) -> Outcome {
    let mut client = client(bench)?;
    let body = vec![9; 2_500_000];
    for sent in [0, 1, 4096, 1_048_576, body.len() - 1] {
        client.put_abandoned(BUCKET, "abandoned", &body, sent)?;
        nothing_there(&mut client, "abandoned")?;
    }
    client.put(BUCKET, "abandoned", &body, None)?.expect(200)?;
    let got = client.get(BUCKET, "abandoned", None)?;
    ensure(got.body == body, || {
        "the whole upload afterwards came back otherwise".to_owned()
    })
}

fn unsigned_header(bench: &Bench) -> Outcome {
    let mut client = client(bench)?;
    let header = "x-amz-bypass-governance-retention: true\r\n";
    let answer = client.put_with_unsigned(BUCKET, "unsigned", b"x", header)?;
    answer.expect(403)?;
    nothing_there(&mut client, "unsigned")
}
