//! In place of the other files in a build without the feature `tls`: certificates and sessions that
//! cannot exist, so that the compiler removes what is done with them.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use super::progress::{ReceivedRecords, TlsParameters};
use super::unsent::Unsent;
use crate::server::sockets::ListenAddress;
use crate::site::ServedFiles;

/// Where the certificate of a server comes from: this build has no TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSource {}

pub type TlsConfig = Infallible;

#[derive(Debug)]
pub enum Certificates {}

#[derive(Debug)]
pub enum ReloadThread {}

#[derive(Debug)]
pub enum TlsSession {}

impl Certificates {
    pub fn open(
        source: TlsSource,
        _: &[ListenAddress],
        _: ServedFiles,
    ) -> io::Result<Certificates> {
        match source {}
    }

    pub fn server_config(&self) -> io::Result<Arc<TlsConfig>> {
        match *self {}
    }

    pub fn fingerprint(&self) -> Option<&str> {
        match *self {}
    }

    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        match *self {}
    }

    pub fn start_reloading(self) -> io::Result<ReloadThread> {
        match self {}
    }
}

impl ReloadThread {
    pub fn finish(self) {
        match self {}
    }
}

impl TlsSession {
    pub fn new(config: Arc<TlsConfig>) -> Option<TlsSession> {
        match *config {}
    }

    pub fn is_plain_http(&self, _: &[u8]) -> bool {
        match *self {}
    }

    pub fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub fn is_established(&self) -> bool {
        match *self {}
    }

    pub fn has_input_ended(&self) -> bool {
        match *self {}
    }

    pub fn is_ended(&self) -> bool {
        match *self {}
    }

    pub fn parameters(&self) -> Option<TlsParameters> {
        match *self {}
    }

    pub fn receive(
        &mut self,
        _: &mut [u8],
        _: &mut Vec<u8>,
    ) -> Result<ReceivedRecords, Infallible> {
        match *self {}
    }

    pub fn encrypt(
        &mut self,
        _: &[IoSlice<'_>],
        _: usize,
        _: &mut Vec<u8>,
    ) -> Result<(), Infallible> {
        match *self {}
    }

    pub fn close(&mut self) {
        match *self {}
    }

    pub fn unsent(&self) -> &Unsent {
        match *self {}
    }

    pub fn unsent_mut(&mut self) -> &mut Unsent {
        match *self {}
    }
}
