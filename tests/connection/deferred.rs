//! Answers that are made elsewhere while the connection waits.

use miniweb::http::{CloseReason, Limits, Step};

use super::peer::{Peer, get};

#[test]
fn while_an_answer_is_made_nothing_of_its_connection_is_read_or_answered() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/late") + &get("/small").repeat(3));
    assert_eq!((peer.connection.step(), peer.site.answered), (Step::Wait, 1));
    assert_eq!(peer.connection.deadline(), None, "the peer is not the one who is late");
    peer.settle();
    let asked: Vec<_> = peer.answers().into_iter().filter_map(|answer| answer.asked).collect();
    assert_eq!(asked, ["/late", "/small", "/small", "/small"]);
}

#[test]
fn what_was_answered_before_is_sent_meanwhile() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/small") + &get("/late"));
    peer.take(usize::MAX);
    assert_eq!(peer.connection.step(), Step::Wait);
    assert_eq!(peer.answers().len(), 1);
}

#[test]
fn an_answer_that_is_there_before_the_last_is_sent_queues_behind_it() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/large") + &get("/late") + &get("/small"));
    peer.take(10);
    let deferred = peer.deferred.take().expect("work for the second answer");
    peer.connection.complete(deferred.finish(), &peer.now);
    peer.settle_in_writes_of(100);
    let asked: Vec<_> = peer.answers().into_iter().filter_map(|answer| answer.asked).collect();
    assert_eq!(asked, ["/large", "/late", "/small"]);
}

#[test]
fn work_that_panics_is_answered_and_the_connection_goes_on() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/never") + &get("/small"));
    assert_eq!(peer.settle(), Step::Receive);
    let statuses: Vec<u16> = peer.answers().iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [500, 200]);
}

#[test]
fn work_that_nobody_can_do_is_answered_and_the_connection_goes_on() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/late") + &get("/small"));
    let deferred = peer.deferred.take().expect("work for the answer");
    peer.connection.complete(deferred.refuse(), &peer.now);
    assert_eq!(peer.settle(), Step::Receive);
    let statuses: Vec<u16> = peer.answers().iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [503, 200]);
}

#[test]
fn an_answer_that_comes_too_late_is_dropped() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/late"));
    peer.connection.fail(CloseReason::Failed);
    let deferred = peer.deferred.take().expect("work for the answer");
    peer.connection.complete(deferred.finish(), &peer.now);
    assert!(
        matches!(peer.connection.step(), Step::Close(closing) if closing.reason == CloseReason::Failed)
    );
}

#[test]
fn a_stop_while_an_answer_is_made_lets_it_and_one_request_more_through() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/late") + &get("/small").repeat(3));
    peer.connection.graceful_shutdown(&peer.now);
    peer.settle();
    peer.finish();
    let said: Vec<_> = peer.answers().into_iter().map(|answer| answer.connection).collect();
    assert_eq!(said, [None, Some("close".to_owned())]);
}
