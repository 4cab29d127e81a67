//! What the contenders serve, and the two files of it that are asked for.
//!
//! The small one is that which comes nearest to 1 KiB: large enough to be an answer, small enough that waiting and not
//! copying is what is paid for. The large one is the largest.
//!
//! Without a folder it is the sample site, which is what a server without a folder serves. It is written out to one all the
//! same: a folder is what people serve, opened and looked at again as in earnest; the floor needs it; and the sample
//! has no file that a socket would not swallow whole, so one of 1 MiB is put beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A folder with a small and a large file.
#[derive(Debug)]
pub(crate) struct TestSite {
    pub(crate) folder: PathBuf,
    pub(crate) small: TestFile,
    pub(crate) large: TestFile,
    made: Option<TemporaryDirectory>,
}

/// A folder that is gone when this is.
#[derive(Debug)]
struct TemporaryDirectory(PathBuf);

#[derive(Clone, Debug)]
pub(crate) struct TestFile {
    /// Beneath the folder.
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

const SMALL_BYTES: f64 = 1024.0;
const LARGE_BYTES: usize = 1024 * 1024;
/// A smaller file goes from memory, and whole into the buffer of a socket.
const LARGE_BYTES_MIN: u64 = 256 * 1024;
/// Deep enough for any site that people series_style at with a comparison in mind.
const DEPTH_MAX: usize = 8;

impl TestSite {
    /// The files of `root` that come nearest to a small and a large one, or two that are made for it.
    pub(crate) fn open(root: Option<&Path>) -> io::Result<TestSite> {
        match root {
            Some(root) => TestSite::find(root),
            None => TestSite::make(),
        }
    }

    fn find(root: &Path) -> io::Result<TestSite> {
        let folder = root.canonicalize()?;
        let mut files = Vec::new();
        collect(&folder, &folder, DEPTH_MAX, &mut files);
        // The same every time: a folder is read in any order.
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let distance = |file: &TestFile| (file.bytes.max(1) as f64 / SMALL_BYTES).log2().abs();
        // A page of its own kind: it is there for what is not.
        let asked = files.iter().filter(|file| file.path != "404.html");
        let small = asked.min_by(|a, b| distance(a).total_cmp(&distance(b))).cloned();
        let large = files.into_iter().max_by_key(|file| file.bytes);
        match small.zip(large) {
            Some((small, large)) => Ok(TestSite { folder, small, large, made: None }),
            None => Err(io::Error::other(format!(
                "{}: there is no file in it to ask for",
                root.display()
            ))),
        }
    }

    fn make() -> io::Result<TestSite> {
        // One that was killed has left its own, and process numbers come again.
        let moment =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let folder =
            std::env::temp_dir().join(format!("miniweb-compare-{}-{moment}", std::process::id()));
        std::fs::create_dir(&folder)?;
        // From here on it is taken away again, whatever happens.
        let made = TemporaryDirectory(folder);
        for (name, content) in crate::site::sample_files() {
            std::fs::write(made.0.join(name), content)?;
        }
        std::fs::write(made.0.join("large.bin"), vec![b'x'; LARGE_BYTES])?;
        let site = TestSite::find(&made.0)?;
        Ok(TestSite { made: Some(made), ..site })
    }

    /// Whether the large file is one.
    pub(crate) fn has_large(&self) -> bool {
        self.large.bytes >= LARGE_BYTES_MIN
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        let file =
            |file: &TestFile| format!("/{} ({})", file.path, crate::format::bytes(file.bytes));
        // No load asks for a large file that isn't one.
        let names = match self.has_large() {
            true => format!("{} and {}", file(&self.small), file(&self.large)),
            false => file(&self.small),
        };
        match self.made {
            Some(_) => format!("the sample site and a large file: {names}"),
            None => format!("{}: {names}", self.folder.display()),
        }
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What is left in the place for temporary files does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Plain names only: they are put into requests as they are.
fn collect(root: &Path, folder: &Path, depth: usize, files: &mut Vec<TestFile>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(facts)) = (entry.path(), entry.metadata()) else {
            continue;
        };
        let is_plain = |name: &str| {
            !name.starts_with('.')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_told_of_where_there_is_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("page.html"), [b'x'; 1024])?;
        let told = || TestSite::open(Some(folder.path())).map(|site| site.describe());
        assert!(told()?.ends_with(": /page.html (1.0 KiB)"), "{}", told()?);
        std::fs::write(folder.path().join("video.mp4"), vec![b'x'; LARGE_BYTES])?;
        assert!(
            told()?.ends_with(": /page.html (1.0 KiB) and /video.mp4 (1.0 MiB)"),
            "{}",
            told()?
        );
        Ok(())
    }
}
