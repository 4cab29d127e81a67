//! A file in one coding, ready to be answered with: its validators, its fields, where its bytes are.

use std::time::SystemTime;

use bytes::Bytes;

use super::root::FileVersion;
use crate::http::{Coding, DateText, EntityTag, HeaderBlock, Now, Validators};

/// What a 200 says and sends.
#[derive(Debug)]
pub struct Representation {
    /// The field lines of a 200. First those that every answer about this representation repeats, then those of every
    /// answer that sends some of it, then those of the whole.
    headers: Bytes,
    about_end: usize,
    partial_end: usize,
    etag: EntityTag,
    modified: Option<SystemTime>,
    /// For the parts of a multipart answer.
    pub media_type: Box<str>,
    /// None for the file as it is.
    pub coding: Option<Coding>,
    /// In bytes.
    pub size: u64,
    /// Where the bytes are.
    pub source: Source,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In memory.
    Memory(Bytes),
    /// In a file that is opened for each answer, and has to be in this state then.
    Disk(FileVersion),
}

/// What a representation is made from.
pub struct RepresentationParts<'a> {
    /// Of the file, whatever the coding.
    pub media_type: &'a str,
    /// None for the file as it is; otherwise also what tells its tag from the tags of the other codings.
    pub coding: Option<(Coding, &'a str)>,
    /// Whether there are other codings to choose from.
    pub varies: bool,
    /// When the bytes were last changed.
    pub modified: SystemTime,
    /// Of the file whose change would change the bytes, in bytes.
    pub origin_size: u64,
    /// False while the file may still change without a trace: the tag is weak as long.
    pub is_settled: bool,
    /// Lines that the site's owner wants said, rendered.
    pub policy_lines: &'a [u8],
}

impl Source {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::Disk(version) => version.size,
        }
    }
}

impl Representation {
    /// Renders what is said of `size` bytes from `source`.
    pub fn new(
        parts: &RepresentationParts<'_>,
        size: u64,
        source: Source,
        now: &Now,
    ) -> Representation {
        let nanoseconds = match parts.modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        // Equal on every replica that was copied with its times; the inode is not.
        let mut opaque = format!("{:x}-{nanoseconds:x}", parts.origin_size);
        if let Some((_, mark)) = parts.coding {
            opaque.push_str(mark);
        }
        let etag = EntityTag::new(&opaque, parts.is_settled);
        // RFC 9110 section 8.8.2.1: never later than the Date of the answer.
        let modified = parts.modified.min(now.wall);
        let modified_text = DateText::new(modified);

        let mut headers = HeaderBlock::default();
        headers.push("ETag", etag.as_str());
        if let Some(text) = modified_text {
            headers.push("Last-Modified", text.as_bytes());
        }
        if parts.varies {
            headers.push("Vary", "Accept-Encoding");
        }
        headers.push_lines(parts.policy_lines);
        let about_end = headers.len();
        if let Some((coding, _)) = parts.coding {
            headers.push("Content-Encoding", coding.token());
        }
        headers.push("Accept-Ranges", "bytes");
        let partial_end = headers.len();
        headers.push_content_type(parts.media_type);
        headers.push_number("Content-Length", size);
        Representation {
            headers: headers.freeze(),
            about_end,
            partial_end,
            etag,
            modified: modified_text.map(|_| modified),
            media_type: parts.media_type.into(),
            coding: parts.coding.map(|(coding, _)| coding),
            size,
            source,
        }
    }

    /// What conditions are held against.
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: &self.etag, modified: self.modified }
    }

    /// The tag.
    pub fn etag(&self) -> &EntityTag {
        &self.etag
    }

    /// The fields of a 200.
    pub fn fields_of_all(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.clone())
    }

    /// The fields of a 206 but for what tells the part.
    pub fn fields_of_part(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.slice(..self.partial_end))
    }

    /// The fields of a 304 (RFC 9110 section 15.4.5).
    pub fn fields_of_none(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.slice(..self.about_end))
    }

    /// What an answer about something else says of it as its content: the type and the length.
    pub fn fields_of_content(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.slice(self.partial_end..))
    }

    /// What it costs to remember it, in bytes.
    pub fn weight(&self) -> usize {
        let held = match &self.source {
            Source::Memory(bytes) => bytes.len(),
            Source::Disk(_) => 0,
        };
        held + self.headers.len() + size_of::<Representation>()
    }
}
