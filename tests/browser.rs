//! A real browser plays a video from the server and seeks in it.
//!
//! The test needs Chromium (Debian package `chromium`) and is skipped without it.

#[path = "support/mod.rs"]
mod support;

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

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

/// A process group that is killed on drop.
struct Browser(Child);

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
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("http://{}/clip.html", server.address));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let Ok(browser) = command.spawn().map(Browser) else {
        eprintln!("skipped: chromium is not installed");
        return;
    };
    let lines = server.output.until(|line| line.contains("/played-beyond-16-of-20"));
    drop(browser);
    let is_range = |line: &String| line.contains("clip.webm") && line.contains("\"status\":206");
    assert!(lines.iter().any(is_range), "no range request: {lines:#?}");
}
