//! The control socket: how other processes on this machine ask the serving one.
//!
//! It is a Unix socket in the vault's directory that only its owner may open, and each connection's
//! user is checked again. It carries questions, and disks that join: those are blank or hold what the
//! vault has lost already; and clients, of which it can make ones that add and hide, and revoke any. Once a
//! vault has people, whoever asks for a change signs for that very question; what could take anything away
//! needs statements of several people besides.

pub mod clients;
pub mod desk;
pub mod protocol;
pub mod socket;
pub mod tls;
pub mod wipe;
