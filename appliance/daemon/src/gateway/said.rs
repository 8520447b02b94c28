//! What the gateway's process says on its standard error, on its way into the vault's log.
//!
//! Invariants:
//! - it has a pipe there and not the log: each of its lines stands in the log behind a mark that it cannot leave out;
//! - a line is bounded, and nothing in it moves a cursor or begins another line;
//! - only so many lines come in a minute, however often the process is started again; the others are counted;
//! - the process never waits for who reads the log: what the pipe does not take is lost.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::limits::{
    GATEWAY_LINE_BYTES_MAX, GATEWAY_LINE_COUNT_MAX, GATEWAY_LINES_MS, GATEWAY_SAID_MS_MAX,
};

/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;
/// Pause between two reads while what comes is left out anyway.
const PAUSE: Duration = Duration::from_millis(50);

/// How much every gateway of a vault together has said lately.
#[derive(Debug, Clone, Default)]
pub struct Rate(Arc<Mutex<Minute>>);

#[derive(Debug, Default)]
struct Minute {
    since: Option<Instant>,
    said: usize,
    left_out: u64,
}

impl Rate {
    fn lock(&self) -> MutexGuard<'_, Minute> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    /// Whether a line that comes now is told, and how many before it were not.
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        let length = Duration::from_millis(GATEWAY_LINES_MS);
        let is_over = |since| now.saturating_duration_since(since) >= length;
        if self.since.is_none_or(is_over) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said == GATEWAY_LINE_COUNT_MAX {
            self.left_out += 1;
            return (false, 0);
        }
        self.said += 1;
        (true, std::mem::take(&mut self.left_out))
    }
}

/// The thread that reads one process's pipe.
pub struct Listening {
    over: mpsc::Receiver<()>,
}

impl Listening {
    /// Starts the thread; what is given back is the process's end of the pipe.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(rate: Rate) -> io::Result<(PipeWriter, Listening)> {
        let (ours, theirs) = io::pipe()?;
        fcntl(&theirs, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let (end, over) = mpsc::sync_channel(0);
        let thread = std::thread::Builder::new().name("gateway-said".to_owned());
        thread.spawn(move || {
            let _end = end;
            hear(ours, &rate);
        })?;
        Ok((theirs, Listening { over }))
    }

    /// Waits until all is told that a process said before it ended. Where somebody else has its end of the pipe, or
    /// nobody takes the log, the thread is left to itself.
    pub fn end(self) {
        let most = Duration::from_millis(GATEWAY_SAID_MS_MAX);
        // Nothing is ever sent: the sender goes with the thread.
        self.over.recv_timeout(most).ok();
    }
}

fn hear(mut pipe: PipeReader, rate: &Rate) {
    let mut bytes = vec![0; READ_BYTES];
    let mut line = Line::default();
    loop {
        let count = match pipe.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut crowded = false;
        for byte in bytes.get(..count).unwrap_or_default() {
            if let Some(line) = line.push(*byte) {
                crowded |= !tell(&line, rate);
            }
        }
        if crowded {
            std::thread::sleep(PAUSE);
        }
    }
    if let Some(line) = line.end() {
        tell(&line, rate);
    }
    let left_out = std::mem::take(&mut rate.lock().left_out);
    tell_left_out(left_out);
}

/// Puts a line into the log; false when it is left out.
fn tell(line: &str, rate: &Rate) -> bool {
    let (is_told, left_out) = rate.lock().admit(Instant::now());
    tell_left_out(left_out);
    if is_told {
        tracing::warn!("the gateway says: {line}");
    }
    is_told
}

fn tell_left_out(lines: u64) {
    if lines > 0 {
        tracing::warn!(
            lines,
            "the gateway said more than is kept; lines of it were left out"
        );
    }
}

/// A line as far as it has come.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    is_long: bool,
}

impl Line {
    /// The line that ends with this byte, if one does. Empty ones are none.
    fn push(&mut self, byte: u8) -> Option<String> {
        match byte {
            b'\n' => return self.end(),
            _ if self.bytes.len() < GATEWAY_LINE_BYTES_MAX => self.bytes.push(byte),
            _ => self.is_long = true,
        }
        None
    }

    fn end(&mut self) -> Option<String> {
        let Line { bytes, is_long } = std::mem::take(self);
        (!bytes.is_empty()).then(|| plain(&bytes, is_long))
    }
}

/// What was said in characters that only show: everything but those of ASCII is written as an escape.
fn plain(bytes: &[u8], is_long: bool) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        if text.len() >= GATEWAY_LINE_BYTES_MAX {
            return text + "...";
        }
        match c {
            ' '..='[' | ']'..='~' => text.push(c),
            _ => text.extend(c.escape_default()),
        }
    }
    match is_long {
        true => text + "...",
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(said: &[u8]) -> Vec<String> {
        let mut line = Line::default();
        let mut lines: Vec<_> = said.iter().filter_map(|byte| line.push(*byte)).collect();
        lines.extend(line.end());
        lines
    }

    #[test]
    fn a_line_holds_nothing_but_what_can_be_seen() {
        for (said, expected) in [
            (&b"plain \"text\" a=1\n"[..], &["plain \"text\" a=1"][..]),
            (b"one\ntwo\n\nthree", &["one", "two", "three"]),
            (b"\x1b[2J\x07red\r\n", &[r"\u{1b}[2J\u{7}red\r"]),
            (b"a\\n\ttab\n", &[r"a\\n\ttab"]),
            (b"\xff\n", &[r"\u{fffd}"]),
            ("\u{202e}\u{85}ä\n".as_bytes(), &[r"\u{202e}\u{85}\u{e4}"]),
        ] {
            assert_eq!(lines(said), expected, "{said:?}");
        }
    }

    #[test]
    fn a_line_is_bounded_however_long_it_was() {
        let most = GATEWAY_LINE_BYTES_MAX;
        assert_eq!(lines(&vec![b'a'; most]), ["a".repeat(most)]);
        let cut = lines(&[&vec![b'a'; 9 * most][..], b"\nnext\n"].concat());
        assert_eq!(cut, [format!("{}...", "a".repeat(most)), "next".to_owned()]);
        let escaped = lines(&vec![0x1b; most]);
        let [line] = &escaped[..] else {
            panic!("{escaped:?}")
        };
        assert!(line.len() < most + 16, "{}", line.len());
    }

    #[test]
    fn only_so_many_lines_come_in_a_minute_and_the_others_are_counted() {
        let mut minute = Minute::default();
        let start = Instant::now();
        for _ in 0..GATEWAY_LINE_COUNT_MAX {
            assert_eq!(minute.admit(start), (true, 0));
        }
        let end = start + Duration::from_millis(GATEWAY_LINES_MS);
        let just_before = end - Duration::from_millis(1);
        assert_eq!(minute.admit(start), (false, 0));
        assert_eq!(minute.admit(just_before), (false, 0));
        assert_eq!(minute.admit(end), (true, 2));
        assert_eq!(minute.admit(end), (true, 0));
    }

    #[test]
    fn who_writes_never_waits_and_the_thread_ends_with_the_last_writer() {
        let rate = Rate::default();
        // Nothing more is told, so the reader lags.
        for _ in 0..GATEWAY_LINE_COUNT_MAX {
            rate.lock().admit(Instant::now());
        }
        let (mut theirs, listening) = Listening::start(rate.clone()).expect("started");
        let began = Instant::now();
        let much = b"much\n".repeat(800);
        let refused = (0..1_000).any(|_| theirs.write(&much).is_err());
        assert!(refused, "a pipe that nobody empties in time takes no more");
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(theirs);
        listening.over.recv().expect_err("the thread is gone");
    }
}
