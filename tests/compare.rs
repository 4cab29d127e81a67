//! `miniweb compare` as a program: what it refuses, what it measures, what it finds.
//!
//! The machine that runs tests is busy, so nothing here depends on who is faster but where the difference is made on
//! purpose and large.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use miniweb::compare::analyse::metric::Metric;
use miniweb::compare::results::{Completeness, ContenderKind, Results, WorkloadKind};
use rustix::process::{Pid, Signal, kill_process};

fn compare(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
    command
        .arg("compare")
        .args(arguments)
        .output()
        .expect("the program was built together with this test")
}

fn results(arguments: &[&str], folder: &Path) -> Results {
    let path = folder.join("results.json");
    let output = compare(
        &[arguments, &["--quick", "--color", "never", "--json", path.to_str().expect("UTF-8")]]
            .concat(),
    );
    // 3: this machine was too busy for a verdict. The rounds are there all the same.
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {told}", output.status);
    let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {told}"));
    serde_json::from_str(&json).expect("it is the schema's JSON")
}

#[test]
fn a_usage_error_names_its_option_and_ends_with_2() {
    for (arguments, word) in [
        (&["--strategies", "apache"][..], "apache"),
        (&["--strategies", "mio,mio"], "mio"),
        (&["--strategies", "mio+slow:much"], "+slow"),
        (&["--rounds", "0"], "--rounds"),
        (&["--seed", "x"], "--seed"),
        (&["--color", "green"], "--color"),
        (&["--connections", "999999"], "--connections"),
        (&["--against", "nginx"], "--against"),
        (&["--workloads", "keep-alive,heavy"], "heavy"),
    ] {
        let output = compare(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(word) && told.lines().count() == 1, "{arguments:?}: {told}");
    }
    assert_eq!(compare(&["/nowhere"]).status.code(), Some(1));
}

#[test]
fn what_can_not_be_done_is_said_before_anything_is_measured() {
    let empty = tempfile::tempdir().expect("a folder");
    let empty = empty.path().to_str().expect("UTF-8");
    let dead = format!("dead=http://127.0.0.1:1/,{}", std::process::id());
    for (arguments, status, words) in [
        (
            &["--html", "/no/such/folder/report.html"][..],
            1,
            "/no/such/folder/report.html: no such file or folder",
        ),
        (&["--json", empty], 1, "it is a folder"),
        (&["--quick", "--time", "1"], 2, "--time 1: 420 windows take"),
        (&[empty], 3, "there is no file in it to ask for"),
        (&["--strategies", "mio", "--against", &dead], 3, "dead: Connection refused"),
    ] {
        let output = compare(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(status), &b""[..]),
            "{arguments:?}: {told}"
        );
        assert!(told.contains(words) && told.lines().count() == 1, "{arguments:?}: {told}");
    }
}

#[test]
fn every_turn_is_measured_and_a_handicap_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "--strategies",
        "mio,mio+slow:200us",
        "--rounds",
        "2",
        "--seed",
        "7",
        "--idle",
        "20",
        "--slow",
        "4",
    ];
    let results = results(&arguments, folder.path());
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
        let told: f64 = cell.syscalls_per_request().iter().map(|(_, calls)| calls).sum();
        assert!(
            (told - values.iter().sum::<f64>() / 2.0).abs() < 1e-6 || values.is_empty(),
            "{told} of {values:?}"
        );
        for round in &cell.rounds {
            assert!(round.requests > 0, "{} {}", cell.contender, cell.workload);
            assert_eq!(round.latency.count(), round.requests);
            // WindowLengths begin and end at rest, so the calls are those of the requests and of no others; but for the last one
            // of a worker, which is entered a moment after it was made.
            if let Some(calls) = &round.syscalls
                && results
                    .workload(&cell.workload)
                    .is_some_and(|workload| workload.kind == WorkloadKind::KeepAlive)
            {
                let apart = calls["sendto"].abs_diff(round.requests + round.errors_total());
                assert!(
                    apart <= 1,
                    "{} {}: {calls:?} for {}",
                    cell.contender,
                    cell.workload,
                    round.requests
                );
            }
        }
    }
    let cpu_us = |contender: &str| {
        let cell = results.cell("keep-alive-64", contender).expect("it was measured");
        let of_all = |of: fn(&miniweb::compare::results::Round) -> u64| {
            cell.rounds.iter().map(of).sum::<u64>() as f64
        };
        of_all(|round| round.cpu.map_or(0, |cpu| cpu.user_us + cpu.system_us))
            / of_all(|round| round.requests)
    };
    let added = cpu_us("mio+slow:200us") - cpu_us("mio");
    assert!((150.0..=300.0).contains(&added), "{added} µs for 200 added");
}

#[test]
fn a_comparison_that_is_killed_leaves_no_server_behind() {
    // What it can't take away itself any more goes with this.
    let folder = tempfile::tempdir().expect("a folder");
    let mut comparison = Command::new(env!("CARGO_BIN_EXE_miniweb"))
        .args(["compare", "--quick", "--strategies", "blocking:process", "--rounds", "1"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it was built");
    let children = |pid: u32| -> Vec<u32> {
        let list =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    let until = |what: &str, mut is_so: Box<dyn FnMut() -> bool + '_>| {
        let give_up = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < give_up, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let mut family = Vec::new();
    // A server with forked children of its own.
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
    comparison.kill().expect("it lives");
    comparison.wait().expect("it is a child");
    let lives = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    until("all of them end", Box::new(|| !family.iter().any(lives)));
}

#[test]
fn where_nothing_is_measured_the_status_is_3() {
    let output = compare(&["--quick", "--strategies", "mio", "--workloads", "keep-alive-77"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .ends_with("miniweb: nothing valid could be measured\n")
    );
}

#[test]
fn a_run_ends_in_its_time_with_all_rounds_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Instant::now();
    let results =
        results(&["--strategies", "mio,poll-list", "--rounds", "3", "--time", "12"], folder.path());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(14), "{took:?}");
    // A machine that is busy with other tests may be too slow for all of them, and then it is said.
    match results.completeness {
        Completeness::Whole => {
            assert_eq!(results.cells.iter().map(|cell| cell.rounds.len()).min(), Some(3))
        }
        Completeness::Partial { reason } => assert_eq!(reason, "the time was up"),
    }
}

#[test]
fn who_is_interrupted_tells_what_was_measured() {
    let mut comparison = Command::new(env!("CARGO_BIN_EXE_miniweb"))
        .args([
            "compare",
            "--quick",
            "--strategies",
            "mio",
            "--seed",
            "3",
            "--workloads",
            "keep-alive",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built");
    // The plan is told before the first measurement.
    let mut told = BufReader::new(comparison.stderr.take().expect("it is piped"));
    let mut plan = String::new();
    while !plan.contains("Seed 3.") {
        assert!(told.read_line(&mut plan).expect("a pipe can be read") > 0, "{plan}");
    }
    std::thread::sleep(Duration::from_millis(1500));
    let pid = Pid::from_raw(comparison.id().cast_signed()).expect("it is a process");
    kill_process(pid, Signal::INT).expect("it lives");
    let output = comparison.wait_with_output().expect("it is a child");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        report.starts_with("PARTIAL: interrupted. ") && report.contains("mio again"),
        "{report}"
    );
}

#[test]
fn a_server_that_is_not_ours_is_measured_where_it_can_be() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("page.html"), vec![b'x'; 500]).expect("a new file");
    let mut other = Command::new(env!("CARGO_BIN_EXE_miniweb"));
    other.arg("mio").arg(folder.path()).args(["--port", "0", "--log", "none", "--workers", "1"]);
    let mut other = other.stdout(Stdio::piped()).spawn().expect("it was built");
    let mut line = String::new();
    let stdout = other.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line comes");
    let url = line
        .split(' ')
        .find(|word| word.starts_with("http://"))
        .expect("it says where")
        .trim()
        .to_owned();
    let against = format!("other={url}page.html,{}", other.id());
    let arguments = [
        "--strategies",
        "mio",
        "--against",
        &against,
        "--workloads",
        "keep-alive,large-file",
        "--rounds",
        "1",
    ];
    let results = results(&arguments, folder.path());
    let _ = other.kill();
    let _ = other.wait();
    let cell = results.cell("keep-alive-64", "other").expect("it was measured");
    let round = cell.rounds.first().unwrap_or_else(|| panic!("{:?}", cell.failures));
    assert!(round.requests > 0 && round.cpu.is_some() && round.syscalls.is_none());
    assert!(results.cell("large-file", "other").is_none(), "what it serves is one small file");
}
