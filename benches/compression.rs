//! The size and the CPU time of each coding that this server makes of a file. Prints the table of
//! docs/PERFORMANCE.md.
//!
//! ```text
//! cargo bench --bench compression                  # the text files of the sample site
//! cargo bench --bench compression -- FILE...       # other files
//! ```
//!
//! A file is compressed by the same code and in the same pieces as by the server, repeatedly for
//! half a second for each coding; the time is the median. The threads of the server have a lower
//! priority than this bench, so that clients wait longer while event loops are busy.

#[path = "support/numbers.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod numbers;

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use miniweb::site::{COMPRESSED_PIECE_BYTES, MadeCoding, sample_files};
use numbers::{grouped, median};
use rustix::time::{ClockId, clock_gettime};

/// How long one coding of one file is measured.
const WINDOW: Duration = Duration::from_millis(500);

fn main() -> io::Result<()> {
    // Cargo passes `--bench`.
    let (options, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let window =
        if options.iter().any(|option| option == "--test") { Duration::ZERO } else { WINDOW };
    let mut files = Vec::new();
    for name in names {
        let content = std::fs::read(&name)
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        files.push((name, content));
    }
    if files.is_empty() {
        files.extend(sample_files().map(|(name, content)| (name.to_owned(), content.to_vec())));
    }

    print!("| {:<30} | {:>10} |", "file", "bytes");
    for coding in MadeCoding::ALL {
        let token = coding.coding().token();
        print!(" {:>11} | {:>9} | {:>9} |", format!("{token} bytes"), "of it", "CPU ms");
    }
    print!("\n|{:-<32}|{:->11}:|", "", "");
    for _ in MadeCoding::ALL {
        print!("{:->12}:|{:->10}:|{:->10}:|", "", "", "");
    }
    println!();
    for (path, content) in files {
        let name = path.rsplit('/').next().unwrap_or(&path);
        print!("| {name:<30} | {:>10} |", grouped(content.len() as u64));
        for coding in MadeCoding::ALL {
            let (bytes, cpu_ms) = measure(coding, content.clone().into(), window);
            match bytes {
                Some(bytes) => print!(
                    " {:>11} | {:>7.1} % | {cpu_ms:>9.2} |",
                    grouped(bytes as u64),
                    bytes as f64 / content.len() as f64 * 100.0
                ),
                None => print!(" {:>11} | {:>9} | {cpu_ms:>9.2} |", "not smaller", ""),
            }
        }
        println!();
    }
    Ok(())
}

/// The compressed size, if it is small enough to be used, and the CPU time in milliseconds.
fn measure(coding: MadeCoding, content: Bytes, window: Duration) -> (Option<usize>, f64) {
    let start = Instant::now();
    let mut times_ms = Vec::new();
    loop {
        let pieces = (0..content.len()).step_by(COMPRESSED_PIECE_BYTES).map(|start| {
            let end = content.len().min(start + COMPRESSED_PIECE_BYTES);
            Ok::<_, Infallible>(content.slice(start..end))
        });
        let before = cpu_time();
        let compressed = coding.compress(content.len() as u64, pieces);
        times_ms.push((cpu_time() - before).as_secs_f64() * 1000.0);
        if start.elapsed() >= window {
            let Ok(compressed) = compressed;
            return (compressed.map(|bytes| bytes.len()), median(times_ms));
        }
    }
}

/// Of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a CPU time is not negative")
}
