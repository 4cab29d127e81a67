//! Which file systems are slow to ask: those that live in another program (FUSE) or on another machine.
//!
//! What is mounted beneath a directory is lookup from the kernel's own list, by name: to ask each mount what it is would be to
//! wait for the very machine that may be away.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// statfs(2) of FUSE, NFS, SMB and its successor, 9P, Ceph, AFS.
const MAGICS: [u32; 7] =
    [0x6573_5546, 0x6969, 0x517b, 0xfe53_4d42, 0x0102_1997, 0x00c3_6400, 0x5346_414f];
/// The same in proc_pid_mountinfo(5); a FUSE file system may add its own name behind a dot.
const NAMES: [&[u8]; 10] =
    [b"fuse", b"fuseblk", b"nfs", b"nfs4", b"cifs", b"smb3", b"9p", b"ceph", b"afs", b"virtiofs"];

/// Whether a file system whose statfs names this kind is.
pub fn is_slow(magic: u32) -> bool {
    MAGICS.contains(&magic)
}

/// Whether one that is slow is mounted somewhere beneath `directory`. Without a /proc that is not lookup.
pub fn exist_beneath(directory: &Path) -> bool {
    let Ok(directory) = fs::canonicalize(directory) else {
        return false;
    };
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    slow_mounts(&mounts).any(|point| point.starts_with(&directory))
}

/// Where the slow ones in the kernel's list are.
fn slow_mounts(list: &[u8]) -> impl Iterator<Item = PathBuf> {
    list.split(|b| *b == b'\n').filter_map(|line| {
        let mut words = line.split(|b| *b == b' ');
        let point = words.nth(4)?;
        // Behind the point stand its options and any number of tags, up to a hyphen.
        let kind = words.skip_while(|word| *word != b"-").nth(1)?;
        let base = kind.split(|b| *b == b'.').next()?;
        NAMES.contains(&base).then(|| OsString::from_vec(unescape(point)).into())
    })
}

/// The kernel writes a space, a tab, a line end and a backslash in a name as three octal digits.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let (byte, after) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)
            }
            _ => (*first, after),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_understood() {
        let list = b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
            99 22 0:50 / /srv/a\\040b rw,nosuid shared:7 master:1 - fuse.sshfs me@there:/ rw\n\
            98 22 0:51 / /srv/old\\134x rw - nfs4 there:/ rw\n\
            97 22 0:52 / /tmp rw - tmpfs fuse rw\n\
            cut 22 0:53 / /srv/c rw shared:9\n";
        let found: Vec<PathBuf> = slow_mounts(list).collect();
        assert_eq!(found, [Path::new("/srv/a b"), Path::new("/srv/old\\x")]);
    }
}
