//! `miniweb compare` as a program: usage errors, measurements, results.
//!
//! The machine that runs the tests is busy, so no test depends on which strategy is faster, except
//! where a large difference is added on purpose.

#[path = "support/comparison.rs"]
mod comparison;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::compare::Contender;
use miniweb::compare::analyse::metric::Metric;
use miniweb::compare::results::{Completeness, ContenderKind, Results, WorkloadKind};
use miniweb::compare::timeline::{ClientKind, StepKind};
use miniweb::server::strategies::setups;
use rustix::process::{Pid, Signal, kill_process};

use comparison::{compare, first_strategy, results};

#[test]
fn usage_errors_name_the_option_and_exit_with_2() {
    let first = first_strategy();
    for (arguments, word) in [
        (&["--strategies", "apache"][..], "apache"),
        (&["--strategies", &format!("{first},{first}")], &first),
        (&["--strategies", &format!("{first}+slow:much")], "+slow"),
        (&["--strategies", &format!("{first}+fast")], "expected '+tls' or '+slow:5us'"),
        (&["--rounds", "0"], "--rounds"),
        (&["--seed", "x"], "--seed"),
        (&["--color", "green"], "--color"),
        (&["--connections", "999999"], "--connections"),
        (&["--against", "nginx"], "expected name=URL or name=URL,PID"),
        (&["--against", "nginx=http://127.0.0.1:1/,x"], "expected name=URL or name=URL,PID"),
        (
            &["--against", "nginx=http://127.0.0.1:1/page.html,1"],
            "URL of a folder, ending with '/'",
        ),
        (&["--against", "nginx=http://127.0.0.1:1/"], "--against needs ROOT"),
        (&["--workloads", "keep-alive,heavy"], "heavy"),
        (&["--baseline", "../main"], "'../main' for '--baseline': expected at most 64 letters"),
        (&["--baseline", "main", "--from", "main"], "--from cannot be combined with --baseline"),
    ] {
        let output = compare(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(word) && stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
    assert_eq!(compare(&["/nowhere"]).status.code(), Some(1));
}

#[test]
fn impossible_requests_are_rejected_before_measuring() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let empty = empty.path().to_str().expect("UTF-8");
    let dead = format!("dead=http://127.0.0.1:1/,{}", std::process::id());
    let first = first_strategy();
    for (arguments, status, words) in [
        (
            &["--html", "/no/such/directory/report.html"][..],
            1,
            "/no/such/directory/report.html: no such file or folder",
        ),
        (&["--json", empty], 1, "it is a folder"),
        (&["--quick", "--time", "1"], 2, "invalid value '1' for '--time': expected at least"),
        (&[empty], 3, "no suitable file found"),
        (&["html", "--strategies", &first, "--against", &dead], 3, "dead: Connection refused"),
    ] {
        let output = compare(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(status), &b""[..]),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_known_handicap_is_measured() {
    let first = first_strategy();
    let slowed = format!("{first}+slow:200us");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "--strategies",
        &format!("{first},{slowed}"),
        "--rounds",
        "2",
        "--seed",
        "7",
        "--idle",
        "20",
        "--slow",
        "4",
    ];
    let results = results(&arguments, directory.path());
    assert_eq!(results.completeness, Completeness::Whole);
    assert_eq!(results.options.seed, 7);
    assert_eq!(
        results
            .contenders
            .iter()
            .filter(|contender| matches!(contender.kind, ContenderKind::Twin { .. }))
            .count(),
        1
    );
    assert_eq!(results.order.len(), 4 * results.workloads.len() * 2, "four contenders, two rounds");
    for cell in &results.cells {
        assert_eq!(cell.failures, Vec::<String>::new(), "{} {}", cell.contender, cell.workload);
        assert_eq!(cell.rounds.len(), 2);
        let values = Metric::SyscallsPerRequest.values(cell);
        let total: f64 = cell.syscalls_per_request().iter().map(|(_, calls)| calls).sum();
        assert!(
            (total - values.iter().sum::<f64>() / 2.0).abs() < 1e-6 || values.is_empty(),
            "{total} of {values:?}"
        );
        for round in &cell.rounds {
            assert!(round.requests > 0, "{} {}", cell.contender, cell.workload);
            assert_eq!(round.latency.count(), round.requests);
            // Windows begin and end without requests in flight, so every call belongs to a counted
            // request, except for the last one of a worker, which is counted a moment later.
            if let Some(calls) = &round.syscalls
                && results
                    .workload(&cell.workload)
                    .is_some_and(|workload| workload.kind == WorkloadKind::KeepAlive)
            {
                // On a busy machine, requests may get no response before the window ends.
                let least = round.requests.saturating_sub(1);
                let most = round.requests + round.errors_total() + 1;
                assert!(
                    (least..=most).contains(&calls["sendto"]),
                    "{} {}: {calls:?} for {}",
                    cell.contender,
                    cell.workload,
                    round.requests
                );
            }
        }
    }
    let cpu_us = |contender: &str| {
        let cell = results.cell("keep-alive-64", contender).expect("the cell was measured");
        let of_all = |of: fn(&miniweb::compare::results::Round) -> u64| {
            cell.rounds.iter().map(of).sum::<u64>() as f64
        };
        of_all(|round| round.cpu.map_or(0, |cpu| cpu.user_us + cpu.system_us))
            / of_all(|round| round.requests)
    };
    let added = cpu_us(&slowed) - cpu_us(&first);
    assert!((150.0..=300.0).contains(&added), "{added} µs for 200 added");
}

/// Every strategy, and every load of a quick run.
#[cfg(feature = "tls")]
#[test]
fn strategies_are_measured_with_and_without_tls() {
    let names: Vec<String> =
        Contender::strategies(false).into_iter().map(|contender| contender.info.name).collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let strategies = names.join(",");
    let few = ["--rounds", "1", "--seed", "7", "--idle", "20", "--slow", "4", "--rate", "200"];
    let arguments = [&["--strategies", &strategies, "--tls", "--time", "55"][..], &few].concat();
    let results = results(&arguments, directory.path());
    for name in &names {
        let encrypted = results.contender(&format!("{name}+tls")).expect("it takes part");
        assert_eq!(encrypted.without_tls.as_ref(), Some(name));
    }
    assert!(results.workload("connection-per-request-resumed").is_some());
    for cell in &results.cells {
        let place = format!("{} {}", cell.contender, cell.workload);
        assert_eq!(cell.failures, Vec::<String>::new(), "{place}");
        let contender = results.contender(&cell.contender).expect("it takes part");
        let workload = results.workload(&cell.workload).expect("it was measured");
        let round = &cell.rounds[0];
        assert!(round.requests > 0, "{place}");
        assert_eq!(round.handshakes.is_some(), contender.without_tls.is_some(), "{place}");
        let Some(handshakes) = round.handshakes else { continue };
        let are_new = workload.requests_per_connection.is_some();
        let (expected, others) = match workload.resumes_sessions {
            true => (handshakes.resumed, handshakes.full),
            false => (handshakes.full, handshakes.resumed),
        };
        assert!(others * 100 <= expected, "{place}: {handshakes:?}");
        assert_eq!(expected >= round.requests, are_new, "{place}: {handshakes:?}");
    }
    let recorded: Vec<&str> = results.timelines.iter().map(|it| &*it.contender).collect();
    assert_eq!(recorded, names, "the clients of timelines have no TLS");
    let reference = results.reference_loop().expect("it takes part");
    assert!(reference.description.ends_with(", without TLS"), "{}", reference.description);
}

#[cfg(feature = "tls")]
#[test]
fn a_contender_with_tls_may_take_part_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let name = format!("{}+tls", first_strategy());
    let few = ["--workloads", "keep-alive-64", "--rounds", "2", "--time", "6"];
    let results = results(&[&["--strategies", &name][..], &few].concat(), directory.path());
    let names: Vec<&str> = results.contenders.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["reference", &name, &format!("{name} again")]);
    assert!(results.cells.iter().all(|cell| cell.failures.is_empty()), "{:?}", results.cells);
    assert_eq!(results.timelines, []);
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_so() {
    let encrypted = format!("{}+tls", first_strategy());
    for arguments in [&["--tls"][..], &["--strategies", &encrypted]] {
        let output = compare(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("this build has no TLS"), "{stderr}");
    }
}

#[test]
fn a_killed_comparison_leaves_no_server_behind() {
    // A killed comparison cannot remove its temporary files; they go with this directory.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut comparison = Command::new(env!("CARGO_BIN_EXE_miniweb"))
        .args(["compare", "--workloads", "keep-alive-64", "--rounds", "1", "--time", "10"])
        .env("TMPDIR", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cargo has built the program");
    let children = |pid: u32| -> Vec<u32> {
        let list =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    let until = |what: &str, mut is_so: Box<dyn FnMut() -> bool + '_>| {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < give_up, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let mut family = Vec::new();
    // Wait for a server with forked children.
    until(
        "there is a server with children",
        Box::new(|| {
            family = children(comparison.id());
            let grandchildren: Vec<u32> =
                family.iter().flat_map(|child| children(*child)).collect();
            family.extend(&grandchildren);
            !grandchildren.is_empty()
        }),
    );
    comparison.kill().expect("the process is running");
    comparison.wait().expect("it is a child of this process");
    let is_running = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    until("all of them exit", Box::new(|| !family.iter().any(is_running)));
}

#[test]
fn without_measurements_the_exit_status_is_3() {
    let output =
        compare(&["--quick", "--strategies", &first_strategy(), "--workloads", "keep-alive-77"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .ends_with("error: nothing valid could be measured\n")
    );
}

#[test]
fn a_run_ends_in_time_with_all_rounds() {
    let strategies = Contender::strategies(true).into_iter().take(2);
    let two: Vec<String> = strategies.map(|contender| contender.info.name).collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let start = Instant::now();
    let results = results(
        &["--strategies", &two.join(","), "--rounds", "3", "--time", "12"],
        directory.path(),
    );
    let took = start.elapsed();
    assert!(took < Duration::from_secs(14), "{took:?}");
    // A busy machine may be too slow for all rounds; then the results say so.
    match results.completeness {
        Completeness::Whole => {
            assert_eq!(results.cells.iter().map(|cell| cell.rounds.len()).min(), Some(3))
        }
        Completeness::Partial { reason } => assert_eq!(reason, "time limit reached"),
    }
}

#[test]
fn an_interrupted_run_reports_partial_results() {
    let first = first_strategy();
    let mut comparison = Command::new(env!("CARGO_BIN_EXE_miniweb"))
        .args([
            "compare",
            "--quick",
            "--strategies",
            &first,
            "--seed",
            "3",
            "--workloads",
            "keep-alive",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo has built the program");
    // The plan is printed before the first measurement.
    let mut stderr = BufReader::new(comparison.stderr.take().expect("stdout and stderr are piped"));
    let mut plan = String::new();
    while !plan.contains("Seed 3.") {
        assert!(stderr.read_line(&mut plan).expect("the pipe is readable") > 0, "{plan}");
    }
    std::thread::sleep(Duration::from_millis(1500));
    let pid = Pid::from_raw(comparison.id().cast_signed()).expect("the process ID is valid");
    kill_process(pid, Signal::INT).expect("the process is running");
    let output = comparison.wait_with_output().expect("it is a child of this process");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.starts_with("Partial: interrupted. "), "{report}");
}

#[test]
fn a_quick_run_has_a_timeline_of_every_strategy() {
    let names: Vec<String> =
        Contender::strategies(false).into_iter().map(|contender| contender.info.name).collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let strategies = names.join(",");
    let arguments =
        ["--strategies", &strategies, "--workloads", "keep-alive", "--rounds", "1", "--time", "16"];
    let results = results(&arguments, directory.path());
    let of: Vec<&str> = results.timelines.iter().map(|timeline| &*timeline.contender).collect();
    assert_eq!(of, names, "{:?}", results.environment.remarks);
    for timeline in &results.timelines {
        let name = &timeline.contender;
        let setup = setups().find(|setup| setup.name == name).expect("it is a set-up");
        assert_eq!(timeline.dropped, 0, "{name}");
        let steps = &timeline.steps;
        assert!(steps.is_sorted_by_key(|step| step.at_us), "{name}: {steps:?}");
        assert!(steps.iter().all(|step| step.at_us <= timeline.duration_us), "{name}: {steps:?}");
        assert!(steps.iter().all(|step| step.worker < timeline.workers.len()), "{name}");
        let has = |client: ClientKind, kinds: &[StepKind]| {
            let client = timeline.client(client).map(|(number, _)| number);
            steps.iter().any(|step| step.client == client && kinds.contains(&step.kind))
        };
        assert!(has(ClientKind::Stuck, &[StepKind::Recv]), "{name}: {steps:?}");
        let (_, quick) = timeline.client(ClientKind::Quick).expect("it takes part");
        let responses = quick.requests.iter().filter_map(|request| request.responded_us);
        if setup.serves_concurrently() {
            assert!(responses.count() > 0, "{name}: {quick:?}");
            let is_full = [StepKind::SendWouldBlock, StepKind::WaitsInSend];
            assert!(has(ClientKind::Slow, &is_full), "{name}: {steps:?}");
        } else {
            assert_eq!(responses.count(), 0, "{name} waits for the stuck client: {quick:?}");
            assert!(has(ClientKind::Stuck, &[StepKind::WaitsInRecv]), "{name}: {steps:?}");
            assert!(!has(ClientKind::Quick, &[StepKind::Accepted]), "{name}: {steps:?}");
        }
        let waits = [StepKind::WaitsForReadiness, StepKind::Polled];
        let is_waiting = steps.iter().any(|step| waits.contains(&step.kind));
        assert_eq!(is_waiting, setup.strategy.is_event_loop, "{name}: {steps:?}");
    }
    let json = serde_json::to_string(&results.timelines).expect("it can be serialized");
    assert!(json.len() < 200 * 1024, "{} bytes", json.len());
}

#[test]
fn results_are_reported_again_without_measuring() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let first = first_strategy();
    let measured = results(
        &["--strategies", &first, "--workloads", "keep-alive", "--rounds", "2", "--time", "8"],
        directory.path(),
    );
    let [from, json, html, markdown, csv] =
        ["results.json", "again.json", "report.html", "report.md", "figures.csv"].map(path);
    let files =
        ["--from", &from, "--json", &json, "--html", &html, "--markdown", &markdown, "--csv", &csv];
    let started = Instant::now();
    let output = compare(&files);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "it measured something");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.lines().count() <= 25, "{stdout}");
    assert!(stdout.ends_with(&format!("Report: file://{html}\n")), "{stdout}");
    let read = |path: &str| std::fs::read_to_string(path).expect("the report was written");
    let again: Results = serde_json::from_str(&read(&json)).expect("the JSON matches the schema");
    assert_eq!(again, measured);
    // Every report has the same figure.
    let cell = measured.cells.iter().find(|cell| cell.contender == first).expect("it was measured");
    let figure = miniweb::compare::analyse::statistics::estimate(Metric::CpuPerRequest, cell);
    let figure = figure.expect("the kernel reports it").median;
    assert!(read(&csv).contains(&format!(",us,{figure},")), "{}", read(&csv));
    for report in [&html, &markdown] {
        assert!(read(report).contains(&Metric::CpuPerRequest.format(figure)), "{report}");
    }
    let verbose = compare(&["--from", &from, "--verbose"]);
    assert!(String::from_utf8_lossy(&verbose.stdout).contains("When each strategy wins"));
}

#[test]
fn two_runs_are_set_side_by_side() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let first = first_strategy();
    let slowed = format!("{first}+slow:200us");
    let few = ["--workloads", "keep-alive-64,open", "--rounds", "5", "--time", "12"];
    for (name, strategy) in [("before.json", &first), ("after.json", &slowed)] {
        results(&[&["--strategies", strategy][..], &few].concat(), directory.path());
        // Under another name, the slowed strategy is the same contender.
        let text = std::fs::read_to_string(path("results.json")).expect("it was written");
        std::fs::write(path(name), text.replace("+slow:200us", "")).expect("it is writable");
    }
    let [before, after, html, markdown, csv] =
        ["before.json", "after.json", "both.html", "both.md", "both.csv"].map(path);
    let both = ["--from", &before, "--from", &after];
    let files = ["--html", &html, "--markdown", &markdown, "--csv", &csv];
    let output = compare(&[&both[..], &files].concat());
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    assert!(stdout.lines().count() <= 25, "{stdout}");
    assert!(stdout.starts_with("after.json ("), "{stdout}");
    assert!(stdout.contains("Their rounds were not"), "{stdout}");
    let csv = std::fs::read_to_string(&csv).expect("it was written");
    let row = csv
        .lines()
        .find(|line| line.starts_with(&format!("keep-alive-64,{first},CPU time per request,us,")));
    let row: Vec<&str> = row.expect("it was measured twice").split(',').collect();
    let [before_us, after_us]: [f64; 2] =
        [row[4], row[5]].map(|value| value.parse().expect("it is a number"));
    assert!((150.0..=300.0).contains(&(after_us - before_us)), "{row:?}");
    for report in [&html, &markdown] {
        let text = std::fs::read_to_string(report).expect("it was written");
        assert!(text.contains("before.json") && text.contains("were not paired"), "{report}");
    }
    for (arguments, words) in [
        (&["--from", &before, "--from", &after, "--json", &html][..], "--json cannot be combined"),
        (&["--from", &before, "--from", &after, "--from", &after], "--from is given 3 times"),
    ] {
        let output = compare(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn a_run_is_saved_under_a_name_and_found_by_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let site = directory.path().join("site");
    std::fs::create_dir(&site).expect("the directory is writable");
    std::fs::write(site.join("page.html"), "text").expect("the directory is writable");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
        command.arg("compare").args(arguments).env("XDG_DATA_HOME", directory.path());
        // A file of the name would come first.
        command.current_dir(&site).output().expect("cargo has built the program")
    };
    let first = first_strategy();
    let save = || {
        let few = ["--workloads", "connection-per-request", "--rounds", "2", "--time", "6"];
        run(&[&[".", "--strategies", &first, "--baseline", "main"][..], &few].concat())
    };
    let file = directory.path().join("miniweb/baselines/main.json");
    let output = save();
    if output.status.code() == Some(3) {
        assert!(!file.exists(), "nothing valid is not worth saving");
        eprintln!("skipped: the machine is too busy for a valid measurement");
        return;
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.ends_with(&format!("Saved as main: {}\n", file.display())), "{output:?}");
    let read = || std::fs::read_to_string(&file).expect("it was saved");
    let before: Results = serde_json::from_str(&read()).expect("it is a document");
    let again = save();
    if again.status.success() {
        let stdout = String::from_utf8_lossy(&again.stdout);
        let began = &before.environment.started_at;
        assert!(stdout.contains(&format!("Saved as main, in place of the run of {began}: ")));
    }
    assert!(run(&["--from", "main"]).status.success());
    let both = run(&["--from", "main", "--from", "main"]);
    let stdout = String::from_utf8_lossy(&both.stdout);
    assert!(stdout.starts_with("main (") && both.status.success(), "{both:?}");
    let missing = run(&["--from", "other"]);
    let stderr = String::from_utf8_lossy(&missing.stderr);
    assert_eq!(missing.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("other: no such file, and no saved run of this name in "), "{stderr}");
}

#[test]
fn what_cannot_be_reported_again_is_an_error() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let malformed = directory.path().join("malformed.json");
    std::fs::write(&malformed, "{}").expect("the directory is writable");
    let malformed = malformed.to_str().expect("UTF-8");
    for (arguments, status, word) in [
        (&["--from", "/nowhere.json"][..], 1, "/nowhere.json: no such file"),
        (&["--from", malformed], 1, "malformed.json: missing field"),
        (&["--from", malformed, "--quick"], 2, "--from cannot be combined with --quick"),
        (&["--from", malformed, "."], 2, "--from cannot be combined with ROOT"),
    ] {
        let output = compare(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
        assert!(stderr.contains(word) && stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
}
