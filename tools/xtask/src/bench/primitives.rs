//! The primitives alone, one core, messages of 1 MiB: what no layer above can be faster than. What of them only
//! moves bytes is the cost of the system: a socket, memory, a disk.

use super::table::Line;
use super::{Measure, Sample};
use crate::failure::{Failure, Outcome};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use nix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

pub const MESSAGE_BYTES: usize = 1 << 20;
pub const MESSAGES: u32 = 256;
/// Bytes asked of a socket at a time.
pub const RECEIVED_BYTES: usize = 256 << 10;
/// Bytes copied at a time; a whole message at once might go around the caches.
const COPIED_BYTES: usize = 64 << 10;
/// Messages after which memory is written again: one is filled while the one before is taken.
const COPIES: usize = 2;
/// Messages after which a file is written again.
const FILE_MESSAGES: u32 = 64;
/// What direct I/O wants memory and offsets to be multiples of.
const ALIGNMENT_BYTES: usize = 4096;

/// The measurements.
pub fn measures() -> Vec<Measure<'static>> {
    vec![
        Measure {
            line: Line::new("BLAKE3, one core", "MiB/s"),
            run: Box::new(blake3_rate),
        },
        Measure {
            line: Line::new("SHA-256, one core", "MiB/s"),
            run: Box::new(sha256_rate),
        },
        Measure {
            line: Line::new("AES-256-GCM sealing, one core", "MiB/s"),
            run: Box::new(seal_rate),
        },
    ]
}

fn timed(mut one: impl FnMut() -> Outcome) -> Outcome<Sample> {
    let mut clock = Clock::default();
    for _ in 0..MESSAGES {
        clock.run(&mut one)?;
    }
    Ok(clock.sample())
}

/// Time of messages on the wall, and of this thread on a processor: a neighbour slows only the former.
#[derive(Default)]
pub struct Clock {
    wall: Duration,
    cpu: Duration,
}

impl Clock {
    pub fn run(&mut self, one: impl FnOnce() -> Outcome) -> Outcome {
        let (wall, cpu) = (Instant::now(), thread_time()?);
        one()?;
        self.wall += wall.elapsed();
        self.cpu += thread_time()?.saturating_sub(cpu);
        Ok(())
    }

    pub fn sample(&self) -> Sample {
        let bytes = f64::from(MESSAGES) * f64::from(1 << 20);
        Sample {
            rate: f64::from(MESSAGES) / self.wall.as_secs_f64(),
            cpu_byte_ns: Some(self.cpu.as_secs_f64() * 1e9 / bytes),
            ..Sample::default()
        }
    }
}

fn thread_time() -> Outcome<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_err(|error| Failure::new(format!("no clock of this thread: {error}")))?;
    Ok(Duration::from(time))
}

/// BLAKE3.
pub fn blake3_rate() -> Outcome<Sample> {
    let message = vec![7; MESSAGE_BYTES];
    timed(|| {
        black_box(blake3::hash(black_box(&message)));
        Ok(())
    })
}

/// SHA-256.
pub fn sha256_rate() -> Outcome<Sample> {
    let message = vec![7; MESSAGE_BYTES];
    timed(|| {
        black_box(digest(&SHA256, black_box(&message)));
        Ok(())
    })
}

/// Sealing with AES-256-GCM.
pub fn seal_rate() -> Outcome<Sample> {
    let mut message = vec![7; MESSAGE_BYTES];
    let broken = |_| Failure::new("AES-256-GCM refused");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).map_err(broken)?);
    timed(|| {
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut message);
        let _ = black_box(tag.map_err(broken)?);
        Ok(())
    })
}

/// Opening what came in TLS records: AES-256-GCM over 16 KiB each.
pub fn record_rate() -> Outcome<Sample> {
    const RECORD_BYTES: usize = 16 << 10;
    let broken = |_| Failure::new("AES-256-GCM refused");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).map_err(broken)?);
    let nonce = || Nonce::assume_unique_for_key([0; 12]);
    let mut sealed = vec![7; RECORD_BYTES];
    key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed)
        .map_err(broken)?;
    let mut records = vec![sealed; MESSAGE_BYTES / RECORD_BYTES];
    let fresh = records.clone();
    let mut clock = Clock::default();
    for _ in 0..MESSAGES {
        records.clone_from(&fresh);
        clock.run(|| {
            for record in &mut records {
                let opened = key.open_in_place(nonce(), Aad::empty(), record);
                let _ = black_box(opened.map_err(broken)?);
            }
            Ok(())
        })?;
    }
    Ok(clock.sample())
}

/// Taking bytes out of a socket on the loopback interface; the other end is another thread.
pub fn receive_rate() -> Outcome<Sample> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        let message = vec![7; MESSAGE_BYTES];
        (0..MESSAGES).try_for_each(|_| stream.write_all(&message))
    });
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; RECEIVED_BYTES];
    let mut clock = Clock::default();
    clock.run(|| {
        while stream.read(black_box(&mut buffer))? > 0 {}
        Ok(())
    })?;
    let sent = sender.join();
    sent.map_err(|_| Failure::new("the sending thread panicked"))??;
    Ok(clock.sample())
}

/// Copying into memory that was in use before.
pub fn copy_rate() -> Outcome<Sample> {
    let message = vec![7_u8; MESSAGE_BYTES];
    // Zeros would be pages that the system first has to find at the first copy.
    let mut copies = vec![vec![1; MESSAGE_BYTES]; COPIES];
    let mut next = (0..COPIES).cycle();
    timed(|| {
        let copy = &mut copies[next.next().unwrap_or(0)];
        let pieces = copy.chunks_mut(COPIED_BYTES);
        for (to, from) in pieces.zip(message.chunks(COPIED_BYTES)) {
            to.copy_from_slice(black_box(from));
        }
        black_box(copy);
        Ok(())
    })
}

/// Writing past the page cache, to two files that were written before.
pub fn write_rate(directory: &Path) -> Outcome<Sample> {
    let paths = ["first", "second"].map(|name| directory.join(name));
    let memory = vec![7; MESSAGE_BYTES + ALIGNMENT_BYTES];
    let start = memory.as_ptr().align_offset(ALIGNMENT_BYTES);
    let message = &memory[start..start + MESSAGE_BYTES];
    let files = [written(&paths[0], message)?, written(&paths[1], message)?];
    let mut number = 0;
    let sample = timed(|| {
        let offset = u64::from(number % FILE_MESSAGES) << 20;
        number += 1;
        for file in &files {
            file.write_all_at(message, offset)?;
        }
        Ok(())
    })?;
    for path in &paths {
        std::fs::remove_file(path)?;
    }
    Ok(sample)
}

fn written(path: &Path, message: &[u8]) -> Outcome<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .custom_flags(OFlag::O_DIRECT.bits())
        .open(path)
        .map_err(|error| Failure::path("cannot open without the page cache", path, &error))?;
    for number in 0..u64::from(FILE_MESSAGES) {
        file.write_all_at(message, number << 20)?;
    }
    file.sync_data()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{blake3_rate, copy_rate, receive_rate, record_rate, seal_rate, sha256_rate};
    use crate::bench::received::tls_rate;

    #[test]
    fn no_primitive_takes_more_of_the_processor_than_of_the_wall() {
        let all = [blake3_rate, sha256_rate, seal_rate, record_rate];
        let directory = std::env::temp_dir().join(format!("stele-rates-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let tls = tls_rate(&directory);
        std::fs::remove_dir_all(&directory).unwrap();
        let all = all.into_iter().chain([receive_rate, copy_rate]);
        for sample in all.map(|one| one().unwrap()).chain([tls.unwrap()]) {
            let wall = 1e9 / (sample.rate * f64::from(1 << 20));
            let cpu = sample.cpu_byte_ns.unwrap();
            assert!(cpu > 0.0 && cpu <= wall * 1.05, "{cpu} of {wall}");
        }
    }
}
