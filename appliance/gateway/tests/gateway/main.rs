//! The real gateway over real TLS sockets, with an engine in memory behind it.

mod client;
mod engine;
mod sign;
mod world;

mod buckets;
mod checksums;
mod copies;
mod deadlines;
mod deletes;
mod documents;
mod fairness;
mod flood;
mod headers;
mod http2;
mod integrity;
mod lifecycle;
mod listings;
mod listings_model;
mod locks;
mod logs;
mod multipart;
mod objects;
mod readings;
mod reads;
mod refusals;
mod serving;
mod signatures;
mod tagging;
mod untaken;
mod vault_keys;

use s3s::crypto::{Checksum, Crc32, Md5};

/// Content that is too long for one question: its upload is opened before it is read.
pub fn streamed() -> Vec<u8> {
    let bytes = stele_gateway::limits::SLAB_PLAIN_BYTES_MAX + 1;
    b"content".iter().copied().cycle().take(bytes).collect()
}

/// Content-MD5 of some bytes.
pub fn md5_base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(Md5::checksum(bytes))
}

/// `x-amz-checksum-crc32` of some bytes.
pub fn crc32_base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(Crc32::checksum(bytes))
}
