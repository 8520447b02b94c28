//! The gateway's process of a served vault: confined, without secrets, and started again.

mod common;

use std::io::Write;

use common::s3::Client;
use common::{Place, Server, refuse};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn gateway(place: &Place) -> (i32, u64) {
    let status = place.status();
    let gateway = &status["gateway"];
    let process = gateway["process"].as_i64().unwrap_or(0);
    let restarts = gateway["restarts"].as_u64().unwrap_or(0);
    (i32::try_from(process).expect("a process"), restarts)
}

#[test]
fn a_gateway_that_dies_is_started_again_and_nothing_stored_is_lost() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    client.put("/kept", b"");
    client.put("/kept/before", b"stored before");
    for round in 1..=3 {
        let (process, restarts) = gateway(&place);
        assert_eq!(restarts, round - 1);
        assert_ne!(process, i32::try_from(server.id()).expect("a process"));
        // In the middle of an upload: it must fail, and must not be stored.
        let mut kill_it = |part: usize| {
            if part == 1 {
                kill(Pid::from_raw(process), Signal::SIGKILL).expect("killed");
            }
        };
        let half = vec![7; 200_000];
        let reply = client.call_slowly("PUT", "/kept/half", &[&half, &half], &mut kill_it);
        assert!(reply.is_none(), "{reply:?}");
        place.wait_for("the gateway is started again", |status| {
            status["gateway"]["restarts"].as_u64() == Some(round)
                && status["gateway"]["confined"].is_string()
        });
        assert_eq!(client.get("/kept/before"), b"stored before");
        assert_eq!(client.answer("GET", "/kept/half", b"").0, 404);
        client.put(&format!("/kept/after{round}"), b"stored after");
    }
    // Streams of the dead gateways were given up: the vault stops in order.
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn the_gateway_has_a_bound_on_its_memory_and_goes_before_the_engine() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let (process, _) = gateway(&place);
    let of = |process: u32, file: &str| {
        std::fs::read_to_string(format!("/proc/{process}/{file}")).expect("read")
    };
    let gateway = u32::try_from(process).expect("a process");
    let bound = place.status()["gateway"]["memory_bytes_max"].as_u64();
    assert_eq!(bound, Some(1 << 30));
    let limits = of(gateway, "limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max data size"));
    let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
    assert_eq!(words[3..5], ["1073741824", "1073741824"]);
    let score = |process| {
        of(process, "oom_score_adj")
            .trim()
            .parse::<i32>()
            .expect("a number")
    };
    assert!(score(gateway) > score(server.id()));
}

#[test]
fn neither_process_leaves_a_core_dump() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let (process, _) = gateway(&place);
    for process in [server.id().to_string(), process.to_string()] {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("read");
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{process}");
    }
}

#[test]
fn a_killed_vault_takes_its_gateway_along() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let (process, _) = gateway(&place);
    server.kill();
    let alive = || kill(Pid::from_raw(process), None).is_ok();
    for _ in 0..1000 {
        if !alive() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!alive(), "the gateway outlives the engine's process");
}

#[test]
fn the_gateway_is_confined_and_has_no_secret_of_the_vault() {
    let place = Place::with_vault();
    // As whoever starts the vault may leave one open.
    let inherited = std::fs::File::open(place.file("vault.json")).expect("opened");
    fcntl(&inherited, FcntlArg::F_SETFD(FdFlag::empty())).expect("left open");
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    client.put("/kept", b"");
    let (process, _) = gateway(&place);
    let about = std::fs::read_to_string(format!("/proc/{process}/status")).expect("there");
    let line = |name: &str| {
        let found = about.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim().to_owned()
    };
    assert_eq!(line("NoNewPrivs:"), "1");
    assert_eq!(line("Seccomp:"), "2");
    let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    assert!(environment.is_empty(), "it was given an environment");
    let mut open = open_files(process);
    // Of connections there may be one that is not closed yet.
    open.retain(|(number, kind)| *number <= 2 || kind != "socket");
    let standard = [(0, "socket"), (1, "/dev/null"), (2, "pipe")];
    for (number, kind) in standard {
        assert!(open.contains(&(number, kind.to_owned())), "{open:?}");
    }
    let others = open.iter().filter(|(number, _)| *number > 2);
    let mut others: Vec<&str> = others.map(|(_, kind)| kind.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others, ["eventfd", "eventpoll", "memfd"], "{open:?}");
    let memory = open.iter().filter(|(_, kind)| kind == "memfd");
    assert_eq!(memory.count(), 1, "{open:?}");
    drop(server);
}

/// What the process has open, and of which kind.
fn open_files(process: i32) -> Vec<(u32, String)> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("there");
    let kind = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.expect("an entry");
        let number = file.file_name().to_str()?.parse().ok()?;
        // Closed meanwhile.
        let path = std::fs::read_link(file.path()).ok()?;
        let path = path.display().to_string();
        let kind = match path.split_once(':') {
            Some(("anon_inode", kind)) => kind.trim_matches(['[', ']']).to_owned(),
            Some((kind, _)) => kind.trim_start_matches('/').to_owned(),
            None => path,
        };
        Some((number, kind))
    };
    files.filter_map(kind).collect()
}

/// The log is the engine's process's: a gateway in wrong hands forges none of its lines.
#[test]
fn what_a_gateway_says_is_marked_bounded_and_harmless() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    for round in 0..2 {
        let (process, restarts) = gateway(&place);
        assert_eq!(restarts, round);
        let mut said = std::fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/{process}/fd/2"))
            .expect("its standard error");
        let forged = format!("forged {round} \u{1b}[2J\r2026-11-30T00:00:00Z  INFO sealed\n");
        said.write_all(forged.as_bytes()).expect("written");
        said.write_all(&[&[b'x'; 3_000][..], b"\n"].concat())
            .expect("written");
        for number in 0..100 {
            said.write_all(format!("flood {round} {number}\n").as_bytes())
                .expect("written");
        }
        drop(said);
        kill(Pid::from_raw(process), Signal::SIGKILL).expect("killed");
        place.wait_for("the gateway is started again", |status| {
            status["gateway"]["restarts"].as_u64() == Some(round + 1)
                && status["gateway"]["confined"].is_string()
        });
    }
    let log = server.said();
    let mark = "WARN the gateway says: ";
    let forged: Vec<&str> = log.lines().filter(|line| line.contains("forged")).collect();
    let [line] = &forged[..] else {
        panic!("{forged:?}")
    };
    let expected = format!(r"{mark}forged 0 \u{{1b}}[2J\r2026-11-30T00:00:00Z  INFO sealed");
    assert!(line.ends_with(&expected), "{line}");
    assert!(log.lines().all(|line| line.len() < 700), "a line is cut");
    assert!(log.contains("flood 0 20"), "{log}");
    // However often it is started again, one minute has so many lines, and the others are counted.
    assert_eq!(log.lines().filter(|line| line.contains(mark)).count(), 30);
    let left_out = |line: &str| {
        line.split_once("lines of it were left out lines=")?
            .1
            .parse()
            .ok()
    };
    let left_out: Vec<usize> = log.lines().filter_map(left_out).collect();
    assert_eq!(left_out.len(), 2, "{log}");
    // A build for tests says a line more at each start.
    let said = 30 + left_out.iter().sum::<usize>();
    assert!((204..=207).contains(&said), "{said} {log}");
    // The thread of each process went with it.
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.id())).expect("there");
    let listening = threads.filter(|thread| {
        let name = thread.as_ref().expect("an entry").path().join("comm");
        std::fs::read_to_string(name).is_ok_and(|name| name.trim() == "gateway-said")
    });
    assert_eq!(listening.count(), 1);
}

#[test]
fn nobody_runs_the_gateway_by_hand() {
    let said = refuse(&["gateway"]);
    assert!(said.contains("by `stele serve`, not by hand"), "{said}");
}

/// The gateway has no key: it has the chain of signatures verified by the engine's process.
#[test]
fn what_is_sent_in_signed_chunks_is_stored_and_what_is_forged_is_not() {
    let place = Place::with_vault();
    let server = Server::start(&place);
    let client = Client::of(&place, &server);
    client.put("/kept", b"");
    // More chunks than are verified together.
    let content: Vec<Vec<u8>> = (0..200_u8).map(|number| vec![number; 9_000]).collect();
    let chunks: Vec<&[u8]> = content.iter().map(Vec::as_slice).collect();
    assert_eq!(
        client.put_in_signed_chunks("/kept/k", &chunks, false).0,
        200
    );
    assert_eq!(client.get("/kept/k"), content.concat());
    for count in [1, 64, 65, 200] {
        let answer = client.put_in_signed_chunks("/kept/forged", &chunks[..count], true);
        assert_eq!(answer, (403, "SignatureDoesNotMatch".to_owned()), "{count}");
    }
    assert_eq!(client.answer("GET", "/kept/forged", b"").0, 404);
    assert!(server.end(Signal::SIGTERM).success());
}
