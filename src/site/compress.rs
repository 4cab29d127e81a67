//! Decides which files are worth compressing, and compresses them with gzip.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A smaller file fits into one packet uncompressed.
const SIZE_BYTES_MIN: u64 = 1024;
/// Bounds how long clients wait for the gzip, and the memory that one thread may need. For larger
/// files the site's build should write sidecars.
pub const SIZE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most of the saving of level 9, in a third of the time.
const LEVEL: Compression = Compression::new(5);

/// Whether gzip is offered for a file of this type and size.
pub fn is_offered(media_type: &str, size_bytes: u64) -> bool {
    (SIZE_BYTES_MIN..=SIZE_BYTES_MAX).contains(&size_bytes) && is_compressible(media_type)
}

/// Whether files of this type become smaller: text in the widest sense. Most image, video and
/// archive formats are compressed already.
pub fn is_compressible(media_type: &str) -> bool {
    const TYPES: [&str; 12] = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/yaml",
        "application/wasm",
        "application/rtf",
        "application/vnd.apple.mpegurl",
        "font/ttf",
        "font/otf",
        "image/bmp",
        "image/vnd.microsoft.icon",
        "application/vnd.ms-fontobject",
    ];
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || TYPES.contains(&essence)
}

/// Compresses `size_bytes` of content, piece by piece. None if that saves less than 5 %.
///
/// # Errors
/// That of a piece which can't be read.
pub fn gzip<E>(
    size_bytes: u64,
    pieces: impl Iterator<Item = Result<Bytes, E>>,
) -> Result<Option<Vec<u8>>, E> {
    let worthwhile_bytes = (size_bytes - size_bytes / 20) as usize;
    let output = BoundedOutput { bytes: Vec::with_capacity(worthwhile_bytes) };
    // The gzip header gets no file name and no time: equal input must give equal output, because
    // replicas send equal ETags.
    let mut encoder = GzEncoder::new(output, LEVEL);
    for piece in pieces {
        if encoder.write_all(&piece?).is_err() {
            return Ok(None);
        }
    }
    Ok(encoder.finish().ok().map(|mut output| {
        output.bytes.shrink_to_fit();
        output.bytes
    }))
}

/// A writer that fails instead of growing.
struct BoundedOutput {
    bytes: Vec<u8>,
}

impl Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.bytes.capacity() - self.bytes.len();
        // Zero is an error to `write_all`.
        let written = bytes.len().min(free);
        self.bytes.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip_of(content: &[u8]) -> Option<Vec<u8>> {
        let pieces = content.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece)));
        gzip::<io::Error>(content.len() as u64, pieces).expect("every piece can be read")
    }

    #[test]
    fn the_result_takes_no_more_memory_than_the_content() {
        let text = gzip_of(&b"some text, ".repeat(10_000)).expect("it becomes smaller");
        assert!(text.len() < 2_000 && text.capacity() < 4_000);
        let noise: Vec<u8> = (0..3_000u64)
            .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
            .collect();
        assert_eq!(gzip_of(&noise).map(|noise| noise.len()), None);
    }

    #[test]
    fn a_piece_that_cannot_be_read_is_an_error() {
        let pieces = [Ok(Bytes::from_static(b"text")), Err("a failed read")];
        assert_eq!(gzip(1000, pieces.into_iter()), Err("a failed read"));
    }
}
