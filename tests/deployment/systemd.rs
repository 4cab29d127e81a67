//! The units in docs/deploy, according to systemd-analyze(1).

use std::fs;
use std::process::Command;

use crate::proxy::{program, replaced};

const SERVICE: &str = include_str!("../../docs/deploy/miniweb.service");
const TLS_SERVICE: &str = include_str!("../../docs/deploy/miniweb-tls.service");
const SOCKET: &str = include_str!("../../docs/deploy/miniweb.socket");

/// Out of 100, in tenths of what systemd-analyze prints. A service without hardening has 96.
const EXPOSURE_MAX: &str = "10";
/// It reaches the network, and may bind any port.
const TLS_EXPOSURE_MAX: &str = "20";

#[test]
fn systemd_accepts_the_units_and_finds_the_services_hardened() {
    let Some(program) = program("systemd-analyze") else { return };
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let with_binary =
        |service| replaced(service, &[("/usr/local/bin/miniweb", env!("CARGO_BIN_EXE_miniweb"))]);
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("the directory is writable");
        path
    };
    let socket = write("miniweb.socket", SOCKET);
    let service = write("miniweb.service", &with_binary(SERVICE));
    let tls_service = write("miniweb-tls.service", &with_binary(TLS_SERVICE));
    let verify =
        Command::new(&program).arg("verify").args([&service, &tls_service, &socket]).output();
    let verify = verify.expect("the program exists");
    // Warnings, such as for an unknown setting, do not change the exit status.
    let errors = String::from_utf8_lossy(&verify.stderr);
    let is_ours = |line: &&str| line.contains("miniweb");
    let complaints: Vec<&str> = errors.lines().filter(is_ours).collect();
    assert!(verify.status.success() && complaints.is_empty(), "{errors}");
    for (service, exposure_max) in [(service, EXPOSURE_MAX), (tls_service, TLS_EXPOSURE_MAX)] {
        let mut security = Command::new(&program);
        security.args(["security", "--offline=true", "--threshold", exposure_max]).arg(&service);
        let security = security.output().expect("the program exists");
        assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
    }
}
