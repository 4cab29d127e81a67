//! The keys of session tickets (RFC 8446 §4.6.1, RFC 5077).
//!
//! A ticket is the state of a session, encrypted with a key that only the server has. An attacker
//! who gets that key can decrypt recorded TLS 1.2 sessions, so keys are rotated and discarded.
//!
//! rustls can rotate the keys by itself, during a handshake. That fails where each connection has
//! its own process: the parent performs no handshakes, so its keys would never
//! change, and each child would make keys that no other process has. So here, the reload thread of
//! the parent rotates the keys, and every child that is forked later inherits them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::Error;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// How long a key encrypts new tickets. For as long again, it only decrypts them. A [`Ticketer`]
/// replaces its own key after six hours, so this must be less.
pub const ROTATION_INTERVAL: Duration = Duration::from_secs(5 * 3600);

/// A session has the name of the server, of at most 255 bytes, and its secrets.
const SESSION_BYTES_MAX: usize = 1024;

/// The keys of session tickets. They are read without a lock, for the same reason as the
/// certificate.
#[derive(Debug)]
pub struct Tickets(ArcSwap<Keys>);

#[derive(Debug)]
struct Keys {
    current: Arc<dyn ProducesTickets>,
    previous: Option<Arc<dyn ProducesTickets>>,
}

impl Tickets {
    /// # Errors
    /// The kernel has no random bytes.
    pub fn new() -> Result<Tickets, Error> {
        Ok(Tickets(ArcSwap::from_pointee(Keys { current: new_key()?, previous: None })))
    }

    /// Makes a new key, keeps the current one for tickets already issued, and discards the one
    /// before it.
    ///
    /// # Errors
    /// The kernel has no random bytes; the keys stay as they are.
    pub fn rotate(&self) -> Result<(), Error> {
        let current = new_key()?;
        let previous = Some(self.0.load().current.clone());
        self.0.store(Arc::new(Keys { current, previous }));
        Ok(())
    }
}

/// A [`Ticketer`] refuses a ticket that is longer than all that it has made. A forked child has
/// made none and would refuse every one, so the key makes a long one here.
fn new_key() -> Result<Arc<dyn ProducesTickets>, Error> {
    let key = Ticketer::new()?;
    key.encrypt(&[0; SESSION_BYTES_MAX]);
    Ok(key)
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// The shortest time for which a ticket is accepted: it may be issued just before its key is
    /// replaced.
    fn lifetime(&self) -> u32 {
        ROTATION_INTERVAL.as_secs() as u32
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.0.load().current.encrypt(session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let keys = self.0.load();
        let previous = || keys.previous.as_ref()?.decrypt(ticket);
        keys.current.decrypt(ticket).or_else(previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_outlives_one_rotation_and_not_two() {
        let tickets = Tickets::new().expect("random bytes");
        let ticket = tickets.encrypt(b"session").expect("it can be encrypted");
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        tickets.rotate().expect("random bytes");
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let next = tickets.encrypt(b"next").expect("it can be encrypted");
        tickets.rotate().expect("random bytes");
        assert_eq!(tickets.decrypt(&ticket), None);
        assert_eq!(tickets.decrypt(&next).as_deref(), Some(&b"next"[..]));
        assert_eq!(tickets.decrypt(b""), None);
    }
}
