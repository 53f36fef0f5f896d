//! The program as a user runs it: its output, its exit code, and that it survives being killed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const FIRST: &str = "12fe8eac-1130-48cd-bf82-970d0e592c48";
const SECOND: &str = "bf7a8a0f-21bc-4dc2-b916-ac45c9fce80c";

/// A folder with an input, for the files of the runs.
struct Bench(TempDir);

impl Bench {
    fn new(input: &str) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::write(bench.0.path().join("moods.jsonl"), input).unwrap();
        bench
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        command.args([Path::new("--dir"), &self.0.path().join("work")]);
        command.args([Path::new("--input"), &self.0.path().join("moods.jsonl")]);
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    fn accepted(&self) -> String {
        fs::read_to_string(self.0.path().join("work/accepted.jsonl")).unwrap_or_default()
    }
}

fn save(op: &str, id: &str, valence: f64) -> String {
    format!(
        r#"{{"op":"{op}","id":"{id}","user":"ada","valence":{valence},"labels":["calm"],"logged_at":"2026-03-01T06:30:00Z"}}"#
    )
}

fn delete(id: &str) -> String {
    format!(r#"{{"op":"delete","id":"{id}","user":"ada"}}"#)
}

#[track_caller]
fn assert_answer(output: &Output, code: i32, text: &str) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{said}");
}

#[test]
fn changes_behind_a_dead_letter_are_expected_to_wait() {
    let input = [
        save("create", FIRST, 0.5),
        save("update", FIRST, 7.0),
        delete(FIRST),
        save("create", SECOND, -1.0),
        delete(SECOND),
        save("create", SECOND, 1.0),
    ];
    let bench = Bench::new(&input.join("\n"));
    assert_answer(&bench.run(), 0, "server and file agree");
    assert_answer(&bench.run(), 0, "all taken in before");
    assert_eq!(bench.accepted().lines().count(), 4);
}

#[test]
fn a_difference_is_shown_and_is_exit_code_1() {
    let bench = Bench::new(&save("create", FIRST, 0.5));
    assert_answer(&bench.run(), 0, "server and file agree");
    let forged = bench.accepted().replace("0.5", "0.6");
    fs::write(bench.0.path().join("work/accepted.jsonl"), forged).unwrap();
    let output = bench.run();
    assert_answer(&output, 1, "FAILED  every entry on the server");
    assert_answer(&output, 1, FIRST);
}

#[test]
fn an_unusable_input_is_exit_code_2_and_touches_nothing() {
    let bench = Bench::new(&format!("{}\n{{\"op\":", save("create", FIRST, 0.5)));
    assert_answer(&bench.run(), 2, "moods.jsonl, line 2");
    assert!(!bench.0.path().join("work").exists());
    fs::remove_file(bench.0.path().join("moods.jsonl")).unwrap();
    assert_answer(&bench.run(), 2, "moods.jsonl: ");
}

#[test]
fn a_folder_is_for_one_input_until_fresh() {
    let bench = Bench::new(&save("create", FIRST, 0.5));
    assert_answer(&bench.run(), 0, "server and file agree");
    let other = save("create", SECOND, 0.5);
    fs::write(bench.0.path().join("moods.jsonl"), other).unwrap();
    assert_answer(&bench.run(), 2, "--fresh");
    let output = bench.command().arg("--fresh").output().unwrap();
    assert_answer(&output, 0, "server and file agree");
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "waits for another process, which knows no clock of ours"
)]
fn a_killed_run_is_completed_by_the_next_one() {
    let ids = (0..300_u128).map(|n| format!("{:08x}-0000-4000-8000-000000000000", n + 1));
    let lives = ids.map(|id| {
        [
            save("create", &id, 0.1),
            save("update", &id, 0.2),
            delete(&id),
        ]
        .join("\n")
    });
    let bench = Bench::new(&lives.collect::<Vec<_>>().join("\n"));
    for some in [50, 300] {
        let mut child = bench.command().stdout(Stdio::null()).spawn().unwrap();
        while bench.accepted().lines().count() < some && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        assert!(
            !child.wait().unwrap().success(),
            "it was done before it was killed"
        );
    }
    assert_answer(&bench.run(), 0, "server and file agree");
    assert_eq!(bench.accepted().lines().count(), 900);
}
