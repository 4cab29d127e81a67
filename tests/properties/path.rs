//! The path of a target: its decoding, and the file it leads to in a real tree with symbolic links.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use miniweb::http::{Body, HeaderStorage, Limits, Moment, Now, Request, Respond, Response, Status};
use miniweb::site::{File, Listings, MemoryBudget, Policy, Root, Site, SitePath};
use tempfile::TempDir;

/// Occurs in the names and contents of all files outside the root. No response may contain it.
const OUTSIDE: &str = "outside-the-root";

/// `input` is a path, with or without a leading slash.
pub fn check(input: &[u8]) {
    // The request parser refuses targets with these bytes; a NUL, for example, must be encoded.
    if input.iter().any(|byte| *byte <= b' ' || matches!(byte, 0x7f | b'#')) {
        return;
    }
    let path = if input.starts_with(b"/") { input.to_vec() } else { [b"/", input].concat() };
    check_parsed(&path);
    thread_local!(static TREE: RefCell<Tree> = RefCell::new(Tree::new()));
    TREE.with_borrow_mut(|tree| tree.check_served(&path));
}

fn check_parsed(path: &[u8]) {
    let parsed = match SitePath::parse(path) {
        Ok(parsed) => parsed,
        Err(reason) => {
            assert_eq!(naive(path), None, "refused: {reason}");
            return;
        }
    };
    let (segments, is_directory) = naive(path).expect("the naive implementation refuses this path");
    assert_eq!(*parsed.relative, segments.join(&b'/'));
    assert_eq!(parsed.is_directory, is_directory);
    let is_hidden = segments
        .iter()
        .enumerate()
        .any(|(n, name)| name[0] == b'.' && (n, &name[..]) != (0, b".well-known"));
    assert_eq!(parsed.is_hidden, is_hidden);
    for segment in parsed.relative.split(|byte| *byte == b'/') {
        assert!(segment != b"." && segment != b".." && !segment.contains(&0));
        assert!(!segment.is_empty() || parsed.relative.is_empty());
    }

    let target = parsed.to_directory_target();
    assert!(
        target.starts_with('/') && !target.starts_with("//") && target.ends_with('/'),
        "{target}"
    );
    assert!(
        target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#'),
        "{target}"
    );
    let again =
        SitePath::parse(target.as_bytes()).expect("the target of a redirect is a valid path");
    assert_eq!(again.relative, parsed.relative, "encoding and decoding changes the path");
    assert_eq!((again.is_directory, again.is_hidden), (true, parsed.is_hidden));
}

/// The segments of the path, and whether it names a directory. Splits first and then decodes; the
/// server does it in the opposite order.
fn naive(path: &[u8]) -> Option<(Vec<Vec<u8>>, bool)> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut is_directory = true;
    for encoded in path.split(|byte| *byte == b'/') {
        let name = naive_decoded(encoded)?;
        is_directory = name.is_empty() || name == b"." || name == b"..";
        if name == b".." {
            names.pop()?;
        } else if !is_directory {
            names.push(name);
        }
    }
    Some((names, is_directory))
}

fn naive_decoded(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = encoded.split(|byte| *byte == b'%');
    let mut name = pieces.next().unwrap_or_default().to_vec();
    for piece in pieces {
        let digits =
            std::str::from_utf8(piece.get(..2)?).ok().filter(|digits| !digits.contains('+'))?;
        match u8::from_str_radix(digits, 16).ok()? {
            0 | b'/' => return None,
            byte => name.push(byte),
        }
        name.extend_from_slice(&piece[2..]);
    }
    Some(name)
}

/// A directory tree with every kind of entry, the site that serves it, and siblings that must not
/// be served.
struct Tree {
    site: Site,
    listed: Site,
    now: Now,
    root: PathBuf,
    _directory: TempDir,
}

impl Tree {
    fn new() -> Tree {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let base = directory.path().canonicalize().expect("the temporary directory exists");
        let root = base.join("site");
        create_tree(&base, &root).expect("the temporary directory is writable");
        let site = |list: bool| {
            let opened = Root::open(&root).expect("the kernel supports openat2");
            let listings = list.then(Listings::new);
            let policy = Policy { listings, ..Policy::default() };
            let cache = MemoryBudget::new(1 << 20).take_up_to(1 << 20);
            Site::new(Arc::new(opened), Arc::new(policy), Arc::default(), cache)
        };
        let now = Now::new(Moment::default(), UNIX_EPOCH + Duration::from_secs(784_111_777));
        Tree { site: site(false), listed: site(true), now, root, _directory: directory }
    }

    /// Compares the response with the file that the standard library finds at the same path.
    fn check_served(&mut self, path: &[u8]) {
        let head = [b"GET ", path, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let mut storage = HeaderStorage::default();
        let Ok(request) = Request::parse(&head, &mut storage, &Limits::default()) else {
            return;
        };
        // No cache entry is this old, so each request reads the file system.
        self.now.moment += Duration::from_secs(2);
        // `input` may contain a query, which is not part of the path.
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();

        let listed = self.listed.respond(&request, &self.now).wait();
        assert_no_outside(&listed);
        let response = self.site.respond(&request, &self.now).wait();
        assert_no_outside(&response);
        let Some((names, is_directory)) = naive(path) else {
            assert_eq!(response.status, Status::BadRequest);
            return;
        };
        let expected = self.expected(&names, is_directory);
        match (response.status, expected) {
            (Status::Ok, Some(real)) => {
                assert!(real.starts_with(&self.root), "{real:?}, outside the root, is served");
                assert_eq!(
                    content(&response),
                    real.as_os_str().as_bytes(),
                    "every file contains its own path"
                );
            }
            (Status::Ok, None) => panic!("a file that does not exist is served"),
            (Status::NotFound | Status::MovedPermanently, expected) => {
                let is_plain =
                    expected.is_some_and(|real| real == self.requested_path(&names, is_directory));
                let is_hidden = names
                    .iter()
                    .enumerate()
                    .any(|(n, name)| name[0] == b'.' && (n > 0 || name != b".well-known"));
                assert!(
                    !is_plain || is_hidden,
                    "a file that is reachable without symbolic links is not served"
                );
            }
            (status, _) => panic!("{status:?}"),
        }
    }

    fn requested_path(&self, names: &[Vec<u8>], is_directory: bool) -> PathBuf {
        let mut requested_path = self.root.clone();
        requested_path.extend(names.iter().map(|name| OsStr::from_bytes(name)));
        if is_directory {
            requested_path.push("index.html");
        }
        requested_path
    }

    /// The real path of the regular file, with all symbolic links resolved.
    fn expected(&self, names: &[Vec<u8>], is_directory: bool) -> Option<PathBuf> {
        let real = fs::canonicalize(self.requested_path(names, is_directory)).ok()?;
        real.is_file().then_some(real)
    }
}

/// Creates the tree. Every file contains its own path.
fn create_tree(base: &Path, root: &Path) -> std::io::Result<()> {
    let inside =
        ["b", "b/c", "empty", "%2e%2e", "x y", ".git", ".well-known", "folder.html", "b/index"];
    let files = [
        "index.html",
        "a",
        "b/index.html",
        "b/c/d",
        "%2e%2e/a",
        "x y/z",
        "\u{e9}",
        "a\\b",
        "...",
        "%41",
        ".git/config",
        ".well-known/s",
        ".well-known/.h",
        "b/.h",
        "a?b",
        "a#b",
        "a\nb",
        "-",
        "~",
        "folder.html/x",
    ];
    for directory in inside {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::create_dir_all(base.join("site-evil"))?;
    for file in files {
        fs::write(root.join(file), root.join(file).as_os_str().as_bytes())?;
    }
    for outside in ["secret", "site-evil/index.html", "site-evil/a"] {
        fs::write(base.join(outside), OUTSIDE)?;
    }
    fs::write(base.join("site-evil").join(OUTSIDE), OUTSIDE)?;
    for (link, target) in [
        ("in", "a"),
        ("folder", "b"),
        ("b/up", "../a"),
        ("b/c/top", "../.."),
        ("out", "../secret"),
        ("evil", "../site-evil"),
        ("b/evil", "../../site-evil"),
        ("etc", "/etc"),
        ("around", "../site/a"),
        ("parent", ".."),
        ("self", "."),
        ("loop", "loop"),
        ("nowhere", "nothing"),
        ("hidden", ".git"),
    ] {
        symlink(target, root.join(link))?;
    }
    symlink(root.join("a"), root.join("absolute"))
}

fn content(response: &Response<File>) -> Vec<u8> {
    match &response.body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File { file, range } => {
            let mut content = Vec::new();
            let file = fs::File::from(
                file.as_fd().try_clone_to_owned().expect("a descriptor can be duplicated"),
            );
            file.take(range.end).read_to_end(&mut content).expect("the file can be read");
            content
        }
        Body::Parts(_) => panic!("a multipart response without a Range header"),
    }
}

fn assert_no_outside(response: &Response<File>) {
    let content = content(response);
    assert!(
        !content.windows(OUTSIDE.len()).any(|bytes| bytes == OUTSIDE.as_bytes()),
        "{:?}",
        response.status
    );
}
