//! Two documents that backup programs of the Veeam family ask every bucket for: what the store can, and
//! how much room it has. They exist in no bucket: nobody can write or list them, and only signed
//! requests read them.

use s3s::S3Result;
use s3s::crypto::{Checksum, Md5};
use s3s::dto::{ETag, Range, Timestamp};

use crate::error::wrong_answer;
use crate::limits::VAULT_KEYS_PREFIX as PREFIX;
use crate::message::{Answer, Request};
use crate::object::get::{content_range, resolve};
use crate::service::Caller;
use crate::text::hex;

/// Their media type.
pub(crate) const CONTENT_TYPE: &str = "application/xml";

const SYSTEM: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <SystemInfo><ProtocolVersion>\"1.0\"</ProtocolVersion><ModelName>\"Stele\"</ModelName>\
    <ProtocolCapabilities><CapacityInfo>true</CapacityInfo><UploadSessions>false</UploadSessions>\
    <IAMSTS>false</IAMSTS></ProtocolCapabilities>\
    <SystemRecommendations><KbBlockSize>4096</KbBlockSize></SystemRecommendations></SystemInfo>";

/// One of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    System,
    Capacity,
}

/// The document behind this key.
pub(crate) fn which(key: &str) -> Option<Which> {
    match key.strip_prefix(PREFIX)? {
        "system.xml" => Some(Which::System),
        "capacity.xml" => Some(Which::Capacity),
        _ => None,
    }
}

/// A document, or the part of it that was asked for.
pub(crate) struct Document {
    pub(crate) etag: ETag,
    pub(crate) modified: Timestamp,
    pub(crate) content: Vec<u8>,
    /// Where the part lies, if a part was asked for.
    pub(crate) content_range: Option<String>,
}

impl Document {
    /// Reads a document in a bucket that must exist.
    pub(crate) async fn read(
        caller: &Caller,
        bucket: &str,
        which: Which,
        range: Option<Range>,
    ) -> S3Result<Self> {
        caller.bucket(bucket).await?;
        let text = match which {
            Which::System => SYSTEM.to_owned(),
            Which::Capacity => capacity(caller).await?,
        };
        let mut content = text.into_bytes();
        let etag = ETag::Strong(hex(&Md5::checksum(&content)));
        let total = content.len() as u64;
        let mut shown = None;
        if let Some(range) = range {
            let (first, bytes) = resolve(range, total)?;
            shown = content_range((first, bytes), total);
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            content.drain(..first.min(content.len()));
            content.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(Self {
            etag,
            modified: Timestamp::from(std::time::SystemTime::now()),
            content,
            content_range: shown,
        })
    }
}

async fn capacity(caller: &Caller) -> S3Result<String> {
    let Answer::Capacity {
        total_bytes,
        free_bytes,
    } = caller.ask(Request::Capacity).await?
    else {
        return Err(wrong_answer());
    };
    let used = total_bytes.saturating_sub(free_bytes);
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CapacityInfo><Capacity>{total_bytes}</Capacity>\
         <Available>{free_bytes}</Available><Used>{used}</Used></CapacityInfo>"
    ))
}
