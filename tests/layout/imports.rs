//! The graph of imports between files, and its cycles.
//!
//! An import is a path to another module of the same crate, in a `use` or in the code. `mod x;` is
//! no import: a parent that only declares its child may be imported by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Source;

/// The import cycles among `sources`, each as one line. Test files form one crate per binary, so
/// their `root` is empty and a path that begins with `crate` starts in the file's top directory.
pub fn cycles(sources: &[Source], root: &str) -> Vec<String> {
    let graph = graph(sources, root);
    let mut cycles = BTreeSet::new();
    for start in graph.keys() {
        if let Some(path) = path_to(&graph, start, start) {
            // The same cycle is found from each of its files: report it from the first.
            let smallest = path.iter().min().expect("a cycle has files");
            if smallest == start {
                cycles.insert(format!("{} → {start}", path.join(" → ")));
            }
        }
    }
    cycles.into_iter().collect()
}

type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph(sources: &[Source], root: &str) -> Graph {
    let files: BTreeSet<&str> = sources.iter().map(|source| &*source.path).collect();
    let imports = |source: &Source| {
        let module = Module::of(&source.path, root);
        let targets = paths(&source.code_text()).into_iter();
        let resolved = targets.filter_map(|path| module.resolve(&path, &files));
        resolved.filter(|target| *target != source.path).collect()
    };
    sources.iter().map(|source| (source.path.clone(), imports(source))).collect()
}

/// The shortest way from `start` over at least one import to `end`, without `end`.
fn path_to(graph: &Graph, start: &str, end: &str) -> Option<Vec<String>> {
    let mut queue = std::collections::VecDeque::from([vec![start.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        let last = path.last().expect("a path has a start");
        for next in graph.get(last).into_iter().flatten() {
            if next == end {
                return Some(path);
            }
            if seen.insert(next.clone()) {
                queue.push_back([&path[..], std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}

/// Where the paths of a file start.
struct Module {
    /// The directory in which the file's children lie.
    children: String,
    /// The directory in which the file and its siblings lie.
    siblings: String,
    /// The directory of the crate's root file.
    root: String,
}

impl Module {
    fn of(path: &str, root: &str) -> Module {
        let (directory, file) = path.rsplit_once('/').expect("a source is in a directory");
        let root = match root {
            "" => path.split('/').take(2).collect::<Vec<_>>().join("/"),
            root => root.rsplit_once('/').expect("the root is in a directory").0.to_owned(),
        };
        match file {
            "mod.rs" | "main.rs" | "lib.rs" => {
                let parent = directory.rsplit_once('/').map_or(directory, |(parent, _)| parent);
                Module { children: directory.to_owned(), siblings: parent.to_owned(), root }
            }
            file => {
                let children = format!("{directory}/{}", file.trim_end_matches(".rs"));
                Module { children, siblings: directory.to_owned(), root }
            }
        }
    }

    /// The file that a path leads to: that of its longest prefix that is a module.
    fn resolve(&self, path: &[String], files: &BTreeSet<&str>) -> Option<String> {
        let (mut directory, rest) = match path.split_first()? {
            (first, rest) if first == "crate" => (self.root.clone(), rest),
            (first, rest) if first == "self" => (self.children.clone(), rest),
            (first, rest) if first == "super" => (self.siblings.clone(), rest),
            _ => (self.children.clone(), path),
        };
        // An item of the parent or of the root is an import of that file.
        let leads_out = matches!(&*path[0], "crate" | "super");
        let mut file = leads_out.then(|| self.file_of(&directory, files)).flatten();
        for segment in rest {
            if segment == "super" {
                directory = directory.rsplit_once('/')?.0.to_owned();
                file = self.file_of(&directory, files);
                continue;
            }
            // Test binaries include this module by its path.
            let child = match segment.as_str() {
                "support" if leads_out => "tests/support".to_owned(),
                segment => format!("{directory}/{segment}"),
            };
            match self.file_of(&child, files) {
                Some(found) => (directory, file) = (child, Some(found)),
                None => break,
            }
        }
        file
    }

    fn file_of(&self, module: &str, files: &BTreeSet<&str>) -> Option<String> {
        let names = ["/mod.rs", "/main.rs", "/lib.rs", ".rs"].map(|end| format!("{module}{end}"));
        names.into_iter().find(|name| files.contains(&**name))
    }
}

impl Source {
    /// The code without comments, string literals and unit tests, on one line.
    fn code_text(&self) -> String {
        let lines: Vec<&str> = self.code().map(|(_, line)| line).collect();
        // Without quotes that neither begin nor end a literal, every second part is a literal.
        let text = lines.join(" ").replace("'\"'", "").replace("\\\"", "");
        text.split('"').step_by(2).collect()
    }
}

/// Every path in `code`, with the groups of `use a::{b, c::d}` expanded.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("::") {
        let before = &rest[..at];
        let is_part = |char: char| char.is_alphanumeric() || char == '_';
        let start = before
            .rfind(|char| !is_part(char))
            .map_or(0, |end| end + before[end..].chars().next().map_or(1, char::len_utf8));
        let length = expand(&rest[start..], &[], &mut paths);
        rest = &rest[start + length.max(at + 2 - start)..];
    }
    paths
}

/// Reads one path with its groups from the start of `text`, and returns how many bytes it has.
fn expand(text: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = 0;
    loop {
        let word_length = text[at..]
            .find(|char: char| !(char.is_alphanumeric() || char == '_'))
            .unwrap_or(text.len() - at);
        if word_length > 0 {
            path.push(text[at..at + word_length].to_owned());
            at += word_length;
        }
        if !text[at..].starts_with("::") {
            break;
        }
        at += 2;
        if text[at..].starts_with('{') {
            at += 1;
            while !text[at..].starts_with('}') && at < text.len() {
                let skipped = text[at..].find(|char: char| !" ,".contains(char)).unwrap_or(0);
                at += skipped;
                let read = expand(&text[at..], &path, paths);
                at += read;
                // ` as name`, `*` and anything else up to the next member.
                let end = text[at..].find([',', '}']).unwrap_or(text.len() - at);
                at += end;
            }
            return (at + 1).min(text.len());
        }
    }
    if path.len() > prefix.len() {
        paths.push(path);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_with_their_groups() {
        let paths = paths("use super::a::{self, b, c::{D, E as F}}; let x = crate::g::h(); ");
        let texts: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
        let expected = ["super::a::self", "super::a::b", "super::a::c::D", "super::a::c::E"];
        assert_eq!(texts, [&expected[..], &["crate::g::h"]].concat());
    }

    #[test]
    fn cycles_between_siblings_and_between_parent_and_child_are_found() {
        let sources = [
            Source::new("src/lib.rs", "mod a;\nmod b;\n"),
            Source::new("src/a/mod.rs", "mod c;\nuse c::C;\n"),
            Source::new("src/a/c.rs", "use super::{x, y};\n// use crate::b;\n"),
            Source::new("src/b.rs", "use crate::a::C;\nlet text = \"crate::a::c\";\n"),
        ];
        assert_eq!(cycles(&sources, "src/lib.rs"), ["src/a/c.rs → src/a/mod.rs → src/a/c.rs"]);
        let without = [
            Source::new("src/lib.rs", "mod a;\nmod b;\n"),
            Source::new("src/a.rs", "use crate::b::B;\n"),
            Source::new("src/b.rs", "use std::a::A;\n#[cfg(test)]\nmod tests { use crate::a; }\n"),
        ];
        assert_eq!(cycles(&without, "src/lib.rs"), [""; 0]);
        let siblings = [
            Source::new("src/lib.rs", "mod a;\nmod b;\n"),
            Source::new("src/a.rs", "use crate::b::B;\n"),
            Source::new("src/b.rs", "fn f() { super::a::f() }\n"),
        ];
        assert_eq!(cycles(&siblings, "src/lib.rs"), ["src/a.rs → src/b.rs → src/a.rs"]);
    }
}
