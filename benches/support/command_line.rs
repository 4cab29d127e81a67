//! The command line of the benches that have options, and how such a bench ends.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argh::FromArgs;
use signal_hook::consts::{SIGINT, SIGTERM};

/// A message, and the exit status.
pub type Failure = (String, u8);

/// The options; None if they ask for help, which has then been printed.
pub fn parse<T: FromArgs>(bench: &str) -> Result<Option<T>, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match T::from_args(&[bench], &arguments) {
        Ok(options) => Ok(Some(options)),
        Err(exit) if exit.status.is_ok() => {
            println!("{}", exit.output);
            Ok(None)
        }
        Err(exit) => Err(usage_failure(exit.output)),
    }
}

pub fn usage_failure(message: String) -> Failure {
    const USAGE_STATUS: u8 = 2;
    (message, USAGE_STATUS)
}

pub fn failure(error: io::Error) -> Failure {
    (format!("error: {error}"), 1)
}

/// Prints what went wrong.
pub fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, status)) => {
            eprintln!("{}", message.trim_end());
            ExitCode::from(status)
        }
    }
}

/// Those of `all` whose names are in `names`, which are separated by commas.
pub fn named<T>(
    option: &str,
    names: Option<&str>,
    all: Vec<T>,
    name_of: impl Fn(&T) -> &'static str,
) -> Result<Vec<T>, String> {
    let Some(names) = names else { return Ok(all) };
    let known: Vec<&str> = all.iter().map(&name_of).collect();
    let names: Vec<&str> = names.split(',').collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        let known = known.join(", ");
        return Err(format!(
            "error: invalid value '{unknown}' for '{option}': expected one of {known}"
        ));
    }
    Ok(all.into_iter().filter(|item| names.contains(&name_of(item))).collect())
}

/// Those of `servers` that can be measured here. The others are named in the output.
pub fn installed<T>(
    servers: Vec<T>,
    name_of: impl Fn(&T) -> &'static str,
    is_installed: impl Fn(&T) -> bool,
) -> Vec<T> {
    let is_kept = |server: &T| {
        let is_installed = is_installed(server);
        if !is_installed {
            println!("skipped: {} is not installed", name_of(server));
        }
        is_installed
    };
    servers.into_iter().filter(is_kept).collect()
}

pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number <= 1e6 => Ok(number),
        _ => Err("expected a number from above 0 to 1000000".to_owned()),
    }
}

/// A signal ends a bench between two measurements, so that it stops its servers and removes its
/// files.
pub struct Interruption(Arc<AtomicBool>);

impl Interruption {
    pub fn register() -> io::Result<Interruption> {
        let is_interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, is_interrupted.clone())?;
        }
        Ok(Interruption(is_interrupted))
    }

    /// Err once a signal has arrived.
    pub fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}
