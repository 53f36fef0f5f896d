//! The WebDriver process and the browsers that it starts, all of which end with it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// Makes it a failure that there is no browser.
const REQUIRED: &str = "OUTBOX_BROWSER_REQUIRED";

/// A running chromedriver.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    url: String,
    browser: PathBuf,
    /// Profiles and everything else that the two write.
    _folder: TempDir,
}

impl Driver {
    /// Starts one on a free port. Where there is none, or no browser, this prints one line and ends
    /// the binary successfully.
    ///
    /// # Panics
    ///
    /// If it is installed and does not start, or is not and must be.
    pub(crate) fn required() -> Self {
        let driver = installed(&["chromedriver"]);
        let browser = installed(&["chromium", "chromium-browser", "google-chrome"]);
        match (driver, browser) {
            (Some(driver), Some(browser)) => Self::start(driver, browser),
            _ => {
                missing(
                    "chromium and chromedriver (Debian: chromium, chromium-driver)",
                    true,
                );
                std::process::exit(0);
            }
        }
    }

    fn start(program: PathBuf, browser: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the browser");
        let mut child = Command::new(program)
            .arg("--port=0")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let told = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, port) = mpsc::channel();
        // Reads to the end, so that the driver never waits for a reader.
        std::thread::spawn(move || {
            for line in told.lines().map_while(Result::ok) {
                let said = line
                    .rsplit_once("successfully on port ")
                    .map(|(_, port)| port);
                if let Some(port) = said.and_then(|port| port.trim_end_matches('.').parse().ok()) {
                    let _ = sender.send(port);
                }
            }
        });
        // Before the wait, so that a driver that says nothing ends too.
        let mut driver = Self {
            child,
            url: String::new(),
            browser,
            _folder: folder,
        };
        let port: u16 = port
            .recv_timeout(Duration::from_secs(30))
            .expect("chromedriver names its port");
        driver.url = format!("http://127.0.0.1:{port}");
        driver
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The path of the browser.
    pub(crate) fn browser(&self) -> &str {
        self.browser.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A session that ended has ended its browser; a test that panicked may have left one.
        for process in descendants(self.child.id()) {
            kill(process);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of these programs in the path.
fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let of_name = |name: &&str| {
        let files = folders.iter().map(move |folder| folder.join(name));
        files.into_iter().find(|file| file.is_file())
    };
    names.iter().find_map(of_name)
}

/// Says in one line that this is not there, if nobody has said it, unless that is a failure.
pub(crate) fn missing(what: &str, is_first: bool) {
    assert!(
        std::env::var_os(REQUIRED).is_none_or(|value| value != "1"),
        "{what}: not installed, and {REQUIRED} is set"
    );
    if is_first {
        // Directly, because the test harness would swallow it.
        let line = format!("skipped: {what}: not installed\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// The processes that descend from this one, the nearest first.
#[cfg(target_os = "linux")]
fn descendants(of: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // `pid (name) state parent ..`; the name can hold anything.
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(process, _)| *process));
        next += 1;
    }
    found.split_off(1)
}

#[cfg(not(target_os = "linux"))]
fn descendants(_: u32) -> Vec<u32> {
    Vec::new()
}

#[cfg(unix)]
fn kill(process: u32) {
    let process = i32::try_from(process).ok();
    if let Some(process) = process.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill(_: u32) {}
