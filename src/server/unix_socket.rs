//! Listening Unix sockets, and their files.
//!
//! A socket is made in a private directory beside its path, and renamed to the path once it listens
//! and has its mode. So a client never finds a socket that does not listen yet, the stale socket of
//! a killed server is replaced atomically, and the user who owns the directory cannot have root
//! change the mode of another file by putting a link in place of the socket.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, chmodat, flock, fstat, mkdir, open,
    renameat, statat, unlinkat,
};
use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

/// The file of a listening socket.
#[derive(Debug)]
pub struct UnixSocketFile {
    path: PathBuf,
    /// Device and inode, because another server may have replaced the file since.
    identity: (u64, u64),
}

/// Binds a listening socket to `path`, with permission bits `mode`: connecting needs write
/// permission (unix(7)). A socket at which no server listens is replaced.
///
/// # Errors
/// A server listens at the path, or another kind of file is there; EINVAL if the path, or a name of
/// eleven bytes in its directory, is longer than 107 bytes; those of bind(2) for the directory.
pub fn bind(path: &Path, mode: u32, backlog: i32) -> io::Result<(Socket, UnixSocketFile)> {
    // Absolute, because it is looked up again when the server ends.
    let path = std::path::absolute(path)?;
    let address = SockAddr::unix(&path)?;
    let parent = path.parent().ok_or(io::ErrorKind::IsADirectory)?;
    // Until it is closed: of two servers that start at once, the second finds the first one's.
    let lock = open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&lock, FlockOperation::LockExclusive)?;
    refuse_occupied(&path, &address)?;
    let private = PrivateDirectory::new_in(parent)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(private.path.join(NAME))?)?;
    let stat = statat(&private.descriptor, NAME, AtFlags::SYMLINK_NOFOLLOW)?;
    chmodat(&private.descriptor, NAME, Mode::from_raw_mode(mode), AtFlags::empty())?;
    socket.listen(backlog)?;
    renameat(&private.descriptor, NAME, CWD, &path)?;
    Ok((socket, UnixSocketFile { path, identity: (stat.st_dev, stat.st_ino) }))
}

/// The name of a socket in its private directory.
const NAME: &str = "s";

/// A directory in which no other user can replace a file. It is removed when dropped.
struct PrivateDirectory {
    path: PathBuf,
    descriptor: OwnedFd,
}

impl PrivateDirectory {
    fn new_in(parent: &Path) -> io::Result<PrivateDirectory> {
        // Random and not the process ID: in containers that share a directory, it may be 1 for all.
        let path = parent.join(format!(".{:08x}", fastrand::u32(..)));
        mkdir(&path, Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = open(&path, flags, Mode::empty())?;
        let stat = fstat(&descriptor)?;
        let is_private = stat.st_uid == geteuid().as_raw()
            && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && Mode::from_raw_mode(stat.st_mode) == Mode::RWXU;
        match is_private {
            true => Ok(PrivateDirectory { path, descriptor }),
            false => Err(io::Error::other("another user has replaced a directory")),
        }
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // The name is gone if the socket was renamed, and the error before this says what is wrong.
        let _ = unlinkat(&self.descriptor, NAME, AtFlags::empty());
        let _ = fs::remove_dir(&self.path);
    }
}

impl UnixSocketFile {
    /// Removes the file, unless another server has replaced it. After `--user` or `--confine`, the
    /// process may lack the permission; the next server then replaces the file.
    pub fn remove(&self) {
        let metadata = fs::symlink_metadata(&self.path);
        if metadata.is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_occupied(path: &Path, address: &SockAddr) -> io::Result<()> {
    let file_type = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !file_type.is_socket() {
        return Err(io::Error::other("expected a socket, or no file"));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A blocking connect would wait while the backlog of the other server is full.
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Err(io::Error::other("another server listens on it")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    const MODE: u32 = 0o640;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("the temporary directory is writable")
    }

    fn names(directory: &Path) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(directory).expect("the directory exists");
        entries.map(|entry| entry.expect("it is readable").file_name()).collect()
    }

    fn error(path: &Path) -> String {
        bind(path, MODE, 1).map(drop).expect_err("the path is occupied").to_string()
    }

    #[test]
    fn a_socket_has_its_mode_and_is_removed_at_the_end() {
        let directory = directory();
        let path = directory.path().join("socket");
        let (_socket, file) = bind(&path, MODE, 1).expect("the path is free");
        assert_eq!(names(directory.path()), ["socket"]);
        let mode = fs::metadata(&path).expect("the socket exists").permissions().mode();
        assert_eq!(mode & 0o7777, MODE);
        UnixStream::connect(&path).expect("the socket listens");
        file.remove();
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn a_socket_at_which_no_server_listens_is_replaced_and_no_other_file_is() {
        let directory = directory();
        let path = directory.path().join("socket");
        let (first, first_file) = bind(&path, MODE, 1).expect("the path is free");
        assert_eq!(error(&path), "another server listens on it");
        // The attempt above is one of the two connections in the backlog, of length 1. When it is
        // full, connecting would block.
        let _waiting = UnixStream::connect(&path).expect("the socket listens");
        assert_eq!(error(&path), "another server listens on it");
        drop(first);
        let (_second, _) = bind(&path, MODE, 1).expect("no server listens any more");
        first_file.remove();
        UnixStream::connect(&path).expect("the first server did not remove the second one's");
        let file = directory.path().join("file");
        fs::write(&file, "text").expect("the directory is writable");
        assert_eq!(error(&file), "expected a socket, or no file");
        assert_eq!(fs::read(&file).expect("it still exists"), b"text");
        let mut left = names(directory.path());
        left.sort();
        assert_eq!(left, ["file", "socket"]);
    }

    #[test]
    fn of_servers_that_start_at_once_one_binds() {
        for _ in 0..20 {
            let directory = directory();
            let path = directory.path().join("socket");
            let bound: Vec<_> = std::thread::scope(|scope| {
                let threads = [(); 3].map(|()| scope.spawn(|| bind(&path, MODE, 8).ok()));
                threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
            });
            assert_eq!(bound.len(), 1);
            UnixStream::connect(&path).expect("the one that is left listens");
            assert_eq!(names(directory.path()), ["socket"]);
        }
    }

    #[test]
    fn a_path_that_is_too_long_leaves_nothing_behind() {
        let directory = directory();
        let path = directory.path().join("x".repeat(108));
        assert!(error(&path).contains("SUN_LEN"));
        assert_eq!(names(directory.path()), [""; 0]);
    }
}
