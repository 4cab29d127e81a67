//! The next I/O operation that a connection needs.

use super::closing::Closing;

/// The next operation that the driver of a [`Connection`](super::Connection) must perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send what [`Output::next_transmit`](super::Output::next_transmit) offers, then call
    /// [`Connection::sent`](super::Connection::sent).
    Send,
    /// Call [`Connection::receive`](super::Connection::receive) without new bytes: buffered input
    /// can be parsed now.
    Resume,
    /// Wait for the deferred reply, then call
    /// [`Connection::complete`](super::Connection::complete).
    Wait,
    /// Read from the socket, then call [`Connection::receive`](super::Connection::receive), or
    /// [`Connection::end_of_input`](super::Connection::end_of_input) at the end of the stream.
    Receive,
    /// Read from the socket without blocking, then call
    /// [`Connection::receive`](super::Connection::receive), or
    /// [`Connection::end_of_input`](super::Connection::end_of_input) if nothing has arrived.
    CheckInput,
    /// Shut down the sending side of the socket, then call
    /// [`Connection::half_closed`](super::Connection::half_closed).
    HalfClose,
    /// Close the socket.
    Close(Closing),
}
