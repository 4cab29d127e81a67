//! Completions in real shells, and the manual page.

use std::process::{Command, Stdio};

use miniweb::server::strategies;

use crate::command::{expect_failure, expect_print};
use crate::support::Site;

/// Runs `program`, unless it is not installed.
fn run(program: &str, arguments: &[&str], site: &Site) -> Option<String> {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    if !found.expect("sh runs").status.success() {
        eprintln!("skipped: {program} is not installed");
        return None;
    }
    let output = Command::new(program)
        .args(arguments)
        .current_dir(site.root())
        .env("MANWIDTH", "80")
        .env("MANPAGER", "cat")
        .stdin(Stdio::null())
        .output()
        .expect("it is installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {error}");
    assert_eq!(error, "", "{program}");
    Some(String::from_utf8(output.stdout).expect("the output is UTF-8"))
}

#[test]
fn bash_completes_commands_and_options() {
    let site = Site::new();
    site.write("miniweb.bash", expect_print(&["completions", "bash"]));
    let complete = |words: &str| {
        let count = words.split(' ').count() - 1;
        let script = format!(
            "source ./miniweb.bash; COMP_WORDS=({words}); COMP_CWORD={count}; _miniweb; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        run("bash", &["-c", &script], &site)
    };
    for (words, expected) in
        [("miniweb comp", "compare\ncompletions\n"), ("miniweb --po", "--port\n")]
    {
        let Some(completed) = complete(words) else { return };
        assert_eq!(completed, expected, "{words}");
    }
    for strategy in strategies::ALL {
        let name = strategy.name;
        assert_eq!(complete(&format!("miniweb {name} --confi")).as_deref(), Some("--confine\n"));
        for own in (strategy.options)().flags.iter().filter(|own| own.long != "--help") {
            let completed = complete(&format!("miniweb {name} {}", own.long));
            assert_eq!(completed, Some(format!("{}\n", own.long)));
        }
    }
}

#[test]
fn zsh_and_fish_accept_their_scripts() {
    let site = Site::new();
    site.write("miniweb.zsh", expect_print(&["completions", "zsh"]));
    let script = "autoload -U compinit; compinit -u -d ./dump; source ./miniweb.zsh; \
                  print -r -- ${_comps[miniweb]}";
    if let Some(function) = run("zsh", &["-f", "-c", script], &site) {
        assert_eq!(function, "_miniweb\n");
    }
    site.write("miniweb.fish", expect_print(&["completions", "fish"]));
    let script = "source ./miniweb.fish; complete -C 'miniweb comp'; complete -C 'miniweb --po'";
    if let Some(completed) = run("fish", &["--no-config", "-c", script], &site) {
        for word in ["compare", "completions", "--port"] {
            assert!(
                completed.lines().any(|line| line.split('\t').next() == Some(word)),
                "{completed}"
            );
        }
    }
}

#[test]
fn the_manual_page_has_every_option_and_no_warning() {
    let site = Site::new();
    site.write("miniweb.1", expect_print(&["man"]));
    let Some(page) = run("man", &["--warnings", "-l", "miniweb.1"], &site) else { return };
    for heading in ["NAME", "SYNOPSIS", "COMMANDS", "OPTIONS", "ENVIRONMENT", "EXIT STATUS"] {
        assert!(page.lines().any(|line| line == heading), "{heading}: {page}");
    }
    let help = expect_print(&["--help"]);
    let options = help.split_whitespace().filter(|word| word.starts_with("--"));
    for option in options.map(|word| word.trim_end_matches([',', ':', '.'])) {
        assert!(page.contains(option), "{option}: {page}");
    }
    for strategy in strategies::ALL {
        for own in (strategy.options)().flags.iter().filter(|own| own.long != "--help") {
            assert!(page.contains(own.long), "{}: {page}", own.long);
        }
    }
}

#[test]
fn an_unknown_shell_is_refused() {
    for (words, expected) in [
        (&["completions"][..], "unknown shell '': expected one of bash, zsh, fish"),
        (&["completions", "bsh"], "did you mean 'bash'?"),
        (&["completions", "bash", "zsh"], "unexpected argument 'zsh'"),
        (&["man", "1"], "unexpected argument '1'"),
    ] {
        expect_failure(words, 2, &[expected]);
    }
}
