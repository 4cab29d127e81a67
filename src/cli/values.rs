//! Values of the options that all strategies share.

use std::ffi::CString;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use nix::unistd::{Gid, User};

use crate::option_values::{ERROR_MARK, expected};
use crate::server::{ListenAddress, LogFormat};
use crate::site::Compress;

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| expected("a number from 0 to 65535"))
}

/// Permission bits in octal, as for chmod(1).
pub(super) fn permission_bits(text: &str) -> Result<u32, String> {
    let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o777);
    // from_str_radix takes a sign.
    let bits = bits.filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    bits.ok_or_else(|| expected("permission bits in octal, such as 0660"))
}

/// A user by name or by number; a number may be followed by that of a group.
pub(super) fn user(name: &str) -> Result<User, String> {
    let (uid, gid) = name.split_once(':').map_or((name, None), |(uid, gid)| (uid, Some(gid)));
    if let Ok(uid) = uid.parse::<u32>() {
        let gid = gid.map(|gid| gid.parse::<u32>().map_err(|_| expected("UID:GID, two numbers")));
        return Ok(user_by_number(name, uid, gid.transpose()?));
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(expected("the name of a user of this system, or a number")),
        Err(error) => Err(format!("{ERROR_MARK}{error}")),
    }
}

/// The user need not exist in the database of users: in a container there may be none. Its group is
/// then the one with the same number.
fn user_by_number(name: &str, uid: u32, gid: Option<u32>) -> User {
    let known = User::from_uid(uid.into()).ok().flatten();
    let user = known.unwrap_or_else(|| User {
        name: name.to_owned(),
        passwd: CString::default(),
        uid: uid.into(),
        gid: uid.into(),
        gecos: CString::default(),
        dir: PathBuf::default(),
        shell: PathBuf::default(),
    });
    User { gid: gid.map_or(user.gid, Gid::from), ..user }
}

/// The address of the admin listener.
pub(super) fn admin_address(text: &str) -> Result<ListenAddress, String> {
    listen_address(text, "HOST:PORT with a host of this machine, or unix:PATH")
}

fn listen_address(text: &str, what: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err(expected(what)),
        Some(path) => Ok(ListenAddress::Unix(path.into())),
        None => {
            let first = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
            first.map(ListenAddress::Tcp).ok_or_else(|| expected(what))
        }
    }
}

/// The address of the listener that redirects to HTTPS.
#[derive(Clone, Debug)]
pub(super) enum RedirectAddress {
    /// A port of the host that the server listens on.
    Port(u16),
    Address(ListenAddress),
}

pub(super) fn redirect_address(text: &str) -> Result<RedirectAddress, String> {
    match text.strip_prefix(':').unwrap_or(text).parse() {
        Ok(port) => Ok(RedirectAddress::Port(port)),
        Err(_) => listen_address(text, "HOST:PORT with a host of this machine, :PORT or unix:PATH")
            .map(RedirectAddress::Address),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "none" => Ok(LogFormat::None),
        "short" => Ok(LogFormat::Short),
        "common" => Ok(LogFormat::Common),
        "combined" => Ok(LogFormat::Combined),
        "json" => Ok(LogFormat::Json),
        _ => Err(expected("one of none, short, common, combined, json")),
    }
}

/// The size of the file caches in bytes: 0, or at least 1 MiB.
pub(super) fn cache_size(text: &str) -> Result<u64, String> {
    const MIN: u64 = 1024 * 1024;
    let size = parse_size::Config::new().with_binary().parse_size(text);
    // A small number without a unit, such as 64, is probably meant in megabytes.
    let is_possible = |size: &u64| *size == 0 || *size >= MIN;
    size.ok().filter(is_possible).ok_or_else(|| expected("0, or at least 1M, such as 64M or 1G"))
}

pub(super) fn compress(text: &str) -> Result<Compress, String> {
    match text {
        "off" => Ok(Compress::Off),
        "sidecar" => Ok(Compress::Sidecar),
        "on" => Ok(Compress::On),
        _ => Err(expected("one of off, sidecar, on")),
    }
}
