//! Arguments → settings → run → exit status. Errors go to stderr as one line.

use std::backtrace::{Backtrace, BacktraceStatus};
#[cfg(feature = "compare")]
mod comparison;
mod output;

use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use miniweb::cli::{self, Banner, Failure, Invocation, Running};
use miniweb::format::reason;
use miniweb::server::{ListenAddress, Server};

use output::{fail, print, print_error};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(print_panic));
    let (settings, banner) = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Serve(settings, banner)) => (settings, banner),
        Ok(Invocation::Print(text)) => return print(&text),
        #[cfg(feature = "compare")]
        Ok(Invocation::Compare(request, options)) => {
            return comparison::compare(&request, &options);
        }
        #[cfg(feature = "compare")]
        Ok(Invocation::Report(file, options)) => return comparison::report_from(&file, &options),
        #[cfg(feature = "compare")]
        Ok(Invocation::SideBySide(files, options)) => {
            return comparison::side_by_side(&files, &options);
        }
        #[cfg(feature = "compare")]
        Ok(Invocation::ReferenceLoop(root, paths)) => {
            return comparison::serve_reference_loop(&root, &paths);
        }
        Err(Failure::Usage(message)) => return fail(2, &message),
        Err(Failure::Unavailable(message)) => return fail(1, &message),
    };
    #[cfg(feature = "compare")]
    let is_compared = settings.counters_file.is_some();
    let ran = Server::open(*settings).and_then(|server| {
        // A server started by a comparison reports its resource usage, from a thread that must not
        // start earlier.
        #[cfg(feature = "compare")]
        if is_compared {
            miniweb::compare::measure::control_socket::serve()?;
        }
        let admin = server.admin_address().cloned();
        let redirect = server.redirect_address().cloned();
        let fingerprint = server.certificate_fingerprint().map(str::to_owned);
        server.run(move |addresses| {
            let at_terminal = std::io::stdout().is_terminal();
            let (admin, redirect) = (admin.as_ref(), redirect.as_ref());
            let fingerprint = fingerprint.as_deref();
            let running = Running { addresses, admin, redirect, fingerprint };
            print(&banner.text(&running, at_terminal));
            if banner.opens_browser {
                open_browser(&banner, addresses);
            }
        })
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &reason(&error)),
    }
}

/// Opens the site in the user's browser. A failure is reported, and the server goes on.
fn open_browser(banner: &Banner, addresses: &[ListenAddress]) {
    let opened = banner.browser_url(addresses).map(|url| (open::that_detached(&url), url));
    if let Some((Err(error), url)) = opened {
        print_error(&format!("--open: cannot open {url} in a browser: {}", reason(&error)));
    }
}

/// Prints a panic as one line, because its message may quote what a client sent. The backtrace
/// that RUST_BACKTRACE asks for follows.
fn print_panic(panic: &PanicHookInfo<'_>) {
    print_error(&format!("bug: {}", panic.to_string().replacen('\n', " ", 1)));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = write!(std::io::stderr(), "{backtrace}");
    }
}
