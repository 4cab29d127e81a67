//! Rules that look at one file.

use miniweb::server::strategies::Strategy;

use crate::sources::Source;

/// Where the code has one of `words` as a whole word: `fs` is neither in `fsync` nor in `tmpfs`.
pub fn words(source: &Source, words: &[&str]) -> Vec<String> {
    let in_line = |(number, line): (usize, &str)| {
        let found = words.iter().find(|word| has_word(line, word));
        found.map(|word| format!("{}:{number} has `{word}`: {line}", source.path))
    };
    source.code().filter_map(in_line).collect()
}

/// Where a strategy is named: its command or one of its set-ups as a quoted string or at the start
/// of one, one of its own options, or an identifier that contains its name of several words. Names
/// of one word are common English and names of crates, so their identifiers do not count.
pub fn names(source: &Source, strategy: &Strategy) -> Vec<String> {
    let camel_case: String = strategy.name.split('-').map(capitalized).collect();
    let is_compound = strategy.name.contains('-');
    let setups = strategy.setups.iter().map(|setup| setup.name);
    let names = || std::iter::once(strategy.name).chain(setups.clone());
    let flags = (strategy.options)().flags;
    let options: Vec<&str> =
        flags.iter().map(|flag| flag.long).filter(|option| *option != "--help").collect();
    let in_line = |(number, line): (usize, &str)| {
        let has_name = names().any(|name| {
            // `"poll "` followed by an option, because `"poll the socket"` names no strategy.
            let quoted = [format!("\"{name}\""), format!("'{name}'"), format!("\"{name} --")];
            quoted.iter().any(|quoted| line.contains(quoted.as_str()))
        });
        let has_option = options.iter().any(|option| has_option(line, option));
        let has_identifier = is_compound && line.contains(&camel_case);
        let is_violation = has_name || has_option || has_identifier;
        is_violation.then(|| format!("{}:{number} names {}: {line}", source.path, strategy.name))
    };
    let text = source.text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    text.filter(|(_, line)| !line.starts_with("//")).filter_map(in_line).collect()
}

/// Whether a line has `option` as a whole: `--work` is not in `--work-list`.
fn has_option(line: &str, option: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || char == '-';
    line.match_indices(option)
        .any(|(at, _)| !line[at + option.len()..].chars().next().is_some_and(is_part))
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

/// Lines with a comment that are longer than 100 columns. A URL or a table cannot be wrapped.
pub fn long_comments(source: &Source) -> Vec<String> {
    let has_comment = |line: &str| {
        // Behind an odd number of quotes, the slashes are part of a string.
        let is_code = |at: usize| line[..at].matches('"').count().is_multiple_of(2);
        line.trim_start().starts_with("//") || line.match_indices(" // ").any(|(at, _)| is_code(at))
    };
    let is_breakable = |line: &str| !line.contains("://") && !line.contains("| ");
    let is_long =
        |line: &str| line.chars().count() > 100 && has_comment(line) && is_breakable(line);
    let long = source.text.lines().enumerate().filter(|(_, line)| is_long(line));
    long.map(|(at, line)| format!("{}:{}: {line}", source.path, at + 1)).collect()
}

/// A file with more than `lines_max` lines of code.
pub fn too_long(source: &Source, lines_max: usize) -> Option<String> {
    let lines = source.code().count();
    let violation = || format!("{}: {lines} lines of code, at most {lines_max}", source.path);
    (lines > lines_max).then(violation)
}

/// A file that does not start with a module doc.
pub fn missing_responsibility(source: &Source) -> Option<String> {
    (!source.text.starts_with("//! ")).then(|| source.path.clone())
}

/// Unsafe code without a SAFETY comment directly above its statement.
pub fn unexplained_unsafe(source: &Source) -> Vec<String> {
    let mut violations = Vec::new();
    let mut is_explained = false;
    for (at, line) in source.text.lines().map(str::trim).enumerate() {
        match line.starts_with("//") {
            true => is_explained |= line.starts_with("// SAFETY: "),
            false => {
                if has_word(line, "unsafe") && !is_explained {
                    violations.push(format!("{}:{} has no reason: {line}", source.path, at + 1));
                }
                is_explained = false;
            }
        }
    }
    violations
}

/// Code that follows the unit tests.
pub fn code_after_tests(source: &Source) -> Vec<String> {
    let Some((_, tests)) = source.text.split_once("#[cfg(test)]\n") else { return Vec::new() };
    let inside = tests.strip_prefix("mod tests {\n").and_then(|rest| rest.strip_suffix("\n}\n"));
    let is_last = inside.is_some_and(|inside| !inside.contains("\n}\n"));
    let violation = || format!("{} has code after its #[cfg(test)]", source.path);
    (!is_last).then(violation).into_iter().collect()
}

pub fn has_word(line: &str, word: &str) -> bool {
    let is_part =
        |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let (first, last) = (word.chars().next(), word.chars().next_back());
    let is_whole = |at: usize| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let continues_before = is_part(before.chars().next_back()) && is_part(first);
        let continues_after = is_part(last) && is_part(after.chars().next());
        !continues_before && !continues_after
    };
    line.match_indices(word).any(|(at, _)| is_whole(at))
}

#[cfg(test)]
mod tests {
    use miniweb::server::strategies;

    use super::*;

    #[test]
    fn words_are_found_in_code_only() {
        let text = "//! fs\nuse std::fs; // libc\n\n    let GETS = \"http://\";\n#[cfg(test)]\nmod tests { use libc; }\n";
        let source = Source::new("x.rs", text);
        let code: Vec<_> = source.code().collect();
        assert_eq!(code, [(2, "use std::fs;"), (4, "let GETS = \"http://\";")]);
        assert_eq!(words(&source, &["fs", "libc", "GET"]), ["x.rs:2 has `fs`: use std::fs;"]);
        assert!(has_word("std::{net, io}", "std::{"));
        assert!(has_word("x.unwrap();", ".unwrap()"));
        assert!(!has_word("x.unwrap_or(1)", ".unwrap()"));
        assert!(!has_word("request.keep_aliver", "keep_alive"));
    }

    #[test]
    fn names_of_strategies_are_found() {
        for strategy in strategies::ALL {
            let setups = strategy.setups.iter().map(|setup| setup.name);
            for name in std::iter::once(strategy.name).chain(setups) {
                let found = [
                    format!("run(&[\"{name}\"]);\n// \"{name}\"\n"),
                    format!("let line = \"{name} --port 0\";\n"),
                    format!("let error = \"expected '{name}'\";\n"),
                ];
                for text in found {
                    assert_eq!(names(&Source::new("x.rs", &text), strategy).len(), 1, "{text}");
                }
                let prose = format!("assert!(ok, \"the {name} thing\");\n");
                assert!(names(&Source::new("x.rs", &prose), strategy).is_empty(), "{prose}");
            }
            for flag in (strategy.options)().flags.iter().filter(|flag| flag.long != "--help") {
                for end in ["\"", "=1\"", " 1\""] {
                    let text = format!("let option = \"{}{end};\n", flag.long);
                    assert_eq!(names(&Source::new("x.rs", &text), strategy).len(), 1, "{text}");
                }
                let longer = format!("let option = \"{}-else\";\n", flag.long);
                assert!(names(&Source::new("x.rs", &longer), strategy).is_empty(), "{longer}");
            }
        }
    }

    #[test]
    fn identifiers_made_of_a_name_of_several_words_are_found() {
        for strategy in strategies::ALL.iter().filter(|strategy| strategy.name.contains('-')) {
            let type_name: String = strategy.name.split('-').map(capitalized).collect();
            let text = format!("struct {type_name}Client;\n");
            assert_eq!(names(&Source::new("x.rs", &text), strategy).len(), 1, "{text}");
        }
    }

    #[test]
    fn long_comments_and_code_after_tests_are_found() {
        let words = "word ".repeat(20);
        let long = format!("// {words}\nlet x = \"{}\";\n", "x".repeat(200));
        assert_eq!(long_comments(&Source::new("x.rs", &long)).len(), 1);
        let trailing = format!("let x = 1; // {words}\nlet x = \"a // {words}\";\n");
        assert_eq!(long_comments(&Source::new("x.rs", &trailing)).len(), 1);
        let after = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n\nfn b() {\n}\n";
        assert_eq!(code_after_tests(&Source::new("x.rs", after)).len(), 1);
        let last = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert!(code_after_tests(&Source::new("x.rs", last)).is_empty());
    }

    #[test]
    fn long_files_and_files_without_a_responsibility_are_found() {
        let source = Source::new("x.rs", "//! Doc.\n\n// Comment\nfn a() {}\nfn b() {}\n");
        assert_eq!(too_long(&source, 2), None);
        let violation = "x.rs: 2 lines of code, at most 1";
        assert_eq!(too_long(&source, 1).as_deref(), Some(violation));
        assert_eq!(missing_responsibility(&source), None);
        let without = Source::new("x.rs", "fn a() {}\n");
        assert_eq!(missing_responsibility(&without).as_deref(), Some("x.rs"));
    }

    #[test]
    fn each_use_of_unsafe_needs_its_own_reason() {
        let text = "\
// SAFETY: it is sound.
// This is why.
let a = unsafe { f() };
unsafe { g() }
// SAFETY: this is about the next line only.
let b = 1;
unsafe impl Send for B {}
";
        let found = unexplained_unsafe(&Source::new("x.rs", text));
        assert_eq!(
            found,
            [
                "x.rs:4 has no reason: unsafe { g() }",
                "x.rs:7 has no reason: unsafe impl Send for B {}"
            ]
        );
    }
}
