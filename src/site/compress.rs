//! Decides which files are worth compressing, and compresses them with gzip.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A smaller file fits into one packet uncompressed.
const SIZE_BYTES_MIN: u64 = 1024;
/// A tenth of a second of work, and the memory that one thread may need. For larger files the
/// site's build should write sidecars.
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

/// Compresses a content of `size_bytes`, piece by piece. None if that saves less than 5 %.
///
/// # Errors
/// That of a piece which can't be read.
pub fn gzip<E>(
    size_bytes: u64,
    pieces: impl Iterator<Item = Result<Bytes, E>>,
) -> Result<Option<Vec<u8>>, E> {
    let worthwhile_bytes = (size_bytes - size_bytes / 20) as usize;
    // The gzip header gets no file name and no time: equal input must give equal output, because
    // replicas send equal ETags.
    let mut encoder = GzEncoder::new(Vec::with_capacity(size_bytes as usize / 3), LEVEL);
    for piece in pieces {
        // Writing to a Vec does not fail; if it did, the file would be sent uncompressed.
        if encoder.write_all(&piece?).is_err() || encoder.get_ref().len() >= worthwhile_bytes {
            return Ok(None);
        }
    }
    Ok(encoder.finish().ok().filter(|compressed| compressed.len() < worthwhile_bytes))
}
