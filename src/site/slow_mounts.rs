//! Detects file systems whose system calls may take seconds: FUSE and network file systems.
//!
//! Mounts beneath a directory are read from the kernel's mount table and judged by the name of
//! their type. A statfs of each mount point would block if its server is unreachable.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The `f_type` of statfs(2) for FUSE, NFS, SMB1, SMB2/3, 9P, Ceph and AFS.
const MAGICS: [u32; 7] =
    [0x6573_5546, 0x6969, 0x517b, 0xfe53_4d42, 0x0102_1997, 0x00c3_6400, 0x5346_414f];
/// Their types in proc_pid_mountinfo(5). A FUSE file system may append its own name after a dot.
const TYPES: [&[u8]; 10] =
    [b"fuse", b"fuseblk", b"nfs", b"nfs4", b"cifs", b"smb3", b"9p", b"ceph", b"afs", b"virtiofs"];

/// Whether `magic`, the `f_type` of a file system, is that of a slow one.
pub fn is_slow(magic: u32) -> bool {
    MAGICS.contains(&magic)
}

/// Whether a slow file system is mounted beneath `directory`. False if /proc is not mounted.
pub fn exist_beneath(directory: &Path) -> bool {
    let Ok(directory) = fs::canonicalize(directory) else {
        return false;
    };
    let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
    slow_mount_points(&mountinfo).any(|point| point.starts_with(&directory))
}

fn slow_mount_points(mountinfo: &[u8]) -> impl Iterator<Item = PathBuf> {
    mountinfo.split(|b| *b == b'\n').filter_map(|line| {
        let mut words = line.split(|b| *b == b' ');
        let point = words.nth(4)?;
        // After the mount point come options and any number of tags, then a hyphen and the type.
        let full_type = words.skip_while(|word| *word != b"-").nth(1)?;
        let base_type = full_type.split(|b| *b == b'.').next()?;
        TYPES.contains(&base_type).then(|| OsString::from_vec(unescape(point)).into())
    })
}

/// Decodes a mount point: space, tab, line feed and backslash are written as three octal digits.
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
    fn slow_mount_points_are_found_in_mountinfo() {
        let mountinfo = b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
            99 22 0:50 / /srv/a\\040b rw,nosuid shared:7 master:1 - fuse.sshfs me@there:/ rw\n\
            98 22 0:51 / /srv/old\\134x rw - nfs4 there:/ rw\n\
            97 22 0:52 / /tmp rw - tmpfs fuse rw\n\
            cut 22 0:53 / /srv/c rw shared:9\n";
        let found: Vec<PathBuf> = slow_mount_points(mountinfo).collect();
        assert_eq!(found, [Path::new("/srv/a b"), Path::new("/srv/old\\x")]);
    }
}
