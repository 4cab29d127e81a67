//! Decides which files are worth compressing, and compresses them: with brotli, or with gzip for
//! clients that do not accept that.
//!
//! There is no zstd: all browsers that accept it accept brotli, and its one encoder that compresses
//! as well is in C. docs/PERFORMANCE.md has the measurements.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http::Coding;

/// A smaller file fits into one packet uncompressed.
const SIZE_BYTES_MIN: u64 = 1024;
/// Bounds how long clients wait for the result, and the memory that one thread may need. For larger
/// files the site's build should write sidecars.
pub const SIZE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What is read of a large file at a time.
pub const PIECE_BYTES: usize = 128 * 1024;

/// A coding that this server makes, when a client first wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MadeCoding {
    Brotli,
    Gzip,
}

/// Whether compressing is offered for a file of this type and size.
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

impl MadeCoding {
    /// Every coding, in order of preference.
    pub const ALL: [MadeCoding; 2] = [MadeCoding::Brotli, MadeCoding::Gzip];

    /// The coding that clients ask for.
    pub fn coding(self) -> Coding {
        match self {
            MadeCoding::Brotli => Coding::Brotli,
            MadeCoding::Gzip => Coding::Gzip,
        }
    }

    /// Compresses `size_bytes` of content, piece by piece. None if that saves less than 5 %.
    ///
    /// Equal input gives equal output, so that replicas send equal ETags: gzip's header gets no
    /// file name and no time.
    ///
    /// # Errors
    /// That of a piece which can't be read.
    pub fn compress<E>(
        self,
        size_bytes: u64,
        pieces: impl Iterator<Item = Result<Bytes, E>>,
    ) -> Result<Option<Vec<u8>>, E> {
        let worthwhile_bytes = (size_bytes - size_bytes / 20) as usize;
        let output =
            BoundedOutput { bytes: Vec::with_capacity(worthwhile_bytes), has_overflowed: false };
        let output = match self {
            MadeCoding::Brotli => brotli(output, size_bytes, pieces)?,
            MadeCoding::Gzip => gzip(output, pieces)?,
        };
        Ok(output.filter(|output| !output.has_overflowed).map(|mut output| {
            output.bytes.shrink_to_fit();
            output.bytes
        }))
    }
}

/// None if the encoder fails, which is not expected of one that writes to memory.
fn brotli<E>(
    output: BoundedOutput,
    size_bytes: u64,
    pieces: impl Iterator<Item = Result<Bytes, E>>,
) -> Result<Option<BoundedOutput>, E> {
    /// With 4, half of the measured files were larger than with gzip; 6 saves at most another 3 %
    /// of files below 1 MB.
    const QUALITY: i32 = 5;
    /// Windows of up to 2^16 make this encoder allocate 32 MiB.
    const WINDOW_BITS_MIN: u32 = 17;
    /// The default of all brotli encoders, 4 MiB. A larger one costs clients as much memory, too.
    const WINDOW_BITS_MAX: u32 = 22;
    /// The encoder collects the commands of a meta-block, which would take up to 57 MB for 8 MiB of
    /// input; a flush ends the meta-block. So it takes less than 16 MiB, for less than 0.5 % of the
    /// size.
    const FLUSHED_BYTES: usize = 512 * 1024;
    /// For the encoder's output on its way to `output`.
    const BUFFER_BYTES: usize = 4096;
    /// The encoder's block: it collects as much before it compresses, for about 4 ms. Yields before
    /// smaller parts would cost time slices and save nothing.
    const PART_BYTES: usize = 64 * 1024;
    // The encoder allocates twice the window, so that must not be larger than the file needs.
    let file_bits = size_bytes.max(1).next_power_of_two().trailing_zeros();
    let parameters = BrotliEncoderParams {
        quality: QUALITY,
        lgwin: file_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX) as i32,
        size_hint: size_bytes as usize,
        ..BrotliEncoderParams::default()
    };
    let mut encoder = CompressorWriter::with_params(output, BUFFER_BYTES, &parameters);
    let mut unflushed_bytes = 0;
    for piece in pieces {
        let piece = piece?;
        unflushed_bytes += piece.len();
        let is_written = write_yielding(&mut encoder, &piece, PART_BYTES)
            .and_then(|()| (unflushed_bytes >= FLUSHED_BYTES).then(|| encoder.flush()).transpose());
        match is_written {
            Ok(Some(())) => unflushed_bytes = 0,
            Ok(None) => {}
            Err(_) => return Ok(None),
        }
        if encoder.get_ref().has_overflowed {
            return Ok(None);
        }
    }
    // `into_inner` ignores errors. After a flush it has nothing left to write but the end mark.
    Ok(encoder.flush().ok().map(|()| encoder.into_inner()))
}

/// None if the encoder fails, which is not expected of one that writes to memory.
fn gzip<E>(
    output: BoundedOutput,
    pieces: impl Iterator<Item = Result<Bytes, E>>,
) -> Result<Option<BoundedOutput>, E> {
    /// Most of the saving of level 9, in a third of the time.
    const LEVEL: Compression = Compression::new(5);
    /// About 0.5 ms of work.
    const PART_BYTES: usize = 16 * 1024;
    let mut encoder = GzEncoder::new(output, LEVEL);
    for piece in pieces {
        if write_yielding(&mut encoder, &piece?, PART_BYTES).is_err()
            || encoder.get_ref().has_overflowed
        {
            return Ok(None);
        }
    }
    Ok(encoder.finish().ok())
}

/// Writes a piece in parts and calls `sched_yield` before each. Otherwise an event loop that waits
/// for this core gets it only when the time slice ends, up to 4 ms later. If no thread waits, a
/// yield takes less than 1 µs.
fn write_yielding(encoder: &mut impl Write, piece: &[u8], part_bytes: usize) -> io::Result<()> {
    piece.chunks(part_bytes).try_for_each(|part| {
        std::thread::yield_now();
        encoder.write_all(part)
    })
}

/// A writer that discards what does not fit, instead of growing. It never fails, because the
/// encoder of brotli loses errors.
struct BoundedOutput {
    bytes: Vec<u8>,
    has_overflowed: bool,
}

impl Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = self.bytes.capacity() - self.bytes.len();
        self.has_overflowed |= bytes.len() > free;
        if !self.has_overflowed {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn compressed(coding: MadeCoding, content: &[u8]) -> Option<Vec<u8>> {
        let pieces = content.chunks(PIECE_BYTES).map(|piece| Ok(Bytes::copy_from_slice(piece)));
        coding.compress::<io::Error>(content.len() as u64, pieces).expect("every piece can be read")
    }

    fn decoded(coding: MadeCoding, bytes: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        match coding {
            MadeCoding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut decoded),
            MadeCoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut decoded),
        }
        .expect("it was encoded");
        decoded
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let words = (0..bytes as u64 / 8).map(|n| n.wrapping_mul(n ^ 0x9E37_79B9_7F4A_7C15));
        words.flat_map(u64::to_be_bytes).collect()
    }

    #[test]
    fn the_result_takes_no_more_memory_than_the_content() {
        for coding in MadeCoding::ALL {
            let text = b"some text, ".repeat(10_000);
            let small = compressed(coding, &text).expect("it becomes smaller");
            assert!(small.len() < 2_000 && small.capacity() < 4_000, "{coding:?}");
            assert_eq!(decoded(coding, &small), text, "{coding:?}");
            let noise: Vec<u8> = (0..3_000u64)
                .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
                .collect();
            assert_eq!(compressed(coding, &noise).map(|noise| noise.len()), None, "{coding:?}");
        }
    }

    #[test]
    fn every_size_is_decoded_to_the_content() {
        // Half of the bytes are noise, so that the result is about half as long as the content.
        let content: Vec<u8> =
            noise(3 << 19).chunks(8).flat_map(|eight| [eight, &[b'x'; 8]].concat()).collect();
        for size_bytes in [1024, 64 * 1024, 512 * 1024 - 1, 512 * 1024, (1 << 20) + 1, 3 << 20] {
            let content = &content[..size_bytes];
            for coding in MadeCoding::ALL {
                let small = compressed(coding, content).expect("it becomes smaller");
                assert!(decoded(coding, &small) == content, "{coding:?} of {size_bytes} bytes");
            }
        }
    }

    /// That of gzip does by its design.
    #[test]
    fn the_encoder_of_brotli_takes_a_bounded_amount_of_memory() {
        let half: Vec<u8> = noise(4 << 20).iter().map(|byte| b'a' + byte % 16).collect();
        let pieces = half.chunks(PIECE_BYTES).map(Bytes::copy_from_slice);
        let pieces: Vec<Bytes> = pieces.cycle().take(64).collect();
        let allocated = allocation_counter::measure(|| {
            let pieces = pieces.iter().map(|piece| Ok::<_, io::Error>(piece.clone()));
            let small = MadeCoding::Brotli.compress(SIZE_BYTES_MAX, pieces);
            assert!(small.expect("every piece can be read").is_some());
        });
        let encoder_bytes = allocated.bytes_max - (SIZE_BYTES_MAX - SIZE_BYTES_MAX / 20);
        assert!(encoder_bytes < 16 << 20, "{encoder_bytes}");
    }

    #[test]
    fn a_piece_that_cannot_be_read_is_an_error() {
        for coding in MadeCoding::ALL {
            let pieces = [Ok(Bytes::from_static(b"text")), Err("a failed read")];
            assert_eq!(coding.compress(1000, pieces.into_iter()), Err("a failed read"));
        }
    }
}
