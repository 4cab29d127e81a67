//! A file in one content coding, ready to be sent: its validators, rendered headers and bytes.
//!
//! Invariants:
//! 1. Headers are rendered once, when the file is loaded. A response only takes a prefix or suffix
//!    of them, so that 200, 206 and 304 can't disagree.
//! 2. Representations that differ in a byte differ in their strong ETag. The tag consists of the
//!    size and mtime of the file, or the hash of an embedded file, and a suffix for the coding. So
//!    replicas whose files were copied with their times send equal tags. Inodes would differ.

use std::time::SystemTime;

use bytes::Bytes;

use super::file_version::FileVersion;
use super::sample::EmbeddedFile;
use crate::http::{Coding, DateText, EntityTag, HeaderBlock, Now, Validators};

/// One coding of one revision of a file.
#[derive(Debug)]
pub struct Representation {
    /// The header lines of a 200. Up to `not_modified_end` they are also those of a 304, up to
    /// `partial_end` those of a 206.
    headers: Bytes,
    not_modified_end: usize,
    partial_end: usize,
    etag: EntityTag,
    modified: Option<SystemTime>,
    pub media_type: Box<str>,
    pub coding: Option<Coding>,
    pub size_bytes: u64,
    pub source: Source,
}

/// Where the bytes of a representation are.
#[derive(Clone, Debug)]
pub enum Source {
    Memory(Bytes),
    /// In a file that is opened for each response, and must have this version then.
    Disk(FileVersion),
}

/// How the bytes of a representation were made from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// They are those of the file.
    Identity,
    /// They are those of a file next to it: `page.html.br`.
    Sidecar(Coding),
    /// This server compressed the file.
    Gzip,
}

/// One state of a file's content, as its validators identify it.
#[derive(Clone, Debug)]
pub struct Revision {
    opaque_tag: String,
    modified: Option<SystemTime>,
    /// Whether the content may change without a new revision; then its tags are weak.
    pub is_racy: bool,
}

/// Builds the representations of one file, from what they have in common.
#[derive(Clone, Copy)]
pub struct RepresentationBuilder<'a> {
    /// Of the file; a coding does not change it.
    pub media_type: &'a str,
    /// The header lines of the policy, rendered.
    pub policy_lines: &'a [u8],
    /// Whether there is more than one coding to choose from.
    pub varies: bool,
    pub now: &'a Now,
}

impl RepresentationBuilder<'_> {
    /// Renders the headers of `source`.
    pub fn build(&self, revision: &Revision, encoding: Encoding, source: Source) -> Representation {
        let opaque_tag = format!("{}{}", revision.opaque_tag, encoding.tag_suffix());
        let etag = EntityTag::new(&opaque_tag, !revision.is_racy);
        // Last-Modified must not be later than Date (RFC 9110 section 8.8.2.1).
        let modified = revision.modified.map(|modified| modified.min(self.now.wall));
        let modified_text = modified.and_then(DateText::new);
        let size_bytes = source.size_bytes();

        let mut headers = HeaderBlock::default();
        headers.push("ETag", etag.as_str());
        if let Some(text) = modified_text {
            headers.push("Last-Modified", text.as_bytes());
        }
        if self.varies {
            headers.push("Vary", "Accept-Encoding");
        }
        headers.push_lines(self.policy_lines);
        let not_modified_end = headers.len();
        if let Some(coding) = encoding.coding() {
            headers.push("Content-Encoding", coding.token());
        }
        headers.push("Accept-Ranges", "bytes");
        let partial_end = headers.len();
        headers.push_content_type(self.media_type);
        headers.push_number("Content-Length", size_bytes);
        Representation {
            headers: headers.freeze(),
            not_modified_end,
            partial_end,
            etag,
            // A time that Last-Modified can't express is not a validator either.
            modified: modified.filter(|_| modified_text.is_some()),
            media_type: self.media_type.into(),
            coding: encoding.coding(),
            size_bytes,
            source,
        }
    }
}

impl Representation {
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: Some(&self.etag), modified: self.modified }
    }

    pub fn etag(&self) -> &EntityTag {
        &self.etag
    }

    /// The headers of a 200.
    pub fn headers(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.clone())
    }

    /// The headers of a 206, without Content-Type, Content-Range and Content-Length.
    pub fn partial_headers(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.slice(..self.partial_end))
    }

    /// The headers of a 304 (RFC 9110 section 15.4.5).
    pub fn not_modified_headers(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.slice(..self.not_modified_end))
    }

    /// Content-Type and Content-Length, for an error response with this representation as its page.
    pub fn content_headers(&self) -> HeaderBlock {
        HeaderBlock::shared(self.headers.slice(self.partial_end..))
    }

    /// The memory it occupies, in bytes.
    pub fn weight_bytes(&self) -> usize {
        let content = match &self.source {
            Source::Memory(bytes) => bytes.len(),
            Source::Disk(_) => 0,
        };
        content + self.headers.len() + size_of::<Representation>()
    }
}

impl Source {
    pub fn size_bytes(&self) -> u64 {
        match self {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::Disk(version) => version.size_bytes,
        }
    }
}

impl Encoding {
    fn coding(self) -> Option<Coding> {
        match self {
            Encoding::Identity => None,
            Encoding::Sidecar(coding) => Some(coding),
            Encoding::Gzip => Some(Coding::Gzip),
        }
    }

    /// A sidecar in gzip and the gzip of this server are two bodies, so they have two suffixes.
    fn tag_suffix(self) -> &'static str {
        match self {
            Encoding::Identity => "",
            Encoding::Sidecar(coding) => coding.extension(),
            Encoding::Gzip => "-gzip",
        }
    }
}

impl Revision {
    pub fn of_file(size_bytes: u64, modified: SystemTime, is_racy: bool) -> Revision {
        let nanoseconds = match modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        let opaque_tag = format!("{size_bytes:x}-{nanoseconds:x}");
        Revision { opaque_tag, modified: Some(modified), is_racy }
    }

    pub fn of_embedded(file: &EmbeddedFile) -> Revision {
        Revision { opaque_tag: file.content_hash(), modified: None, is_racy: false }
    }
}
