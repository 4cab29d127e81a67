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

/// Where a strategy is named: its command or one of its set-ups as a quoted string, one of its own
/// options, or an identifier made of its name. Names are common words, so only whole strings count.
pub fn names(source: &Source, strategy: &Strategy) -> Vec<String> {
    let camel_case: String = strategy.name.split('-').map(capitalized).collect();
    let is_compound = strategy.name.contains('-');
    let setups = strategy.setups.iter().map(|setup| setup.name);
    let options = (strategy.options)().flags.iter().map(|flag| flag.long);
    let quoted: Vec<String> = [strategy.name]
        .into_iter()
        .chain(setups)
        .chain(options.filter(|option| *option != "--help"))
        .map(|name| format!("\"{name}\""))
        .collect();
    let in_line = |(number, line): (usize, &str)| {
        let named = quoted.iter().any(|name| line.contains(name.as_str()));
        let has_identifier = is_compound && has_word(line, &camel_case);
        let is_violation = named || has_identifier;
        is_violation.then(|| format!("{}:{number} names {}: {line}", source.path, strategy.name))
    };
    let text = source.text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    text.filter(|(_, line)| !line.starts_with("//")).filter_map(in_line).collect()
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

/// Comments that are longer than 100 columns. A URL or a table cannot be wrapped.
pub fn long_comments(source: &Source) -> Vec<String> {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let is_breakable = |line: &str| !line.contains("://") && !line.contains("| ");
    let long =
        source.text.lines().enumerate().filter(|(_, line)| {
            line.chars().count() > 100 && is_comment(line) && is_breakable(line)
        });
    long.map(|(at, line)| format!("{}:{}: {line}", source.path, at + 1)).collect()
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
        use miniweb::server::strategies;
        for strategy in strategies::ALL {
            let quoted = format!("run(&[\"{}\"]);\n// \"{}\"\n", strategy.name, strategy.name);
            assert_eq!(names(&Source::new("x.rs", &quoted), strategy).len(), 1, "{quoted}");
            let prose = format!("assert!(ok, \"the {} thing\");\n", strategy.name);
            assert!(names(&Source::new("x.rs", &prose), strategy).is_empty(), "{prose}");
            for setup in strategy.setups {
                let quoted = format!("let setup = \"{}\";\n", setup.name);
                assert_eq!(names(&Source::new("x.rs", &quoted), strategy).len(), 1, "{quoted}");
            }
        }
    }

    #[test]
    fn long_comments_and_code_after_tests_are_found() {
        let long = format!("// {}\nlet x = \"{}\";\n", "word ".repeat(20), "x".repeat(200));
        assert_eq!(long_comments(&Source::new("x.rs", &long)).len(), 1);
        let after = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n\nfn b() {\n}\n";
        assert_eq!(code_after_tests(&Source::new("x.rs", after)).len(), 1);
        let last = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert!(code_after_tests(&Source::new("x.rs", last)).is_empty());
    }
}
