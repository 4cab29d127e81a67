//! Whether a file on the disk is served. The log and the password file must not be.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::path::is_hidden_file;
use super::root::Root;
use crate::http::Coding;

/// The files beneath the root that clients can request.
///
/// The root is recognised by its device and inode, so that a file is also found through a bind
/// mount of the root, and after the root was renamed: the open directory is served until another
/// one has its path. If the root is a file, its sidecars are served, too. Files that `--hide`
/// matches count as served: the option does not protect them, since symbolic links with other
/// names still lead to them.
#[derive(Clone, Debug)]
pub struct ServedFiles {
    /// None for the sample site, which has no files on the disk.
    root: Option<PathBuf>,
    /// The device and inode of the root when the server started.
    opened: Option<(u64, u64)>,
}

impl ServedFiles {
    /// The files that are served beneath `root`, and beneath any directory that replaces it.
    pub fn of(root: &Root) -> ServedFiles {
        let root = root.path().map(Path::to_owned);
        ServedFiles { opened: root.as_deref().and_then(identity), root }
    }

    /// Whether the file that `path` leads to is served, or would be once it is created.
    pub fn include(&self, path: &Path) -> bool {
        // A path that leads nowhere is reported when it is opened.
        resolve(path).is_some_and(|target| self.include_resolved(&target))
    }

    /// Whether `file`, which was opened at `path`, is served.
    ///
    /// # Errors
    /// Another file has replaced it since.
    pub fn include_opened(&self, path: &Path, file: &File) -> io::Result<bool> {
        // This uses the path and not the link in /proc/self/fd, because not every container has
        // /proc. It only searches the directories through which the file was opened, which neither
        // --user nor Landlock forbids.
        let target = path.canonicalize()?;
        let is_same =
            identity(&target) == file.metadata().ok().map(|file| (file.dev(), file.ino()));
        match is_same {
            true => Ok(self.include_resolved(&target)),
            false => Err(io::Error::other("another file has replaced it while it was opened")),
        }
    }

    /// `target` is free of symbolic links.
    fn include_resolved(&self, target: &Path) -> bool {
        let Some(path) = self.root.as_deref() else { return false };
        let roots = [self.opened, identity(path)];
        let is_root = |ancestor: &&Path| {
            let found = identity(ancestor);
            found.is_some() && roots.contains(&found)
        };
        if sidecar_of(target).is_some_and(|file| is_root(&file.as_path()) && file.is_file()) {
            return true;
        }
        let Some(relative) =
            target.ancestors().find(is_root).and_then(|root| target.strip_prefix(root).ok())
        else {
            return false;
        };
        !is_hidden_file(relative)
    }
}

/// The file of which `path` has the name of a sidecar.
fn sidecar_of(path: &Path) -> Option<PathBuf> {
    let extension = path.extension()?;
    let is_coding = |coding: &Coding| coding.extension().trim_start_matches('.') == extension;
    Coding::ALL.iter().any(is_coding).then(|| path.with_extension(""))
}

/// The file that `path` leads to, or that would be created if it were opened. None if its directory
/// does not exist.
pub fn resolve(path: &Path) -> Option<PathBuf> {
    /// As many as Linux follows in one path.
    const LINKS_MAX: usize = 40;
    let mut path = std::path::absolute(path).ok()?;
    for _ in 0..LINKS_MAX {
        if let Ok(target) = path.canonicalize() {
            return Some(target);
        }
        let directory = path.parent()?.canonicalize().ok()?;
        let name = directory.join(path.file_name()?);
        match name.read_link() {
            Ok(target) => path = directory.join(target),
            Err(_) => return Some(name),
        }
    }
    None
}

/// The device and inode of what is at `path`.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_served_by_its_name_on_the_disk_and_through_every_link() {
        let around = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| around.path().join(name);
        for directory in ["site/docs", "site/.logs", "site/.well-known", "site/a/.well-known"] {
            fs::create_dir_all(at(directory)).expect("the directory is new");
        }
        fs::write(at("outside"), "").expect("the directory is writable");
        for (name, target) in [
            ("into", "site/new"),
            ("twice", "into"),
            ("hidden", "site/.new"),
            ("site/out", "../outside"),
            ("loop", "loop"),
            ("docs", "site/docs"),
        ] {
            symlink(target, at(name)).expect("the name is free");
        }
        let served = ServedFiles::of(&Root::open(&at("site")).expect("it exists"));
        for (name, is_served) in [
            ("site/a.log", true),
            ("site/docs/../a.log", true),
            // On the disk a percent sign stands for itself.
            ("site/%2epasswords", true),
            ("site/%2e", true),
            ("site/a%", true),
            ("site/.logs%zz", false),
            ("site/.passwords", false),
            ("site/docs/.passwords", false),
            ("site/.logs/a.log", false),
            ("site/.well-known/a.log", true),
            ("site/.well-known/.a.log", false),
            ("site/a/.well-known/a.log", false),
            ("site/out", false),
            ("into", true),
            ("twice", true),
            ("docs/a.log", true),
            ("hidden", false),
            ("outside", false),
            ("new", false),
            ("loop", false),
            ("missing/a.log", false),
        ] {
            assert_eq!(served.include(&at(name)), is_served, "{name}");
        }
    }
}
