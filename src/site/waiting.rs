//! Requests that wait for one result, and of which some clients have disconnected.

use super::open_file::File;
use crate::http::ReplySender;

/// A request whose response is sent later.
pub trait WaitingReply {
    fn reply(&self) -> &ReplySender<File>;
}

/// Adds a request. Before the list grows, those of disconnected clients are removed, so that
/// clients that request and disconnect do not make it grow.
pub fn add<T: WaitingReply>(waiting: &mut Vec<T>, request: T) {
    if waiting.len() == waiting.capacity() {
        remove_closed(waiting);
    }
    waiting.push(request);
}

/// Removes the requests of clients that have disconnected.
pub fn remove_closed<T: WaitingReply>(waiting: &mut Vec<T>) {
    waiting.retain(|request| !request.reply().is_closed());
}
