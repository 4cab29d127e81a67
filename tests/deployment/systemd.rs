//! docs/deploy/miniweb.service and miniweb.socket, according to systemd-analyze(1).

use std::fs;
use std::process::Command;

use crate::proxy::{program, replaced};

const SERVICE: &str = include_str!("../../docs/deploy/miniweb.service");
const SOCKET: &str = include_str!("../../docs/deploy/miniweb.socket");

#[test]
fn systemd_accepts_the_units_and_finds_the_service_hardened() {
    /// Out of 100. A service without hardening has 96.
    const EXPOSURE_MAX: &str = "10";
    let Some(program) = program("systemd-analyze") else { return };
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let binary = env!("CARGO_BIN_EXE_miniweb");
    let service = replaced(SERVICE, &[("/usr/local/bin/miniweb", binary)]);
    let [service, socket] =
        [("miniweb.service", &*service), ("miniweb.socket", SOCKET)].map(|(name, text)| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("the directory is writable");
            path
        });
    let verify = Command::new(&program).arg("verify").args([&service, &socket]).output();
    let verify = verify.expect("the program exists");
    // Warnings, such as for an unknown setting, do not change the exit status.
    let errors = String::from_utf8_lossy(&verify.stderr);
    let is_ours = |line: &&str| line.contains("miniweb");
    let complaints: Vec<&str> = errors.lines().filter(is_ours).collect();
    assert!(verify.status.success() && complaints.is_empty(), "{errors}");
    let mut security = Command::new(&program);
    security.args(["security", "--offline=true", "--threshold", EXPOSURE_MAX]).arg(&service);
    let security = security.output().expect("the program exists");
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
}
