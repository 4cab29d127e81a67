//! What a person at a terminal sees.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Peer, Site, address_in, get, miniweb};

/// A server with a terminal as its output, which is killed when dropped.
struct AtTerminal {
    process: Child,
    screen: BufReader<File>,
}

impl AtTerminal {
    fn run(mut command: Command) -> AtTerminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("the terminal is ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let open = || rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        command.stdout(open().expect("it is unlocked")).stderr(open().expect("it is unlocked"));
        let process = command.spawn().expect("the binary exists");
        AtTerminal { process, screen: BufReader::new(File::from(master)) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.screen.read_line(&mut line).expect("the server writes a line");
        line.trim_matches(['\r', '\n']).to_owned()
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("the server is running");
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // It fails if the server has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server(words: &[&str], site: &Site) -> AtTerminal {
    let mut command = miniweb();
    command.args(words).args(["-p", "0"]).current_dir(site.root());
    AtTerminal::run(command)
}

#[test]
fn the_first_lines_say_how_to_go_on() {
    let site = Site::new();
    site.write("with-index/index.html", "index");
    site.write("without-index/file.txt", "file");
    let mut sample = server(&[], &site);
    assert!(sample.line().starts_with("Serving the sample site on http://127.0.0.1:"));
    assert_eq!(sample.line(), "To serve the current folder: miniweb .");
    let mut listed = server(&["without-index"], &site);
    assert!(listed.line().starts_with("Serving without-index on "));
    assert_eq!(listed.line(), "There is no index.html. To list the files of folders, add --list");
    // The next line is that of the log.
    for words in [&["with-index"][..], &["without-index", "--list"]] {
        let mut server = server(words, &site);
        let address = address_in(&server.line()).expect("the first line has the address");
        assert_eq!(Peer::connect(address).get("/").status, 200);
        let line = server.line();
        assert!(line.contains("GET /"), "{words:?}: {line}");
    }
}

#[test]
fn the_404_of_a_directory_without_an_index_page_names_the_option_list() {
    let site = Site::new();
    for folder in ["bare", "drafts", ".git"] {
        site.directory(folder);
    }
    for (options, names_it) in [(&["--hide", "drafts"][..], true), (&["--list"], false)] {
        let mut server = server(&[&["."], options].concat(), &site);
        let address = address_in(&server.line()).expect("the first line has the address");
        let mut peer = Peer::connect(address);
        for (path, is_folder) in [("/bare/", true), ("/missing/", false), ("/bare/missing", false)]
            .into_iter()
            .chain([("/.git/", false), ("/drafts/", false), ("/page.html/", false)])
        {
            let page = String::from_utf8(peer.get(path).body).expect("a page is UTF-8");
            assert_eq!(page.contains("<code>--list</code>"), names_it && is_folder, "{path}");
        }
    }
}

#[test]
fn after_ctrl_c_the_server_says_what_it_waits_for() {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let mut server = server(&[".", "--log", "none", "--list", "--shutdown-timeout", "20"], &site);
    let address = address_in(&server.line()).expect("the first line has the address");
    let mut peer = Peer::connect(address);
    peer.send(get("/huge.bin"));
    peer.response_to_head();
    server.interrupt();
    let expected = "Shutting down: responses in progress have 20 s to finish. Ctrl-C again stops \
                    at once.";
    assert_eq!(server.line(), expected);
    server.interrupt();
    let status = server.process.wait().expect("it is a child of the test");
    assert_eq!(status.code(), Some(128 + Signal::INT.as_raw()));
}
