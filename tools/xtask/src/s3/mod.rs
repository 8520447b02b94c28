//! A small blocking S3 client: SigV4 over TLS 1.3, for load, damage checks and benchmarks.
//!
//! It exists because those need thousands of requests a second, exact knowledge of what was
//! acknowledged, and raw answers. What real clients do is tested with real clients.

mod client;
mod http;
mod sign;
mod xml;

pub use client::{Client, Endpoint, Part};
pub use http::{Connection, Response, Trouble, tls};
pub use sign::{Credentials, sha256_hex};
pub use xml::{element, elements};
