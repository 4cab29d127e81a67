//! `--tls-cert`, `--tls-key`, `--tls-self-signed`, `--kernel-tls` and `--redirect-http`: what is
//! refused, what causes a warning, and what the first lines say.
#![cfg(feature = "tls")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Signal, geteuid};

use crate::command::{any_command, commands, expect_failure, run};
use crate::support::{Certificate, Server, Site, any_setup, setups, write_private};

const DAY: Duration = Duration::from_secs(86_400);

/// A committed certificate or key.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name);
    fs::read_to_string(path).expect("the file is in the repository")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Expects that `certificate` and `key` are refused with one line that contains all of `words`.
#[track_caller]
fn expect_refused(site: &Site, [certificate, key]: [&Path; 2], words: &[&str]) {
    let (root, certificate, key) = (site.root(), text(certificate), text(key));
    let files = ["--tls-cert", certificate, "--tls-key", key];
    let arguments = [&[any_command(), text(&root), "--port", "0"][..], &files].concat();
    expect_failure(&arguments, 1, words);
}

#[test]
fn every_format_of_a_key_is_accepted() {
    let site = Site::new();
    for (certificate, keys) in [
        ("rsa.pem", &["rsa-pkcs8.key", "rsa-pkcs1.key"][..]),
        ("p256.pem", &["p256-pkcs8.key", "p256-sec1.key"]),
        ("p384.pem", &["p384-sec1.key"]),
        ("ed25519.pem", &["ed25519.key"]),
    ] {
        for key in keys {
            let certificate = write_private(&site.beside("certificate"), &example(certificate));
            let key = write_private(&site.beside("key"), &example(key));
            let options = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
            let server = Server::start(any_setup(), site.root(), &options);
            assert!(server.greeting.contains(" on https://127.0.0.1:"), "{}", server.greeting);
        }
    }
    // Both may be in one file, in any order, beside other text.
    let both = format!("{}comment\n{}", example("p256-sec1.key"), example("p256.pem"));
    let both = write_private(&site.beside("both"), &both);
    let options = ["--tls-cert", text(&both), "--tls-key", text(&both)];
    Server::start(any_setup(), site.root(), &options);
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let site = Site::new();
    let [certificate, key] = Certificate::new().write(&site.beside("tls"), "good");
    let other_key = write_private(&site.beside("other"), &example("p256-sec1.key"));
    let file = |name: &str, content: &str| write_private(&site.beside(name), content);
    let half = &fs::read_to_string(&certificate).expect("it exists")[..200];
    let large = "-".repeat(1024 * 1024 + 1);
    for (content, words) in [
        ("", &["nothing usable found", "expected PEM with -----BEGIN CERTIFICATE-----"][..]),
        ("\0\u{1}\u{fffd}", &["nothing usable found"]),
        (half, &["incomplete", "-----END"]),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", &["malformed"]),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &["invalid"]),
        (&large, &["larger than"]),
    ] {
        let bad = file("bad", content);
        let words = [&["--tls-cert", text(&bad)], words].concat();
        expect_refused(&site, [&bad, &key], &words);
    }
    for (content, words) in [
        ("", &["nothing usable found", "PKCS#8, SEC1 or PKCS#1"][..]),
        (&example("p256-encrypted.key"), &["encrypted", "without a passphrase"]),
        (&example("p256-sec1.key")[..120], &["incomplete", "-----END"]),
        (&example("rsa-1024.key"), &["unsupported", "2048"]),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &["invalid"]),
        (&large, &["larger than"]),
    ] {
        let bad = file("bad", content);
        let words = [&["--tls-key", text(&bad)], words].concat();
        expect_refused(&site, [&certificate, &bad], &words);
    }
    let mismatch = ["--tls-key", text(&other_key), "does not match", text(&certificate)];
    expect_refused(&site, [&certificate, &other_key], &mismatch);
    for missing in ["/no/such/file", "/", "/dev/null"] {
        let missing = PathBuf::from(missing);
        expect_refused(&site, [&missing, &key], &["--tls-cert", text(&missing)]);
        expect_refused(&site, [&certificate, &missing], &["--tls-key", text(&missing)]);
    }
}

#[test]
fn no_error_quotes_a_key() {
    let site = Site::new();
    let [certificate, _] = Certificate::new().write(&site.beside("tls"), "good");
    for content in [
        "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END hunter2\n",
        "-----BEGIN PRIVATE KEY hunter2\n",
        "hunter2",
    ] {
        let key = write_private(&site.beside("key"), content);
        let files = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
        let output = run([&[any_command(), "--port", "0"][..], &files].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn an_expired_certificate_is_refused_and_one_that_is_not_yet_valid_causes_a_warning() {
    let site = Site::new();
    let now = SystemTime::now();
    let directory = site.beside("tls");
    let [certificate, key] = Certificate::valid(now - 9 * DAY, now - DAY).write(&directory, "old");
    let words = ["--tls-cert", text(&certificate), "has expired", "GMT"];
    expect_refused(&site, [&certificate, &key], &words);
    let [certificate, key] = Certificate::valid(now + DAY, now + 9 * DAY).write(&directory, "new");
    let options = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
    let warnings = warnings_of(Server::start(any_setup(), site.root(), &options));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let expected = format!("warning: --tls-cert {}: the certificate is not", text(&certificate));
    assert!(warnings[0].starts_with(&expected), "{warnings:?}");
}

/// What a server has printed on stderr when it ends.
fn warnings_of(mut server: Server) -> Vec<String> {
    server.may_print_errors = true;
    // Longer than the interval at which it looks at the files: it must not repeat itself.
    std::thread::sleep(Duration::from_millis(1200));
    server.signal(Signal::TERM);
    server.wait();
    server.errors.rest()
}

#[test]
fn a_key_that_other_users_can_read_causes_one_warning() {
    let site = Site::new();
    let [certificate, key] = Certificate::new().write(&site.beside("tls"), "open");
    let options = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
    for (mode, expected) in [(0o644, 1), (0o640, 0)] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).expect("the test owns the file");
        for path in [&certificate, &key] {
            fs::File::open(path)
                .and_then(|file| file.set_modified(SystemTime::now()))
                .expect("the test owns the file");
        }
        let warnings = warnings_of(Server::start(any_setup(), site.root(), &options));
        assert_eq!(warnings.len(), expected, "{warnings:?}");
        let is_about = |line: &String| line.contains(text(&key)) && line.contains("0644");
        assert!(warnings.iter().all(is_about), "{warnings:?}");
    }
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    for command in commands() {
        for (options, words) in [
            (&["--tls-cert", "x"][..], ["--tls-cert", "requires --tls-key"]),
            (&["--tls-key", "x"], ["--tls-key", "requires --tls-cert"]),
            (&["--tls-self-signed", "--tls-cert", "x"], ["--tls-cert", "cannot be combined"]),
            (&["--tls-self-signed", "--tls-key", "x"], ["--tls-key", "cannot be combined"]),
            (&["--redirect-http", ":80"], ["--redirect-http", "requires TLS"]),
            (&["--kernel-tls"], ["--kernel-tls", "requires TLS"]),
        ] {
            let arguments = [&[command, "--port", "0"][..], options].concat();
            expect_failure(&arguments, 2, &words);
        }
        for address in ["", "x", ":99999", "unix:", "[::1]"] {
            let arguments = [command, "--tls-self-signed", "--redirect-http", address];
            expect_failure(&arguments, 2, &["--redirect-http", "expected HOST:PORT"]);
        }
    }
}

#[test]
fn a_certificate_or_key_that_would_be_served_is_refused() {
    let site = Site::new();
    let certificate = Certificate::new();
    let [served, served_key] = certificate.write(&site.path("docs"), "served");
    let [hidden, hidden_key] = certificate.write(&site.root(), ".hidden");
    let words = |option, path| [option, text(path), "not served, outside ROOT"];
    expect_refused(&site, [&served, &hidden_key], &words("--tls-cert", &served));
    expect_refused(&site, [&hidden, &served_key], &words("--tls-key", &served_key));
    let options = ["--tls-cert", text(&hidden), "--tls-key", text(&hidden_key)];
    Server::start(any_setup(), site.root(), &options);
}

#[test]
fn a_key_that_the_user_of_the_server_cannot_read_is_refused() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change its user");
        return;
    }
    let site = Site::new();
    let [certificate, key] = Certificate::new().write(&site.beside("tls"), "root");
    for path in [site.beside(""), site.beside("tls"), site.root()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the test owns it");
    }
    fs::set_permissions(&certificate, Permissions::from_mode(0o644)).expect("the test owns it");
    let root = site.root();
    let arguments = [any_command(), text(&root), "--port", "0", "--user", "nobody"];
    let files = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
    let expected = format!("error: --user nobody: --tls-key {}: permission denied", text(&key));
    expect_failure(&[&arguments[..], &files].concat(), 1, &[&expected]);
}

#[test]
fn a_self_signed_certificate_is_announced_with_its_fingerprint() {
    let site = Site::new();
    let mut fingerprints = Vec::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--tls-self-signed", "--host=0.0.0.0"]);
        let url = format!("https://localhost:{}/", server.address.port());
        assert!(server.greeting.contains(&url), "{}", server.greeting);
        let lines: Vec<String> = (0..3).filter_map(|_| server.output.next()).collect();
        assert!(lines[0].contains("self-signed") && lines[0].contains("SHA-256"), "{lines:?}");
        let fingerprint = [lines[1].trim(), lines[2].trim()].concat();
        let bytes: Vec<&str> = fingerprint.split(':').collect();
        let is_byte = |byte: &&str| {
            byte.len() == 2
                && byte.chars().all(|it| it.is_ascii_digit() || ('A'..='F').contains(&it))
        };
        assert!(bytes.len() == 32 && bytes.iter().all(is_byte), "{lines:?}");
        assert!(lines.iter().all(|line| line.len() <= 80), "{lines:?}");
        fingerprints.push(fingerprint);
    }
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), setups().count(), "each run has a key of its own");
    let options = ["--tls-self-signed", "--log", "json"];
    let server = Server::start(any_setup(), site.root(), &options);
    let line: serde_json::Value = serde_json::from_str(&server.greeting).expect("it is JSON");
    assert_eq!(line["url"], format!("https://{}/", server.address));
    assert_eq!(line["certificate_sha256"].as_str().map(str::len), Some(95), "{line}");
}

#[test]
fn the_first_line_names_the_address_that_redirects() {
    let site = Site::new();
    for (address, host) in [(":0", "127.0.0.1"), ("127.0.0.2:0", "127.0.0.2")] {
        let options = ["--tls-self-signed", "--redirect-http", address];
        let server = Server::start(any_setup(), site.root(), &options);
        let expected = format!("; redirecting http://{host}:");
        assert!(server.greeting.contains(&expected), "{}", server.greeting);
        let options = [&options[..], &["--log", "json"]].concat();
        let server = Server::start(any_setup(), site.root(), &options);
        let line: serde_json::Value = serde_json::from_str(&server.greeting).expect("it is JSON");
        let url = line["redirecting"].as_str().expect("it is text");
        assert!(url.starts_with(&format!("http://{host}:")), "{url}");
    }
}

#[test]
fn environment_variables_set_the_options() {
    let site = Site::new();
    let [certificate, key] = Certificate::new().write(&site.beside("tls"), "good");
    let mut command = Server::command(any_setup(), site.root(), &[]);
    command.env("MINIWEB_TLS_CERT", &certificate).env("MINIWEB_TLS_KEY", &key);
    let server = Server::run(command);
    assert!(server.greeting.contains("https://"), "{}", server.greeting);
    let mut command = Server::command(any_setup(), site.root(), &[]);
    command.env("MINIWEB_TLS_SELF_SIGNED", "1");
    let server = Server::run(command);
    assert!(server.greeting.contains("https://"), "{}", server.greeting);
}
