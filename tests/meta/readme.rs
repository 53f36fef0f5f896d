//! The first program of the README runs as it stands.

use std::path::Path;
use std::process::Command;

use outbox_runtime::rusqlite::Connection;

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
fn the_first_program_of_the_readme_runs_in_an_empty_folder_and_delivers() {
    let folder = tempfile::tempdir().unwrap();
    // Twice, as a newcomer runs it again.
    for run in 1..=2_i64 {
        let output = Command::new(env!("CARGO_BIN_EXE_readme"))
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("outage of the network"), "{lines:?}");
        assert_eq!(lines[1], format!("PUT /moods/{run} 0.5"));
        let moods: i64 = Connection::open(folder.path().join("app.db"))
            .unwrap()
            .query_row("SELECT count(*) FROM mood", [], |row| row.get(0))
            .unwrap();
        assert_eq!(moods, run);
    }
}

#[test]
fn the_first_program_leaves_nothing_where_it_was_not_told_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_readme"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
