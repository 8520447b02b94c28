//! What the log's chain, tree, signature and receipts cost a record, on one core, without disks.
//!
//! Records come in groups as frames bring them. Prints the median of the rounds; give the number of
//! records a group as the argument, 64 without one.

#![expect(
    clippy::disallowed_methods,
    reason = "the engine has no clock; what measures it has one"
)]

use std::hint::black_box;
use std::time::Instant;

use stele_format::digest::Digest;
use stele_format::proof::Receipt;
use stele_format::tree::proof::Proofs;
use stele_format::tree::{Frontier, TreeHash, leaf_hash};
use stele_format::units::PoolId;
use stele_store::receipts::LogSigner;

const ROUNDS: usize = 301;
/// Records before the first round: a log as long as that of a vault after some years.
const RECORDS_BEFORE: u64 = 1_000_000;

fn header(number: u64) -> [u8; 192] {
    let mut header = [7; 192];
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let group: u64 = std::env::args()
        .nth(1)
        .map_or(64, |text| text.parse().expect("a number of records"));
    let pool = PoolId::from_bytes([1; 16]);
    let signer = LogSigner::new(pool, &[2; 32]).expect("a key");
    let mut frontier = Frontier::new();
    (0..RECORDS_BEFORE).for_each(|number| frontier.push(leaf_hash(&number.to_le_bytes())));
    let (mut logged, mut proven) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = frontier.clone();
        let headers: Vec<_> = (0..group).map(|n| header(before.size() + n)).collect();
        let started = Instant::now();
        for header in &headers {
            black_box(Digest::chain(header));
            frontier.push(leaf_hash(header));
        }
        let text = signer.checkpoint(&frontier).expect("signed");
        let micros = |started: Instant| started.elapsed().as_secs_f64() * 1e6;
        logged.push(micros(started) / group as f64);
        let started = Instant::now();
        let leaves: Vec<TreeHash> = headers.iter().map(|header| leaf_hash(header)).collect();
        let proofs = Proofs::after(&before, leaves);
        for (header, index) in headers.iter().zip(before.size()..) {
            let path = proofs
                .inclusion(index, frontier.size())
                .expect("in the log");
            black_box(Receipt::text(header, index, &path, &text));
        }
        proven.push(micros(started) / group as f64);
    }
    println!("groups of {group}, {ROUNDS} rounds, medians");
    println!(
        "chain, tree and checkpoint: {:.2} us a record",
        median(logged)
    );
    println!(
        "receipts, one for each record: {:.2} us a record",
        median(proven)
    );
}
