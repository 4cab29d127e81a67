//! The files that are served.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::certificate::{KeyKind, TestCertificate};
use crate::files;

/// The sizes of the site.
pub struct SiteSize {
    pub pages: usize,
    pub names: usize,
    pub large_bytes: u64,
}

/// A temporary directory, removed when dropped.
pub struct Site {
    directory: TempDir,
    /// Pages to compress, with paths of equal length.
    pub pages: Vec<String>,
    pub large_bytes: u64,
    pub p256: TestCertificate,
    pub rsa: TestCertificate,
}

pub const SMALL_PATH: &str = "/small.html";
pub const SMALL_BYTES: u64 = 1024;
pub const LARGE_PATH: &str = "/large.bin";
pub const LISTED_PATH: &str = "/listed/";
pub const PAGE_BYTES: usize = 60_000;

impl Site {
    pub fn create(size: &SiteSize) -> io::Result<Site> {
        let directory = files::readable_directory()?;
        let root = directory.path();
        fs::write(root.join(&SMALL_PATH[1..]), [b'x'; SMALL_BYTES as usize])?;
        // Sparse: it is sent from the page cache like any other file.
        File::create(root.join(&LARGE_PATH[1..]))?.set_len(size.large_bytes)?;
        create_names(&root.join(LISTED_PATH.trim_matches('/')), size.names)?;
        let pages: Vec<String> = (0..size.pages).map(|n| format!("/pages/{n:04}.html")).collect();
        fs::create_dir(root.join("pages"))?;
        for (seed, path) in pages.iter().enumerate() {
            fs::write(root.join(&path[1..]), page(seed as u64))?;
        }
        files::settle();
        Ok(Site {
            directory,
            pages,
            large_bytes: size.large_bytes,
            p256: TestCertificate::make(KeyKind::P256)?,
            rsa: TestCertificate::make(KeyKind::Rsa2048)?,
        })
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }
}

fn create_names(directory: &Path, count: usize) -> io::Result<()> {
    fs::create_dir(directory)?;
    for n in 0..count {
        File::create(directory.join(format!("document-{n:05}.html")))?;
    }
    Ok(())
}

/// A text of words in random order, which compresses about as well as prose.
fn page(seed: u64) -> Vec<u8> {
    const WORDS: usize = 2000;
    let mut words = fastrand::Rng::with_seed(0);
    let words: Vec<String> = (0..WORDS)
        .map(|_| (0..words.usize(2..10)).map(|_| words.lowercase()).chain([' ']).collect())
        .collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut page = Vec::with_capacity(PAGE_BYTES + 16);
    while page.len() < PAGE_BYTES {
        // The square makes the first words frequent, as in a language.
        let rank = random.f64().powi(2) * WORDS as f64;
        page.extend_from_slice(words[rank as usize].as_bytes());
    }
    page.truncate(PAGE_BYTES);
    page
}
