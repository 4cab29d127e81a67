//! A real browser plays a video from the server, and seeks in it.
//!
//! Needs Chromium (Debian's package `chromium`); without it the test prints that it is skipped.

#[path = "support/mod.rs"]
mod support;

use std::process::{Child, Command, Stdio};

use support::{Server, Site, any_setup};

/// Twenty seconds of a test picture, with a key frame each second.
const CLIP: &[u8] = include_bytes!("media/clip.webm");

/// Seeks to near the end, plays from there, and requests a path that reports the position.
const PAGE: &str = r#"<!doctype html><title>clip</title><video id="video" src="clip.webm" muted></video><script>
const video = document.getElementById("video");
video.addEventListener("loadedmetadata", () => { video.currentTime = 15 });
video.addEventListener("seeked", () => video.play(), { once: true });
video.addEventListener("timeupdate", () => {
    if (video.currentTime > 16) { video.pause(); fetch("/played-beyond-16-of-" + Math.round(video.duration)) }
});
</script>"#;

/// Killed when it is dropped, with its children.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        // It fails only if they have all ended.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
fn a_video_seeks_and_plays() {
    let site = Site::new();
    site.write("clip.webm", CLIP);
    site.write("clip.html", PAGE);
    let server = Server::start(any_setup(), site.root(), &["--log", "json"]);
    let profile = tempfile::tempdir().expect("a directory for the browser");
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
    ]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--remote-debugging-port=0",
    ]);
    command
        .arg("--autoplay-policy=no-user-gesture-required")
        .arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("http://{}/clip.html", server.address));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let Ok(browser) = command.spawn().map(Browser) else {
        eprintln!("skipped: chromium is not installed");
        return;
    };
    let lines = server.output.until(|line| line.contains("/played-beyond-16-of-20"));
    drop(browser);
    let is_part = |line: &&String| line.contains("clip.webm") && line.contains("\"status\":206");
    assert!(lines.iter().any(|line| is_part(&line)), "no range was asked for: {lines:#?}");
}
