//! A file with all its representations, as the cache keeps it.

use std::sync::{Arc, Weak};

use super::compressor::ContentKey;
use super::file_version::FileVersion;
use super::open_file::File;
use super::representation::Representation;
use crate::http::{AcceptEncoding, Coding};

/// A file and the codings it is offered in.
#[derive(Clone, Debug)]
pub struct LoadedFile {
    /// The file as it is.
    pub identity: Arc<Representation>,
    pub sidecars: Vec<Sidecar>,
    pub gzip: Gzip,
    /// None for an embedded file, which never changes.
    pub version: Option<FileVersion>,
}

/// The content of a file in another coding, read from a file next to it.
#[derive(Clone, Debug)]
pub struct Sidecar {
    pub version: FileVersion,
    pub representation: Arc<Representation>,
}

/// A file on disk that may be loaded as a [`Sidecar`].
pub struct SidecarFile {
    pub coding: Coding,
    pub file: File,
    pub version: FileVersion,
}

/// The gzip that this server makes, when a client first wants it.
#[derive(Clone, Debug)]
pub enum Gzip {
    /// The type, the size or the content rules it out, or there is a sidecar in gzip.
    NotOffered,
    Offered {
        content: ContentKey,
        /// What was made of it, as long as the [`Compressor`](super::compressor::Compressor) keeps
        /// it.
        made: Weak<Representation>,
    },
}

/// The representation a client prefers.
pub enum Choice {
    Ready(Arc<Representation>),
    /// The gzip of this content, which the compressor has or makes.
    Gzip(ContentKey),
}

impl LoadedFile {
    /// Whether there is more than one coding to choose from.
    pub fn has_choice(&self) -> bool {
        !self.sidecars.is_empty() || !matches!(self.gzip, Gzip::NotOffered)
    }

    /// The representation in the coding of a sidecar, or the file as it is.
    pub fn in_coding(&self, coding: Option<Coding>) -> &Arc<Representation> {
        let mut sidecars = self.sidecars.iter().map(|sidecar| &sidecar.representation);
        sidecars.find(|sidecar| sidecar.coding == coding).unwrap_or(&self.identity)
    }

    pub fn choose(&self, accept_encoding: &AcceptEncoding) -> Choice {
        let sidecars = self.sidecars.iter().filter_map(|sidecar| sidecar.representation.coding);
        let gzip = (!matches!(self.gzip, Gzip::NotOffered)).then_some(Coding::Gzip);
        let chosen = accept_encoding.choose(sidecars.chain(gzip));
        let representation = match (chosen, &self.gzip) {
            (None, _) => &self.identity,
            (Some(Coding::Gzip), Gzip::Offered { content, made }) => {
                return match made.upgrade() {
                    Some(made) => Choice::Ready(made),
                    None => Choice::Gzip(*content),
                };
            }
            (Some(_), _) => self.in_coding(chosen),
        };
        Choice::Ready(representation.clone())
    }

    /// Whether the disk certainly holds what was loaded: no version has changed, and none is racy.
    /// False as well if an ETag is missing, which may have been found since.
    pub fn is_current(&self, version: &FileVersion, sidecar_files: &[SidecarFile]) -> bool {
        let is_sidecar_current = |(sidecar, file): (&Sidecar, &SidecarFile)| {
            let representation = &sidecar.representation;
            representation.is_settled()
                && representation.coding == Some(file.coding)
                && sidecar.version == file.version
        };
        self.identity.is_settled()
            && self.version == Some(*version)
            && self.sidecars.len() == sidecar_files.len()
            && self.sidecars.iter().zip(sidecar_files).all(is_sidecar_current)
    }

    /// The memory it occupies, in bytes, without its gzip.
    pub fn weight_bytes(&self) -> usize {
        let sidecars = self.sidecars.iter().map(|sidecar| sidecar.representation.weight_bytes());
        self.identity.weight_bytes() + sidecars.sum::<usize>()
    }
}
