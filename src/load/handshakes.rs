//! How the connections of a load begin, if they speak TLS.

/// What a connection is to do, or what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// As a new client.
    Full,
    /// With a ticket of an earlier session.
    Resumed,
}

/// What the connections of a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeCounts {
    pub full: u64,
    pub resumed: u64,
}

impl HandshakeCounts {
    pub(super) fn count(&mut self, handshake: Handshake) {
        match handshake {
            Handshake::Full => self.full += 1,
            Handshake::Resumed => self.resumed += 1,
        }
    }
}
