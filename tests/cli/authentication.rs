//! `--auth` and `--auth-file` on the command line: errors and warnings, which show no secret.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use crate::command::{any_command, commands, expect_failure, run};
use crate::support::{Server, Site, any_setup, setups};

const HASH: &str = "$2y$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS";

#[test]
fn no_error_repeats_a_password_from_the_command_line() {
    let secret_arguments: [&[&[u8]]; 8] = [
        &[b"--auth", b"me:hunter2"],
        &[b"--auth=me:hunter2"],
        &[b"--auth", b"hunter2"],
        &[b"--auth", b"me:hunter2\xff"],
        &[b"--auth=me:hunter2\xff"],
        &[b"--auth", b"me:hunter2\n"],
        &[b"--auth=me:hunter2", b"--auth=me:hunter2"],
        &[b"--Auth=me:hunter2"],
    ];
    for command in commands() {
        for secret in secret_arguments {
            let words = [command.as_bytes()].into_iter().chain(secret.iter().copied());
            let output = run(words.map(|word| OsString::from_vec(word.to_vec())));
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
            assert!(!error.contains("hunter2") && error.contains("uth"), "{error}");
        }
    }
    expect_failure(
        &[any_command(), "--auth", "me:hunter2"],
        2,
        &["invalid value for '--auth': expected 'USER:SHA256'"],
    );
}

#[test]
fn a_password_file_and_a_password_on_the_command_line_exclude_each_other() {
    let auth = format!("me:{}", "0".repeat(64));
    for command in commands() {
        let arguments = [command, "--port", "0", "--auth", &auth, "--auth-file", "passwords"];
        expect_failure(&arguments, 2, &["--auth", "--auth-file", "expected one"]);
    }
}

#[test]
fn a_password_file_that_cannot_be_used_is_named_with_the_line_and_without_the_hash() {
    let site = Site::new();
    let root = site.root().display().to_string();
    let path = site.beside("passwords").display().to_string();
    let too_large = format!("me:{HASH}\n").repeat(20_000);
    for (content, words) in [
        ("", &["no user"][..]),
        ("me", &["line 1", "USER:HASH"]),
        ("# comment\n\nme:hunter2", &["line 3", "'me'", "plain"]),
        ("me:$apr1$hunter2$b/otFv4NHukJ.Hy0M7Pyr/", &["line 1", "'me'", "MD5"]),
        ("me:{SHA}hunter2", &["line 1", "'me'", "SHA-1"]),
        (&format!("me:{HASH}\nyou:$2y$31${}", &HASH[7..]), &["line 2", "'you'", "cost 31"]),
        (&format!("me:{HASH}\nme:{HASH}"), &["line 2", "'me'", "line 1"]),
        (&too_large, &["larger than"]),
    ] {
        site.write_beside("passwords", content);
        let arguments = [any_command(), &root, "--port", "0", "--auth-file", &path];
        expect_failure(&arguments, 1, &[&["--auth-file", &*path], words].concat());
        let error = run(arguments).stderr;
        let error = String::from_utf8_lossy(&error);
        assert!(!error.contains("hunter2") && !error.contains(&HASH[7..]), "{error}");
    }
    for file in ["/no/such/passwords", "/", "/dev/null"] {
        let arguments = [any_command(), &root, "--port", "0", "--auth-file", file];
        expect_failure(&arguments, 1, &["--auth-file", file]);
    }
}

#[test]
fn a_password_file_that_would_be_served_is_refused() {
    let site = Site::new();
    let root = site.root().display().to_string();
    let line = format!("me:{HASH}\n");
    let served = site.write("docs/passwords", &line).display().to_string();
    site.link("docs/link", "passwords");
    let link = site.path("docs/link").display().to_string();
    for file in [&served, &link] {
        let arguments = [any_command(), &root, "--port", "0", "--auth-file", file];
        expect_failure(&arguments, 1, &["--auth-file", file, "not served"]);
    }
    // A name that begins with a dot is not served.
    let hidden = site.write(".htpasswd", &line);
    fs::set_permissions(&hidden, Permissions::from_mode(0o600)).expect("the test owns the file");
    let options = ["--auth-file", hidden.to_str().expect("a UTF-8 path")];
    assert_eq!(Server::start(any_setup(), &root, &options).get("/.htpasswd").status, 401);
}

#[test]
fn a_hash_that_other_users_can_read_causes_one_warning() {
    let site = Site::new();
    let file = site.write_beside("passwords", &format!("me:{HASH}\n"));
    let file = file.to_str().expect("a UTF-8 path");
    let auth = format!("me:{}", "0".repeat(64));
    for setup in setups() {
        for (options, words) in [
            (["--auth", &auth], ["process list", "--auth-file"]),
            (["--auth-file", file], ["every user", "0644"]),
        ] {
            fs::set_permissions(file, Permissions::from_mode(0o644))
                .expect("the test owns the file");
            let mut server = Server::start(setup, site.root(), &options);
            server.may_print_errors = true;
            assert_eq!(server.get("/page.html").status, 401);
            server.signal(rustix::process::Signal::TERM);
            server.wait();
            let warnings = server.errors.rest();
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].starts_with("warning: "), "{warnings:?}");
            assert!(words.iter().all(|word| warnings[0].contains(word)), "{warnings:?}");
            assert!(!warnings[0].contains("000000"), "{warnings:?}");
        }
    }
}
