//! `--tls-cert`, `--tls-key`, `--tls-self-signed`, `--kernel-tls` and `--redirect-http` → the TLS
//! settings.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::failure::Failure;
#[cfg(feature = "tls")]
use super::private_file::refuse_served;
use super::values::RedirectAddress;
use crate::server::{ListenAddress, TlsSource};
use crate::site::Root;

/// The options, of which a server without TLS has none.
#[derive(Debug)]
pub(super) struct TlsOptions {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub self_signed: bool,
    pub kernel: bool,
    pub redirect_http: Option<RedirectAddress>,
}

impl TlsOptions {
    /// Where the certificate comes from; None for plain HTTP.
    ///
    /// # Errors
    /// The options do not fit together, or a file would be served.
    #[cfg(feature = "tls")]
    pub(super) fn source(&self, root: &Root) -> Result<Option<TlsSource>, Failure> {
        let source = match (&self.certificate, &self.key, self.self_signed) {
            (None, None, false) if self.redirect_http.is_some() => {
                Err("--redirect-http requires TLS: expected --tls-cert and --tls-key")
            }
            (None, None, false) if self.kernel => {
                Err("--kernel-tls requires TLS: expected --tls-cert and --tls-key")
            }
            (None, None, false) => Ok(None),
            (None, None, true) => Ok(Some(TlsSource::SelfSigned)),
            (Some(certificate), Some(key), false) => {
                refuse_served("--tls-cert", certificate, root)?;
                refuse_served("--tls-key", key, root)?;
                Ok(Some(TlsSource::Files { certificate: certificate.clone(), key: key.clone() }))
            }
            (Some(_), None, false) => {
                Err("--tls-cert requires --tls-key: expected the key of the certificate")
            }
            (None, Some(_), false) => {
                Err("--tls-key requires --tls-cert: expected the certificate of the key")
            }
            (Some(_), _, true) => {
                Err("--tls-cert and --tls-self-signed cannot be combined: expected one of them")
            }
            (None, Some(_), true) => {
                Err("--tls-key and --tls-self-signed cannot be combined: expected one of them")
            }
        };
        source.map_err(|message| Failure::Usage(message.to_owned()))
    }

    /// A server that ignored the options would serve in the clear what they protect.
    ///
    /// # Errors
    /// An option is given, and this build has no TLS.
    #[cfg(not(feature = "tls"))]
    pub(super) fn source(&self, _: &Root) -> Result<Option<TlsSource>, Failure> {
        let given = [
            ("--tls-cert", self.certificate.is_some()),
            ("--tls-key", self.key.is_some()),
            ("--tls-self-signed", self.self_signed),
            ("--kernel-tls", self.kernel),
            ("--redirect-http", self.redirect_http.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Failure::Usage(format!(
                "{option} requires a build with TLS: this one is without the Cargo feature 'tls'"
            ))),
            None => Ok(None),
        }
    }

    /// The address of `--redirect-http`. Its default host is that of the first TCP address.
    pub(super) fn redirect_address(self, addresses: &[ListenAddress]) -> Option<ListenAddress> {
        self.redirect_http.map(|address| match address {
            RedirectAddress::Address(address) => address,
            RedirectAddress::Port(port) => {
                let first = addresses.iter().find_map(ListenAddress::tcp);
                let host = first.map_or(IpAddr::from(Ipv4Addr::LOCALHOST), |first| first.ip());
                ListenAddress::Tcp((host, port).into())
            }
        })
    }
}
