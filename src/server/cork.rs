//! Full segments for long responses (`TCP_CORK`).
//!
//! A long response takes several writes. Each acknowledgement that arrives between two of them
//! makes TCP send the incomplete segment that the last write left: with a fast client, a third more
//! segments and 10 % more CPU time (docs/PERFORMANCE.md). While a socket is corked, TCP sends full
//! segments only. The remainder leaves with the next write, when the cork is removed, with the FIN,
//! or after 200 ms (tcp(7)).

use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_tcp_cork;

use crate::syscall_stats::{Call, SyscallStats};

/// A shorter response leaves in one or two writes, and corking would cost more than it saves.
const LONG_BYTES_MIN: u64 = 256 * 1024;

/// Whether a socket is corked.
#[derive(Debug, Default, PartialEq)]
pub enum Cork {
    #[default]
    Off,
    On,
    /// A Unix socket has no segments, and refuses the option.
    Unsupported,
}

impl Cork {
    /// Corks `socket` if `bytes`, which are offered to it next, are part of a long response.
    #[inline]
    pub fn before_write(&mut self, socket: &OwnedFd, bytes: u64, stats: &SyscallStats) {
        if *self == Cork::Off && bytes >= LONG_BYTES_MIN {
            stats.count(Call::Setsockopt);
            *self = match set_tcp_cork(socket, true) {
                Ok(()) => Cork::On,
                Err(_) => Cork::Unsupported,
            };
        }
    }

    /// Removes the cork at the end of a response, or of one of its ranges.
    #[inline]
    pub fn remove(&mut self, socket: &OwnedFd, stats: &SyscallStats) {
        if *self == Cork::On {
            stats.count(Call::Setsockopt);
            // It cannot fail on a socket that has accepted the option.
            let _ = set_tcp_cork(socket, false);
            *self = Cork::Off;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use rustix::net::sockopt::tcp_cork;

    use super::*;

    fn tcp_socket() -> OwnedFd {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        TcpStream::connect(address).expect("the listener has room").into()
    }

    #[test]
    fn a_long_response_is_corked_until_its_end() {
        let (socket, stats) = (tcp_socket(), SyscallStats::default());
        let mut cork = Cork::default();
        for bytes in [LONG_BYTES_MIN, 1] {
            cork.before_write(&socket, bytes, &stats);
            assert_eq!(tcp_cork(&socket), Ok(true), "the last {bytes} bytes");
        }
        cork.remove(&socket, &stats);
        assert_eq!(tcp_cork(&socket), Ok(false));
    }

    #[test]
    fn a_short_response_is_not_corked() {
        let (socket, stats) = (tcp_socket(), SyscallStats::default());
        Cork::default().before_write(&socket, LONG_BYTES_MIN - 1, &stats);
        assert_eq!(tcp_cork(&socket), Ok(false));
    }

    #[test]
    fn a_unix_socket_is_asked_once() {
        let (socket, _peer) = UnixStream::pair().expect("two descriptors are left");
        let mut cork = Cork::default();
        cork.before_write(&socket.into(), LONG_BYTES_MIN, &SyscallStats::default());
        assert_eq!(cork, Cork::Unsupported);
    }
}
