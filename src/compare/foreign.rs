//! What has to be true of a foreign server before it takes part, and what the reports have to say
//! of it.

use crate::compare::contender::{Contender, ForeignServer, Origin};
use crate::compare::measure::bench::Bench;
use crate::compare::measure::pinning::PinnedServer;
use crate::compare::measure::response_check::check_foreign;
use crate::compare::results::{Environment, ResponseCheck};
use crate::format::reason;

/// Headers cost time to make and to send. With a difference of more than this share, the reports
/// say so.
const HEAD_DIFFERENCE_MAX: f64 = 0.25;

/// Checks the responses of every foreign server, and adds remarks on how far it can be compared.
/// `head_bytes` is the length of the strategies' headers.
///
/// # Errors
/// What differs between its responses and the files of the site, and how to make it equal.
pub(super) fn admit(
    bench: &Bench,
    contenders: &[Contender],
    head_bytes: Option<usize>,
    environment: &mut Environment,
    response_check: &mut ResponseCheck,
) -> Result<(), String> {
    for contender in contenders {
        let Origin::Foreign(server) = &contender.origin else { continue };
        let name = &contender.info.name;
        let headers =
            check_foreign(server, &bench.site).map_err(|error| format!("{name}: {error}"))?;
        response_check.bodies_only.push(name.clone());
        if let Some(version) = headers.version {
            environment.versions.insert(name.clone(), version);
        }
        let sent = headers.head_bytes;
        let differs =
            |ours: &usize| sent.abs_diff(*ours) as f64 > HEAD_DIFFERENCE_MAX * *ours as f64;
        if let Some(ours) = head_bytes.filter(differs) {
            environment.remarks.push(format!(
                "{name} sends {sent} bytes of headers with the small file, the strategies {ours}, \
                 both without Date."
            ));
        }
        environment.remarks.extend(unpinned(bench, name, server));
    }
    Ok(())
}

/// Why a foreign server does not run on the server's core, if it does not.
fn unpinned(bench: &Bench, name: &str, server: &ForeignServer) -> Option<String> {
    let Some(pid) = server.pid else {
        return Some(format!(
            "{name} has no process ID (--against name=URL,PID), so it is not pinned to a core, and \
             its CPU time, memory and context switches are not measured."
        ));
    };
    let (core, _) = bench.cores.pinned?;
    let error = PinnedServer::pin(pid, core).err()?;
    Some(format!(
        "{name} is not pinned to the server's core: {}. Its threads may use other cores.",
        reason(&error)
    ))
}
