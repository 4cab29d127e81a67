//! The laws of the design, held on the source text: what a reviewer would have to look for again and again.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A source file, its name as it stands under `src/`.
struct Source {
    name: String,
    text: String,
}

/// Every file under `src/`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the source") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("it is below").display().to_string();
                sources.push(Source {
                    name,
                    text: fs::read_to_string(&path).expect("source is UTF-8"),
                });
            }
        }
    }
    assert!(sources.len() > 20, "there is more source than that");
    sources
}

impl Source {
    /// Its lines of code, numbered: no comments, no blank lines, no tests, which stand at the end of a file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let program =
            self.text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
        program
            .map(|(at, line)| {
                (at + 1, line.find(" // ").map_or(line, |start| &line[..start]).trim())
            })
            .filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
    }

    /// Whether it is one of the files that a strategy is told in.
    fn is_strategy(&self) -> bool {
        [
            "server/strategies/mio.rs",
            "server/strategies/poll_list.rs",
            "server/strategies/blocking/mod.rs",
        ]
        .contains(&&*self.name)
    }
}

/// Where the code of a file has one of `words`, each a whole word: `mio` is not in `miniweb` nor in `premio`.
fn places(source: &Source, words: &[&str]) -> String {
    let mut places = String::new();
    for (number, line) in source.code() {
        for word in words.iter().filter(|word| has_word(line, word)) {
            writeln!(places, "src/{}:{number} has `{word}`: {line}", source.name)
                .expect("a String takes anything");
        }
    }
    places
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part =
        |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let (first, last) = (word.chars().next(), word.chars().next_back());
    let is_whole = |at: usize| {
        let (before, after) =
            (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        let goes_on = is_part(before) && is_part(first) || is_part(last) && is_part(after);
        !goes_on
    };
    line.match_indices(word).any(|(at, _)| is_whole(at))
}

#[track_caller]
fn expect_nowhere(what: &str, sources: impl Iterator<Item = Source>, words: &[&str]) {
    let mut count = 0;
    let places: String =
        sources.inspect(|_| count += 1).map(|source| places(&source, words)).collect();
    assert!(count > 0, "there is nothing to look at");
    assert!(places.is_empty(), "{what}\n{places}");
}

#[test]
fn no_socket_file_thread_process_or_clock_is_touched_under_http() {
    let words = [
        "std::net",
        "std::fs",
        "std::thread",
        "std::process",
        "std::os",
        "std::env",
        // With these braces the words above could be written in another way.
        "std::{",
        "Instant::now",
        "SystemTime::now",
        "elapsed",
        "rustix",
        "libc",
        "mio",
        "socket2",
        "signal_hook",
        "crate::server",
        "crate::site",
    ];
    expect_nowhere(
        "src/http/ is without I/O",
        sources().into_iter().filter(|s| s.name.starts_with("http/")),
        &words,
    );
}

#[test]
fn the_strategy_files_know_nothing_of_http() {
    let words = [
        "HTTP",
        "HTTP/1",
        "GET",
        "HEAD",
        "Content-",
        "Status",
        "Method",
        "Request",
        "Response",
        "Header",
        "Fields",
        "Date",
        "Host",
        "keep_alive",
        "status",
        "header",
        "httparse",
        "httpdate",
    ];
    expect_nowhere(
        "a strategy only waits",
        sources().into_iter().filter(Source::is_strategy),
        &words,
    );
}

#[test]
fn there_are_three_strategy_files() {
    assert_eq!(sources().iter().filter(|source| source.is_strategy()).count(), 3);
}

#[test]
fn the_server_is_asked_for_nothing_by_the_site() {
    let of_site = sources().into_iter().filter(|source| source.name.starts_with("site/"));
    expect_nowhere(
        "a request's target becomes a response",
        of_site,
        &["crate::server", "std::net", "socket2", "httparse"],
    );
}

#[test]
fn a_file_holds_one_idea() {
    for source in sources() {
        let (lines, max) = (source.code().count(), if source.is_strategy() { 150 } else { 400 });
        assert!(lines <= max, "src/{} has {lines} lines of code, of at most {max}", source.name);
    }
}

#[test]
fn unsafe_is_where_the_fork_is() {
    let others = sources().into_iter().filter(|source| source.name != "server/sys.rs");
    expect_nowhere("only fork needs it", others, &["unsafe", "unsafe_code"]);
    let fork =
        sources().into_iter().find(|source| source.name == "server/sys.rs").expect("it is there");
    let blocks = fork.code().filter(|(_, line)| has_word(line, "unsafe {")).count();
    assert_eq!(
        fork.text.matches("// SAFETY: ").count(),
        blocks,
        "each unsafe block says why it is sound"
    );
}

#[test]
fn httparse_is_used_only_in_headers_rs() {
    let others = sources().into_iter().filter(|source| source.name != "http/headers.rs");
    expect_nowhere("httparse is a detail of http/headers.rs", others, &["httparse"]);
}

#[test]
fn nothing_is_unwrapped() {
    // An invariant that is worth relying on is worth a sentence: expect says it, unwrap does not.
    expect_nowhere(
        "an error is handled, or said to be impossible",
        sources().into_iter(),
        &[".unwrap()", ".unwrap_err()"],
    );
}

#[test]
fn nothing_is_left_undone_or_printed_by_the_way() {
    let words = ["todo!", "unimplemented!", "dbg!", "println!", "eprintln!", "print!", "eprint!"];
    expect_nowhere("std's macros panic at a closed pipe", sources().into_iter(), &words);
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources() {
        assert!(
            source.text.starts_with("//! "),
            "src/{} begins without a word about itself",
            source.name
        );
    }
}

#[test]
fn tests_stand_at_the_end_of_a_file() {
    // What follows them is not looked at by the others here.
    for source in sources() {
        if let Some((_, tests)) = source.text.split_once("#[cfg(test)]\n") {
            let inside =
                tests.strip_prefix("mod tests {\n").and_then(|rest| rest.strip_suffix("\n}\n"));
            let is_last = inside.is_some_and(|inside| !inside.contains("\n}\n"));
            assert!(is_last, "src/{} has something but tests behind its #[cfg(test)]", source.name);
        }
    }
}

#[test]
fn what_looks_for_words_finds_them() {
    let text = "//! mio\nuse mio::Poll; // libc\n\n    let GETS = \"http://\";\n#[cfg(test)]\nmod tests { use libc; }\n";
    let source = Source { name: "x.rs".to_owned(), text: text.to_owned() };
    assert_eq!(
        source.code().collect::<Vec<_>>(),
        [(2, "use mio::Poll;"), (4, "let GETS = \"http://\";")]
    );
    assert_eq!(places(&source, &["mio", "libc", "GET"]), "src/x.rs:2 has `mio`: use mio::Poll;\n");
    assert!(has_word("std::{net, io}", "std::{"));
    assert!(has_word("x.unwrap();", ".unwrap()"));
    assert!(!has_word("x.unwrap_or(1)", ".unwrap()"));
    assert!(!has_word("request.keep_aliver", "keep_alive"));
}
