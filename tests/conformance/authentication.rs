//! Which requests get a response when the site needs a password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::case::{Case, cases};
use crate::policy::{options, sha256, site_with_one_of_each};
use crate::support::{Response, Server, Setup, Site, get, head};

pub fn cases() -> Vec<Case> {
    cases![
        every_request_needs_the_right_credentials,
        what_needs_a_password_is_private_to_the_client,
    ]
}

fn every_request_needs_the_right_credentials(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let password = "se:cret pässword";
    let options_given = [
        "--list",
        "--header",
        "X-A: b",
        "--auth",
        &format!("me:{}", sha256(password).to_uppercase()),
    ];
    let server = Server::start(setup, site.root(), &options_given);
    let mut peer = server.connect();
    let token = |pair: &str| STANDARD.encode(pair);
    let right = token(&format!("me:{password}"));
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
        format!("Basic me:{password}").replace('ä', "a"),
        format!("Basic {}", token("me")),
        format!("Basic {}", token("")),
        format!("Basic {}", token(":")),
        format!("Basic {}", token("me:")),
        format!("Basic {}", token("me:wrong")),
        format!("Basic {}", token("me:se")),
        format!("Basic {}", token(&format!("me:{password} "))),
        format!("Basic {}", token(&format!("you:{password}"))),
        format!("Basic {}", token(&format!("ME:{password}"))),
        format!("Basic {}", token(&format!(":{password}"))),
        // The hash on the command line is not a password.
        format!("Basic {}", token(&format!("me:{}", sha256(password)))),
    ];
    let expect_refusal = |response: Response, what: &str| {
        assert_eq!((response.status, response.field("X-A")), (401, Some("b")), "{what}");
        assert!(response.required("WWW-Authenticate").starts_with("Basic realm=\""), "{what}");
        for name in ["ETag", "Last-Modified", "Location", "Accept-Ranges"] {
            assert_eq!(response.field(name), None, "{what}: a 401 reveals nothing about the file");
        }
    };
    // Existing and missing paths get the same response.
    for path in ["/", "/page.html", "/docs", "/docs/bare/", "/missing", "/.git/config", "/%zz"] {
        expect_refusal(peer.get(path), path);
        expect_refusal(peer.ask(head(&get(path))), path);
        expect_refusal(peer.ask(options(path, &[])), path);
    }
    for value in &refused {
        expect_refusal(peer.get_with("/page.html", &[&format!("Authorization: {value}")]), value);
    }
    for scheme in ["Basic", "basic", "BASIC"] {
        let field = format!("Authorization: {scheme} {right}");
        for (path, status) in [
            ("/", 200),
            ("/page.html", 200),
            ("/docs", 301),
            ("/docs/bare/", 200),
            ("/missing", 404),
        ] {
            assert_eq!(peer.get_with(path, &[&field]).status, status, "{path} with {scheme}");
        }
    }
    // Every request needs the credentials, not only the first of a connection.
    expect_refusal(peer.get("/page.html"), "after the right one");
}

fn what_needs_a_password_is_private_to_the_client(setup: &'static Setup) {
    // "me:secret" in Base64.
    const CREDENTIALS: &str = "Authorization: Basic bWU6c2VjcmV0";
    let site = Site::new();
    site.write("app.3f2a9c1b.js", "some content");
    let server =
        Server::start(setup, site.root(), &["--auth", &format!("me:{}", sha256("secret"))]);
    let mut peer = server.connect();
    for path in ["/app.3f2a9c1b.js", "/page.html", "/"] {
        let response = peer.get_with(path, &[CREDENTIALS]);
        let cache_control = response.required("Cache-Control");
        assert!(
            response.status == 200 && cache_control.starts_with("private, "),
            "{path}: {cache_control}"
        );
    }
}
