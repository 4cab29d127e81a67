//! Values of the options that all strategies share.

use nix::unistd::User;

use crate::option_values::{ERROR_MARK, expected};
use crate::server::LogFormat;
use crate::site::Compress;

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| expected("a number from 0 to 65535"))
}

pub(super) fn user(name: &str) -> Result<User, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(expected("the name of a user of this system")),
        Err(error) => Err(format!("{ERROR_MARK}{error}")),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "none" => Ok(LogFormat::None),
        "short" => Ok(LogFormat::Short),
        "common" => Ok(LogFormat::Common),
        "json" => Ok(LogFormat::Json),
        _ => Err(expected("one of none, short, common, json")),
    }
}

pub(super) fn compress(text: &str) -> Result<Compress, String> {
    match text {
        "off" => Ok(Compress::Off),
        "sidecar" => Ok(Compress::Sidecar),
        "on" => Ok(Compress::On),
        _ => Err(expected("one of off, sidecar, on")),
    }
}
