//! A description of the machine.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::time::SystemTime;

use crate::compare::measure::cores::Cores;
use crate::compare::results::Environment;
use crate::server::machine_memory_bytes;

pub(crate) fn describe(cores: &Cores) -> Environment {
    let uname = rustix::system::uname();
    let string = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let mut remarks = Vec::new();
    if cores.pinned.is_none() {
        remarks.push(match cores.allowed.len() {
            0 | 1 => "There is only one core, shared by server and load: throughput is that of both together. \
                      Compare the CPU time per request."
                .to_owned(),
            _ => "Server and load could not be pinned to separate cores.".to_owned(),
        });
    }
    if cpuinfo.contains("hypervisor") {
        remarks.push("A virtual machine: others may take CPU time away (steal).".to_owned());
    }
    remarks.extend(pacing_remark());
    let profile = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    if cfg!(debug_assertions) {
        remarks.push("A debug build: its figures are not meaningful.".to_owned());
    }
    Environment {
        started_at: timestamp(SystemTime::now()),
        elapsed_seconds: 0,
        kernel: format!("{} {}", string(uname.sysname()), string(uname.release())),
        architecture: string(uname.machine()),
        cpu_model: model.map_or_else(String::new, |(_, name)| name.to_owned()),
        cores: cores.allowed.len() as u32,
        memory_bytes: machine_memory_bytes(),
        server_core: cores.pinned.map(|(server, _)| server),
        client_core: cores.pinned.map(|(_, client)| client),
        versions: BTreeMap::from([(
            "miniweb".to_owned(),
            format!("{}, {profile}", env!("CARGO_PKG_VERSION")),
        )]),
        remarks,
    }
}

/// A remark if the default congestion control of TCP paces; None if it does not, or can't be read.
///
/// Pacing makes TCP wait for a timer between segments. Over loopback, a large file then takes up to
/// four times the CPU time, and how often a timer is needed varies at random.
pub fn pacing_remark() -> Option<String> {
    remark_on(read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").ok()?.trim())
}

fn remark_on(congestion_control: &str) -> Option<String> {
    congestion_control.starts_with("bbr").then(|| {
        format!(
            "TCP uses {congestion_control}, which paces large responses. That costs servers CPU time. \
             For comparable figures: sysctl -w net.ipv4.tcp_congestion_control=cubic"
        )
    })
}

/// `2025-01-31T12:00:00Z`
fn timestamp(now: SystemTime) -> String {
    // httpdate formats it as "Sun, 06 Nov 1994 08:49:37 GMT".
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = httpdate::fmt_http_date(now);
    let month = MONTHS.find(&date[8..11]).map_or(0, |at| at / 3 + 1);
    format!("{}-{month:02}-{}T{}Z", &date[12..16], &date[5..7], &date[17..25])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_congestion_control_that_paces_is_remarked_on() {
        assert!(remark_on("bbr2").is_some_and(|remark| remark.contains(" bbr2, ")));
        assert_eq!(remark_on("cubic"), None);
    }
}
