//! Blocks of large files in memory, for short ranges that are requested again and again: the header
//! of an archive, the directory of a map, the index of a database. Such a range then costs no
//! system call for its file, like a small file.
//!
//! A block is looked up by the version of its file, which the file cache has found at the path. So
//! a block is no staler than a small file in memory.
//!
//! Invariants:
//! 1. A block holds bytes of its version: the file had that version, which is not
//!    [racy](super::file_version::Mtime::Racy), before the block was read and afterwards.
//! 2. A block is read at the second request for it. Otherwise random reads of a large file would
//!    each copy a whole block, and replace the blocks that are requested often.
//! 3. The size of all blocks is bounded.

use std::ops::Range;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::file_version::FileVersion;
use super::open_file::File;
use crate::syscall_stats::SyscallStats;

/// Longer ranges cost so much to send that reading them matters little.
const BLOCK_BYTES: u64 = 16 * 1024;

/// The blocks that one worker keeps.
#[derive(Debug)]
pub struct FileBlocks {
    blocks: Cache<BlockKey, Block, BlockWeighter>,
}

/// A block of [`BLOCK_BYTES`], or the shorter rest of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct BlockKey {
    version: FileVersion,
    number: u64,
}

#[derive(Clone, Debug)]
enum Block {
    RequestedOnce,
    Kept(Bytes),
}

#[derive(Clone, Debug)]
struct BlockWeighter;

impl Weighter<BlockKey, Block> for BlockWeighter {
    fn weight(&self, _: &BlockKey, block: &Block) -> u64 {
        /// What the cache itself allocates for a block, roughly.
        const OVERHEAD_BYTES: u64 = 192;
        match block {
            Block::RequestedOnce => OVERHEAD_BYTES,
            Block::Kept(bytes) => OVERHEAD_BYTES + bytes.len() as u64,
        }
    }
}

impl FileBlocks {
    /// Blocks that together take at most `bytes_max`.
    pub fn new(bytes_max: u64) -> FileBlocks {
        let blocks_estimate = (bytes_max / BLOCK_BYTES) as usize;
        FileBlocks { blocks: Cache::with_weighter(blocks_estimate, bytes_max, BlockWeighter) }
    }

    /// The memory they occupy, in bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.blocks.weight()
    }

    /// The bytes in `range` of the file with `version`, if they are kept.
    pub fn find(&self, version: &FileVersion, range: &Range<u64>) -> Option<Bytes> {
        let key = BlockKey::of(version, range)?;
        match self.blocks.get(&key)? {
            Block::RequestedOnce => None,
            Block::Kept(bytes) => Some(key.part(bytes, range)),
        }
    }

    /// Records that `range`, which is not kept, was requested. At the second request, it reads and
    /// keeps the block around it, and returns the bytes in `range`. The caller has just found that
    /// `file` has `version`, which is not racy.
    pub fn request(
        &mut self,
        version: &FileVersion,
        range: &Range<u64>,
        file: &File,
        stats: &SyscallStats,
    ) -> Option<Bytes> {
        let key = BlockKey::of(version, range)?;
        if self.blocks.peek(&key).is_none() {
            self.blocks.insert(key, Block::RequestedOnce);
            return None;
        }
        let bytes = file.read_all(&key.range())?;
        if file.version(stats).ok()? != *version {
            return None;
        }
        self.blocks.insert(key, Block::Kept(bytes.clone()));
        Some(key.part(&bytes, range))
    }
}

impl BlockKey {
    /// The block that contains `range`. None if it does not lie within one.
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
    use std::sync::Arc;

    use super::*;
    use crate::site::open_file::OpenFile;

    /// An open file of two blocks and a short one, in which each byte tells its block.
    fn three_blocks() -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("large");
        let content = [vec![0; BLOCK_BYTES as usize], vec![1; BLOCK_BYTES as usize], vec![2; 100]];
        fs::write(&path, content.concat()).expect("the directory is writable");
        let descriptor = fs::File::open(&path).expect("it exists").into();
        (directory, Arc::new(OpenFile::new(descriptor, &SyscallStats::default())))
    }

    #[test]
    fn a_block_is_kept_from_the_second_request_on() {
        let (_directory, file) = three_blocks();
        let stats = SyscallStats::default();
        let version = file.version(&stats).expect("it is open");
        let mut blocks = FileBlocks::new(1 << 20);
        let end = version.size_bytes;
        for (range, byte) in [(10..20, 0), (BLOCK_BYTES..2 * BLOCK_BYTES, 1), (end - 1..end, 2)] {
            assert_eq!(blocks.request(&version, &range, &file, &stats), None);
            assert_eq!(blocks.find(&version, &range), None);
            let expected = Some(Bytes::from(vec![byte; (range.end - range.start) as usize]));
            assert_eq!(blocks.request(&version, &range, &file, &stats), expected);
            assert_eq!(blocks.find(&version, &range), expected);
        }
        let across_two = BLOCK_BYTES - 1..BLOCK_BYTES + 1;
        for _ in 0..3 {
            assert_eq!(blocks.request(&version, &across_two, &file, &stats), None);
        }
        assert_eq!(blocks.find(&version, &across_two), None);
    }

    #[test]
    fn a_block_of_a_file_that_has_changed_is_not_kept() {
        let (directory, file) = three_blocks();
        let stats = SyscallStats::default();
        let version = file.version(&stats).expect("it is open");
        let mut blocks = FileBlocks::new(1 << 20);
        let range = 0..10;
        assert_eq!(blocks.request(&version, &range, &file, &stats), None);
        // Its size differs, as its times might be equal.
        fs::write(directory.path().join("large"), vec![3; 50_000]).expect("it is writable");
        assert_eq!(blocks.request(&version, &range, &file, &stats), None);
        assert_eq!(blocks.find(&version, &range), None);
    }

    #[test]
    fn all_blocks_together_are_bounded() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("large");
        let file = fs::File::create_new(&path).expect("the directory is writable");
        file.set_len(1000 * BLOCK_BYTES).expect("the file is writable");
        let stats = SyscallStats::default();
        let descriptor = fs::File::open(&path).expect("it exists").into();
        let file = Arc::new(OpenFile::new(descriptor, &stats));
        let version = file.version(&stats).expect("it is open");
        let bytes_max = 10 * BLOCK_BYTES;
        let mut blocks = FileBlocks::new(bytes_max);
        let mut kept = 0;
        for number in 0..1000 {
            let range = number * BLOCK_BYTES..number * BLOCK_BYTES + 1;
            for _ in 0..2 {
                blocks.request(&version, &range, &file, &stats);
            }
            kept += usize::from(blocks.find(&version, &range).is_some());
            assert!(blocks.weight_bytes() <= bytes_max);
        }
        assert!(kept > 0, "some blocks were kept");
    }
}
