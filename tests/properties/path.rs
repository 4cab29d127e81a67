//! The path of a target: what it is decoded to, and what it leads to on a real tree with links in it.

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

use miniweb::http::{
    Body, HeaderStorage, Limits, Moment, Now, Reply, Request, Respond, Response, Status,
};
use miniweb::site::{File, Policy, Root, Site, SitePath};
use tempfile::TempDir;

/// What stands in everything outside the root, names and contents: no answer may hold it.
const OUTSIDE: &str = "outside-the-root";

/// `input` is a path, with or without the slash at its start.
pub fn check(input: &[u8]) {
    // No target brings these (request.rs refuses it): a NUL, above all, has to be encoded to come this far.
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
    let (segments, is_directory) =
        naive(path).expect("what no naive reading makes sense of is refused");
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
    let again = SitePath::parse(target.as_bytes()).expect("a redirect leads to a path");
    assert_eq!(again.relative, parsed.relative, "written and read again it is the same");
    assert_eq!((again.is_directory, again.is_hidden), (true, parsed.is_hidden));
}

/// The names on the way, and whether a folder is asked for: split first, then decoded, the other way round.
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

/// A tree with what a tree can have, the site that serves it, and a neighbourhood that must not be served.
struct Tree {
    site: Site,
    listed: Site,
    now: Now,
    root: PathBuf,
    _folder: TempDir,
}

impl Tree {
    fn new() -> Tree {
        let folder = tempfile::tempdir().expect("a folder for what is temporary");
        let base = folder.path().canonicalize().expect("it was made just now");
        let root = base.join("site");
        plant(&base, &root).expect("a tree can be planted in it");
        let site = |list| {
            let opened = Root::open(&root).expect("the kernel has openat2");
            let policy = Policy { list, ..Policy::default() };
            Site::new(Arc::new(opened), Arc::new(policy), Arc::default(), 1 << 20)
        };
        let now = Now::new(Moment::default(), UNIX_EPOCH + Duration::from_secs(784_111_777));
        Tree { site: site(false), listed: site(true), now, root, _folder: folder }
    }

    /// Against what the standard library says the same path leads to.
    fn check_served(&mut self, path: &[u8]) {
        let head = [b"GET ", path, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let mut storage = HeaderStorage::default();
        let Ok(request) = Request::parse(&head, &mut storage, &Limits::default()) else {
            return;
        };
        // The disk is asked each time: nothing remembered is as old.
        self.now.moment += Duration::from_secs(2);
        // A query may have come with it, which leads nowhere.
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();

        let listed = answer(self.listed.respond(&request, &self.now));
        assert_no_outside(&listed);
        let response = answer(self.site.respond(&request, &self.now));
        assert_no_outside(&response);
        let Some((names, is_directory)) = naive(path) else {
            assert_eq!(response.status, Status::BadRequest);
            return;
        };
        let expected = self.expected(&names, is_directory);
        match (response.status, expected) {
            (Status::Ok, Some(real)) => {
                assert!(real.starts_with(&self.root), "{real:?} is served");
                assert_eq!(
                    content(&response),
                    real.as_os_str().as_bytes(),
                    "every file says where it is"
                );
            }
            (Status::Ok, None) => panic!("there is no such file, and one is served"),
            (Status::NotFound | Status::MovedPermanently, expected) => {
                let is_plain =
                    expected.is_some_and(|real| real == self.asked_for(&names, is_directory));
                let is_hidden = names
                    .iter()
                    .enumerate()
                    .any(|(n, name)| name[0] == b'.' && (n > 0 || name != b".well-known"));
                assert!(!is_plain || is_hidden, "a file without a link on the way is not served");
            }
            (status, _) => panic!("{status:?}"),
        }
    }

    fn asked_for(&self, names: &[Vec<u8>], is_directory: bool) -> PathBuf {
        let mut asked_for = self.root.clone();
        asked_for.extend(names.iter().map(|name| OsStr::from_bytes(name)));
        if is_directory {
            asked_for.push("index.html");
        }
        asked_for
    }

    /// The regular file that is there, with every link on the way resolved.
    fn expected(&self, names: &[Vec<u8>], is_directory: bool) -> Option<PathBuf> {
        let real = fs::canonicalize(self.asked_for(names, is_directory)).ok()?;
        real.is_file().then_some(real)
    }
}

/// Every file holds its own path and nothing else.
fn plant(base: &Path, root: &Path) -> std::io::Result<()> {
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
    for folder in inside {
        fs::create_dir_all(root.join(folder))?;
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

fn answer(answer: Reply<File>) -> Response<File> {
    match answer {
        Reply::Ready(response) => response,
        Reply::Deferred(work) => work(),
    }
}

fn content(response: &Response<File>) -> Vec<u8> {
    match &response.body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File { file, range } => {
            let mut content = Vec::new();
            let file =
                fs::File::from(file.as_fd().try_clone_to_owned().expect("descriptors are left"));
            file.take(range.end).read_to_end(&mut content).expect("the file can be read");
            content
        }
        Body::Parts(_) => panic!("no range was asked for"),
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
