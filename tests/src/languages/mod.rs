//! The programs of `examples/other-languages`, which enqueue for our processor.
//!
//! A program is a child process that reads changes and answers each after its commit. Where its
//! interpreter or its driver is not installed, the test says so in one line and goes on without it;
//! with `OUTBOX_LANGUAGES_REQUIRED` in the environment it fails instead.

mod moods; // what the programs save, and what is expected of them

pub use self::moods::{
    Mood, MoodEntry, TABLES, deliver_in_order, leave_no_event_of_a_failed_change,
    repeat_without_a_second_event, wake_latency, write_side_by_side,
};

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::within;

/// A running program. It ends with the test.
#[derive(Debug)]
pub struct Program {
    /// As messages name it: the driver.
    pub name: String,
    child: Child,
    input: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
}

/// The answer to one change.
#[derive(Debug)]
pub enum Answer {
    /// Committed: the event's id, and whether the event is new.
    Saved(uuid::Uuid, bool),
    /// Rolled back, with the driver's message.
    Failed(String),
}

impl Program {
    /// The programs for a SQLite file that can run here: the module `sqlite3` of Python's standard
    /// library, apsw, and better-sqlite3.
    pub async fn on_sqlite(database: &Path) -> Vec<Self> {
        let file = database.as_os_str();
        let python = |driver: &str| {
            let mut command = interpreter("OUTBOX_PYTHON", "python3", "python/moods_sqlite.py");
            command.arg(file).arg(driver);
            command
        };
        let mut standard = python("sqlite3");
        // The folder of a SQLite that is newer than that of Python's distributor.
        if let Some(folder) = std::env::var_os("OUTBOX_PYTHON_SQLITE") {
            standard.env("LD_LIBRARY_PATH", folder);
        }
        let mut node = interpreter("OUTBOX_NODE", "node", "node/moods-sqlite.js");
        node.arg(file);
        let commands = [
            ("sqlite3 of Python", standard),
            ("apsw", python("apsw")),
            ("better-sqlite3", node),
        ];
        Self::start_all(commands).await
    }

    /// The programs for a PostgreSQL database that can run here: psycopg and pg.
    pub async fn on_postgres(url: &str, outbox: &str) -> Vec<Self> {
        let mut python = interpreter("OUTBOX_PYTHON", "python3", "python/moods_postgres.py");
        python.args([url, outbox]);
        let mut node = interpreter("OUTBOX_NODE", "node", "node/moods-postgres.js");
        node.args([url, outbox]);
        Self::start_all([("psycopg", python), ("pg", node)]).await
    }

    async fn start_all<const N: usize>(commands: [(&str, Command); N]) -> Vec<Self> {
        let mut programs = Vec::new();
        for (name, command) in commands {
            match Self::start(name, command).await {
                Ok(program) => programs.push(program),
                Err(reason) if std::env::var_os("OUTBOX_LANGUAGES_REQUIRED").is_some() => {
                    panic!("{name}: {reason}")
                }
                Err(reason) => {
                    let reason = reason.lines().last().unwrap_or_default().trim();
                    // Directly, because the test harness would swallow it.
                    let line = format!("skipped: {name}: {reason}\n");
                    let _ = std::io::stderr().write_all(line.as_bytes());
                }
            }
        }
        programs
    }

    /// Starts a program and waits until it has connected, or returns why it ended.
    async fn start(name: &str, mut command: Command) -> Result<Self, String> {
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| {
            let program = Path::new(command.get_program()).display();
            format!("{program}: {error}")
        })?;
        let input = child.stdin.take().unwrap();
        let output = child.stdout.take().unwrap();
        let mut errors = child.stderr.take().unwrap();
        // It reads until the program ends, so that none of its messages blocks it.
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (sender, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut program = Self {
            name: name.to_owned(),
            child,
            input,
            answers,
        };
        match within(program.answers.recv()).await {
            Some(ready) => {
                let ready: Value = serde_json::from_str(&ready).unwrap();
                assert!(ready["ready"].is_string(), "{name}: {ready}");
                Ok(program)
            }
            None => Err(reason(&errors.join().unwrap())),
        }
    }

    /// Hands a change to the program, which works on it while the test goes on.
    pub fn send(&mut self, change: &Mood) {
        let mut line = json!({
            "id": change.id, "user": change.user, "score": change.score, "note": change.note,
        });
        if let Some(event) = change.event {
            line["event"] = json!(event);
        }
        writeln!(self.input, "{line}").unwrap();
    }

    /// The answer to the oldest change without one.
    pub async fn answer(&mut self) -> Answer {
        let name = &self.name;
        let Some(line) = within(self.answers.recv()).await else {
            panic!("{name} has ended: {:?}", self.child.wait());
        };
        let answer: Value = serde_json::from_str(&line).unwrap();
        match (answer["event"].as_str(), answer["error"].as_str()) {
            (Some(id), None) => {
                let is_new = answer["written"].as_bool().unwrap();
                Answer::Saved(id.parse().unwrap(), is_new)
            }
            (None, Some(error)) => Answer::Failed(error.to_owned()),
            _ => panic!("{name}: {line}"),
        }
    }

    /// Makes a change, which must succeed with a new event.
    pub async fn save(&mut self, change: &Mood) -> uuid::Uuid {
        self.send(change);
        match self.answer().await {
            Answer::Saved(event, true) => event,
            answer => panic!("{}: {answer:?}", self.name),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the examples under the interpreter that a variable names.
fn interpreter(variable: &str, usual: &str, program: &str) -> Command {
    let interpreter = std::env::var_os(variable).unwrap_or_else(|| OsString::from(usual));
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/other-languages");
    let mut command = Command::new(interpreter);
    command
        .arg(examples.join(program))
        // Neither leaves anything in the source tree.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The line of an interpreter's messages that says what is wrong.
fn reason(messages: &str) -> String {
    let says = |line: &&str| line.contains("Error: ");
    let mut lines = messages.lines().filter(|line| !line.trim().is_empty());
    let found = lines.clone().find(says).or_else(|| lines.next_back());
    found.unwrap_or("it ended without a message").to_owned()
}
