//! A file with all its representations, as the cache keeps it.

use std::sync::{Arc, Weak};

use arrayvec::ArrayVec;

use super::compress::MadeCoding;
use super::compressor::{Compressed, ContentKey};
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
    pub offers: Offers,
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

/// What this server makes of a file, in order of preference. A coding is left out if the type, the
/// size or the content rules it out, or if there is a sidecar in it.
pub type Offers = ArrayVec<Offer, { MadeCoding::ALL.len() }>;

/// A coding that this server makes, when a client first wants it.
#[derive(Clone, Debug)]
pub struct Offer {
    pub coding: MadeCoding,
    pub content: ContentKey,
    /// What was made, as long as the [`Compressor`](super::compressor::Compressor) keeps it.
    pub made: Weak<Representation>,
}

/// The representation a client prefers.
pub enum Choice {
    Ready(Arc<Representation>),
    /// This content in this coding, which the compressor has or makes.
    Compress(MadeCoding, ContentKey),
}

impl LoadedFile {
    /// Whether there is more than one coding to choose from.
    pub fn has_choice(&self) -> bool {
        !self.sidecars.is_empty() || !self.offers.is_empty()
    }

    /// The representation in the coding of a sidecar, or the file as it is.
    pub fn in_coding(&self, coding: Option<Coding>) -> &Arc<Representation> {
        let mut sidecars = self.sidecars.iter().map(|sidecar| &sidecar.representation);
        sidecars.find(|sidecar| sidecar.coding == coding).unwrap_or(&self.identity)
    }

    /// Between codings of equal weight, any sidecar is preferred to what this server makes, as in
    /// nginx and Caddy: it costs no time, and a site's build can afford the best compression. So
    /// the gzip of zopfli may be smaller than a brotli made on the fly.
    pub fn choose(&self, accept_encoding: &AcceptEncoding) -> Choice {
        let sidecars = self.sidecars.iter().filter_map(|sidecar| sidecar.representation.coding);
        let offers = self.offers.iter().map(|offer| offer.coding.coding());
        let chosen = accept_encoding.choose(sidecars.chain(offers));
        match self.offers.iter().find(|offer| Some(offer.coding.coding()) == chosen) {
            Some(offer) => match offer.made.upgrade() {
                Some(made) => Choice::Ready(made),
                None => Choice::Compress(offer.coding, offer.content),
            },
            None => Choice::Ready(self.in_coding(chosen).clone()),
        }
    }

    /// The same file, after it was compressed to `coding` with this result.
    pub fn after_compression(&self, coding: MadeCoding, result: &Compressed) -> LoadedFile {
        let mut file = self.clone();
        match result {
            Compressed::Smaller(representation) => {
                for offer in file.offers.iter_mut().filter(|offer| offer.coding == coding) {
                    offer.made = Arc::downgrade(representation);
                }
            }
            Compressed::NotSmaller => file.offers.retain(|offer| offer.coding != coding),
        }
        file
    }

    /// Whether the file, which now has `version`, certainly holds what was loaded: that version is
    /// the same, and not racy. Also false if the ETag is missing, because it may have been computed
    /// since.
    pub fn is_current(&self, version: &FileVersion) -> bool {
        self.identity.is_settled() && self.version == Some(*version)
    }

    /// The same for its sidecars.
    pub fn are_sidecars_current(&self, sidecar_files: &[SidecarFile]) -> bool {
        let is_sidecar_current = |(sidecar, file): (&Sidecar, &SidecarFile)| {
            let representation = &sidecar.representation;
            representation.is_settled()
                && representation.coding == Some(file.coding)
                && sidecar.version == file.version
        };
        self.sidecars.len() == sidecar_files.len()
            && self.sidecars.iter().zip(sidecar_files).all(is_sidecar_current)
    }

    /// The memory it occupies, in bytes, without what the compressor keeps.
    pub fn weight_bytes(&self) -> usize {
        let sidecars = self.sidecars.iter().map(|sidecar| sidecar.representation.weight_bytes());
        self.identity.weight_bytes() + sidecars.sum::<usize>()
    }
}
