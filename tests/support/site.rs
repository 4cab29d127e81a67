//! A folder to be served, in a temporary folder of its own that also has room for what must not be served.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;

/// A site; gone when it is dropped.
pub struct Site {
    around: TempDir,
}

impl Site {
    /// A front page, a page, a folder with an index and one without.
    pub fn new() -> Site {
        let site = Site {
            around: tempfile::Builder::new()
                .prefix("miniweb-")
                .tempdir()
                .expect("a temporary folder"),
        };
        site.write("index.html", "<!doctype html><title>front</title>\n");
        site.write("page.html", "<!doctype html><title>page</title>\n");
        site.write("docs/index.html", "<!doctype html><title>docs</title>\n");
        site.directory("bare");
        site
    }

    /// What the server is told to serve.
    pub fn root(&self) -> PathBuf {
        self.around.path().join("site")
    }

    /// Where a name in the site is on the disk; any bytes may be a name.
    pub fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.root().join(OsStr::from_bytes(name.as_ref()))
    }

    /// Where a name beside the site is on the disk.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    /// A file, and the folders it needs.
    pub fn write(&self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> PathBuf {
        write(self.path(name), content.as_ref())
    }

    /// A file that must not be served.
    pub fn write_beside(&self, name: &str, content: &str) -> PathBuf {
        write(self.beside(name), content.as_bytes())
    }

    /// A folder with nothing in it.
    pub fn directory(&self, name: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name)).expect("a folder can be made");
    }

    /// A file of `size` bytes that takes no room on the disk.
    pub fn sparse(&self, name: &str, size: u64) -> fs::File {
        let file = fs::File::create(self.path(name)).expect("a file can be made");
        file.set_len(size).expect("the file system has sparse files");
        file
    }

    /// Sets when a file was changed, to the nanosecond.
    pub fn set_modified(&self, name: impl AsRef<[u8]>, time: SystemTime) {
        let file = fs::File::options().write(true).open(self.path(name)).expect("it is there");
        file.set_modified(time).expect("it is ours");
    }

    /// A symbolic link to `target`, as it stands.
    pub fn link(&self, name: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.path(name)).expect("a link can be made");
    }
}

fn write(path: PathBuf, content: &[u8]) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a name in a folder")).expect("a folder can be made");
    fs::write(&path, content).expect("a file can be written");
    path
}

/// Bytes in which no part looks like another, so that a part that is lost, doubled or moved shows.
pub fn patterned(size: usize) -> Vec<u8> {
    (0..size.div_ceil(8))
        .flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(size)
        .collect()
}
