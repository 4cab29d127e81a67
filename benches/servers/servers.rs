//! The servers: the floor, miniweb's strategy for production, and those of other projects.

use std::io;
use std::process::Command;

use miniweb::compare::measure::cores::Cores;
use miniweb::server::strategies;

use crate::certificate::TestCertificate;
use crate::loads::Workload;
use crate::peers::Peer;
use crate::server::Server;
use crate::site::Site;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    Floor,
    Miniweb,
    Peer(Peer),
}

/// Every contender, whether it is installed or not.
pub fn all() -> Vec<Contender> {
    [Contender::Floor, Contender::Miniweb]
        .into_iter()
        .chain(Peer::ALL.map(Contender::Peer))
        .collect()
}

impl Contender {
    pub fn name(&self) -> &'static str {
        match self {
            Contender::Floor => "floor",
            Contender::Miniweb => strategies::DEFAULT.name,
            Contender::Peer(peer) => peer.name(),
        }
    }

    pub fn is_installed(&self) -> bool {
        match self {
            Contender::Floor | Contender::Miniweb => true,
            Contender::Peer(peer) => peer.is_installed(),
        }
    }

    /// The floor has no TLS.
    pub fn serves(&self, workload: &Workload) -> bool {
        *self != Contender::Floor || workload.tls.is_none()
    }

    pub fn start(&self, workload: &Workload, site: &Site, cores: &Cores) -> io::Result<Server> {
        let certificate = workload.tls.map(|_| &site.certificate);
        match self {
            Contender::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--floor").arg(site.root()).args(["--loads", workload.name]);
                Server::announcing(command, cores)
            }
            Contender::Miniweb => {
                // The other servers are told to keep idle connections for so long, too.
                const TIMEOUTS: [&str; 2] = ["--idle-timeout", "3600"];
                let tls = certificate.map(TestCertificate::options).unwrap_or_default();
                let mut arguments = [strategies::DEFAULT.setups[0].arguments, &TIMEOUTS].concat();
                arguments.extend(tls.iter().map(String::as_str));
                Server::miniweb(&arguments, site.root(), cores)
            }
            Contender::Peer(peer) => {
                let configuration = match peer {
                    Peer::Nginx => include_str!("nginx.conf"),
                    Peer::Lighttpd => include_str!("lighttpd.conf"),
                    Peer::H2o => include_str!("h2o.conf"),
                };
                peer.start(configuration, certificate, site.root(), cores)
            }
        }
    }
}
