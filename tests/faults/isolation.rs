//! Faults that must affect only the connection that causes them: a panic, a client that stalls.

use crate::settled_descriptors;
use crate::support::{Peer, Server, Site, get, setups, shown, wait_until};

#[test]
fn a_panic_closes_only_the_connection_that_caused_it() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: release builds have no trigger for a panic");
        return;
    }
    const BUG: &str = "/bug\u{9b}2J\u{202e}";
    let site = Site::new();
    for setup in setups() {
        let mut command = Server::command(setup, site.root(), &[]);
        command.env("MINIWEB_PANIC_AT", BUG);
        let mut server = Server::run(command);
        server.may_print_errors = true;
        let mut bystander = setup.serves_concurrently().then(|| server.connect());
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200);
        }
        let descriptors = settled_descriptors(&server);
        for _ in 0..20 {
            let mut peer = server.connect();
            peer.send(get(BUG));
            let (response, _) = peer.rest();
            assert_eq!(shown(&response), "", "{setup:?}");
        }
        // A panic is one line on stderr, whatever of the request its message quotes.
        let escaped = r"a panic was asked for at /bug\u{9b}2J\u{202e}";
        server.errors.until(|line| line.starts_with("error: bug: ") && line.ends_with(escaped));
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200, "{setup:?}");
        }
        wait_until("the descriptors are closed", || {
            (server.descriptors() <= descriptors).then_some(())
        });
    }
}

#[test]
fn the_header_timeout_frees_a_strategy_whose_every_slot_has_stalled() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.concurrency < usize::MAX) {
        let server = Server::start(setup, site.root(), &["--header-timeout", "0.5"]);
        let mut stalled: Vec<Peer> = (0..setup.concurrency).map(|_| server.connect()).collect();
        stalled.iter_mut().for_each(|peer| peer.send("GET / HTTP/1.1\r\nX: "));
        // The strategy serves no other connection until one of these ends.
        let mut waiting = server.connect();
        waiting.send(get("/page.html"));
        for peer in &mut stalled {
            assert_eq!(peer.response().status, 408, "{setup:?}");
        }
        assert_eq!(waiting.response().status, 200, "{setup:?}");
    }
}
