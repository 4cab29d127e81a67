//! A file in one content coding, ready to be sent: its validators, rendered headers and bytes.
//!
//! Invariants:
//! 1. Headers are rendered once, when the file is loaded. A response only takes a prefix or suffix
//!    of them, so that 200, 206 and 304 can't disagree.
//! 2. Representations that differ in a byte differ in their ETag. The tag of bytes in memory is
//!    their hash; that of a large file is its size and mtime if the mtime is [exact](Mtime::Exact),
//!    otherwise its hash as well. A suffix names the coding. So replicas send equal tags.
//! 3. While a file may still be changing, no validator comes from its metadata.

use std::ops::Range;

use bytes::Bytes;

use super::compress::MadeCoding;
use super::content_hash::ContentHash;
use super::file_version::{FileVersion, Mtime};
use crate::http::{
    Coding, DateText, EntityTag, HeaderBlock, HeaderLines, LastModified, Validators,
};

/// One coding of one version of a file.
#[derive(Debug)]
pub struct Representation {
    /// The header lines of a 200. Up to `not_modified_end` they are also those of a 304, up to
    /// `partial_end` those of a 206.
    headers: HeaderLines,
    not_modified_end: usize,
    partial_end: usize,
    /// None for a large file that has to be hashed first, or may still be changing.
    etag: Option<EntityTag>,
    /// That of the file that the bytes were read from.
    pub mtime: Mtime,
    /// What the mtime means to preconditions.
    modified: Option<LastModified>,
    pub media_type: Box<str>,
    pub coding: Option<Coding>,
    pub size_bytes: u64,
    pub source: Source,
}

/// Where the bytes of a representation are.
#[derive(Clone, Debug)]
pub enum Source {
    Memory {
        bytes: Bytes,
        hash: ContentHash,
    },
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
    Made(MadeCoding),
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
}

impl RepresentationBuilder<'_> {
    /// Renders the headers of `source`, which was read from a file with `mtime`.
    pub fn build(&self, encoding: Encoding, source: Source, mtime: Mtime) -> Representation {
        let etag = source.etag(mtime, encoding.tag_suffix());
        let size_bytes = source.size_bytes();

        let mut headers = HeaderBlock::default();
        if let Some(etag) = &etag {
            headers.push("ETag", etag.as_str());
        }
        if let Some(text) = mtime.date().and_then(DateText::new) {
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
            mtime,
            modified: mtime.last_modified(),
            media_type: self.media_type.into(),
            coding: encoding.coding(),
            size_bytes,
            source,
        }
    }
}

impl Representation {
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: self.etag.as_ref(), modified: self.modified.as_ref() }
    }

    /// Whether it is still valid as long as the version of its file is the same.
    pub fn is_settled(&self) -> bool {
        self.etag.is_some() && !self.mtime.is_racy()
    }

    /// The version of the file that has to be hashed, so that the representation gets an ETag.
    pub fn version_to_hash(&self) -> Option<FileVersion> {
        match &self.source {
            Source::Disk(version) if self.etag.is_none() && !self.mtime.is_racy() => Some(*version),
            Source::Disk(_) | Source::Memory { .. } => None,
        }
    }

    /// The headers of a 200.
    pub fn headers(&self) -> HeaderBlock {
        self.header_part(0..self.headers.len())
    }

    /// The headers of a 206, without Content-Type, Content-Range and Content-Length.
    pub fn partial_headers(&self) -> HeaderBlock {
        self.header_part(0..self.partial_end)
    }

    /// The headers of a 304 (RFC 9110 section 15.4.5).
    pub fn not_modified_headers(&self) -> HeaderBlock {
        self.header_part(0..self.not_modified_end)
    }

    /// Content-Type and Content-Length, for an error response with this representation as its page.
    pub fn content_headers(&self) -> HeaderBlock {
        self.header_part(self.partial_end..self.headers.len())
    }

    fn header_part(&self, part: Range<usize>) -> HeaderBlock {
        HeaderBlock::shared(self.headers.clone(), part)
    }

    /// The memory it occupies, in bytes.
    pub fn weight_bytes(&self) -> usize {
        let content = match &self.source {
            Source::Memory { bytes, .. } => bytes.len(),
            Source::Disk(_) => 0,
        };
        content + self.headers.len() + size_of::<Representation>()
    }
}

impl Source {
    pub fn in_memory(bytes: Bytes) -> Source {
        let hash = ContentHash::of(&bytes);
        Source::Memory { bytes, hash }
    }

    pub fn size_bytes(&self) -> u64 {
        match self {
            Source::Memory { bytes, .. } => bytes.len() as u64,
            Source::Disk(version) => version.size_bytes,
        }
    }

    /// Identifies the bytes, with `suffix` at its end. None if nothing does yet.
    fn etag(&self, mtime: Mtime, suffix: &str) -> Option<EntityTag> {
        let hash = match (self, mtime) {
            (Source::Memory { hash, .. }, _) => Some(*hash),
            (Source::Disk(_), Mtime::Racy(_)) => None,
            (Source::Disk(version), Mtime::Exact(_)) => {
                return Some(EntityTag::new(format_args!("{}{suffix}", version.opaque_tag())));
            }
            (Source::Disk(version), Mtime::Absent | Mtime::Pinned(_) | Mtime::Dated(_)) => {
                ContentHash::known_of(version)
            }
        };
        hash.map(|hash| EntityTag::new(format_args!("{hash}{suffix}")))
    }
}

impl Encoding {
    fn coding(self) -> Option<Coding> {
        match self {
            Encoding::Identity => None,
            Encoding::Sidecar(coding) => Some(coding),
            Encoding::Made(made) => Some(made.coding()),
        }
    }

    /// A sidecar and what this server makes are two bodies, even in one coding, so they have two
    /// suffixes.
    fn tag_suffix(self) -> &'static str {
        match self {
            Encoding::Identity => "",
            Encoding::Sidecar(coding) => coding.extension(),
            Encoding::Made(MadeCoding::Brotli) => "-br",
            Encoding::Made(MadeCoding::Gzip) => "-gzip",
        }
    }
}
