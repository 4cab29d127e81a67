//! Which files are worth compressing, and gzip.
//!
//! Compression happens where the answer is made, once for each state of a file. So its cost is bounded
//! by the size of what is compressed: [`BYTES_MAX`] takes a few milliseconds at this level. What is larger is better compressed
//! when the site is built, and lies beside the file.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Smaller files fit into a packet or two whatever is done to them.
const BYTES_MIN: u64 = 1024;
const BYTES_MAX: u64 = 256 * 1024;
/// Most of the gain for a third of the time of the best level.
const LEVEL: Compression = Compression::new(5);

/// Whether a file of this type and size is offered in gzip.
pub fn is_offered(media_type: &str, size: u64) -> bool {
    (BYTES_MIN..=BYTES_MAX).contains(&size) && is_worth_it(media_type)
}

/// Whether files of this type become smaller: text in the widest sense. Images, video and archives are compressed already.
pub fn is_worth_it(media_type: &str) -> bool {
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

/// The bytes in gzip, unless that saves less than a twentieth.
pub fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    // No name and no time in its head: the same bytes always give the same result, as a strong tag promises.
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), LEVEL);
    // Writing to a Vec cannot fail; if it did the file would be sent as it is.
    encoder.write_all(bytes).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() + bytes.len() / 20 < bytes.len()).then_some(compressed)
}
