//! `--open` and `--qr`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::{Server, Site, any_setup, wait_until};

/// `--open` runs the first of several known programs that it finds in PATH.
#[test]
fn open_runs_the_program_that_opens_a_browser() {
    let site = Site::new();
    let opened = site.beside("opened");
    let script = format!("#!/bin/sh\nprintf %s \"$1\" > '{}'\n", opened.display());
    let program = site.write_beside("xdg-open", &script);
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("the file is ours");
    let mut command = Server::command(any_setup(), site.root(), &["--open", "--host=0.0.0.0"]);
    let directory = program.parent().expect("it is in a directory");
    command.env("PATH", format!("{}:/usr/bin:/bin", directory.display()));
    let server = Server::run(command);
    let expected = format!("http://localhost:{}/", server.address.port());
    wait_until("the URL to be opened", || {
        (fs::read_to_string(&opened).ok()? == expected).then_some(())
    });
}

#[test]
fn without_a_browser_the_server_says_so_and_serves() {
    let site = Site::new();
    let mut command = Server::command(any_setup(), site.root(), &["--open"]);
    command.env("PATH", "/nowhere");
    let mut server = Server::run(command);
    server.may_print_errors = true;
    let error = server.errors.next().expect("the error is printed");
    let expected = format!("error: --open: cannot open http://{}/ in a browser: ", server.address);
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(server.get("/page.html").status, 200);
}

/// The tests of the crate show that scanners can read the code.
#[test]
fn qr_draws_the_address_for_other_machines() {
    let site = Site::new();
    let command = Server::command(any_setup(), site.root(), &["--qr", "--host=0.0.0.0"]);
    let mut server = Server::run(command);
    server.signal(rustix::process::Signal::TERM);
    server.wait();
    let lines = server.output.rest();
    // A machine without a network has no such address.
    let has_network = nix::ifaddrs::getifaddrs().expect("the list is readable").any(|interface| {
        let is_v4 = interface.address.is_some_and(|address| address.as_sockaddr_in().is_some());
        is_v4 && !interface.flags.contains(nix::net::if_::InterfaceFlags::IFF_LOOPBACK)
    });
    assert_eq!(lines.len() > 10, has_network, "{lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with("████")), "{lines:#?}");
}
