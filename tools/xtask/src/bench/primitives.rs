//! The primitives alone, one core, messages of 1 MiB: what no layer above can be faster than.

use super::table::Line;
use super::{Measure, Sample};
use crate::failure::{Failure, Outcome};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use std::hint::black_box;
use std::time::Instant;

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
    let started = Instant::now();
    for _ in 0..MESSAGES {
        one()?;
    }
    let rate = f64::from(MESSAGES) / started.elapsed().as_secs_f64();
    Ok(Sample {
        rate,
        ..Sample::default()
    })
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
    let mut spent = std::time::Duration::ZERO;
    for _ in 0..MESSAGES {
        records.clone_from(&fresh);
        let started = Instant::now();
        for record in &mut records {
            let opened = key.open_in_place(nonce(), Aad::empty(), record);
            let _ = black_box(opened.map_err(broken)?);
        }
        spent += started.elapsed();
    }
    Ok(Sample {
        rate: f64::from(MESSAGES) / spent.as_secs_f64(),
        ..Sample::default()
    })
}
