//! One whole turn of a connection in memory: input in, responses out, no socket.
//!
//! It serves the built-in sample site, so that no file system is involved; its responses come from
//! the same cache as those of a directory. The clock stands still.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use arrayvec::ArrayVec;
use miniweb::http::{Connection, Limits, Moment, Now, Output, Step, Transmit};
use miniweb::site::{File, MemoryBudget, Root, Site};
use miniweb::syscall_stats::SyscallStats;

/// A request of a load generator.
pub const SMALL: &[u8] = b"GET /404.html HTTP/1.1\r\nHost: 127.0.0.1:7890\r\n\r\n";

/// A request of a browser.
pub const BROWSER: &[u8] = b"GET /404.html HTTP/1.1\r\n\
    Host: 127.0.0.1:7890\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\r\n";

const MISSING: &[u8] = b"GET /nothing-here HTTP/1.1\r\nHost: 127.0.0.1:7890\r\n\r\n";
const NOT_MODIFIED: &[u8] =
    b"GET /404.html HTTP/1.1\r\nHost: 127.0.0.1:7890\r\nIf-None-Match: *\r\n\r\n";

/// The measured turns: name, request, and the number of copies of it sent at once.
pub const TURNS: [(&str, &[u8], usize); 5] = [
    ("one", SMALL, 1),
    ("one from a browser", BROWSER, 1),
    ("pipelined 16", SMALL, 16),
    ("404", MISSING, 1),
    ("304", NOT_MODIFIED, 1),
];

/// A connection and the site that it serves.
pub struct Cycle {
    connection: Connection<File>,
    spare: Output<File>,
    site: Site,
    now: Now,
    input: Vec<u8>,
}

impl Cycle {
    /// Prepares turns of `requests` copies of `request`.
    pub fn new(request: &[u8], requests: usize) -> Cycle {
        let (site, now) = (sample_site(), now());
        let limits = Limits { requests_max: u32::MAX, ..Limits::default() };
        let connection = Connection::new(Arc::new(limits), &now);
        Cycle { connection, spare: Output::default(), site, now, input: request.repeat(requests) }
    }

    /// Performs one turn, as `drive` does with a socket that accepts all output.
    pub fn turn(&mut self) {
        self.connection.lend_buffers(&mut self.spare);
        let deferred = self.connection.receive(black_box(&self.input), &self.now, &mut self.site);
        // Only the first request from a browser waits: for the compression of the file.
        if let Some(deferred) = deferred {
            self.connection.complete(deferred.wait(), &self.now);
        }
        let sent_bytes = self.send_all();
        self.connection.reclaim_buffers(&mut self.spare);
        assert!(sent_bytes > 0 && self.connection.step() == Step::Receive);
    }

    fn send_all(&mut self) -> usize {
        let mut sent_bytes = 0;
        loop {
            match self.connection.step() {
                Step::Send => {
                    let offered = memory_offered(&self.connection);
                    self.connection.sent(offered as u64, &self.now, |_| ());
                    sent_bytes += offered;
                }
                // After a deferred reply, it looks for requests that have come meanwhile.
                Step::Resume => drop(self.connection.receive(b"", &self.now, &mut self.site)),
                _ => return sent_bytes,
            }
        }
    }
}

fn memory_offered(connection: &Connection<File>) -> usize {
    let mut slices = ArrayVec::<_, 16>::new();
    match connection.output().next_transmit(&mut slices) {
        Transmit::Memory { .. } => black_box(&slices).iter().map(|slice| slice.len()).sum(),
        Transmit::File { .. } | Transmit::Empty => {
            unreachable!("a small file is served from memory")
        }
    }
}

/// The sample site. Its `/404.html` is 1.2 KiB long.
pub fn sample_site() -> Site {
    Site::new(
        Arc::new(Root::Sample),
        Arc::default(),
        Arc::new(SyscallStats::default()),
        MemoryBudget::new(1024 * 1024).take_up_to(u64::MAX),
    )
}

pub fn now() -> Now {
    Now::new(Moment::default(), SystemTime::now())
}
