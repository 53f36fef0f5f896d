//! `watch` on a terminal: it shows the counts, and leaves the terminal as it was, however it ends.

use std::io::Write as _;
use std::time::Duration;

use outbox_runtime::Clock as _;
use outbox_runtime::store::SystemClock;
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::Scene;
use crate::script::Script;

/// The sequences that take the whole screen, and give it back.
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";

/// `watch` on a terminal of its own.
struct Terminal {
    script: Script,
    shown: String,
}

impl Terminal {
    fn open(scene: &Scene) -> Self {
        let mut terminal = Self {
            script: Script::open(&scene.path(), "watch --interval 50ms"),
            shown: String::new(),
        };
        terminal.until("dead");
        terminal
    }

    fn press(&mut self, key: &[u8]) {
        self.script.keys.write_all(key).unwrap();
    }

    /// Waits until the terminal shows this text, and forgets what came before.
    fn until(&mut self, text: &str) {
        let began = SystemClock.uptime();
        while !self.shown.contains(text) {
            let is_late = SystemClock.uptime() - began > Duration::from_secs(30);
            assert!(!is_late, "{text:?} is not in {:?}", self.shown);
            match self.script.output.recv_timeout(Duration::from_millis(50)) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                // `script` stops when its child does, and continues it when it goes on itself.
                Err(_) => kill_process(Pid::from_child(&self.script.child), Signal::CONT).unwrap(),
            }
        }
        let end = self.shown.find(text).unwrap() + text.len();
        self.shown.drain(..end);
    }

    /// The process of the command.
    fn process(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.script.child.id());
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
        let code = self.script.child.wait().unwrap().code();
        for bytes in self.script.output {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (code, self.shown)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_restored_at_the_end() {
    let scene = Scene::with_each_state().await;
    let mut terminal = Terminal::open(&scene);
    terminal.press(b"q");
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
            true => terminal.press(b"\x1a"),
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
    terminal.press(b"q");
    assert_eq!(terminal.end().0, Some(0));
}
