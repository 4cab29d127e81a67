//! The servers: every set-up of the registry that serves concurrently, and nginx.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use miniweb::compare::measure::cores::Cores;
use miniweb::server::strategies::{self, Comparison, Setup};
use socket2::SockRef;
use tempfile::TempDir;

use crate::server::Server;
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
pub enum Contender {
    Miniweb(&'static Setup),
    Nginx,
}

/// Fields are dropped in order: the server stops before the directory of its files is removed.
pub struct RunningServer {
    pub server: Server,
    _files: Option<TempDir>,
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
            Contender::Nginx => "nginx",
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
            Contender::Nginx => nginx_program().is_some(),
        }
    }

    pub fn start(&self, site: &Site, cores: &Cores) -> io::Result<RunningServer> {
        match self {
            Contender::Miniweb(setup) => {
                let arguments = [setup.arguments, &["--list"]].concat();
                let server = Server::miniweb(&arguments, site.root(), cores)?;
                Ok(RunningServer { server, _files: None })
            }
            Contender::Nginx => start_nginx(site.root(), cores),
        }
    }
}

fn nginx_program() -> Option<PathBuf> {
    // Debian installs it where only root looks for programs.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join("nginx")).find(|program| program.is_file())
}

/// nginx cannot choose a port, and a free one could be taken before it binds. So it inherits a
/// listener, as from the process that it replaces in an upgrade: `NGINX` lists the descriptors.
fn start_nginx(root: &Path, cores: &Cores) -> io::Result<RunningServer> {
    const DESCRIPTOR: i32 = 3;
    const BACKLOG: i32 = 4096;
    let program = nginx_program().ok_or(io::ErrorKind::NotFound)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // nginx does neither for a listener that it inherits.
    listener.set_nonblocking(true)?;
    SockRef::from(&listener).listen(BACKLOG)?;
    let files = tempfile::tempdir()?;
    let configuration = include_str!("nginx.conf")
        .replace("ADDRESS", &address.to_string())
        .replace("ROOT", &root.display().to_string());
    fs::write(files.path().join("nginx.conf"), configuration)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(files.path()).args(["-c", "nginx.conf", "-e", "nginx.log"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).env("NGINX", format!("{DESCRIPTOR};"));
    let inherited = FdMapping { parent_fd: listener.into(), child_fd: DESCRIPTOR };
    command.fd_mappings(vec![inherited]).map_err(io::Error::other)?;
    let server = Server::foreign(command, address, cores)?;
    Ok(RunningServer { server, _files: Some(files) })
}
