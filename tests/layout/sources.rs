//! The source files of the repository.

use std::fs;
use std::path::Path;

/// A source file.
pub struct Source {
    /// Relative to the repository: `src/http/now.rs`.
    pub path: String,
    pub text: String,
}

/// Every Rust file in `src`, `tests` and `benches`.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories: Vec<_> = ["src", "tests", "benches"].map(|name| root.join(name)).into();
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("the directory is readable") {
            let path = entry.expect("the directory is readable").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).expect("it is beneath the root");
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                sources.push(Source { path: relative.display().to_string(), text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 100, "there are more source files than {}", sources.len());
    sources
}

impl Source {
    #[cfg(test)]
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The numbered lines of code: without comments, blank lines and the unit tests at the end.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let program = self.text.lines().enumerate();
        let program = program.take_while(|(_, line)| line.trim() != "#[cfg(test)]");
        let without_comment = |line: &'_ str| line.find(" // ").unwrap_or(line.len());
        program
            .map(move |(at, line)| (at + 1, line[..without_comment(line)].trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
    }
}
