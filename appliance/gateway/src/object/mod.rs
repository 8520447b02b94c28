//! Objects: writing, reading and deleting one of them.

pub(crate) mod attributes;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod etags;
pub(crate) mod get;
pub(crate) mod metadata;
pub(crate) mod put;
pub(crate) mod tagging;
pub(crate) mod upload;

mod download;
mod overrides;
