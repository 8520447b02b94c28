//! The network face of Stele: S3 over TLS 1.3.
//!
//! The gateway holds no key, no disk and no policy. It turns HTTP requests into the questions of
//! [`message`] and the engine's answers into HTTP, and it makes sure that nothing is committed that
//! is not exactly what the client said it would send.
//!
//! A request passes, in this order: [`server`] (TLS, limits of connections and heads), `front`
//! (one request from head to answer), `guard` and `auth` (form, signed headers, nothing unknown),
//! [`claim`] (the signature, verified on the engine's side), the S3 library (routing, XML), and the
//! file of its family of verbs (`bucket`, `object`, `multipart`, `list`, `lock`). Content bypasses
//! the S3 library: `body` reads it, `chunked` decodes it, `digest` proves it, [`slab`] carries it to
//! the engine. [`link`] asks, and [`wire`] carries questions and answers between processes.

#![forbid(unsafe_code)]

pub mod chain;
pub mod claim;
pub mod fuzz;
pub mod limits;
pub mod link;
pub mod message;
pub mod refusal;
pub mod server;
pub mod slab;
pub mod turns;
pub mod wire;

mod acl;
mod auth;
mod body;
mod bucket;
mod chunked;
mod combine;
mod complete;
mod digest;
mod document;
mod elements;
mod error;
mod front;
mod guard;
mod idle;
mod lifecycle;
mod list;
mod lock;
mod memory;
mod multipart;
mod object;
mod patience;
mod places;
mod refused;
mod sent;
mod service;
mod sosapi;
mod stream;
mod text;
pub mod tls;
mod unconfigured;

pub use claim::Clients;
pub use guard::host::Domains;
pub use link::EngineLink;
pub use server::{Gateway, GatewayConfig, GatewayError, listen, prepare};
pub use slab::{Slab, SlabPool, Slabs};
