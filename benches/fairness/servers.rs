//! The servers: every set-up of the registry that serves concurrently, and nginx.

use std::io;

use miniweb::compare::measure::cores::Cores;
use miniweb::server::strategies::{self, Comparison, Setup};

use crate::certificate::TestCertificate;
use crate::peers::Peer;
use crate::server::Server;
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
pub enum Contender {
    Miniweb(&'static Setup),
    Nginx,
}

/// Every contender, whether it is installed or not. A set-up of one connection is left out: while
/// another client is connected, the measured one would not be served at all.
pub fn all() -> Vec<Contender> {
    let is_measured =
        |setup: &&Setup| setup.comparison != Comparison::None && setup.serves_concurrently();
    let setups = strategies::setups().filter(is_measured).map(Contender::Miniweb);
    setups.chain([Contender::Nginx]).collect()
}

impl Contender {
    pub fn name(&self) -> &'static str {
        match self {
            Contender::Miniweb(setup) => setup.name,
            Contender::Nginx => Peer::Nginx.name(),
        }
    }

    /// How many connections it serves at the same time.
    pub fn concurrency(&self) -> usize {
        match self {
            Contender::Miniweb(setup) => setup.concurrency,
            Contender::Nginx => usize::MAX,
        }
    }

    pub fn is_installed(&self) -> bool {
        match self {
            Contender::Miniweb(_) => true,
            Contender::Nginx => Peer::Nginx.is_installed(),
        }
    }

    pub fn start(
        &self,
        certificate: Option<&TestCertificate>,
        site: &Site,
        cores: &Cores,
    ) -> io::Result<Server> {
        match self {
            Contender::Miniweb(setup) => {
                let tls = certificate.map(TestCertificate::options).unwrap_or_default();
                let mut arguments = [setup.arguments, &["--list"]].concat();
                arguments.extend(tls.iter().map(String::as_str));
                Server::miniweb(&arguments, site.root(), cores)
            }
            Contender::Nginx => {
                Peer::Nginx.start(include_str!("nginx.conf"), certificate, site.root(), cores)
            }
        }
    }
}
