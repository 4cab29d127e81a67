//! `miniweb compare --against`: servers that the comparison did not start.

#[path = "support/comparison.rs"]
mod comparison;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::compare::Contender;
use miniweb::compare::results::{Results, WorkloadKind};
use rustix::process::{Pid, Signal, kill_process};

use comparison::{compare, first_strategy, results};

#[test]
fn what_a_foreign_server_sends_is_escaped() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let mut client = listener.accept().expect("the comparison connects").0;
        let mut request = BufReader::new(client.try_clone().expect("descriptors are free"));
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            request.read_line(&mut line).expect("the comparison sends a request");
        }
        let _ = client.write_all("HTTP/1.1 2\x1b[2J\u{9b}\u{202e} OK\r\n\r\n".as_bytes());
    });
    let against = format!("other=http://{address}/");
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("page.html"), "text").expect("the directory is writable");
    let root = directory.path().to_str().expect("UTF-8");
    let output = compare(&[root, "--strategies", &first_strategy(), "--against", &against]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let escaped = r"other: status 2\u{1b}[2J\u{9b}\u{202e} for GET /page.html: ";
    assert!(stderr.contains(escaped) && stderr.lines().count() == 1, "{stderr:?}");
}

#[test]
fn a_foreign_server_takes_part_in_every_workload() {
    let site = site_with_a_large_file();
    let other = Other::start(site.path(), &["--route-prefix", "/other"]);
    let against = format!("other={}other/,{}", other.url, other.pid());
    let before = other.cores();
    let workloads = "keep-alive,large-file,slow-readers,mostly-idle";
    let results = compared_with(&against, site.path(), workloads);
    for workload in &results.workloads {
        let cell = results.cell(&workload.name, "other").expect("the cell was measured");
        assert_eq!(cell.failures, Vec::<String>::new(), "{}", workload.name);
        let round = cell.rounds.first().expect("there is a round");
        assert!(round.requests > 0 && round.cpu.is_some() && round.syscalls.is_none());
        assert_eq!(round.errors_total(), 0, "{}: {:?}", workload.name, round.errors);
        let large = if workload.kind == WorkloadKind::LargeFile { 512 * 1024 } else { 500 };
        assert!(round.bytes / round.requests >= large, "{}", workload.name);
    }
    assert_eq!(results.response_check.bodies_only, ["other"]);
    assert_eq!(results.environment.versions["other"], "miniweb");
    assert_eq!(other.cores(), before, "it is pinned no longer");
}

#[test]
fn without_a_process_id_only_rate_and_latency_are_measured() {
    let site = site_with_a_large_file();
    let other = Other::start(site.path(), &[]);
    let results = compared_with(&format!("other={}", other.url), site.path(), "keep-alive");
    let cell = results.cell("keep-alive-64", "other").expect("the cell was measured");
    let round = cell.rounds.first().unwrap_or_else(|| panic!("{:?}", cell.failures));
    assert!(round.requests > 0 && round.latency.count() > 0);
    let unknown = (round.cpu, round.context_switches, round.idle_cpu_share);
    assert_eq!((unknown, round.memory_bytes_per_connection), ((None, None, None), None));
    let remarks = results.environment.remarks.join("\n");
    assert!(remarks.contains("other has no process ID"), "{remarks}");
}

#[test]
fn a_process_that_does_not_serve_is_not_measured_instead_of_the_server() {
    let site = site_with_a_large_file();
    let other = Other::start(site.path(), &[]);
    let mut idle = Command::new("sleep").arg("600").spawn().expect("sleep is installed");
    let against = format!("other={},{}", other.url, idle.id());
    let results = compared_with(&against, site.path(), "keep-alive");
    let _ = idle.kill().and_then(|()| idle.wait());
    let cell = results.cell("keep-alive-64", "other").expect("the cell was measured");
    assert!(cell.rounds.is_empty(), "{:?}", cell.rounds.len());
    assert!(cell.failures[0].contains("expected the process ID of the server"), "{cell:?}");
}

#[test]
fn servers_of_different_files_are_not_compared() {
    let (site, other_site) = (site_with_a_large_file(), site_with_a_large_file());
    let small = other_site.path().join("page.html");
    let root = site.path().to_str().expect("UTF-8").to_owned();
    let real = std::fs::canonicalize(&root).expect("it exists").display().to_string();
    for (content, words) in [
        (Some(vec![b'y'; 500]), "other content than the file has for GET /page.html"),
        (Some(vec![b'x'; 7]), "7 bytes instead of 500 for GET /page.html"),
        (None, "status 404 for GET /page.html"),
    ] {
        match content {
            Some(content) => std::fs::write(&small, content).expect("the directory is writable"),
            None => std::fs::remove_file(&small).expect("the directory is writable"),
        }
        let other = Other::start(other_site.path(), &[]);
        let against = format!("other={},{}", other.url, other.pid());
        let output = compare(&[&root, "--strategies", &first_strategy(), "--against", &against]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        let advice =
            format!("other: {words}: it has to serve the files of {real} at {}", other.url);
        assert!(stderr.contains(&advice) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn an_interrupted_comparison_leaves_no_foreign_server_pinned() {
    let site = site_with_a_large_file();
    let other = Other::start(site.path(), &[]);
    let before = other.cores();
    if before.len() < 2 {
        eprintln!("skipped: there is only one core");
        return;
    }
    let against = format!("other={},{}", other.url, other.pid());
    let mut comparison = Command::new(env!("CARGO_BIN_EXE_miniweb"))
        .args(["compare", "--strategies", &first_strategy(), "--against", &against])
        .args(["--workloads", "keep-alive-64", "--time", "60"])
        .arg(site.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cargo has built the program");
    let give_up = Instant::now() + Duration::from_secs(30);
    while other.cores().len() != 1 {
        assert!(Instant::now() < give_up, "it is never pinned");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = Pid::from_raw(comparison.id().cast_signed()).expect("the process ID is valid");
    kill_process(pid, Signal::INT).expect("the process is running");
    comparison.wait().expect("it is a child of this process");
    assert_eq!(other.cores(), before);
}

#[test]
fn nginx_can_be_compared() {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        eprintln!("skipped: nginx is not installed");
        return;
    }
    let (site, files) = (site_with_a_large_file(), tempfile::tempdir().expect("a directory"));
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.expect("loopback has free ports").port();
    let directory = files.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {directory}/{name};"))
        .concat();
    // Its workers run as the user of the test, who owns the directory.
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let configuration = format!(
        "{user} daemon off; worker_processes 2; pid {directory}/pid; error_log {directory}/error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; {temporary} keepalive_requests 1000000;\n\
         server {{ listen 127.0.0.1:{port}; root {}; }} }}\n",
        site.path().display()
    );
    let path = files.path().join("nginx.conf");
    std::fs::write(&path, configuration).expect("the directory is writable");
    let nginx = Command::new("nginx").arg("-c").arg(&path).arg("-p").arg(files.path()).spawn();
    let nginx = Other { process: nginx.expect("it is installed"), url: String::new() };
    let give_up = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < give_up, "nginx does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    let against = format!("nginx=http://127.0.0.1:{port}/,{}", nginx.pid());
    let results = compared_with(&against, site.path(), "keep-alive,large-file");
    for workload in &results.workloads {
        let cell = results.cell(&workload.name, "nginx").expect("the cell was measured");
        let round = cell.rounds.first().unwrap_or_else(|| panic!("{:?}", cell.failures));
        assert!(round.requests > 0 && round.errors_total() == 0, "{:?}", round.errors);
        assert!(round.cpu.is_some_and(|cpu| cpu.total_us() > 0), "its workers do the work");
    }
    assert!(results.environment.versions["nginx"].starts_with("nginx"), "its Server header");
    // Killed as below, it would leave its workers behind.
    let pid = Pid::from_raw(nginx.pid().cast_signed()).expect("the process ID is valid");
    kill_process(pid, Signal::TERM).expect("the process is running");
    let give_up = Instant::now() + Duration::from_secs(10);
    while files.path().join("pid").exists() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A small file of 500 bytes, and a large one.
fn site_with_a_large_file() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, bytes| std::fs::write(directory.path().join(name), vec![b'x'; bytes]);
    write("page.html", 500).expect("the directory is writable");
    write("video.mp4", 512 * 1024).expect("the directory is writable");
    directory
}

/// The results of one round of a strategy and a foreign server.
fn compared_with(against: &str, root: &Path, workloads: &str) -> Results {
    let files = tempfile::tempdir().expect("a temporary directory");
    let root = root.to_str().expect("UTF-8");
    let arguments = [root, "--strategies", &first_strategy(), "--against", against];
    let few = ["--workloads", workloads, "--rounds", "1", "--time", "10", "--idle", "40"];
    results(&[&arguments[..], &few].concat(), files.path())
}

/// A server that the comparison did not start.
struct Other {
    process: std::process::Child,
    url: String,
}

impl Other {
    /// A miniweb that serves `root`.
    fn start(root: &Path, options: &[&str]) -> Other {
        let first = Contender::strategies(true).swap_remove(0).info;
        let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
        command.args(first.command.split(' ').skip(1)).arg(root).args(options);
        command.args(["--port", "0", "--log", "none", "--max-connections", "4096"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("cargo has built it");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server prints a line");
        let url = line.split_once("http://").expect("the line contains the URL").1;
        let address = url.split('/').next().expect("a text has a first part").trim();
        Other { process, url: format!("http://{address}/") }
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The cores that its main thread may use.
    fn cores(&self) -> Vec<usize> {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("the process ID is valid");
        let set = rustix::thread::sched_getaffinity(Some(pid)).expect("the process is running");
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}
