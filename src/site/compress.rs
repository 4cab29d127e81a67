//! Decides which files are worth compressing, and compresses them with gzip.
//!
//! A file is compressed in the request that first wants it, once per version. [`SIZE_BYTES_MAX`]
//! bounds that to a few milliseconds. For larger files the site's build should write sidecars.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A smaller file fits into one packet uncompressed.
const SIZE_BYTES_MIN: u64 = 1024;
const SIZE_BYTES_MAX: u64 = 256 * 1024;
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

/// Compresses `bytes`. None if that saves less than 5 %.
pub fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    // The gzip header gets no file name and no time: equal input must give equal output, because
    // the ETag of the result is derived from the input.
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), LEVEL);
    // Writing to a Vec does not fail; if it did, the file would be sent uncompressed.
    encoder.write_all(bytes).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() + bytes.len() / 20 < bytes.len()).then_some(compressed)
}
