//! Files that the servers of a bench serve.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

/// A temporary directory that servers which drop their privileges can read, too.
pub fn readable_directory() -> io::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// The paths of `count` files. They have equal lengths, as the load generator requires, and a
/// directory for each 1,000 files.
pub fn many_paths(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/{:03}/{:03}.html", n / 1000, n % 1000)).collect()
}

/// Creates files of `bytes` bytes at `paths`, which begin with a slash.
pub fn create_many(root: &Path, paths: &[String], bytes: usize) -> io::Result<()> {
    for path in paths {
        let file = root.join(&path[1..]);
        fs::create_dir_all(file.parent().expect("it is beneath the root"))?;
        // Each has another content, so that a response with the wrong file can be told.
        let content: Vec<u8> = path.bytes().cycle().take(bytes).collect();
        fs::write(file, content)?;
    }
    Ok(())
}

/// Waits until miniweb does not treat files that were just written as files that may still change,
/// which it does for two seconds, and hashes them for each response.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(2100));
}
