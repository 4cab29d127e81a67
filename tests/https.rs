//! HTTPS with real clients, and certificates that are renewed under load.
//!
//! A test whose program is not installed says that it is skipped.
#![cfg(feature = "tls")]

#[path = "support/mod.rs"]
mod support;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use support::{
    Certificate, End, Server, Setup, Site, any_setup, authority_pem, encrypted, get, patterned,
    setups, shown, wait_until,
};
use tempfile::TempDir;

/// A site, and a certificate whose authority the clients are told to trust.
struct Fixture {
    site: Site,
    pair: [PathBuf; 2],
    authority: PathBuf,
    large: Vec<u8>,
}

impl Fixture {
    fn new() -> Fixture {
        let site = Site::new();
        let large = patterned(3 << 20);
        site.write("large.bin", &large);
        let pair = Certificate::new().write(&site.beside("tls"), "server");
        let authority = site.write_beside("authority.pem", &authority_pem());
        Fixture { site, pair, authority, large }
    }

    /// A server for each set-up.
    fn servers(&self) -> impl Iterator<Item = Server> {
        setups().map(|setup| Server::start(encrypted(setup, &self.pair), self.site.root(), &[]))
    }

    fn any_server(&self) -> Server {
        Server::start(encrypted(any_setup(), &self.pair), self.site.root(), &[])
    }
}

/// Whether a program is installed; otherwise says that the test is skipped.
fn is_installed(program: &str) -> bool {
    let version = if program == "openssl" { "version" } else { "--version" };
    let mut command = Command::new(program);
    let is_installed =
        command.arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is_installed {
        eprintln!("skipped: {program} is not installed");
    }
    is_installed
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    // No proxy of the environment, and no server in another language.
    command.env("no_proxy", "*").env("LC_ALL", "C").stdin(Stdio::null());
    command.output().expect("the program is installed")
}

#[test]
fn curl_verifies_the_certificate_and_downloads() {
    if !is_installed("curl") {
        return;
    }
    let fixture = Fixture::new();
    for server in fixture.servers() {
        for options in [&["--tlsv1.3"][..], &["--tls-max", "1.2"], &["--http2"]] {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]);
            curl.arg(&fixture.authority).args(options);
            // Two requests on one connection.
            curl.args([server.url("/large.bin"), server.url("/page.html")]);
            curl.args(["--write-out", "%{stderr}%{http_code} %{http_version} %{num_connects}\n"]);
            let output = run(&mut curl);
            let written = String::from_utf8_lossy(&output.stderr);
            assert_eq!(written, "200 1.1 1\n200 1.1 0\n", "{options:?}");
            let page = b"<!doctype html><title>page</title>\n";
            assert!(output.stdout == [&fixture.large[..], page].concat(), "{options:?}");
        }
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", &server.url("/")]);
        assert_eq!(run(&mut curl).status.code(), Some(60), "it does not know the authority");
    }
}

#[test]
fn wget_verifies_the_certificate_and_downloads() {
    if !is_installed("wget") {
        return;
    }
    let fixture = Fixture::new();
    for server in fixture.servers() {
        let mut wget = Command::new("wget");
        wget.args(["--quiet", "--timeout=20", "--tries=1", "--no-config", "--output-document=-"]);
        wget.arg(format!("--ca-certificate={}", fixture.authority.display()));
        let output = run(wget.args([server.url("/large.bin"), server.url("/page.html")]));
        assert!(output.status.success(), "{}", shown(&output.stderr));
        assert!(output.stdout.starts_with(&fixture.large) && output.stdout.ends_with(b"title>\n"));
    }
}

/// The ssl module of Python tells a connection that ends without a close_notify from one that does.
#[test]
fn python_sees_a_close_notify_after_the_response() {
    const SCRIPT: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost",
                                 suppress_ragged_eofs=False) as secure:
            secure.sendall(b"GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            received = b""
            while piece := secure.recv(10):
                received += piece
            assert received.startswith(b"HTTP/1.1 200 OK\r\n"), received
            assert received.endswith(b"page</title>\n"), received
            print(secure.version())
"#;
    if !is_installed("python3") {
        return;
    }
    let fixture = Fixture::new();
    for server in fixture.servers() {
        let mut python = Command::new("python3");
        python.args(["-c", SCRIPT, &server.address.port().to_string()]).arg(&fixture.authority);
        let output = run(&mut python);
        let versions = String::from_utf8_lossy(&output.stdout);
        assert_eq!(versions, "TLSv1.2\nTLSv1.3\n", "{}", shown(&output.stderr));
    }
}

/// Runs `openssl s_client` with these options and this input, until the server closes.
fn s_client(server: &Server, authority: &Path, options: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("timeout");
    command.args(["20", "openssl", "s_client", "-connect", &server.address.to_string()]);
    command.args(["-servername", "localhost", "-verify_return_error", "-CAfile"]);
    command.arg(authority).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("timeout is a part of coreutils");
    let mut stdin = process.stdin.take().expect("it is piped");
    // It may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    let output = process.wait_with_output().expect("it ends");
    drop(stdin);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

const CLOSE: &str = "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn openssl_negotiates_both_versions_and_no_weaker_one() {
    if !is_installed("openssl") {
        return;
    }
    let fixture = Fixture::new();
    for server in fixture.servers() {
        for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let options = [option, "-ign_eof", "-alpn", "http/1.1"];
            let (is_ok, text) = s_client(&server, &fixture.authority, &options, CLOSE);
            let expected =
                [version, "Verify return code: 0 (ok)", "ALPN protocol: http/1.1", "page</title>"];
            let missing = expected.iter().find(|part| !text.contains(**part));
            assert!(is_ok && missing.is_none(), "{missing:?} in {text}");
        }
    }
    let server = fixture.any_server();
    let weak: [&[&str]; 5] = [
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        // Without forward secrecy, without authenticated encryption, and neither.
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
        &["-tls1_2", "-cipher", "AES256-SHA:@SECLEVEL=0"],
    ];
    for options in weak {
        let (is_ok, text) = s_client(&server, &fixture.authority, options, CLOSE);
        assert!(!is_ok && !text.contains("page</title>"), "{options:?}: {text}");
    }
}

/// `R` in a line of its own makes s_client ask for another handshake.
#[test]
fn a_renegotiation_is_refused() {
    if !is_installed("openssl") {
        return;
    }
    let fixture = Fixture::new();
    for server in fixture.servers() {
        let (_, text) = s_client(&server, &fixture.authority, &["-tls1_2"], "R\n");
        assert!(text.contains("RENEGOTIATING"), "{text}");
        assert!(text.contains("no renegotiation"), "{text}");
        assert_eq!(server.get("/page.html").status, 200);
    }
}

#[test]
fn openssl_resumes_sessions_of_both_versions() {
    if !is_installed("openssl") {
        return;
    }
    let fixture = Fixture::new();
    for server in fixture.servers() {
        for version in ["-tls1_2", "-tls1_3"] {
            let session = fixture.site.beside("session");
            let session = session.to_str().expect("the path is UTF-8");
            for (option, expected) in [("-sess_out", "New, TLS"), ("-sess_in", "Reused, TLS")] {
                let options = [version, "-ign_eof", option, session];
                let (_, text) = s_client(&server, &fixture.authority, &options, CLOSE);
                assert!(text.contains(expected), "{version} {option}: {text}");
            }
        }
    }
}

/// A pair whose directory is reached by a link, as Kubernetes mounts a secret.
struct Renewed {
    directory: TempDir,
    count: usize,
}

impl Renewed {
    fn new(first: &Certificate) -> Renewed {
        let mode = Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().permissions(mode).tempdir();
        let mut renewed =
            Renewed { directory: directory.expect("a temporary directory"), count: 0 };
        renewed.switch_link(first);
        renewed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("live").join(name)
    }

    /// Writes a new directory and points the link to it.
    fn switch_link(&mut self, next: &Certificate) {
        self.count += 1;
        let name = self.count.to_string();
        self.write(next, &name);
        let link = self.directory.path().join("new");
        symlink(name, &link).expect("the name is free");
        fs::rename(link, self.directory.path().join("live")).expect("it is the test's");
    }

    /// Renames new files onto the old ones, one after the other.
    fn rename_files(&mut self, next: &Certificate) {
        for path in self.write(next, "next") {
            let name = path.file_name().expect("it has a name").to_str().expect("it is ASCII");
            fs::rename(&path, self.path(name)).expect("it is the test's");
        }
    }

    fn write(&self, pair: &Certificate, directory: &str) -> [PathBuf; 2] {
        let directory = self.directory.path().join(directory);
        let files = pair.write(&directory, "tls");
        fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("it is the test's");
        support::give_to_nobody(&files);
        files
    }
}

/// While clients connect without pause, a renewed certificate is used within about a second, and no
/// request fails.
#[test]
fn a_renewal_under_load_fails_no_request() {
    let site = Site::new();
    for directory in [site.root(), site.beside("")] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("it is the test's");
    }
    let mut privileges = vec![&[][..], &["--confine"]];
    match rustix::process::geteuid().is_root() {
        true => privileges.push(&["--confine", "--user", "nobody"]),
        false => eprintln!("skipped with --user: only root may change the user"),
    }
    for options in privileges {
        // Most of the time, each waits for the server to look at the files.
        std::thread::scope(|scope| {
            for setup in setups() {
                let site = &site;
                scope.spawn(move || renew_under_load(setup, site, options));
            }
        });
    }
}

fn renew_under_load(setup: &'static Setup, site: &Site, options: &[&str]) {
    let certificates: Vec<Certificate> = (0..3).map(|_| Certificate::new()).collect();
    let mut renewed = Renewed::new(&certificates[0]);
    let pair = ["tls.pem", "tls.key"].map(|name| renewed.path(name));
    let server = Server::start(encrypted(setup, &pair), site.root(), options);
    assert_eq!(request(&server), certificates[0].der);
    let (is_over, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (address, tls) = (server.address, server.tls.clone());
    let request_repeatedly = || {
        while !is_over.load(Ordering::Acquire) {
            request_from(address, tls.as_ref());
            requests.fetch_add(1, Ordering::AcqRel);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(request_repeatedly)).collect();
        for (n, next) in certificates.iter().enumerate().skip(1) {
            let before = requests.load(Ordering::Acquire);
            match n {
                1 => renewed.switch_link(next),
                _ => renewed.rename_files(next),
            }
            let since = Instant::now();
            let mut seen = certificates[n - 1].der.clone();
            while seen != next.der && since.elapsed() < support::TIMEOUT {
                seen = request_from(address, tls.as_ref());
                std::thread::sleep(Duration::from_millis(20));
            }
            let took = since.elapsed();
            // A second, and what a busy machine adds.
            if took > Duration::from_secs(4) {
                is_over.store(true, Ordering::Release);
                panic!("{setup:?} {options:?}: {took:?} until renewal {n} was seen");
            }
            wait_until("requests after the renewal", || {
                (requests.load(Ordering::Acquire) > before + 10).then_some(())
            });
        }
        is_over.store(true, Ordering::Release);
        clients.into_iter().for_each(|client| client.join().expect("no request fails"));
    });
}

#[track_caller]
fn request(server: &Server) -> CertificateDer<'static> {
    request_from(server.address, server.tls.as_ref())
}

/// Makes a whole handshake and a request on a new connection. Returns the certificate that the
/// server has shown.
#[track_caller]
fn request_from(
    address: std::net::SocketAddr,
    tls: Option<&std::sync::Arc<rustls::ClientConfig>>,
) -> CertificateDer<'static> {
    let mut peer = support::Peer::connect(address).with_tls(tls);
    peer.send(CLOSE);
    assert_eq!(peer.response().status, 200);
    let shown = peer.session().peer_certificates().expect("the handshake is complete");
    let shown = shown[0].clone();
    assert_eq!(peer.rest(), (Vec::new(), End::Clean));
    shown
}

/// The tickets of clients have the secrets of sessions, and no certificate.
#[test]
fn sessions_are_resumed_after_a_renewal() {
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::version::{TLS12, TLS13};
    let site = Site::new();
    for setup in setups() {
        let certificates = [Certificate::new(), Certificate::new()];
        let mut renewed = Renewed::new(&certificates[0]);
        let pair = ["tls.pem", "tls.key"].map(|name| renewed.path(name));
        let server = Server::start(encrypted(setup, &pair), site.root(), &[]);
        let clients = [&TLS12, &TLS13]
            .map(|version| support::client_with(default_provider(), &[version]).into());
        let kinds = || {
            clients.each_ref().map(|config| {
                let mut peer = server.connect_plainly().with_tls(Some(config));
                assert_eq!(peer.ask(get("/page.html")).status, 200);
                peer.session().handshake_kind()
            })
        };
        let [full, resumed] = [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]
            .map(|kind| [Some(kind); 2]);
        assert_eq!((kinds(), kinds()), (full, resumed), "{setup:?}");
        renewed.switch_link(&certificates[1]);
        wait_until("the new certificate", || {
            (request(&server) == certificates[1].der).then_some(())
        });
        assert_eq!(kinds(), resumed, "{setup:?}");
    }
}
