//! The last usable content of the password file, for processes that find an unusable file.
//!
//! A child that is forked for a new connection inherits the users that were loaded when the server
//! started. If the file is unusable at that moment, the child would accept users who have been
//! removed since the start, because only other children have read the later versions of the file.

use super::users::{Users, Version};
use crate::site::shared_file::SharedFile;

/// The content of the file, in memory that all processes share.
#[derive(Debug)]
pub struct LastGood(SharedFile);

/// The numbers in the shared file: the length of the content, its version, and the content.
const LENGTH: u64 = 0;
const VERSION: u64 = 1;
const CONTENT: u64 = VERSION + size_of::<Version>() as u64 / 8;

impl LastGood {
    /// Space for files of up to `bytes_max`. Call it before processes are forked.
    ///
    /// # Errors
    /// No descriptor or memory is left.
    pub fn new(bytes_max: u64) -> rustix::io::Result<LastGood> {
        SharedFile::new((CONTENT + bytes_max.div_ceil(8)) as usize).map(LastGood)
    }

    /// Records the content of a file that can be used.
    pub fn store(&self, content: &[u8]) {
        let version = Users::version_of(content);
        self.with_lock(|file| {
            if file.load_bytes(VERSION, size_of::<Version>()) != version {
                file.store(LENGTH, content.len() as u64);
                file.store_bytes(VERSION, &version);
                file.store_bytes(CONTENT, content);
            }
        });
    }

    /// The content, unless it is of `version`.
    pub fn load_other_than(&self, version: &Version) -> Option<Vec<u8>> {
        self.with_lock(|file| {
            let is_other = file.load_bytes(VERSION, size_of::<Version>()) != version;
            is_other.then(|| file.load_bytes(CONTENT, file.load(LENGTH) as usize))
        })?
    }

    /// None if the kernel has no memory for a lock.
    fn with_lock<T>(&self, access: impl FnOnce(&SharedFile) -> T) -> Option<T> {
        let _lock = self.0.lock(0).ok()?;
        Some(access(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_content_is_loaded_only_in_place_of_another_version() {
        let last_good = LastGood::new(100).expect("a descriptor is free");
        let mut before = Users::version_of(b"start");
        for content in [&b"some text of an odd length"[..], b"short", &[b'x'; 100]] {
            last_good.store(content);
            assert_eq!(last_good.load_other_than(&before).as_deref(), Some(content));
            before = Users::version_of(content);
            assert_eq!(last_good.load_other_than(&before), None);
        }
    }
}
