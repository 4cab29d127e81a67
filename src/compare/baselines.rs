//! Runs that were saved under a name, to compare later ones with.
//!
//! They are in `$XDG_DATA_HOME/miniweb/baselines`, which is `~/.local/share/miniweb/baselines` by
//! default: a user wants them from any working directory, and they outlive a build directory.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::compare::report::json;
use crate::compare::results::Results;
use crate::format::error_with;

/// A directory with saved runs.
#[derive(Clone, Debug)]
pub struct Baselines(PathBuf);

/// Where a run was saved.
#[derive(Debug)]
pub struct Saved {
    pub path: PathBuf,
    /// The start of the run of that name that was there before.
    pub replaced: Option<String>,
}

/// Long enough for a branch and a date.
const NAME_BYTES_MAX: usize = 64;

impl Baselines {
    /// The directory of the user. None if neither variable has an absolute path.
    pub fn of_user(data_home: Option<OsString>, home: Option<OsString>) -> Option<Baselines> {
        let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
        let data_home = data_home.and_then(absolute);
        let data_home = data_home.or_else(|| Some(home.and_then(absolute)?.join(".local/share")));
        Some(Baselines(data_home?.join("miniweb/baselines")))
    }

    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// The file of a baseline, whether or not it exists. `name` has to be valid.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    /// Makes the directory, so that a run is not measured in vain.
    ///
    /// # Errors
    /// From mkdir(2), with the name of the directory.
    pub fn prepare(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.0).map_err(|error| error_with(self.0.display(), &error))
    }

    /// Saves a run, and replaces the one of that name.
    ///
    /// # Errors
    /// From a system call, with the name of the file. Then the previous run is still there.
    pub fn save(&self, name: &str, results: &Results) -> io::Result<Saved> {
        let path = self.path(name);
        let replaced = std::fs::File::open(&path).ok().map(|file| {
            let previous = json::read(io::BufReader::new(file));
            previous.map_or("unknown".to_owned(), |run| run.environment.started_at)
        });
        let write = || {
            self.prepare()?;
            // Renamed when it is complete. Its name is no valid one, so no baseline is meant by it.
            let partial = self.0.join(format!(".{name}.{}", std::process::id()));
            let mut out = BufWriter::new(std::fs::File::create(&partial)?);
            json::write(results, &mut out)?;
            out.flush()?;
            std::fs::rename(&partial, &path)
        };
        write().map_err(|error| error_with(path.display(), &error))?;
        Ok(Saved { path, replaced })
    }
}

/// Whether a run can be saved under this name: letters, digits, and `.`, `_` and `-` except at the
/// beginning, where they hide a file or begin an option.
pub fn is_valid_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(is_plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn names_are_plain_file_names() {
        for name in ["main", "v1.2", "before_x-2", "0"] {
            assert!(is_valid_name(name), "{name}");
        }
        let long = "x".repeat(65);
        for name in ["", ".", "..", ".hidden", "-x", "a/b", "a b", "ä", "a\n", &long] {
            assert!(!is_valid_name(name), "{name:?}");
        }
    }

    #[test]
    fn the_directory_follows_the_environment() {
        let directory = |data_home: Option<&str>, home: Option<&str>| {
            let found = Baselines::of_user(data_home.map(Into::into), home.map(Into::into));
            found.map(|found| found.directory().display().to_string())
        };
        let in_home = Some("/home/me/.local/share/miniweb/baselines".to_owned());
        assert_eq!(directory(None, Some("/home/me")), in_home);
        assert_eq!(directory(Some(""), Some("/home/me")), in_home, "an empty variable is unset");
        assert_eq!(directory(Some("data"), Some("/home/me")), in_home, "a relative one is invalid");
        assert_eq!(directory(Some("/data"), None), Some("/data/miniweb/baselines".to_owned()));
        assert_eq!(directory(None, None), None);
    }

    #[test]
    fn a_run_replaces_the_one_of_its_name() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let baselines = Baselines(directory.path().join("new/baselines"));
        let mut results = synthetic::partial(1);
        assert_eq!(baselines.save("main", &results)?.replaced, None);
        let first = std::mem::replace(&mut results.environment.started_at, "later".to_owned());
        let saved = baselines.save("main", &results)?;
        assert_eq!(saved.replaced, Some(first));
        assert!(json::read(std::fs::File::open(&saved.path)?)? == results);
        assert_eq!(std::fs::read_dir(baselines.directory())?.count(), 1);
        Ok(())
    }
}
