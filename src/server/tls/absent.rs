//! In place of the other files in a build without the feature `tls`: certificates and sessions that
//! cannot exist, so that the compiler removes what is done with them.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::net::SendFlags;

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

#[derive(Debug)]
pub enum KernelSession {}

#[derive(Debug)]
pub enum SendKey {}

#[derive(Clone, Copy, Debug, Default)]
pub struct KernelCiphers(());

#[derive(Clone, Copy, Debug)]
pub struct Alert;

#[derive(Debug)]
pub enum ReceiveError {
    Invalid { error: Infallible, reply: Option<Alert> },
    KeyUpdate,
}

impl Certificates {
    pub fn open(
        source: TlsSource,
        _: &[ListenAddress],
        _: ServedFiles,
    ) -> io::Result<Certificates> {
        match source {}
    }

    pub fn server_config(&self, _: KernelCiphers) -> io::Result<Arc<TlsConfig>> {
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

    pub fn can_leave(&self, _: KernelCiphers, _: u64) -> bool {
        match *self {}
    }

    pub fn stay(&mut self) {
        match *self {}
    }

    pub fn into_kernel(self) -> Result<(KernelSession, SendKey), Infallible> {
        match self {}
    }

    pub fn unsent(&self) -> &Unsent {
        match *self {}
    }

    pub fn unsent_mut(&mut self) -> &mut Unsent {
        match *self {}
    }
}

impl KernelSession {
    pub fn ended(_: TlsParameters) -> KernelSession {
        unreachable!("no session has parameters")
    }

    pub fn parameters(&self) -> TlsParameters {
        match *self {}
    }

    pub fn has_input_ended(&self) -> bool {
        match *self {}
    }

    pub fn is_ended(&self) -> bool {
        match *self {}
    }

    pub fn end(&mut self) -> bool {
        match *self {}
    }

    pub fn is_withholding(&self) -> bool {
        match *self {}
    }

    pub fn set_withholding(&mut self, _: bool) {
        match *self {}
    }

    pub fn count_sent(&mut self, _: usize) {
        match *self {}
    }

    pub fn is_key_worn(&self) -> bool {
        match *self {}
    }

    pub fn is_key_worn_out(&self) -> bool {
        match *self {}
    }

    pub fn receive(&mut self, _: &mut [u8], _: &mut Vec<u8>) -> Result<usize, ReceiveError> {
        match *self {}
    }
}

impl SendKey {
    pub fn install(&self, _: &impl AsFd) -> io::Result<()> {
        match *self {}
    }
}

impl KernelCiphers {
    pub fn probe() -> io::Result<KernelCiphers> {
        Ok(KernelCiphers(()))
    }

    pub fn is_empty(self) -> bool {
        true
    }
}

impl Alert {
    pub const CLOSE_NOTIFY: Alert = Alert;
}

pub fn prepare_socket(_: &impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn send_alert(_: &impl AsFd, _: Alert, _: SendFlags) -> rustix::io::Result<usize> {
    Err(rustix::io::Errno::NOTSUP)
}
