//! Faults that must affect only the connection that causes them: a panic, a client that stalls.

use crate::settled_descriptors;
use crate::support::{Peer, Server, Site, get, setups, shown, wait_until};

#[test]
fn a_panic_closes_only_its_connection() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: a release build cannot be made to panic");
        return;
    }
    let site = Site::new();
    for setup in setups() {
        let mut command = Server::command(setup, site.root(), &[]);
        command.env("MINIWEB_PANIC_AT", "/bug");
        let mut server = Server::run(command);
        server.may_print_errors = true;
        let mut bystander = setup.serves_concurrently().then(|| server.connect());
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200);
        }
        let descriptors = settled_descriptors(&server);
        for _ in 0..20 {
            let mut peer = server.connect();
            peer.send(get("/bug"));
            let (answer, _) = peer.rest();
            assert_eq!(shown(&answer), "", "{setup:?}");
        }
        server.errors.until(|line| line.contains("a panic was asked for"));
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200, "{setup:?}");
        }
        wait_until("its descriptors are closed", || {
            (server.descriptors() <= descriptors).then_some(())
        });
    }
}

#[test]
fn a_slow_head_frees_its_thread_after_the_head_timeout() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.concurrency < usize::MAX) {
        let server = Server::start(setup, site.root(), &["--header-timeout", "0.5"]);
        let mut slow: Vec<Peer> = (0..setup.concurrency).map(|_| server.connect()).collect();
        slow.iter_mut().for_each(|peer| peer.send("GET / HTTP/1.1\r\nX: "));
        // All other clients wait meanwhile, as the strategy implies.
        let mut ordinary = server.connect();
        ordinary.send(get("/page.html"));
        for peer in &mut slow {
            assert_eq!(peer.response().status, 408, "{setup:?}");
        }
        assert_eq!(ordinary.response().status, 200, "{setup:?}");
    }
}
