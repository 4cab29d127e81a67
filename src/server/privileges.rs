//! Drops the privileges that serving files does not need, once the port is bound and the root is
//! open.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use nix::unistd::{User, setgid, setgroups, setuid};

use crate::format::error_with;
use crate::site::Root;

/// The privileges to drop.
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    /// The user to become.
    pub user: Option<User>,
    /// Whether to allow nothing but reading the root (Landlock).
    pub confine: bool,
}

impl Privileges {
    /// Drops the privileges of this thread, and of all threads that it starts, for good. Threads
    /// that run already would keep theirs. Besides `root`, files in `readable` directories can
    /// still be read, and files in the `writable` one be written and created.
    ///
    /// # Errors
    /// A privilege cannot be dropped, or the new user may not read `root`: then the server must not
    /// start.
    pub fn drop(
        &self,
        root: &Root,
        readable: &[PathBuf],
        writable: Option<&Path>,
    ) -> io::Result<()> {
        if let Some(user) = &self.user {
            // The groups first: once the user has changed, they cannot be changed any more.
            let become_user = || {
                setgroups(&[user.gid])
                    .and_then(|()| setgid(user.gid))
                    .and_then(|()| setuid(user.uid))
            };
            let with_option = |error| error_with(format_args!("--user {}", user.name), &error);
            become_user().map_err(|errno| with_option(errno.into()))?;
            root.check_access().map_err(with_option)?;
        }
        if self.confine {
            confine(root.path(), readable, writable).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Adds the user's name to an error about something this process may no longer do.
    pub fn explain(&self, error: io::Error) -> io::Error {
        match &self.user {
            Some(user) => error_with(format_args!("--user {}", user.name), &error),
            None => error,
        }
    }
}

const UNSUPPORTED: &str = "--confine: this kernel does not support Landlock";

/// From here on the kernel refuses every open except reading beneath `root`, reading files beneath
/// `readable`, and writing and creating files beneath `writable` (Landlock), and what else it can
/// refuse that a server does not need once it listens: to bind, to connect, and to signal other
/// processes. It restricts the calling thread and its descendants.
fn confine(
    root: Option<&Path>,
    readable: &[PathBuf],
    writable: Option<&Path>,
) -> Result<RestrictionStatus, String> {
    /// Linux 5.13. Without it, a confined server does not start.
    const REQUIRED: ABI = ABI::V1;
    /// The newest that the crate knows. A kernel that is older restricts what it knows of it.
    const WANTED: ABI = ABI::V10;
    let failed = |error: RulesetError| format!("--confine: {error}");
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED))
        .map_err(|_| UNSUPPORTED.to_owned())?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(WANTED)))
        .and_then(|rules| rules.scope(Scope::from_all(WANTED)))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    if let Some(root) = root {
        let access = if root.is_dir() {
            AccessFs::ReadFile | AccessFs::ReadDir
        } else {
            AccessFs::ReadFile.into()
        };
        let beneath = PathFd::new(root).map_err(|error| format!("--confine: {error}"))?;
        rules = rules.add_rule(PathBeneath::new(beneath, access)).map_err(failed)?;
    }
    // Directories and not files: a file that replaces another one has another inode.
    let readable = readable.iter().map(|path| (path.as_path(), AccessFs::ReadFile.into()));
    let writable = writable.map(|path| (path, AccessFs::WriteFile | AccessFs::MakeReg));
    for (directory, access) in readable.chain(writable) {
        let beneath = PathFd::new(directory).map_err(|error| format!("--confine: {error}"))?;
        rules = rules.add_rule(PathBeneath::new(beneath, access)).map_err(failed)?;
    }
    rules.restrict_self().map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use landlock::LandlockStatus;
    use rustix::io::Errno;
    use rustix::process::{getppid, test_kill_process};

    use super::*;

    #[test]
    fn a_confined_thread_reads_its_root_and_has_no_other_access() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().join("root");
        let logs = directory.path().join("logs");
        for directory in [&root, &logs] {
            fs::create_dir(directory).expect("the directory is new");
        }
        let (inside, outside) = (root.join("inside"), directory.path().join("outside"));
        for file in [&inside, &outside] {
            fs::write(file, "text").expect("the directory is writable");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let name = format!("miniweb test {}", std::process::id());
        let name = SocketAddr::from_abstract_name(name).expect("the name is short");
        let _listener = UnixListener::bind_addr(&name).expect("the name is free");
        // Only this thread is confined, and it ends with the test.
        let confined = std::thread::spawn(move || {
            let status = confine(Some(&root), &[], Some(&logs))?;
            let LandlockStatus::Available { effective_abi: abi, .. } = status.landlock else {
                return Err(UNSUPPORTED.to_owned());
            };
            assert_eq!(fs::read(&inside).map_err(|e| e.kind()), Ok(b"text".to_vec()));
            assert_eq!(fs::read_dir(&root).map(Iterator::count).map_err(|e| e.kind()), Ok(1));
            let refused = |what: &str, since, result: io::Result<()>, with: Errno| {
                let error = result.err().and_then(|error| Errno::from_io_error(&error));
                assert!(abi < since || error == Some(with), "{what}, {abi:?}: {error:?}");
            };
            let log = logs.join("log");
            let opened = File::options().append(true).create(true).open(&log);
            assert_eq!(opened.map(drop).map_err(|e| e.kind()), Ok(()));
            refused("read a log", ABI::V1, fs::read(&log).map(drop), Errno::ACCESS);
            refused("unlink a log", ABI::V1, fs::remove_file(&log), Errno::ACCESS);
            let beside = fs::write(root.join("new"), "");
            refused("create beneath the root", ABI::V1, beside, Errno::ACCESS);
            for path in [&inside, &outside] {
                let opened = File::options().write(true).open(path).map(drop);
                refused("open to write", ABI::V1, opened, Errno::ACCESS);
                refused("unlink", ABI::V1, fs::remove_file(path), Errno::ACCESS);
                let truncated = nix::unistd::truncate(path, 0).map_err(io::Error::from);
                refused("truncate", ABI::V3, truncated, Errno::ACCESS);
            }
            refused("open", ABI::V1, File::open(&outside).map(drop), Errno::ACCESS);
            refused("connect", ABI::V4, TcpStream::connect(address).map(drop), Errno::ACCESS);
            let bound = TcpListener::bind("127.0.0.1:0").map(drop);
            refused("bind", ABI::V4, bound, Errno::ACCESS);
            let connected = UnixStream::connect_addr(&name).map(drop);
            refused("connect to an abstract socket", ABI::V6, connected, Errno::PERM);
            let parent = getppid().expect("the test has a parent");
            let signalled = test_kill_process(parent).map_err(io::Error::from);
            refused("signal", ABI::V6, signalled, Errno::PERM);
            Ok(())
        });
        match confined.join().expect("all accesses have the expected result") {
            Ok(()) => {}
            Err(reason) if reason == UNSUPPORTED => eprintln!("skipped: {reason}"),
            Err(reason) => panic!("{reason}"),
        }
    }
}
