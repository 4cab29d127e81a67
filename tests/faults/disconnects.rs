//! Clients that disconnect at every point of a request or response.

use crate::support::{End, Server, Site, get, patterned, setups, wait_until};
use crate::{LARGE_BYTES, settled_descriptors, site};

#[derive(Clone, Copy, Debug)]
enum Disconnect {
    Reset,
    Close,
    /// The client sends FIN and continues to read.
    HalfClose,
}

#[test]
fn a_client_may_disconnect_at_any_point_of_its_requests() {
    let site = Site::new();
    site.write("200k.bin", patterned(200_000));
    let requests = [get("/page.html"), get("/200k.bin"), get("/missing")];
    let text = requests.concat();
    let ends: Vec<usize> = (1..=3).map(|n| requests[..n].concat().len()).collect();
    let mut cuts: Vec<usize> =
        (0..text.len()).step_by(7).chain(ends.iter().flat_map(|end| end - 2..end + 2)).collect();
    cuts.retain(|cut| *cut <= text.len());
    for setup in setups() {
        let server = Server::start(setup, site.root(), &[]);
        assert_eq!(server.get("/page.html").status, 200);
        let descriptors = settled_descriptors(&server);
        for cut in &cuts {
            for disconnect in [Disconnect::Reset, Disconnect::Close, Disconnect::HalfClose] {
                let mut peer = server.connect();
                peer.send(&text[..*cut]);
                match disconnect {
                    Disconnect::Reset => peer.reset(),
                    Disconnect::Close => drop(peer),
                    Disconnect::HalfClose => {
                        peer.finish_sending();
                        let complete = ends.iter().filter(|end| *end <= cut).count();
                        let responses = peer.responses_to_the_end();
                        let served = responses
                            .iter()
                            .filter(|response| [200, 404].contains(&response.status))
                            .count();
                        assert_eq!(served, complete, "{setup:?}: FIN after {cut} bytes");
                    }
                }
            }
        }
        expect_no_leak(&server, descriptors);
    }
}

#[test]
fn a_client_may_disconnect_at_any_point_of_a_response() {
    let site = site();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &[]);
        assert_eq!(server.get("/page.html").status, 200);
        let descriptors = settled_descriptors(&server);
        for read in [
            0,
            1,
            100,
            1000,
            65_536,
            65_537,
            300_000,
            1 << 20,
            LARGE_BYTES / 2,
            LARGE_BYTES - 1,
            LARGE_BYTES,
        ] {
            for disconnect in [Disconnect::Reset, Disconnect::Close, Disconnect::HalfClose] {
                let mut peer = server.connect();
                peer.send(get("/large.bin"));
                assert_eq!(peer.take(read).len(), read);
                match disconnect {
                    Disconnect::Reset => peer.reset(),
                    Disconnect::Close => drop(peer),
                    Disconnect::HalfClose => {
                        peer.finish_sending();
                        let (rest, end) = peer.rest();
                        assert_eq!(end, End::Clean, "{setup:?}");
                        assert!(
                            read + rest.len() > LARGE_BYTES,
                            "{setup:?}: the response is truncated after {read} bytes"
                        );
                    }
                }
            }
        }
        expect_no_leak(&server, descriptors);
    }
}

#[track_caller]
fn expect_no_leak(server: &Server, descriptors: usize) {
    assert_eq!(server.get("/page.html").status, 200);
    wait_until("the descriptors are closed", || {
        (server.descriptors() <= descriptors).then_some(())
    });
    wait_until("the child processes have ended", || (server.processes().len() == 1).then_some(()));
}
