//! A real browser plays a video from the server and seeks in it, and runs the script of a listing.
//!
//! The tests need Chromium (Debian package `chromium`) and are skipped without it. A page reports
//! to its test by requesting a path, which appears in the log of the server.

#[path = "support/mod.rs"]
mod support;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use percent_encoding::percent_decode_str;
use rustix::process::{Pid, Signal, kill_process_group};
use support::{Server, Site, any_setup};

/// 20 seconds of a test pattern, with a key frame every second.
const CLIP: &[u8] = include_bytes!("media/clip.webm");

/// Seeks to second 15, plays from there, and requests a path that reports the progress.
const PAGE: &str = r#"<!doctype html><title>clip</title>
<video id="video" src="clip.webm" muted></video>
<script>
const video = document.getElementById("video");
video.addEventListener("loadedmetadata", () => { video.currentTime = 15 });
video.addEventListener("seeked", () => video.play(), { once: true });
video.addEventListener("timeupdate", () => {
    if (video.currentTime > 16) {
        video.pause();
        fetch("/played-beyond-16-of-" + Math.round(video.duration));
    }
});
</script>"#;

/// Operates a listing in a frame as a reader would, first with its script, then without. The report
/// has a line for each observation.
const READER: &str = r#"<!doctype html><title>reader</title>
<script>
const report = [];
const pause = time => new Promise(resolve => setTimeout(resolve, time));

async function open(sandbox) {
    const frame = document.createElement("iframe");
    if (sandbox) frame.sandbox = sandbox;
    frame.src = "/list/?sort=size";
    const loaded = new Promise(resolve => frame.onload = resolve);
    document.body.append(frame);
    await loaded;
    return frame.contentDocument;
}

function observe(page, what) {
    const rows = [...page.querySelectorAll("tbody tr")].filter(row => !row.hidden);
    const names = rows.map(row => row.cells[0].textContent).join(",");
    report.push(what + ": " + names + "; " + page.getElementById("found").textContent);
}

addEventListener("load", async () => {
    let page = await open();
    const filter = page.getElementById("filter");
    const press = key => (page.activeElement ?? page.body).dispatchEvent(
        new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    const type = async text => {
        filter.value = text;
        filter.dispatchEvent(new Event("input", { bubbles: true }));
        await pause(100);
    };
    observe(page, "at first");
    report.push("filter hidden: " + filter.hidden);
    report.push("time: " + page.querySelector("tbody tr:last-child time").textContent);
    report.push("zone: " + page.getElementById("zone").textContent);
    press("/");
    report.push("filter focused: " + (page.activeElement == filter));
    await type("2 CAFE");
    observe(page, "filtered");
    report.push("order: " + page.querySelector("th a").search + page.querySelector("th a").hash);
    press("Escape");
    observe(page, "cleared");
    await type("nothing has this name");
    observe(page, "unmatched");
    const injected = page.createElement("script");
    injected.textContent = "parent.injectedScriptRan = true";
    page.body.append(injected);
    await pause(100);
    report.push("injected script ran: " + (window.injectedScriptRan ?? false));
    page = await open("allow-same-origin");
    observe(page, "without the script");
    report.push("filter hidden: " + page.getElementById("filter").hidden);
    report.push("time: " + page.querySelector("tbody tr:last-child time").textContent);
    report.push("zone: " + page.getElementById("zone").textContent);
    fetch("/report?" + encodeURIComponent(report.join("\n")));
});
</script><body>"#;

/// A process group that is killed on drop.
struct Browser(Child);

impl Browser {
    /// Opens `path` of the server. None if there is no browser.
    fn open(server: &Server, profile: &Path, path: &str) -> Option<Browser> {
        Browser::open_with(&[], server, profile, path)
    }

    /// The same, with further options of the browser.
    fn open_with(options: &[&str], server: &Server, profile: &Path, path: &str) -> Option<Browser> {
        let mut command = Command::new("chromium");
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            "--remote-debugging-port=0",
            "--autoplay-policy=no-user-gesture-required",
        ]);
        command.arg(format!("--user-data-dir={}", profile.display()));
        command.args(options).arg(server.url(path));
        command.env("TZ", "Asia/Kolkata");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let browser = command.spawn().ok().map(Browser);
        if browser.is_none() {
            eprintln!("skipped: chromium is not installed");
        }
        browser
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // This fails only if every process of the group has already ended.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
fn a_browser_seeks_in_a_video_and_plays_it() {
    let site = Site::new();
    site.write("clip.webm", CLIP);
    site.write("clip.html", PAGE);
    let server = Server::start(any_setup(), site.root(), &["--log", "json"]);
    let profile = tempfile::tempdir().expect("a temporary directory");
    let Some(browser) = Browser::open(&server, profile.path(), "/clip.html") else { return };
    let lines = server.output.until(|line| line.contains("/played-beyond-16-of-20"));
    drop(browser);
    let is_range = |line: &String| line.contains("clip.webm") && line.contains("\"status\":206");
    assert!(lines.iter().any(is_range), "no range request: {lines:#?}");
}

/// Shows a picture and runs a script, over several connections, and reports the protocol.
#[cfg(feature = "tls")]
const SECURE_PAGE: &str = r#"<!doctype html><title>secure</title>
<img id="image" src="image.svg" alt="">
<script type="module">
const image = document.getElementById("image");
await image.decode();
const files = await Promise.all([1, 2, 3, 4].map(n => fetch(`/file${n}.txt`)));
const texts = await Promise.all(files.map(file => file.text()));
fetch(`/report?${isSecureContext}-${image.naturalWidth}-${texts.join("")}`);
</script>"#;

/// The browser trusts the certificate by the hash of its public key, as a user does who compares
/// the fingerprint and accepts it.
#[cfg(feature = "tls")]
#[test]
fn a_browser_opens_a_page_with_a_self_signed_certificate() {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let site = Site::new();
    site.write("secure.html", SECURE_PAGE);
    let image = r#"<svg xmlns="http://www.w3.org/2000/svg" width="123" height="45"/>"#;
    site.write("image.svg", image);
    (1..=4).for_each(|n| drop(site.write(format!("file{n}.txt"), n.to_string())));
    for setup in support::setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.root(), &["--tls-self-signed", "--log", "json"]);
        let shown = support::shown_certificate(server.address);
        let certificate = rustls::server::ParsedCertificate::try_from(&shown);
        let key = certificate.expect("the certificate is valid").subject_public_key_info();
        let hash = base64::prelude::BASE64_STANDARD.encode(Sha256::digest(&key));
        let option = format!("--ignore-certificate-errors-spki-list={hash}");
        let profile = tempfile::tempdir().expect("a temporary directory");
        let browser = Browser::open_with(&[&option], &server, profile.path(), "/secure.html");
        let Some(browser) = browser else { return };
        let lines = server.output.until(|line| line.contains("/report?"));
        drop(browser);
        let report = lines.last().expect("the report is the last line");
        assert!(report.contains("/report?true-123-1234 "), "{report}");
        assert!(report.contains("\"tls\":\"TLSv1.3\""), "{report}");
    }
}

#[test]
fn a_listing_has_a_filter_and_local_times_with_its_script_and_is_complete_without() {
    let site = Site::new();
    site.write("reader.html", READER);
    for (name, size) in [("café 2.txt", 1), ("cafe 10.txt", 2), ("<b>2 Cafes.txt", 3)] {
        site.write(format!("list/{name}"), vec![b'x'; size]);
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
        site.set_modified(format!("list/{name}"), modified);
    }
    let server = Server::start(any_setup(), site.root(), &["--list", "--log", "json"]);
    let profile = tempfile::tempdir().expect("a temporary directory");
    let Some(browser) = Browser::open(&server, profile.path(), "/reader.html") else { return };
    let lines = server.output.until(|line| line.contains("/report?"));
    drop(browser);
    let line = lines.last().expect("the report is the last line");
    let (_, report) = line.split_once("/report?").expect("the line has the report");
    let (report, _) = report.split_once(' ').expect("the version follows the target");
    let report = percent_decode_str(report).decode_utf8().expect("the page is UTF-8");
    let report: Vec<&str> = report.lines().collect();
    let all = "Parent folder,café 2.txt,cafe 10.txt,<b>2 Cafes.txt;";
    let (local_time, zone) = (report[2], report[3]);
    // 14:19 in 1994, in whatever format the locale of the browser has. In UTC it is 08:49.
    assert_eq!(local_time.matches("19").count(), 2, "{local_time}");
    assert!(["zone: Asia/Kolkata", "zone: Asia/Calcutta"].contains(&zone), "{zone}");
    let others = [&report[..2], &report[4..]].concat();
    assert_eq!(
        others,
        [
            &format!("at first: {all} "),
            "filter hidden: false",
            "filter focused: true",
            "filtered: Parent folder,café 2.txt,<b>2 Cafes.txt; 2 of 3 match.",
            "order: ?sort=name#filter=2+CAFE",
            &format!("cleared: {all} "),
            "unmatched: Parent folder; 0 of 3 match.",
            "injected script ran: false",
            &format!("without the script: {all} "),
            "filter hidden: true",
            "time: 1994-11-06 08:49",
            "zone: UTC",
        ]
    );
}
