//! What the arms serve: a small file and a large one.

use std::io;
use std::path::{Path, PathBuf};

/// A folder with a small and a large file.
#[derive(Debug)]
pub(super) struct TestSite {
    pub(super) folder: PathBuf,
    pub(super) small: TestFile,
    pub(super) large: TestFile,
    is_ours: bool,
}

#[derive(Clone, Debug)]
pub(super) struct TestFile {
    /// Beneath the folder.
    pub(super) path: String,
    pub(super) bytes: u64,
}

const SMALL_BYTES: u64 = 1024;
const LARGE_BYTES: u64 = 1024 * 1024;
/// Deep enough for any site that people look at with a comparison in mind.
const DEPTH_MAX: usize = 8;

impl TestSite {
    /// The files of `root` that come nearest to a small and a large one, or two that are made for it.
    pub(super) fn open(root: Option<&Path>) -> io::Result<TestSite> {
        match root {
            Some(root) => TestSite::find(root),
            None => TestSite::make(),
        }
    }

    fn find(root: &Path) -> io::Result<TestSite> {
        let folder = root.canonicalize()?;
        let mut files = Vec::new();
        collect(&folder, &folder, DEPTH_MAX, &mut files);
        let small = files.iter().min_by_key(|file| file.bytes.max(1).ilog2().abs_diff(SMALL_BYTES.ilog2())).cloned();
        let large = files.into_iter().max_by_key(|file| file.bytes);
        match small.zip(large) {
            Some((small, large)) => Ok(TestSite { folder, small, large, is_ours: false }),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "there is no file in it to ask for")),
        }
    }

    fn make() -> io::Result<TestSite> {
        let folder = std::env::temp_dir().join(format!("miniweb-compare-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let file = |path: &str, bytes| TestFile { path: path.to_owned(), bytes };
        let (small, large) = (file("small.html", SMALL_BYTES), file("large.bin", LARGE_BYTES));
        let site = TestSite { folder, small, large, is_ours: true };
        for file in [&site.small, &site.large] {
            std::fs::write(site.folder.join(&file.path), vec![b'x'; file.bytes as usize])?;
        }
        Ok(site)
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let names = format!(
            "/{} ({}) and /{} ({})",
            self.small.path,
            crate::human::bytes(self.small.bytes),
            self.large.path,
            crate::human::bytes(self.large.bytes)
        );
        if self.is_ours { format!("made for it: {names}") } else { format!("{}: {names}", self.folder.display()) }
    }
}

impl Drop for TestSite {
    fn drop(&mut self) {
        if self.is_ours {
            // What is left in the place for temporary files does no harm.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Plain names only: they are put into requests as they are.
fn collect(root: &Path, folder: &Path, depth: usize, files: &mut Vec<TestFile>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(facts)) = (entry.path(), entry.metadata()) else { continue };
        let is_plain = |name: &str| {
            !name.starts_with('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !entry.file_name().to_str().is_some_and(is_plain) {
            continue;
        }
        if facts.is_dir() && depth > 0 {
            collect(root, &path, depth - 1, files);
        } else if facts.is_file()
            && let Some(path) = path.strip_prefix(root).ok().and_then(Path::to_str)
        {
            files.push(TestFile { path: path.to_owned(), bytes: facts.len() });
        }
    }
}
