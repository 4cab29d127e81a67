//! Clients that disconnect at every point of a request or response.

use crate::support::{End, Server, Site, get, patterned, setups, wait_until};
use crate::{LARGE_BYTES, settled_descriptors, site};

/// How a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Departure {
    Reset,
    Close,
    /// It closes its write side and continues to read.
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
            for departure in [Departure::Reset, Departure::Close, Departure::HalfClose] {
                let mut peer = server.connect();
                peer.send(&text[..*cut]);
                match departure {
                    Departure::Reset => peer.reset(),
                    Departure::Close => drop(peer),
                    Departure::HalfClose => {
                        peer.finish_sending();
                        let whole = ends.iter().filter(|end| *end <= cut).count();
                        let answered = peer.responses_to_the_end();
                        let good = answered
                            .iter()
                            .filter(|answer| [200, 404].contains(&answer.status))
                            .count();
                        assert_eq!(good, whole, "{setup:?}: {cut} bytes, then the end of input");
                    }
                }
            }
        }
        expect_nothing_left(&server, descriptors);
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
            for departure in [Departure::Reset, Departure::Close, Departure::HalfClose] {
                let mut peer = server.connect();
                peer.send(get("/large.bin"));
                assert_eq!(peer.take(read).len(), read);
                match departure {
                    Departure::Reset => peer.reset(),
                    Departure::Close => drop(peer),
                    Departure::HalfClose => {
                        peer.finish_sending();
                        let (rest, end) = peer.rest();
                        assert_eq!(end, End::Clean, "{setup:?}");
                        assert!(
                            read + rest.len() > LARGE_BYTES,
                            "{setup:?}: the rest is owed after {read} bytes"
                        );
                    }
                }
            }
        }
        expect_nothing_left(&server, descriptors);
    }
}

#[track_caller]
fn expect_nothing_left(server: &Server, descriptors: usize) {
    assert_eq!(server.get("/page.html").status, 200);
    wait_until("what they opened is closed", || {
        (server.descriptors() <= descriptors).then_some(())
    });
    wait_until("what they started has ended", || (server.processes().len() == 1).then_some(()));
}
