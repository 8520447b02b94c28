//! SeaweedFS from PyPI: all its servers in one process. One bucket is flushed at every write, as its
//! `fs.configure -fsync` does it, the other one as it comes.

use super::certificate::Certificate;
use super::daemons::{Daemons, free_ports};
use super::{ACCESS, SECRET};
use crate::command::Run;
use crate::failure::{Failure, Outcome};
use crate::install::Wheel;
use std::path::Path;
use std::time::{Duration, Instant};

/// The bucket in which every object's data is flushed before the answer.
pub const FLUSHED: &str = "flushed";
/// The bucket of the default settings.
pub const UNFLUSHED: &str = "unflushed";

const CONFIGURE_MAX: Duration = Duration::from_secs(20);
const TRIES: u32 = 10;

/// Starts it in a directory; returns the port that speaks S3.
pub fn start(
    directory: &Path,
    tools: &Path,
    certificate: Option<&Certificate>,
) -> Outcome<(Daemons, u16)> {
    let program = Wheel::SEAWEEDFS.path(tools);
    let ports = free_ports()?;
    let [
        master,
        master_grpc,
        volume,
        volume_grpc,
        filer,
        filer_grpc,
        plain,
        grpc,
        tls,
    ] = ports;
    let home = directory.join("seaweedfs");
    std::fs::create_dir_all(home.join("data"))?;
    let identity = format!(
        "{{\"identities\":[{{\"name\":\"bench\",\"credentials\":[{{\"accessKey\":\"{ACCESS}\",\
         \"secretKey\":\"{SECRET}\"}}],\"actions\":[\"Admin\",\"Read\",\"Write\",\"List\"]}}]}}"
    );
    std::fs::write(home.join("s3.json"), identity)?;
    let mut words: Vec<String> = vec![
        program.to_string_lossy().into_owned(),
        "server".to_owned(),
        format!("-dir={}", home.join("data").display()),
        format!("-s3.config={}", home.join("s3.json").display()),
    ];
    let numbered = [
        ("master.port", master),
        ("master.port.grpc", master_grpc),
        ("volume.port", volume),
        ("volume.port.grpc", volume_grpc),
        ("filer.port", filer),
        ("filer.port.grpc", filer_grpc),
        ("s3.port", plain),
        ("s3.port.grpc", grpc),
        ("s3.port.iceberg", 0),
        ("s3.port.lance", 0),
        ("volume.max", 100),
        ("master.volumeSizeLimitMB", 1024),
    ];
    words.extend(numbered.map(|(name, value)| format!("-{name}={value}")));
    let fixed = [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-filer",
        "-s3",
    ];
    words.extend(fixed.map(str::to_owned));
    if let Some(Certificate { chain, key, .. }) = certificate {
        words.push(format!("-s3.port.https={tls}"));
        words.push(format!("-s3.cert.file={}", chain.display()));
        words.push(format!("-s3.key.file={}", key.display()));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut daemons = Daemons::default();
    daemons.start(&words, &home, "weed")?;
    let port = certificate.map_or(plain, |_| tls);
    daemons.accepts(port)?;
    let (master, filer) = (
        format!("-master=127.0.0.1:{master}.{master_grpc}"),
        format!("-filer=127.0.0.1:{filer}.{filer_grpc}"),
    );
    flush(&program, &home, &[&master, &filer])?;
    Ok((daemons, port))
}

/// Asks for the flushes, and that it says they are on.
fn flush(program: &Path, home: &Path, servers: &[&str]) -> Outcome {
    let wish = format!("fs.configure -locationPrefix=/buckets/{FLUSHED}/ -fsync -apply");
    std::fs::write(home.join("wish"), format!("{wish}\nfs.configure\n"))?;
    let mut said = String::new();
    for _ in 0..TRIES {
        let began = Instant::now();
        // Its shell reads commands from a pipe, and waits for ever for a server that is not up yet.
        let script = "exec \"$0\" shell \"$@\" <wish";
        let run = Run::new("/bin/sh")
            .args(["-c", script])
            .arg(program)
            .args(servers)
            .env("HOME", home)
            .directory(home)
            .deadline(CONFIGURE_MAX);
        said = run
            .finish()
            .map_or_else(|f| f.to_string(), |done| done.stdout);
        let listed = said.rsplit("\"version\"").next().unwrap_or_default();
        if listed.contains(FLUSHED) && listed.contains("\"fsync\":  true") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    Err(Failure::new(format!(
        "SeaweedFS does not take fs.configure -fsync: {said}"
    )))
}
