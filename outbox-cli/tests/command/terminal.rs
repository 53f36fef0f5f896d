//! `watch` on a terminal: it shows the counts, and leaves the terminal as it was, however it ends.
//!
//! `script`, which Debian always has, provides the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use outbox_runtime::Clock as _;
use outbox_runtime::store::SystemClock;
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::Scene;

/// The sequences that take the whole screen, and give it back.
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";

/// The command on a terminal of its own.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn open(scene: &Scene) -> Self {
        let program = assert_cmd::cargo::cargo_bin!("outbox");
        // The size of a terminal that `script` makes is nothing, unless somebody sets it.
        let line = format!(
            "stty rows 30 cols 100; exec '{}' watch --interval 50ms",
            program.display()
        );
        let mut script = Command::new("script")
            .args([
                "--quiet",
                "--flush",
                "--return",
                "--command",
                &line,
                "/dev/null",
            ])
            .env("OUTBOX_DB", scene.path())
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = script.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = script.stdin.take().unwrap();
        let mut terminal = Self {
            script,
            keys,
            output,
            shown: String::new(),
        };
        terminal.until("dead");
        terminal
    }

    /// Waits until the terminal shows this text, and forgets what came before.
    fn until(&mut self, text: &str) {
        let began = SystemClock.uptime();
        while !self.shown.contains(text) {
            let is_late = SystemClock.uptime() - began > Duration::from_secs(30);
            assert!(!is_late, "{text:?} is not in {:?}", self.shown);
            match self.output.recv_timeout(Duration::from_millis(50)) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                // `script` stops when its child does, and continues it when it goes on itself.
                Err(_) => kill_process(Pid::from_child(&self.script), Signal::CONT).unwrap(),
            }
        }
        let end = self.shown.find(text).unwrap() + text.len();
        self.shown.drain(..end);
    }

    /// The process of the command.
    fn process(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.script.id());
        let children = std::fs::read_to_string(children).unwrap();
        let pid: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
        Pid::from_raw(pid).unwrap()
    }

    fn state_of(process: Pid) -> char {
        let stat = format!("/proc/{}/stat", process.as_raw_nonzero());
        let stat = std::fs::read_to_string(stat).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.chars().next().unwrap()
    }

    fn end(mut self) -> (Option<i32>, String) {
        let code = self.script.wait().unwrap().code();
        for bytes in self.output {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (code, self.shown)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_restored_at_the_end() {
    let scene = Scene::with_each_state().await;
    let mut terminal = Terminal::open(&scene);
    terminal.keys.write_all(b"q").unwrap();
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(GIVEN_BACK), "{shown:?}");
    assert_eq!(scene.files(), ["app.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_restored_when_the_process_is_told_to_end() {
    let scene = Scene::with_each_state().await;
    let terminal = Terminal::open(&scene);
    kill_process(terminal.process(), Signal::TERM).unwrap();
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(2), "{shown}");
    let (_, after) = shown.split_once(GIVEN_BACK).unwrap();
    assert!(after.contains("ended by a signal"), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_while_the_process_is_stopped() {
    let scene = Scene::with_each_state().await;
    let mut terminal = Terminal::open(&scene);
    let process = terminal.process();
    // As a key of the terminal in raw mode, and as a signal.
    for by_key in [true, false] {
        match by_key {
            true => terminal.keys.write_all(b"\x1a").unwrap(),
            false => kill_process(process, Signal::TSTP).unwrap(),
        }
        let began = SystemClock.uptime();
        while Terminal::state_of(process) != 'T' {
            assert!(SystemClock.uptime() - began < Duration::from_secs(30));
            std::thread::yield_now();
        }
        terminal.until(GIVEN_BACK);
        terminal.until(TAKEN);
        terminal.until("dead");
    }
    terminal.keys.write_all(b"q").unwrap();
    assert_eq!(terminal.end().0, Some(0));
}
