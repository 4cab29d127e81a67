//! Servers of other projects, each with a configuration of the bench.
//!
//! They cannot choose a free port, and one that the bench finds could be taken before they bind it.
//! So they inherit a listener, as from the process that they replace in an upgrade.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use miniweb::compare::measure::cores::Cores;
use socket2::SockRef;

use crate::certificate::TestCertificate;
use crate::server::Server;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Nginx,
    Lighttpd,
    H2o,
}

impl Peer {
    pub const ALL: [Peer; 3] = [Peer::Nginx, Peer::Lighttpd, Peer::H2o];

    pub fn name(self) -> &'static str {
        match self {
            Peer::Nginx => "nginx",
            Peer::Lighttpd => "lighttpd",
            Peer::H2o => "h2o",
        }
    }

    pub fn is_installed(self) -> bool {
        self.program().is_some()
    }

    fn program(self) -> Option<PathBuf> {
        // Debian installs servers where only root looks for programs.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        directories.map(|directory| directory.join(self.name())).find(|program| program.is_file())
    }

    /// Starts it with `configuration`, in which ADDRESS, PORT and ROOT are replaced, and which gets
    /// TLS if there is a certificate.
    pub fn start(
        self,
        configuration: &str,
        certificate: Option<&TestCertificate>,
        root: &Path,
        cores: &Cores,
    ) -> io::Result<Server> {
        const BACKLOG: i32 = 4096;
        let program = self.program().ok_or(io::ErrorKind::NotFound)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        // nginx does neither for a listener that it inherits.
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).listen(BACKLOG)?;
        let files = tempfile::tempdir()?;
        let configuration = certificate
            .map_or(configuration.to_owned(), |certificate| {
                self.with_tls(configuration, certificate)
            })
            .replace("ADDRESS", &address.to_string())
            .replace("PORT", &address.port().to_string())
            .replace("ROOT", &root.display().to_string());
        let path = files.path().join("server.conf");
        fs::write(&path, configuration)?;
        let mut command = Command::new(program);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        match self {
            Peer::Nginx => {
                command.arg("-p").arg(files.path()).args(["-c", "server.conf", "-e", "nginx.log"]);
                inherit(&mut command, listener, "NGINX", |descriptor| format!("{descriptor};"))?;
            }
            // It takes the listener from /dev/stdin if its configuration says so.
            Peer::Lighttpd => {
                command.args(["-D", "-f"]).arg(path).stdin(OwnedFd::from(listener));
            }
            Peer::H2o => {
                command.arg("-c").arg(path);
                inherit(&mut command, listener, "SERVER_STARTER_PORT", |descriptor| {
                    format!("{address}={descriptor}")
                })?;
            }
        }
        Server::foreign(command, address, files, cores)
    }

    /// Adds TLS to a configuration, with the versions and session tickets that it has by default.
    /// The client of the bench offers one cipher and one key exchange.
    fn with_tls(self, configuration: &str, certificate: &TestCertificate) -> String {
        let (certificate, key) = (
            certificate.file().display().to_string(),
            certificate.key_file().display().to_string(),
        );
        match self {
            Peer::Nginx => configuration.replace(
                "listen ADDRESS;",
                &format!(
                    "listen ADDRESS ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; \
                     ssl_protocols TLSv1.2 TLSv1.3;"
                ),
            ),
            Peer::Lighttpd => format!(
                "{configuration}\nserver.modules += ( \"mod_openssl\" )\nssl.engine = \
                 \"enable\"\nssl.pemfile = \"{certificate}\"\nssl.privkey = \"{key}\"\n"
            ),
            Peer::H2o => configuration.replace(
                "port: PORT",
                &format!("port: PORT, ssl: {{ certificate-file: {certificate}, key-file: {key} }}"),
            ),
        }
    }
}

/// Hands the listener to `command`, and tells it the descriptor in an environment variable.
fn inherit(
    command: &mut Command,
    listener: TcpListener,
    variable: &str,
    value: impl Fn(i32) -> String,
) -> io::Result<()> {
    const DESCRIPTOR: i32 = 3;
    command.env(variable, value(DESCRIPTOR));
    let inherited = FdMapping { parent_fd: listener.into(), child_fd: DESCRIPTOR };
    command.fd_mappings(vec![inherited]).map_err(io::Error::other)?;
    Ok(())
}
