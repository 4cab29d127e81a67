//! Blocks of large files in memory, for short ranges that are requested again and again: the header
//! of an archive, the directory of a map. Such a range then costs no system call for its file, like
//! a small file.
//!
//! A block is looked up by the version of its file, which the file cache has found at the path. So
//! a block is no staler than a small file in memory.
//!
//! Invariants:
//! 1. The file had the version of the block before the block was read and afterwards, and that
//!    version is not [racy](super::file_version::Mtime::Racy).
//! 2. A block is read when a range in it is requested for the second time. Otherwise each random
//!    read would copy a whole block, and evict blocks that are requested often.
//! 3. The weight of all blocks is bounded. A response copies its bytes, so no unsent response keeps
//!    an evicted block alive.

use std::hash::BuildHasher;
use std::ops::Range;

use bytes::Bytes;
use quick_cache::unsync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};

use super::file_version::FileVersion;
use super::open_file::File;
use crate::syscall_stats::SyscallStats;

/// The size of a block. Sending more costs so much that the read matters little. At most the size
/// up to which [`Output`](crate::http::Output) copies bodies, see invariant 3.
const BLOCK_BYTES: u64 = 16 * 1024;
/// What the cache itself allocates for a block, roughly.
const OVERHEAD_BYTES: u64 = 192;
/// Fewer blocks are not worth their memory.
const BLOCKS_MIN: u64 = 8;
/// The blocks that may be requested between the first and the second request for one. If it is
/// more, the second request counts as the first one.
const REQUESTED_MAX: usize = 1024;

/// The blocks that one worker keeps.
#[derive(Debug)]
pub struct FileBlocks {
    blocks: Cache<BlockKey, Bytes, BlockWeighter>,
    /// The hashes of blocks that were requested, each at an index that it determines. Empty if
    /// there is no memory for blocks.
    requested: Box<[u64]>,
    hasher: DefaultHashBuilder,
}

/// The file no longer has the version of a block.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed;

/// Identifies a block: [`BLOCK_BYTES`] of a file, or fewer at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct BlockKey {
    version: FileVersion,
    number: u64,
}

#[derive(Clone, Debug)]
struct BlockWeighter;

impl Weighter<BlockKey, Bytes> for BlockWeighter {
    fn weight(&self, _: &BlockKey, bytes: &Bytes) -> u64 {
        OVERHEAD_BYTES + bytes.len() as u64
    }
}

impl FileBlocks {
    /// The memory for blocks of a cache that has `cache_bytes`: little, because few sites have
    /// large files whose short ranges are requested repeatedly. None if the cache is small.
    pub fn share_of(cache_bytes: u64) -> u64 {
        const FRACTION: u64 = 16;
        let share = cache_bytes / FRACTION;
        if share < BLOCKS_MIN * (BLOCK_BYTES + OVERHEAD_BYTES) { 0 } else { share }
    }

    /// Blocks that together take at most `bytes_max`, a [share](FileBlocks::share_of).
    pub fn new(bytes_max: u64) -> FileBlocks {
        let blocks_estimate = (bytes_max / BLOCK_BYTES) as usize;
        let requested_max = if bytes_max > 0 { REQUESTED_MAX } else { 0 };
        FileBlocks {
            blocks: Cache::with_weighter(blocks_estimate, bytes_max, BlockWeighter),
            requested: vec![0; requested_max].into(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The memory they occupy, in bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.blocks.weight()
    }

    /// The bytes in `range` of the file with `version`, if they are kept.
    pub fn find(&self, version: &FileVersion, range: &Range<u64>) -> Option<Bytes> {
        let key = BlockKey::of(version, range)?;
        self.blocks.get(&key).map(|block| key.part(block, range))
    }

    /// Records a request for `range`, which [`FileBlocks::find`] did not find. At the second
    /// request in a block, reads and keeps the block and returns the bytes in `range`. The caller
    /// has just checked that `file` has `version`, which must not be racy.
    ///
    /// # Errors
    /// The file has changed since.
    pub fn request(
        &mut self,
        version: &FileVersion,
        range: &Range<u64>,
        file: &File,
        stats: &SyscallStats,
    ) -> Result<Option<Bytes>, Changed> {
        let Some(key) = BlockKey::of(version, range) else { return Ok(None) };
        if !self.was_requested(&key) {
            return Ok(None);
        }
        let block = file.read_all(&key.range());
        if file.version(stats).is_ok_and(|now| now != *version) {
            return Err(Changed);
        }
        let Some(block) = block else { return Ok(None) };
        self.blocks.insert(key, block.clone());
        Ok(Some(key.part(&block, range)))
    }

    /// Whether the block was requested before, as far as known. Records that it is now.
    fn was_requested(&mut self, key: &BlockKey) -> bool {
        let hash = self.hasher.hash_one(key);
        let index = hash as usize % REQUESTED_MAX;
        let Some(before) = self.requested.get_mut(index) else { return false };
        std::mem::replace(before, hash) == hash
    }
}

impl BlockKey {
    /// The block that contains `range`. None if `range` is empty or crosses a boundary between
    /// blocks.
    fn of(version: &FileVersion, range: &Range<u64>) -> Option<BlockKey> {
        let number = range.start / BLOCK_BYTES;
        let key = BlockKey { version: *version, number };
        (!range.is_empty() && range.end <= key.range().end).then_some(key)
    }

    /// The bytes of the file that the block holds.
    fn range(&self) -> Range<u64> {
        let start = self.number * BLOCK_BYTES;
        start..self.version.size_bytes.min(start + BLOCK_BYTES)
    }

    fn part(&self, block: &Bytes, range: &Range<u64>) -> Bytes {
        let start = self.range().start;
        block.slice((range.start - start) as usize..(range.end - start) as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::site::open_file::OpenFile;

    /// An open file of two blocks and a short one, in which each byte is the number of its block.
    fn three_blocks() -> (tempfile::TempDir, File, FileVersion) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("large");
        let content = [vec![0; BLOCK_BYTES as usize], vec![1; BLOCK_BYTES as usize], vec![2; 100]];
        fs::write(&path, content.concat()).expect("the directory is writable");
        let (file, version) = opened(&path);
        (directory, file, version)
    }

    fn opened(path: &Path) -> (File, FileVersion) {
        let (descriptor, stats) =
            (fs::File::open(path).expect("it exists"), SyscallStats::default());
        let file = Arc::new(OpenFile::new(descriptor.into(), &stats));
        let version = file.version(&stats).expect("it is open");
        (file, version)
    }

    #[test]
    fn a_block_is_kept_from_the_second_request_on() {
        let (_directory, file, version) = three_blocks();
        let stats = SyscallStats::default();
        let mut blocks = FileBlocks::new(1 << 20);
        let end = version.size_bytes;
        for (range, byte) in [(10..20, 0), (BLOCK_BYTES..2 * BLOCK_BYTES, 1), (end - 1..end, 2)] {
            assert_eq!(blocks.request(&version, &range, &file, &stats), Ok(None));
            assert_eq!(blocks.find(&version, &range), None);
            let expected = Some(Bytes::from(vec![byte; (range.end - range.start) as usize]));
            assert_eq!(blocks.request(&version, &range, &file, &stats), Ok(expected.clone()));
            assert_eq!(blocks.find(&version, &range), expected);
        }
        let across_two = BLOCK_BYTES - 1..BLOCK_BYTES + 1;
        for _ in 0..3 {
            assert_eq!(blocks.request(&version, &across_two, &file, &stats), Ok(None));
        }
        assert_eq!(blocks.find(&version, &across_two), None);
    }

    #[test]
    fn a_block_of_a_file_that_has_changed_is_not_kept() {
        let (directory, file, version) = three_blocks();
        let stats = SyscallStats::default();
        let mut blocks = FileBlocks::new(1 << 20);
        let range = 0..10;
        assert_eq!(blocks.request(&version, &range, &file, &stats), Ok(None));
        // The size differs, because the times may be equal.
        fs::write(directory.path().join("large"), vec![3; 50_000]).expect("it is writable");
        assert_eq!(blocks.request(&version, &range, &file, &stats), Err(Changed));
        assert_eq!(blocks.find(&version, &range), None);
    }

    #[test]
    fn a_small_cache_reads_no_blocks_that_it_could_not_keep() {
        let (_directory, file, version) = three_blocks();
        let stats = SyscallStats::default();
        for cache_bytes in [0, 256 << 10, 1 << 20, 4 << 20] {
            let mut blocks = FileBlocks::new(FileBlocks::share_of(cache_bytes));
            let range = 0..10;
            let _ = blocks.request(&version, &range, &file, &stats);
            let second = blocks.request(&version, &range, &file, &stats).expect("it is unchanged");
            let is_kept = blocks.find(&version, &range).is_some();
            assert_eq!((second.is_some(), is_kept), (cache_bytes > 1 << 20, cache_bytes > 1 << 20));
        }
    }

    #[test]
    fn all_blocks_together_are_bounded() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("large");
        let file = fs::File::create_new(&path).expect("the directory is writable");
        file.set_len(1000 * BLOCK_BYTES).expect("the file is writable");
        let (file, version) = opened(&path);
        let stats = SyscallStats::default();
        let bytes_max = 10 * BLOCK_BYTES;
        let mut blocks = FileBlocks::new(bytes_max);
        let mut kept = 0;
        for number in 0..1000 {
            let range = number * BLOCK_BYTES..number * BLOCK_BYTES + 1;
            for _ in 0..2 {
                blocks.request(&version, &range, &file, &stats).expect("it is unchanged");
            }
            kept += usize::from(blocks.find(&version, &range).is_some());
            assert!(blocks.weight_bytes() <= bytes_max);
        }
        assert!(kept > 0, "some blocks were kept");
    }
}
