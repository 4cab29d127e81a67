//! How long a change on the disk takes to be visible. Prints the table of the section
//! "Changes" in docs/PERFORMANCE.md.
//!
//! ```text
//! cargo bench --bench changes
//! ```
//!
//! After each change, a client requests the path again and again until a response shows the change.
//! Each server has a new directory.

#[path = "support/numbers.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod numbers;
#[path = "support/server.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod server;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use miniweb::compare::measure::cores::Cores;
use miniweb::server::strategies::{self, Comparison, Setup};
use numbers::median;
use server::Server;

/// A way to change what `path` leads to. The new content is the number of the change.
struct Change {
    name: &'static str,
    path: &'static str,
    apply: fn(&Path, &str) -> io::Result<()>,
}

const CHANGES: [Change; 6] = [
    Change { name: "written in place", path: "/a/b/page.html", apply: write_in_place },
    Change { name: "replaced by a rename", path: "/a/b/page.html", apply: replace },
    Change { name: "created where there was none", path: "/a/b/{n}.html", apply: create },
    Change { name: "in a replaced directory", path: "/a/b/page.html", apply: replace_directory },
    Change { name: "in a replaced root", path: "/a/b/page.html", apply: replace_root },
    Change { name: "behind a switched link", path: "/current/page.html", apply: switch_link },
];

const TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> io::Result<()> {
    let is_smoke = std::env::args().any(|argument| argument == "--test");
    let rounds = if is_smoke { 1 } else { 20 };
    let cores = Cores::divide();
    let setups: Vec<&Setup> =
        strategies::setups().filter(|setup| setup.comparison != Comparison::None).collect();
    print!("| {:<30} |", "ms, p50 / max");
    setups.iter().for_each(|setup| print!(" {:>20} |", format!("`{}`", setup.name)));
    print!("\n|{:-<32}|", "");
    setups.iter().for_each(|_| print!("{:->21}:|", ""));
    println!();
    for change in CHANGES {
        print!("| {:<30} |", change.name);
        for setup in &setups {
            let times_ms = measure(setup, &change, rounds, &cores)?;
            let max = times_ms.iter().copied().fold(0.0, f64::max);
            print!(" {:>20} |", format!("{:.1} / {max:.1}", median(times_ms)));
            io::stdout().flush()?;
        }
        println!();
    }
    Ok(())
}

/// The times in milliseconds that the changes of one kind take to be visible.
fn measure(setup: &Setup, change: &Change, rounds: u32, cores: &Cores) -> io::Result<Vec<f64>> {
    /// Longer than any pause of the server, so that a change is not seen as part of the one before.
    const PAUSE: Duration = Duration::from_millis(20);
    /// Between two requests.
    const INTERVAL: Duration = Duration::from_micros(200);
    let directory = tempfile::tempdir()?;
    let root = directory.path().join("site");
    fs::create_dir_all(root.join("a/b"))?;
    fs::write(root.join("a/b/page.html"), "old")?;
    switch_link(&root, "old")?;
    let server = Server::miniweb(setup.arguments, &root, cores)?;
    let mut times_ms = Vec::new();
    for round in 0..rounds {
        // A connection for each round, because a server closes one after many requests.
        let mut client = Client::connect(&server)?;
        let content = format!("change {round}");
        let path = change.path.replace("{n}", &content.replace(' ', "-"));
        client.get(&path)?;
        std::thread::sleep(PAUSE);
        client.get(&path)?;
        (change.apply)(&root, &content)?;
        let start = Instant::now();
        while client.get(&path)? != content.as_bytes() {
            assert!(start.elapsed() < TIMEOUT, "{}: {}", setup.name, change.name);
            std::thread::sleep(INTERVAL);
        }
        times_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times_ms)
}

fn write_in_place(root: &Path, content: &str) -> io::Result<()> {
    fs::write(root.join("a/b/page.html"), content)
}

fn replace(root: &Path, content: &str) -> io::Result<()> {
    fs::write(root.join("a/b/new"), content)?;
    fs::rename(root.join("a/b/new"), root.join("a/b/page.html"))
}

fn create(root: &Path, content: &str) -> io::Result<()> {
    fs::write(root.join("a/b").join(content.replace(' ', "-") + ".html"), content)
}

fn replace_directory(root: &Path, content: &str) -> io::Result<()> {
    fs::create_dir_all(root.join("new/b"))?;
    fs::write(root.join("new/b/page.html"), content)?;
    fs::rename(root.join("a"), root.join(format!("before {content}")))?;
    fs::rename(root.join("new"), root.join("a"))
}

fn replace_root(root: &Path, content: &str) -> io::Result<()> {
    let new = root.with_file_name("new");
    fs::create_dir_all(new.join("a/b"))?;
    fs::write(new.join("a/b/page.html"), content)?;
    fs::rename(root, root.with_file_name(format!("before {content}")))?;
    fs::rename(new, root)
}

/// As tools that deploy releases do: the new link replaces the old one by a rename.
fn switch_link(root: &Path, content: &str) -> io::Result<()> {
    let release = format!("release {content}");
    fs::create_dir(root.join(&release))?;
    fs::write(root.join(&release).join("page.html"), content)?;
    symlink(&release, root.join("link"))?;
    fs::rename(root.join("link"), root.join("current"))
}

/// One connection, which is kept open.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(server: &Server) -> io::Result<Client> {
        let stream = TcpStream::connect(server.address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// The body of the response.
    fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        write!(self.stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")?;
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim_end().parse().expect("the length is a number");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }
}
