//! Runs a comparison and writes its reports, and runs the reference loop that a comparison has
//! started.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use miniweb::cli::{self, ReportFiles, ReportOptions, SavedRun};
use miniweb::compare::baselines::Saved;
use miniweb::compare::measure::{control_socket, reference_loop};
use miniweb::compare::report::{self, Progress, TwoRuns};
use miniweb::compare::request::{CompareError, Request};
use miniweb::compare::results::Results;
use miniweb::compare::run::{self, Event};
use miniweb::format::{printable, reason};
use miniweb::server::ListenAddress;

use crate::output::{fail, print};

pub fn compare(request: &Request, options: &ReportOptions) -> ExitCode {
    // Before the measurements, which may take ten minutes.
    if let Some(error) = unwritable(options) {
        return fail(1, &error.to_string());
    }
    let is_terminal = std::io::stderr().is_terminal();
    let mut progress = None;
    // A closed stderr does not stop the measurements.
    let results = run::compare(request, &mut |event| match event {
        Event::Planned(results, expected) => {
            let _ = std::io::stderr()
                .write_all(report::plan(results, expected, options.verbose).as_bytes());
            progress = Some(Progress::new(std::io::stderr(), is_terminal));
        }
        Event::Measuring { measurement, done, planned, elapsed } => {
            let label = format!("{}, {}", measurement.workload, measurement.contender);
            let of = (done, planned);
            let _ = progress.as_mut().map(|progress| progress.draw(of, elapsed, &label));
        }
        Event::Recording { contender, measured, elapsed } => {
            let label = format!("one second of {contender}");
            let of = (measured, measured);
            let _ = progress.as_mut().map(|progress| progress.draw(of, elapsed, &label));
        }
    });
    let _ = progress.map(|mut progress| progress.clear());
    let results = match results {
        Ok(results) => results,
        Err(CompareError::Io(error)) => {
            return fail(3, &format!("cannot measure: {}", reason(&error)));
        }
        Err(CompareError::TimeTooShort(why)) => return fail(2, &why),
        Err(CompareError::ResponsesDiffer(why)) => {
            return fail(3, &format!("the servers cannot be compared: {why}"));
        }
    };
    finish(&results, options)
}

/// Reports the results in a file of `--json` again.
pub fn report_from(run: &SavedRun, options: &ReportOptions) -> ExitCode {
    if let Some(error) = unwritable(options) {
        return fail(1, &error.to_string());
    }
    match report::read_json(&run.file) {
        Ok(results) => finish(&results, options),
        Err(error) => fail(1, &error.to_string()),
    }
}

/// Sets the results in two files side by side.
pub fn side_by_side(saved: &[SavedRun; 2], options: &ReportOptions) -> ExitCode {
    if let Some(error) = unwritable(options) {
        return fail(1, &error.to_string());
    }
    let [before, after] = match saved.each_ref().map(|run| report::read_json(&run.file)) {
        [Ok(before), Ok(after)] => [before, after],
        [Err(error), _] | [_, Err(error)] => return fail(1, &error.to_string()),
    };
    let runs = TwoRuns::new(names_of(saved), [&before, &after]);
    let stdout = std::io::stdout();
    let is_colored = is_colored(options);
    let ReportFiles { html, markdown, csv, .. } = &options.files;
    let written =
        report::write_side_by_side(&runs, html.as_deref(), markdown.as_deref(), csv.as_deref());
    let mut out = stdout.lock();
    let columns = cli::terminal_columns(COLUMNS_MAX);
    let mut printed =
        report::side_by_side::print(&runs, &mut out, is_colored, columns, options.verbose);
    if let (true, Ok(()), Some(path)) = (printed.is_ok(), &written, html) {
        printed = print_link(&mut out, path);
    }
    match written.and(printed) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(1, &error.to_string()),
        _ if runs.any_comparable() => ExitCode::SUCCESS,
        _ => fail(
            3,
            "nothing could be compared: no cell that both runs have passed its checks in both",
        ),
    }
}

/// The names of the runs, without the directories of files unless the names are equal.
fn names_of(saved: &[SavedRun; 2]) -> [String; 2] {
    let short = saved.each_ref().map(|run| Path::new(&run.name).file_name());
    match short.map(|name| name.map(|name| name.to_string_lossy().into_owned())) {
        [Some(before), Some(after)] if before != after => [before, after],
        _ => saved.each_ref().map(|run| run.name.clone()),
    }
}

fn is_colored(options: &ReportOptions) -> bool {
    let is_terminal = std::io::stdout().is_terminal();
    options.color.is_colored(is_terminal, std::env::var_os("NO_COLOR").as_deref())
}

fn print_link(out: &mut impl Write, path: &Path) -> std::io::Result<()> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    writeln!(out, "Report: file://{}", printable(&path.display().to_string()))
}

fn unwritable(options: &ReportOptions) -> Option<std::io::Error> {
    if let Some((_, baselines)) = &options.files.baseline
        && let Err(error) = baselines.prepare()
    {
        return Some(error);
    }
    options.files.iter().find_map(|path| report::writable(path).err())
}

fn finish(results: &Results, options: &ReportOptions) -> ExitCode {
    match report(results, options) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(1, &error.to_string()),
        _ if report::any_valid(results) => ExitCode::SUCCESS,
        _ => fail(3, "nothing valid could be measured"),
    }
}

/// Writes all reports, even if one of them fails: the measurements took long.
fn report(results: &Results, options: &ReportOptions) -> std::io::Result<()> {
    let stdout = std::io::stdout();
    let is_colored = is_colored(options);
    let ReportFiles { html, json, markdown, csv, baseline } = &options.files;
    let json = json.as_ref().map_or(Ok(()), |path| report::write_json(results, path));
    let html_written = html.as_ref().map_or(Ok(()), |path| report::write_html(results, path));
    let markdown = markdown.as_ref().map_or(Ok(()), |path| report::write_markdown(results, path));
    let csv = csv.as_ref().map_or(Ok(()), |path| report::write_csv(results, path));
    let mut out = stdout.lock();
    let mut printed = match options.verbose {
        true => report::print_tables(results, &mut out, is_colored),
        false => {
            let columns = cli::terminal_columns(COLUMNS_MAX);
            report::print_summary(results, &mut out, is_colored, columns)
        }
    };
    if let (true, Ok(()), Some(path)) = (printed.is_ok(), &html_written, html) {
        printed = print_link(&mut out, path);
    }
    let saved = match baseline {
        // Results without any valid cell would only replace better ones.
        Some((name, baselines)) if report::any_valid(results) => {
            baselines.save(name, results).and_then(|saved| print_saved(&mut out, name, &saved))
        }
        _ => Ok(()),
    };
    json.and(html_written).and(markdown).and(csv).and(saved).and(printed)
}

fn print_saved(out: &mut impl Write, name: &str, saved: &Saved) -> std::io::Result<()> {
    let path = printable(&saved.path.display().to_string());
    let replaced = saved.replaced.as_ref();
    let replaced = replaced.map(|began| format!(", in place of the run of {}", printable(began)));
    writeln!(out, "Saved as {name}{}: {path}", replaced.unwrap_or_default())
}

/// A wider table is harder to read.
const COLUMNS_MAX: usize = 130;

pub fn serve_reference_loop(root: &Path, paths: &[PathBuf]) -> ExitCode {
    let ran = control_socket::serve().and_then(|()| {
        reference_loop::serve(root, paths, |address| {
            print(&format!(
                "Serving the reference loop on {}\n",
                cli::url("http", &ListenAddress::Tcp(address))
            ));
        })
    });
    ran.map_or_else(|error| fail(1, &reason(&error)), |()| ExitCode::SUCCESS)
}
