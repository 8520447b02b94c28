//! The primitives alone, one core, messages of 1 MiB: what no layer above can be faster than.

use super::table::Line;
use super::{Measure, Sample};
use crate::failure::{Failure, Outcome};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use nix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::{Duration, Instant};

const MESSAGE_BYTES: usize = 1 << 20;
const MESSAGES: u32 = 256;

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
struct Clock {
    wall: Duration,
    cpu: Duration,
}

impl Clock {
    fn run(&mut self, one: impl FnOnce() -> Outcome) -> Outcome {
        let (wall, cpu) = (Instant::now(), thread_time()?);
        one()?;
        self.wall += wall.elapsed();
        self.cpu += thread_time()?.saturating_sub(cpu);
        Ok(())
    }

    fn sample(&self) -> Sample {
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

#[cfg(test)]
mod tests {
    use super::{blake3_rate, record_rate, seal_rate, sha256_rate};

    #[test]
    fn no_primitive_takes_more_of_the_processor_than_of_the_wall() {
        for one in [blake3_rate, sha256_rate, seal_rate, record_rate] {
            let sample = one().unwrap();
            let wall = 1e9 / (sample.rate * f64::from(1 << 20));
            let cpu = sample.cpu_byte_ns.unwrap();
            assert!(cpu > 0.0 && cpu <= wall * 1.05, "{cpu} of {wall}");
        }
    }
}
