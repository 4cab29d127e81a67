//! Small files that the server reads again when they change, and that no client may read: passwords
//! and the keys of certificates.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FileType, Mode, OFlags, fstat, open, stat};
use rustix::io::Errno;

use super::file_version::FileVersion;
use super::served_files::ServedFiles;
use crate::format::{error_with, reason};

/// About 14,000 users, or 500 certificates.
pub const PRIVATE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A file as it was read.
#[derive(Debug)]
pub struct PrivateFile {
    pub content: Vec<u8>,
    version: FileVersion,
    mode: u32,
}

impl PrivateFile {
    /// Reads the file that `path` leads to.
    ///
    /// # Errors
    /// Why it cannot be used: it cannot be opened or read, is not a regular file, is among those
    /// that are `served`, is too large, or changed meanwhile.
    pub fn read(path: &Path, served: &ServedFiles) -> Result<PrivateFile, String> {
        let unreadable = |errno: Errno| reason(&errno.into());
        let changed = || "it changed while it was read".to_owned();
        let file = File::from(open_file(path).map_err(unreadable)?);
        let before = fstat(&file).map_err(unreadable)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Err("not a regular file".to_owned());
        }
        if served.include_opened(path, &file).map_err(|_| changed())? {
            return Err("expected a file that is not served, outside ROOT".to_owned());
        }
        let version = FileVersion::from_stat(&before);
        let mut content = Vec::new();
        let mut limited = file.take(PRIVATE_FILE_BYTES_MAX + 1);
        limited.read_to_end(&mut content).map_err(|error| reason(&error))?;
        if content.len() as u64 > PRIVATE_FILE_BYTES_MAX {
            return Err(format!("larger than {PRIVATE_FILE_BYTES_MAX} bytes"));
        }
        let after = fstat(limited.get_ref()).map_err(unreadable)?;
        match FileVersion::from_stat(&after) == version {
            true => Ok(PrivateFile { content, version, mode: before.st_mode }),
            false => Err(changed()),
        }
    }

    /// The version, unless the content may still change while the version stays the same.
    pub fn version_as_of(&self, now: SystemTime) -> Option<FileVersion> {
        Some(self.version).filter(|version| !version.mtime(now).is_racy())
    }

    /// A warning if every user of the machine can read the file, the value of `option`.
    pub fn mode_warning(&self, option: &str, path: &Path) -> Option<String> {
        (self.mode & 0o004 != 0).then(|| {
            format!(
                "every user of this machine can read {option} {}: expected mode 0640 or 0600, \
                 found {:04o}",
                path.display(),
                self.mode & 0o7777
            )
        })
    }
}

/// The version of the file that `path` leads to now.
///
/// # Errors
/// That of stat(2).
pub fn private_file_version(path: &Path) -> Result<FileVersion, Errno> {
    stat(path).map(|stat| FileVersion::from_stat(&stat))
}

/// The private files of a server, each with its option.
#[derive(Debug, Default)]
pub struct PrivateFiles(Vec<(&'static str, PathBuf)>);

impl PrivateFiles {
    pub fn new() -> PrivateFiles {
        PrivateFiles::default()
    }

    /// The directories beneath which files must be readable so that these files can be read again.
    ///
    /// # Errors
    /// ELOOP, with the path.
    pub fn directories(&self) -> io::Result<Vec<PathBuf>> {
        let mut directories = Vec::new();
        for (option, path) in &self.0 {
            directories.extend(directories_to(path).map_err(|error| about(option, path, &error))?);
        }
        Ok(directories)
    }

    /// Checks that this process, with the user and restrictions it has now, can open the files.
    ///
    /// # Errors
    /// That of open(2), with the path.
    pub fn check_access(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|(option, path)| match open_file(path) {
            Ok(_) => Ok(()),
            Err(errno) => Err(about(option, path, &errno.into())),
        })
    }
}

impl Extend<(&'static str, PathBuf)> for PrivateFiles {
    fn extend<T: IntoIterator<Item = (&'static str, PathBuf)>>(&mut self, files: T) {
        self.0.extend(files);
    }
}

fn about(option: &str, path: &Path, error: &io::Error) -> io::Error {
    error_with(format_args!("{option} {}", path.display()), error)
}

/// The directories beneath which files must be readable so that `path` stays readable when the file
/// is replaced: that of each symbolic link in the place of the file, and that of the file.
///
/// A link to a directory is followed. If its target is beneath the link's own directory, the
/// target's parent is included, because this is how versions are switched: in a Kubernetes volume,
/// `tls.key` leads to `..data/tls.key`, and `..data` to a directory that has another name after the
/// next change. The parent of any other target may contain much that nobody meant to share.
fn directories_to(path: &Path) -> io::Result<Vec<PathBuf>> {
    /// As many as Linux follows in one path.
    const LINKS_MAX: usize = 40;
    let mut directories = Vec::new();
    let mut directory = PathBuf::from("/");
    let mut pending = components(&std::path::absolute(path)?);
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == ".." {
            directory.pop();
            continue;
        }
        let place = directory.join(&name);
        let is_file = pending.is_empty();
        if is_file {
            directories.push(directory.clone());
        }
        match place.read_link() {
            Ok(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                let is_beneath = target.components().all(|it| matches!(it, Component::Normal(_)));
                let versions = place.with_file_name(&target);
                if let (false, true, Some(versions)) = (is_file, is_beneath, versions.parent()) {
                    directories.extend((versions != "/").then(|| versions.to_owned()));
                }
                if target.is_absolute() {
                    directory = PathBuf::from("/");
                }
                pending.extend(components(&target));
            }
            // Not a link, or none that can be followed: opening the file tells.
            Err(_) => directory = place,
        }
    }
    directories.sort();
    directories.dedup();
    Ok(directories)
}

/// The names in a path and its `..`, the last one first.
fn components(path: &Path) -> Vec<std::ffi::OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.rev().collect()
}

fn open_file(path: &Path) -> rustix::io::Result<OwnedFd> {
    // O_NONBLOCK, because opening a FIFO blocks until it has a writer.
    open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_directories_of_renewed_files_are_found_through_every_link() {
        let around = tempfile::tempdir().expect("a temporary directory");
        let around = around.path().canonicalize().expect("it exists");
        let at = |name: &str| around.join(name);
        for directory in ["live/x", "archive/x", "secret/..2026_1", "releases/3", "plain", "var"] {
            fs::create_dir_all(at(directory)).expect("the directory is new");
        }
        for file in ["archive/x/key3.pem", "secret/..2026_1/tls.key", "releases/3/key", "plain/key"]
        {
            fs::write(at(file), "").expect("the directory is writable");
        }
        for (link, target) in [
            ("live/x/key.pem", "../../archive/x/key3.pem"),
            ("secret/..data", "..2026_1"),
            ("secret/tls.key", "..data/tls.key"),
            ("current", "releases/3"),
            ("var/to", "../plain"),
            ("twice", "live/x/key.pem"),
            ("loop", "loop"),
        ] {
            symlink(target, at(link)).expect("the name is free");
        }
        symlink(at("plain"), at("absolute")).expect("the name is free");
        for (path, expected) in [
            ("plain/key", &["plain"][..]),
            ("plain/missing", &["plain"]),
            ("live/x/key.pem", &["archive/x", "live/x"]),
            ("twice", &["", "archive/x", "live/x"]),
            ("secret/tls.key", &["secret", "secret/..2026_1"]),
            ("secret/..data/tls.key", &["secret", "secret/..2026_1"]),
            ("current/key", &["releases", "releases/3"]),
            ("var/to/key", &["plain"]),
            ("absolute/key", &["plain"]),
            ("var/../plain/key", &["plain"]),
        ] {
            let found = directories_to(&at(path)).expect("the links end");
            let expected: Vec<PathBuf> = expected.iter().map(|name| at(name)).collect();
            let found: Vec<PathBuf> = found.iter().map(|it| it.components().collect()).collect();
            let expected: Vec<PathBuf> =
                expected.iter().map(|it| it.components().collect()).collect();
            assert_eq!(found, expected, "{path}");
        }
        assert!(directories_to(&at("loop")).is_err());
    }
}
