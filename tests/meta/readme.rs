//! The README's first program works as printed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use outbox_runtime::rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_first_program_of_the_readme_is_the_tested_one() {
    let readme = file("../README.md");
    let (_, block) = readme.split_once("```rust,no_run\n").unwrap();
    let (program, _) = block.split_once("```").unwrap();
    assert_eq!(
        program,
        file("readme/program.rs"),
        "copy the README's first program to tests/readme/program.rs"
    );
}

#[test]
fn the_first_program_of_the_readme_runs_in_an_empty_folder_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    // Twice: a newcomer runs it again.
    for run in 1..=2 {
        let mut program = Command::new(env!("CARGO_BIN_EXE_readme"))
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = lines
            .next()
            .expect("the program ended without a delivery")
            .unwrap();
        assert!(line.starts_with("PUT 0.5 under key "), "{line}");
        kill_process(Pid::from_child(&program), Signal::INT).unwrap();
        assert!(program.wait().unwrap().success());
        let moods: i64 = Connection::open(folder.path().join("lume.db"))
            .unwrap()
            .query_row("SELECT count(*) FROM mood", [], |row| row.get(0))
            .unwrap();
        assert_eq!(moods, run);
    }
}
