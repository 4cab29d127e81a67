//! The part of the HTML report that describes how the results were measured.

use std::fmt::{self, Write};

use crate::compare::report::svg::escape;
use crate::compare::results::{Pacing, Results, Workload};
use crate::format::{self, counted};

pub(super) const ID: &str = "method";
pub(super) const TITLE: &str = "How it was measured";

/// Everything needed to repeat the comparison or to question it.
pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    let (environment, options) = (&results.environment, &results.options);
    let core =
        |core: Option<u32>| core.map_or("not pinned".to_owned(), |core| format!("core {core}"));
    let versions = environment.versions.iter().map(|(name, version)| format!("{name} {version}"));
    let mut rows = vec![
        ("command".to_owned(), options.command.clone()),
        ("site".to_owned(), options.site.clone()),
        ("seed".to_owned(), options.seed.to_string()),
        ("rounds".to_owned(), options.rounds.to_string()),
        (
            "warm-up, window".to_owned(),
            format!("{} ms, {} ms", options.warm_up_ms, options.window_ms),
        ),
    ];
    rows.extend(
        options.settings.iter().map(|setting| (setting.name.clone(), setting.value.clone())),
    );
    rows.extend([
        (
            "started, duration".to_owned(),
            format!("{}, {} s", environment.started_at, environment.elapsed_seconds),
        ),
        (
            "processor".to_owned(),
            format!("{}, {}", environment.cpu_model, counted(environment.cores, "core")),
        ),
        ("memory".to_owned(), format::bytes(environment.memory_bytes)),
        ("system".to_owned(), format!("{}, {}", environment.kernel, environment.architecture)),
        ("server core".to_owned(), core(environment.server_core)),
        ("client core".to_owned(), core(environment.client_core)),
        ("versions".to_owned(), versions.collect::<Vec<_>>().join("; ")),
        ("equal responses to".to_owned(), results.response_check.requests.join("; ")),
        ("equal status and body only".to_owned(), results.response_check.bodies_only.join(", ")),
        ("not checked".to_owned(), results.response_check.exempt.join(", ")),
    ]);
    rows.extend(
        results
            .contenders
            .iter()
            .map(|contender| (format!("contender {}", contender.name), contender.command.clone())),
    );
    rows.extend(
        results
            .workloads
            .iter()
            .map(|workload| (format!("workload {}", workload.name), describe_workload(workload))),
    );
    write!(
        out,
        "<section id=\"{ID}\">\n<details>\n<summary><h2>{TITLE}</h2></summary>\n<div class=\"scroll\"><table class=\"settings\">\n<tbody>\n"
    )?;
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(name),
            escape(value)
        )?;
    }
    out.push_str(
        "</tbody>\n</table></div>\n<p class=\"intro\">The order of the measurements is in the JSON file, \
         and under <code>--verbose</code>.</p>\n</details>\n",
    );
    out.push_str("</section>\n");
    Ok(())
}

fn describe_workload(workload: &Workload) -> String {
    let pacing = match workload.pacing {
        Pacing::Closed => "closed loop".to_owned(),
        Pacing::Open { requests_per_second } => {
            format!("open loop at {requests_per_second} requests/s")
        }
    };
    let mut parts = vec![
        pacing,
        counted(workload.connections, "connection"),
        format!("{} of them idle", workload.idle_connections),
        format!("pipeline depth {}", workload.pipeline_depth),
        format!("{} of {}", workload.path, format::bytes(workload.body_bytes)),
    ];
    parts.extend(
        workload.requests_per_connection.map(|count| format!("a new connection after {count}")),
    );
    parts.extend(workload.resumes_sessions.then(|| "TLS sessions are resumed".to_owned()));
    parts.extend(
        workload.reader_bytes_per_second.map(|bytes| format!("read at {}/s", format::bytes(bytes))),
    );
    parts.join(", ")
}
