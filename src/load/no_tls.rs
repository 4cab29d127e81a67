//! In place of `tls.rs` in a build without the feature `tls`: sessions that cannot exist, so that
//! the compiler removes what is done with one.

use std::io::{self, ErrorKind};
use std::net::TcpStream;

use super::handshakes::Handshake;

#[derive(Clone, Debug)]
pub enum ClientTls {}

impl ClientTls {
    /// # Errors
    /// Always.
    pub fn trusting(_: &[u8], _: Handshake) -> io::Result<ClientTls> {
        Err(io::Error::new(ErrorKind::Unsupported, "this build has no TLS"))
    }

    pub fn handshake(&self) -> Handshake {
        match *self {}
    }

    /// # Errors
    /// Never.
    pub fn exchange(&self, _: &mut TcpStream, _: &[u8]) -> io::Result<Vec<u8>> {
        match *self {}
    }
}

#[derive(Debug)]
pub(super) enum ClientSession {}

impl ClientSession {
    pub(super) fn start(tls: &ClientTls) -> io::Result<ClientSession> {
        match *tls {}
    }

    pub(super) fn is_open(&self) -> bool {
        match *self {}
    }

    pub(super) fn take_handshake(&mut self) -> Option<Handshake> {
        match *self {}
    }

    pub(super) fn unsent(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn advance(&mut self, _: usize) {
        match *self {}
    }

    pub(super) fn encrypt(&mut self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn input_bytes(&self) -> usize {
        match *self {}
    }

    pub(super) fn receive(&mut self, _: &mut [u8], _: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        match *self {}
    }
}
