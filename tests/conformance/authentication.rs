//! Which requests get a response when the site needs a password.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use miniweb::site::checks_max;
use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::policy::{options, sha256, site_with_one_of_each};
use crate::support::{Peer, Response, Server, Setup, Site, get, get_with, head, wait_until};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        every_request_needs_the_right_credentials,
        what_needs_a_password_is_private_to_the_client,
        each_user_of_a_password_file_has_a_password,
        responses_stay_in_order_while_a_password_is_checked,
        a_password_file_is_read_again_when_it_changes,
        a_password_file_that_becomes_a_link_into_the_site_is_not_used,
        a_broken_password_file_leaves_the_users_as_they_are_and_one_warning,
        repeated_failures_are_throttled_per_address,
        throttling_an_address_does_not_lock_out_its_verified_users,
        an_unknown_user_costs_a_check_of_the_same_hash,
        a_password_is_bytes_without_nul,
        a_request_without_credentials_is_no_failure,
        a_check_that_its_client_abandons_delays_no_other_client,
    ];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        a_slow_check_delays_no_client_that_has_been_verified,
        a_bounded_number_of_passwords_is_checked_at_once,
    ];
    [everywhere, concurrent].concat()
}

// Made by `htpasswd -nbB -C 4`, and the last one by `argon2`.
/// The password is "secret".
const ME: &str = "me:$2y$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS";
/// The password is "newpass".
const ME_CHANGED: &str = "me:$2y$04$dA0b5IneTDTjt7/V4cSFruegP1PV3IkuxyQuPO1T4qqibCN5GHNza";
/// The password is [`DIFFICULT`].
const ME_DIFFICULT: &str = "me:$2y$04$h3wx5HlQEWzI7T3Cezt2LeP8ZSp/KwZivNZ7JTC4jQSL75kE2onW2";
const DIFFICULT: &str = "se:cret pässword";
/// Made by crypt(3). The password is 72 bytes, the digits again and again and then "ab".
const ME_LONG: &str = "long:$2y$04$h3wx5HlQEWzI7T3Cezt2LemCo03muaXJkOsckeVuWIHmPeDGtQ2sy";
/// The password is "other".
const YOU: &str =
    "you:$argon2id$v=19$m=512,t=2,p=4$b3RoZXJzYWx0$osEPcgqbPiA4Zu75oo3RZjh7BYhwVNHrJ4ktyCO4pXw";
/// A hash of "slow" that takes about a quarter of a second to check.
const SLOW_HASH: &str = "$2y$12$uLbmr.TjP.UnSLA9J/lny.ZrDLymvlyEiCn6AQr5RqrOYGwtEIbiy";

/// A hash of "memory" that takes 64 MiB to check.
const LARGE_HASH: &str =
    "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQx$Wl5d2ITeWt0qK0K1nXy2+KSVpEMa4H+2NJve+1d4kzs";
const LARGE_HASH_BYTES: u64 = 64 << 20;

/// How often an address may fail before it has to wait.
const FAILURES_MAX: usize = 5;

/// Writes a password file next to the root.
fn write_password_file(site: &Site, lines: &[&str]) -> PathBuf {
    let path = site.write_beside("passwords", &(lines.join("\n") + "\n"));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the test owns the file");
    path
}

/// Starts a server with a password file of these lines.
#[track_caller]
fn start(setup: &'static Setup, site: &Site, lines: &[&str]) -> Server {
    let file = write_password_file(site, lines);
    Server::start(setup, site.root(), &["--auth-file", file.to_str().expect("a UTF-8 path")])
}

/// The header line with a name and password.
fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(pair))
}

/// The status of a request with a name and password.
#[track_caller]
fn status(peer: &mut Peer, pair: &str) -> u16 {
    peer.get_with("/page.html", &[&basic(pair)]).status
}

/// A different client for each number.
fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(number).expect("few clients"))
}

fn every_request_needs_the_right_credentials(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let file = write_password_file(&site, &[ME_DIFFICULT]);
    let command_line = format!("me:{}", sha256(DIFFICULT).to_uppercase());
    for source_of_users in
        [["--auth", &command_line], ["--auth-file", file.to_str().expect("a UTF-8 path")]]
    {
        let options_given = [&["--list", "--header", "X-A: b"], &source_of_users[..]].concat();
        let server = Server::start(setup, site.root(), &options_given);
        expect_refusals(&server);
        expect_responses(&server);
    }
}

/// Requests without credentials, and with wrong ones.
fn expect_refusals(server: &Server) {
    // Existing and missing paths get the same response.
    let mut peer = server.connect();
    for path in ["/", "/page.html", "/docs", "/docs/bare/", "/missing", "/.git/config", "/%zz"] {
        expect_refusal(peer.get(path), path);
        expect_refusal(peer.ask(head(&get(path))), path);
        expect_refusal(peer.ask(options(path, &[])), path);
    }
    drop(peer);
    let token = |pair: &str| STANDARD.encode(pair);
    let right = token(&format!("me:{DIFFICULT}"));
    let refused = [
        String::new(),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic !!!".to_owned(),
        "Basic =".to_owned(),
        format!("Bearer {right}"),
        format!("Basic{right}"),
        format!("Basic {right}x"),
        format!("Basic {}", &right[..right.len() - 4]),
        format!("Basic me:{DIFFICULT}").replace('ä', "a"),
        format!("Basic {}", token("me")),
        format!("Basic {}", token("")),
        format!("Basic {}", token(":")),
        format!("Basic {}", token("me:")),
        format!("Basic {}", token("me:wrong")),
        format!("Basic {}", token("me:se")),
        format!("Basic {}", token(&format!("me:{DIFFICULT} "))),
        format!("Basic {}", token(&format!("you:{DIFFICULT}"))),
        format!("Basic {}", token(&format!("ME:{DIFFICULT}"))),
        format!("Basic {}", token(&format!(":{DIFFICULT}"))),
        // The hash is not a password.
        format!("Basic {}", token(&format!("me:{}", sha256(DIFFICULT)))),
        format!("Basic {}", token(ME_DIFFICULT)),
    ];
    for (number, value) in refused.iter().enumerate() {
        // An address may try only a few passwords.
        let mut peer = server.connect_from(source(number));
        expect_refusal(peer.get_with("/page.html", &[&format!("Authorization: {value}")]), value);
    }
    // A proxy may have checked the other one.
    let field = format!("Authorization: Basic {right}");
    for second in [&field, "Authorization: Basic !!!"] {
        let mut peer = server.connect_from(source(refused.len()));
        expect_refusal(peer.get_with("/page.html", &[&field, second]), second);
    }
}

fn expect_responses(server: &Server) {
    let mut peer = server.connect();
    for scheme in ["Basic", "basic", "BASIC"] {
        let field = basic(&format!("me:{DIFFICULT}")).replace("Basic", scheme);
        for (path, status) in [
            ("/", 200),
            ("/page.html", 200),
            ("/docs", 301),
            ("/docs/bare/", 200),
            ("/missing", 404),
        ] {
            assert_eq!(peer.get_with(path, &[&field]).status, status, "{path} with {scheme}");
        }
        assert_eq!(peer.ask(options("/page.html", &[&field])).status, 204, "{scheme}");
    }
    // Every request needs the credentials, not only the first of a connection.
    expect_refusal(peer.get("/page.html"), "after the right one");
}

#[track_caller]
fn expect_refusal(response: Response, what: &str) {
    assert_eq!((response.status, response.field("X-A")), (401, Some("b")), "{what}");
    assert!(response.required("WWW-Authenticate").starts_with("Basic realm=\""), "{what}");
    for name in ["ETag", "Last-Modified", "Location", "Accept-Ranges"] {
        assert_eq!(response.field(name), None, "{what}: a 401 reveals nothing about the file");
    }
}

fn what_needs_a_password_is_private_to_the_client(setup: &'static Setup) {
    let site = Site::new();
    site.write("app.3f2a9c1b.js", "some content");
    let file = write_password_file(&site, &[ME]);
    for source_of_users in [
        ["--auth", &format!("me:{}", sha256("secret"))],
        ["--auth-file", file.to_str().expect("a UTF-8 path")],
    ] {
        let server = Server::start(setup, site.root(), &source_of_users);
        let mut peer = server.connect();
        for path in ["/app.3f2a9c1b.js", "/page.html", "/"] {
            let response = peer.get_with(path, &[&basic("me:secret")]);
            let cache_control = response.required("Cache-Control");
            assert!(
                response.status == 200 && cache_control.starts_with("private, "),
                "{path}: {cache_control}"
            );
        }
    }
}

fn each_user_of_a_password_file_has_a_password(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, &site, &["# users of the test", "", ME, YOU]);
    for (number, (pair, expected)) in [
        ("me:secret", 200),
        ("you:other", 200),
        ("me:other", 401),
        ("you:secret", 401),
        // The password of some user does not make an unknown one known.
        ("nobody:secret", 401),
        ("nobody:other", 401),
        (":secret", 401),
    ]
    .into_iter()
    .enumerate()
    {
        let mut peer = server.connect_from(source(number));
        // Verified credentials, and others after them.
        for _ in 0..2 {
            assert_eq!(status(&mut peer, pair), expected, "{pair}");
        }
    }
}

fn responses_stay_in_order_while_a_password_is_checked(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, &site, &[ME, YOU]);
    let mut peer = server.connect();
    let request = |pair: &str| get_with("/page.html", &[&basic(pair)]);
    let post = request("you:other").replacen("GET", "POST", 1);
    peer.send(
        request("me:secret")
            + &get("/page.html")
            + &head(&request("you:other"))
            + &request("me:wrong")
            + &post,
    );
    assert_eq!(peer.response().status, 200);
    assert_eq!(peer.response().status, 401);
    assert_eq!(peer.response_to_head().status, 200);
    assert_eq!(peer.response().status, 401);
    assert_eq!(peer.response().status, 405);
}

fn a_password_file_is_read_again_when_it_changes(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, &site, &[ME, YOU]);
    let mut peer = server.connect();
    assert_eq!(status(&mut peer, "me:secret"), 200);
    assert_eq!(status(&mut peer, "you:other"), 200);

    // Written over, as htpasswd does. Verified credentials are not remembered beyond the change.
    write_password_file(&site, &[ME_CHANGED]);
    let is_revoked = |peer: &mut Peer| (status(peer, "me:secret") == 401).then_some(());
    wait_until("the old password is refused", || is_revoked(&mut peer));
    assert_eq!(status(&mut peer, "me:newpass"), 200);
    assert_eq!(status(&mut peer, "you:other"), 401, "the user has been removed");

    // Renamed over, as configuration management does.
    let new_file = site.write_beside("passwords.new", &format!("{ME}\n"));
    fs::set_permissions(&new_file, Permissions::from_mode(0o600)).expect("the test owns the file");
    fs::rename(new_file, site.beside("passwords")).expect("the test owns the file");
    let is_revoked = |peer: &mut Peer| (status(peer, "me:newpass") == 401).then_some(());
    wait_until("the old password is refused", || is_revoked(&mut peer));
    assert_eq!(status(&mut peer, "me:secret"), 200);
    drop(peer);
    // A child that is forked now has not seen the change happen.
    let mut peer = server.connect_from(source(1));
    assert_eq!(status(&mut peer, "me:secret"), 200);
}

/// Every user could read the hashes of the others.
fn a_password_file_that_becomes_a_link_into_the_site_is_not_used(setup: &'static Setup) {
    let site = Site::new();
    let mut server = start(setup, &site, &[ME]);
    server.may_print_errors = true;
    let mut peer = server.connect();
    assert_eq!(status(&mut peer, "me:secret"), 200);
    site.write("hashes", format!("{ME_CHANGED}\n"));
    fs::remove_file(site.beside("passwords")).expect("the test owns the file");
    std::os::unix::fs::symlink(site.path("hashes"), site.beside("passwords"))
        .expect("the name is free");
    let warning = wait_until("a warning about the link", || {
        assert_eq!(status(&mut peer, "me:secret"), 200);
        server.errors.try_next().filter(|warning| warning.contains("is not served"))
    });
    assert!(warning.starts_with("warning: --auth-file "), "{warning}");
    assert_eq!(status(&mut peer, "me:newpass"), 401);
}

fn a_broken_password_file_leaves_the_users_as_they_are_and_one_warning(setup: &'static Setup) {
    let site = Site::new();
    let mut server = start(setup, &site, &[ME, YOU]);
    server.may_print_errors = true;
    let mut peer = server.connect();
    assert_eq!(status(&mut peer, "me:secret"), 200);
    for (lines, words) in [
        (&[ME, "you:hunter2"][..], &["line 2", "'you'"][..]),
        (&[], &["no user"]),
        (&[ME, &YOU[..40]], &["line 2", "'you'"]),
    ] {
        write_password_file(&site, lines);
        let warning = wait_until("a warning", || {
            assert_eq!(status(&mut peer, "me:secret"), 200);
            server.errors.try_next()
        });
        assert!(warning.starts_with("warning: --auth-file "), "{warning}");
        assert!(words.iter().all(|word| warning.contains(word)), "{warning}");
        assert!(!warning.contains("hunter2") && !warning.contains("$"), "{warning}");
        assert_eq!(status(&mut peer, "you:other"), 200);
    }
    drop(peer);
    // Neither another connection nor another child repeats the last warning.
    for number in 0..3 {
        assert_eq!(status(&mut server.connect_from(source(number)), "you:other"), 200);
    }
    // A child that is forked now does not bring back the users that have been removed.
    write_password_file(&site, &[ME_CHANGED]);
    let mut peer = server.connect_from(source(4));
    wait_until("the file is read", || (status(&mut peer, "you:other") == 401).then_some(()));
    assert_eq!(status(&mut peer, "me:newpass"), 200);
    write_password_file(&site, &["me"]);
    let warning = wait_until("a warning", || {
        assert_eq!(status(&mut peer, "me:newpass"), 200);
        server.errors.try_next()
    });
    assert!(warning.contains("line 1"), "{warning}");
    drop(peer);
    assert_eq!(status(&mut server.connect_from(source(5)), "me:secret"), 401);
    write_password_file(&site, &[ME, YOU]);
    let mut peer = server.connect_from(source(6));
    wait_until("the file is read", || (status(&mut peer, "me:newpass") == 401).then_some(()));
    assert_eq!(status(&mut peer, "you:other"), 200);
    drop(peer);
    fs::remove_file(site.beside("passwords")).expect("the test owns the file");
    let mut peer = server.connect();
    let warning = wait_until("a warning", || {
        assert_eq!(status(&mut peer, "you:other"), 200);
        server.errors.try_next()
    });
    assert!(warning.contains("no such file"), "{warning}");
    write_password_file(&site, &[ME_CHANGED]);
    wait_until("the file is read", || (status(&mut peer, "you:other") == 401).then_some(()));
    drop(peer);
    server.signal(Signal::TERM);
    server.wait();
    assert_eq!(server.errors.rest(), [""; 0]);
}

fn repeated_failures_are_throttled_per_address(setup: &'static Setup) {
    let site = Site::new();
    let file = write_password_file(&site, &[ME]);
    for source_of_users in [
        ["--auth", &format!("me:{}", sha256("secret"))],
        ["--auth-file", file.to_str().expect("a UTF-8 path")],
    ] {
        let server =
            Server::start(setup, site.root(), &[&["--cors"], &source_of_users[..]].concat());
        // A connection each, so that children count together.
        for attempt in 0..FAILURES_MAX {
            let mut peer = server.connect_from(source(1));
            assert_eq!(status(&mut peer, &format!("me:{attempt}")), 401, "{attempt}");
        }
        let mut peer = server.connect_from(source(1));
        for pair in ["me:wrong", "nobody:x", "me:secret"] {
            let response = peer.get_with("/page.html", &[&basic(pair)]);
            assert_eq!(response.status, 429, "{pair}: it is not even checked");
            let wait = response.required("Retry-After").parse::<u64>();
            assert!(wait.is_ok_and(|seconds| (1..=60).contains(&seconds)), "{response:?}");
            assert_eq!(response.required("Access-Control-Allow-Origin"), "*");
        }
        assert_eq!(peer.get("/page.html").status, 401, "a request without credentials");
        drop(peer);

        // Other addresses are not affected, and what has been verified is never throttled.
        let mut peer = server.connect_from(source(2));
        assert_eq!(status(&mut peer, "me:secret"), 200);
        drop(peer);
        let mut peer = server.connect_from(source(1));
        assert_eq!(status(&mut peer, "me:secret"), 429, "it was verified for another address");
        drop(peer);
        let mut peer = server.connect_from(source(2));
        assert_eq!(status(&mut peer, "me:secret"), 200);
        for attempt in 0..FAILURES_MAX {
            assert_eq!(status(&mut peer, &format!("me:{attempt}")), 401, "{attempt}");
        }
        assert_eq!(status(&mut peer, "me:wrong"), 429);
        assert_eq!(status(&mut peer, "me:secret"), 200);
    }
}

/// A stranger behind the same address fails until it is throttled. Each connection is new, because
/// under some strategies each has a child of its own, which remembers nothing.
fn throttling_an_address_does_not_lock_out_its_verified_users(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, &site, &[ME, YOU]);
    assert_eq!(status(&mut server.connect(), "me:secret"), 200);
    for attempt in 0..FAILURES_MAX {
        assert_eq!(status(&mut server.connect(), &format!("me:{attempt}")), 401, "{attempt}");
    }
    assert_eq!(status(&mut server.connect(), "you:other"), 429, "it was not verified before");
    for _ in 0..3 {
        assert_eq!(status(&mut server.connect(), "me:secret"), 200);
        assert_eq!(status(&mut server.connect(), "me:wrong"), 429);
    }
    // The new version of the file has another user of that name.
    write_password_file(&site, &[ME_CHANGED]);
    wait_until("the old password is refused", || {
        (status(&mut server.connect(), "me:secret") == 429).then_some(())
    });
}

/// The shortest of a few response times, because others use the cores, too. Without a check, it
/// would be a hundredth.
fn an_unknown_user_costs_a_check_of_the_same_hash(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, &site, &[&format!("slow:{SLOW_HASH}")]);
    let shortest_time = |user: &str, first_source: usize| {
        let times = (0..3).map(|number| {
            let mut peer = server.connect_from(source(first_source + number));
            let started = Instant::now();
            assert_eq!(status(&mut peer, &format!("{user}:wrong")), 401);
            started.elapsed()
        });
        times.min().unwrap_or(Duration::ZERO)
    };
    let (known, unknown) = (shortest_time("slow", 0), shortest_time("nobody", 10));
    assert!(unknown > known / 10, "known: {known:?}, unknown: {unknown:?}");
}

fn a_password_is_bytes_without_nul(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, &site, &[ME, ME_LONG]);
    let long = "0123456789".repeat(7) + "ab";
    for (number, (pair, expected)) in [
        (b"me:secret".to_vec(), 200),
        // bcrypt repeats the password and a NUL, so it cannot tell the first one from "secret".
        (b"me:secret\0secret".to_vec(), 401),
        (b"me:secret\0".to_vec(), 401),
        (b"me\0:secret".to_vec(), 401),
        (b"me:\xff\xfe".to_vec(), 401),
        (b"\xff:secret".to_vec(), 401),
        // It reads 72 bytes.
        (format!("long:{long}").into_bytes(), 200),
        (format!("long:{}", &long[..71]).into_bytes(), 401),
        (format!("long:{long}, and more").into_bytes(), 200),
        (format!("me:{}", "x".repeat(8_000)).into_bytes(), 401),
    ]
    .into_iter()
    .enumerate()
    {
        let field = format!("Authorization: Basic {}", STANDARD.encode(&pair));
        let mut peer = server.connect_from(source(number));
        let response = peer.get_with("/page.html", &[&field]);
        assert_eq!(response.status, expected, "{}", pair.escape_ascii());
    }
}

fn a_request_without_credentials_is_no_failure(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, &site, &[ME]);
    let mut peer = server.connect();
    for _ in 0..2 * FAILURES_MAX {
        assert_eq!(peer.get("/page.html").status, 401);
        assert_eq!(peer.get_with("/", &["Authorization: Basic !!!"]).status, 401);
        assert_eq!(peer.get_with("/", &["Authorization: Bearer abc"]).status, 401);
    }
    assert_eq!(status(&mut peer, "me:secret"), 200);
}

fn a_check_that_its_client_abandons_delays_no_other_client(setup: &'static Setup) {
    let site = Site::new();
    let slow = format!("slow:{SLOW_HASH}");
    let server = start(setup, &site, &[ME, &slow]);
    for number in 0..3 {
        let mut peer = server.connect_from(source(number));
        peer.send(get_with("/page.html", &[&basic("slow:wrong")]));
        match number {
            0 => drop(peer),
            1 => peer.reset(),
            _ => peer.finish_sending(),
        }
    }
    assert_eq!(status(&mut server.connect_from(source(4)), "me:secret"), 200);
}

/// The slow checks take seconds together, whatever the number of cores, and the fast request comes
/// after all of them. It must overtake the last.
fn a_slow_check_delays_no_client_that_has_been_verified(setup: &'static Setup) {
    const SLOW_CLIENTS: usize = 8;
    let site = Site::new();
    let slow: Vec<String> =
        (0..SLOW_CLIENTS).map(|number| format!("slow{number}:{SLOW_HASH}")).collect();
    let lines: Vec<&str> = slow.iter().map(String::as_str).chain([ME]).collect();
    let server = start(setup, &site, &lines);
    let mut verified = server.connect();
    assert_eq!(status(&mut verified, "me:secret"), 200);
    let mut waiting: Vec<Peer> = (0..SLOW_CLIENTS)
        .map(|number| {
            let mut peer = server.connect_from(source(number));
            peer.send(get_with("/page.html", &[&basic(&format!("slow{number}:slow"))]));
            peer
        })
        .collect();
    for _ in 0..3 {
        assert_eq!(status(&mut verified, "me:secret"), 200);
    }
    assert_eq!(server.get("/page.html").status, 401, "a new client");
    assert!(waiting.iter_mut().any(Peer::is_waiting), "all slow checks were made first");
    for peer in &mut waiting {
        assert_eq!(peer.response().status, 200);
    }
}

/// Each check needs memory, so the memory of all threads and children shows how many there are.
fn a_bounded_number_of_passwords_is_checked_at_once(setup: &'static Setup) {
    let clients = 2 * checks_max() + 4;
    let site = Site::new();
    let large: Vec<String> =
        (0..clients).map(|number| format!("large{number}:{LARGE_HASH}")).collect();
    let lines: Vec<&str> = large.iter().map(String::as_str).collect();
    let server = start(setup, &site, &lines);
    let mut waiting: Vec<Peer> =
        (0..clients).map(|number| server.connect_from(source(number))).collect();
    for peer in &mut waiting {
        assert_eq!(peer.get("/page.html").status, 401);
    }
    let idle_bytes = server.resident_bytes();
    for (number, peer) in waiting.iter_mut().enumerate() {
        peer.send(get_with("/page.html", &[&basic(&format!("large{number}:memory"))]));
    }
    let mut used_bytes = Vec::new();
    wait_until("all responses", || {
        used_bytes.push(server.resident_bytes().saturating_sub(idle_bytes));
        (!waiting.iter_mut().any(Peer::is_waiting)).then_some(())
    });
    for peer in &mut waiting {
        assert_eq!(peer.response().status, 200);
    }
    let most = used_bytes.into_iter().max().unwrap_or(0);
    assert!(most > LARGE_HASH_BYTES / 2, "the test has seen no check: {most} bytes");
    let bytes_max = (checks_max() as u64 + 1) * LARGE_HASH_BYTES;
    assert!(most < bytes_max, "{most} bytes, expected less than {bytes_max}");
}
