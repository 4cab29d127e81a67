//! A directory to serve, inside a temporary directory with room for files outside the root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;

/// A site on the disk, deleted on drop.
pub struct Site {
    around: TempDir,
}

impl Site {
    /// A site with an index page, a page, a directory with an index page and one without.
    pub fn new() -> Site {
        let site = Site {
            around: tempfile::Builder::new()
                .prefix("miniweb-")
                .tempdir()
                .expect("a temporary directory"),
        };
        site.write("index.html", "<!doctype html><title>front</title>\n");
        site.write("page.html", "<!doctype html><title>page</title>\n");
        site.write("docs/index.html", "<!doctype html><title>docs</title>\n");
        site.directory("bare");
        site
    }

    /// The root for the server.
    pub fn root(&self) -> PathBuf {
        self.around.path().join("site")
    }

    /// The path of a file in the site. A name may consist of any bytes.
    pub fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.root().join(OsStr::from_bytes(name.as_ref()))
    }

    /// The path of a file next to the root, which must not be served.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    /// Creates or overwrites a file, and creates its parent directories.
    pub fn write(&self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> PathBuf {
        write(self.path(name), content.as_ref())
    }

    /// Creates a file next to the root.
    pub fn write_beside(&self, name: &str, content: &str) -> PathBuf {
        write(self.beside(name), content.as_bytes())
    }

    /// Creates an empty directory.
    pub fn directory(&self, name: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name)).expect("a directory can be created");
    }

    /// Creates a file of `size` zeros that occupies no disk blocks.
    pub fn sparse(&self, name: &str, size: u64) -> fs::File {
        let file = fs::File::create(self.path(name)).expect("a file can be created");
        file.set_len(size).expect("the file system has sparse files");
        file
    }

    /// Sets the mtime of a file.
    pub fn set_modified(&self, name: impl AsRef<[u8]>, time: SystemTime) {
        let file = fs::File::options().write(true).open(self.path(name)).expect("the file exists");
        file.set_modified(time).expect("the test owns the file");
    }

    /// Creates a symbolic link with the text `target`.
    pub fn link(&self, name: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.path(name)).expect("a link can be created");
    }
}

fn write(path: PathBuf, content: &[u8]) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a file has a parent"))
        .expect("a directory can be created");
    fs::write(&path, content).expect("a file can be written");
    path
}

/// Bytes without repetition, so that a lost, duplicated or misplaced part is detected.
pub fn patterned(size: usize) -> Vec<u8> {
    (0..size.div_ceil(8))
        .flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(size)
        .collect()
}
