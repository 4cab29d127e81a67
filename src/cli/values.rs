//! The values of options, one by one: a text → what it means, or what it should have been.

use std::num::NonZeroUsize;
use std::time::Duration;

use nix::unistd::User;

use super::strategies::ModelName;
use crate::server::LogFormat;
use crate::site::Compress;

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a number from 0 to 65535 is needed".to_owned())
}

pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number, 1 or more, is needed".to_owned())
}

pub(super) fn microseconds(text: &str) -> Result<Duration, String> {
    text.parse::<u32>()
        .map(|us| Duration::from_micros(us.into()))
        .map_err(|_| "a whole number of microseconds is needed".to_owned())
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    // A century: past it a deadline can't be reckoned, and nobody means it.
    const MAX: f64 = 100.0 * 366.0 * 86_400.0;
    match text.parse::<f64>() {
        // A socket's timeout has microseconds, and 0 of them mean for ever.
        Ok(seconds) if (0.001..=MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds is needed, 0.001 or more".to_owned()),
    }
}

pub(super) fn user(name: &str) -> Result<User, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err("there is no such user".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "none" => Ok(LogFormat::None),
        "short" => Ok(LogFormat::Short),
        "common" => Ok(LogFormat::Common),
        "json" => Ok(LogFormat::Json),
        _ => Err("it is none, short, common or json".to_owned()),
    }
}

pub(super) fn compress(text: &str) -> Result<Compress, String> {
    match text {
        "off" => Ok(Compress::Off),
        "sidecar" => Ok(Compress::Sidecar),
        "on" => Ok(Compress::On),
        _ => Err("it is off, sidecar or on".to_owned()),
    }
}

pub(super) fn model_name(text: &str) -> Result<ModelName, String> {
    match text {
        "iterative" => Ok(ModelName::Iterative),
        "process" => Ok(ModelName::Process),
        "thread" => Ok(ModelName::Thread),
        "pool" => Ok(ModelName::Pool),
        _ => Err("it is iterative, process, thread or pool".to_owned()),
    }
}
