//! The site that the contenders serve, and the files that are requested.
//!
//! The small file is the one closest to 1 KiB: large enough to be realistic, small enough that
//! waiting dominates copying. The large file is the largest.
//!
//! Without a directory, the sample site is written to a temporary one, with a file of 1 MiB added.
//! The embedded sample would not do: a real directory includes the cost of opening and revalidating
//! files, the reference loop reads files, and every sample file fits into a socket buffer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct TestSite {
    pub(crate) directory: PathBuf,
    pub(crate) small: TestFile,
    pub(crate) large: TestFile,
    /// Files that were asked for by size.
    sized: Vec<TestFile>,
    temporary: Option<TemporaryDirectory>,
    opened: Instant,
}

/// Removed when dropped.
#[derive(Debug)]
struct TemporaryDirectory(PathBuf);

#[derive(Clone, Debug)]
pub(crate) struct TestFile {
    /// Relative to the directory.
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

const SMALL_BYTES: u64 = 1024;
const LARGE_BYTES: usize = 1024 * 1024;
/// Smaller files are served from memory and fit into a socket buffer.
const LARGE_BYTES_MIN: u64 = 256 * 1024;
/// A file stands for a size of a sweep if it is larger or smaller by at most this factor.
const SIZE_FACTOR_MAX: f64 = 1.5;
/// For two seconds after a write, servers send no validators of a file: it might change again
/// without a trace.
const SETTLED_AFTER: Duration = Duration::from_millis(2500);
/// The depth to which the directory is searched.
const DEPTH_MAX: usize = 8;

impl TestSite {
    /// The site in `root`, or a temporary copy of the sample site.
    pub(crate) fn open(root: Option<&Path>) -> io::Result<TestSite> {
        match root {
            Some(root) => TestSite::find(root),
            None => TestSite::make(),
        }
    }

    fn find(root: &Path) -> io::Result<TestSite> {
        let directory = root.canonicalize()?;
        let files = files_in(&directory);
        let small = closest(&files, SMALL_BYTES).cloned();
        let large = files.into_iter().max_by_key(|file| file.bytes);
        let sized = Vec::new();
        match small.zip(large) {
            Some((small, large)) => Ok(TestSite {
                directory,
                small,
                large,
                sized,
                temporary: None,
                opened: Instant::now(),
            }),
            None => Err(io::Error::other(format!("{}: no suitable file found", root.display()))),
        }
    }

    fn make() -> io::Result<TestSite> {
        // A killed process leaves its directory behind, and process IDs are reused.
        let moment =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let directory =
            std::env::temp_dir().join(format!("miniweb-compare-{}-{moment}", std::process::id()));
        std::fs::create_dir(&directory)?;
        // Dropping this removes the directory on every path from here.
        let temporary = TemporaryDirectory(directory);
        for (name, content) in crate::site::sample_files() {
            std::fs::write(temporary.0.join(name), content)?;
        }
        std::fs::write(temporary.0.join("large.bin"), vec![b'x'; LARGE_BYTES])?;
        let site = TestSite::find(&temporary.0)?;
        Ok(TestSite { temporary: Some(temporary), ..site })
    }

    /// How long it takes until every server sends the validators of all files, unless they change.
    pub(crate) fn time_to_settle(&self) -> Duration {
        SETTLED_AFTER.saturating_sub(self.opened.elapsed())
    }

    /// The files that workloads request.
    pub(crate) fn files(&self) -> Vec<&TestFile> {
        let large = Some(&self.large).filter(|large| large.path != self.small.path);
        std::iter::once(&self.small).chain(large).chain(&self.sized).collect()
    }

    /// A file of this size. A temporary site gets one if it has none; a directory of the user may
    /// have none that comes close.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn file_of(&mut self, bytes: u64) -> io::Result<Option<TestFile>> {
        let known = [&self.small, &self.large].into_iter().chain(&self.sized);
        if let Some(file) = known.into_iter().find(|file| file.bytes == bytes) {
            return Ok(Some(file.clone()));
        }
        let file = match &self.temporary {
            Some(_) => {
                let file = TestFile { path: format!("size-{bytes}.bin"), bytes };
                std::fs::write(self.directory.join(&file.path), vec![b'x'; bytes as usize])?;
                Some(file)
            }
            None => closest(&files_in(&self.directory), bytes)
                .filter(|file| distance(file, bytes) <= SIZE_FACTOR_MAX.log2())
                .cloned(),
        };
        self.sized.extend(file.clone());
        Ok(file)
    }

    /// Whether the largest file is large enough for the workloads that need one.
    pub(crate) fn has_large(&self) -> bool {
        self.large.bytes >= LARGE_BYTES_MIN
    }

    /// A description for the reports.
    pub(crate) fn describe(&self) -> String {
        let file =
            |file: &TestFile| format!("/{} ({})", file.path, crate::format::bytes(file.bytes));
        let names = match self.has_large() {
            true => format!("{} and {}", file(&self.small), file(&self.large)),
            false => file(&self.small),
        };
        match self.temporary {
            Some(_) => format!("the sample site and a large file: {names}"),
            None => format!("{}: {names}", self.directory.display()),
        }
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // A leftover temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// All files, in an order that is the same every time.
fn files_in(directory: &Path) -> Vec<TestFile> {
    let mut files = Vec::new();
    collect(directory, directory, DEPTH_MAX, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn closest(files: &[TestFile], bytes: u64) -> Option<&TestFile> {
    // 404.html is served for missing files.
    let candidates = files.iter().filter(|file| file.path != "404.html");
    candidates.min_by(|a, b| distance(a, bytes).total_cmp(&distance(b, bytes)))
}

/// The logarithm of the factor between the size of a file and another size.
fn distance(file: &TestFile, bytes: u64) -> f64 {
    (file.bytes.max(1) as f64 / bytes.max(1) as f64).log2().abs()
}

/// Collects files whose names need no percent-encoding.
fn collect(root: &Path, directory: &Path, depth: usize, files: &mut Vec<TestFile>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else {
            continue;
        };
        let is_plain = |name: &str| {
            !name.starts_with('.')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !entry.file_name().to_str().is_some_and(is_plain) {
            continue;
        }
        if metadata.is_dir() && depth > 0 {
            collect(root, &path, depth - 1, files);
        } else if metadata.is_file()
            && let Some(path) = path.strip_prefix(root).ok().and_then(Path::to_str)
        {
            files.push(TestFile { path: path.to_owned(), bytes: metadata.len() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_a_large_file_if_there_is_one() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("page.html"), [b'x'; 1024])?;
        let description = || TestSite::open(Some(directory.path())).map(|site| site.describe());
        assert!(description()?.ends_with(": /page.html (1.0 KiB)"), "{}", description()?);
        std::fs::write(directory.path().join("video.mp4"), vec![b'x'; LARGE_BYTES])?;
        assert!(
            description()?.ends_with(": /page.html (1.0 KiB) and /video.mp4 (1.0 MiB)"),
            "{}",
            description()?
        );
        Ok(())
    }
}
