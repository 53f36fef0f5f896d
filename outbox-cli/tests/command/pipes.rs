//! Readers that have seen enough, and disks without space.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::many::fill_with_completed;
use crate::scene::Scene;

/// Runs a command whose output is closed after this many bytes; returns its exit code, and what it
/// said.
fn closed_after(scene: &Scene, args: &[&str], bytes: usize) -> (Option<i32>, String) {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("outbox"))
        .env("OUTBOX_DB", scene.path())
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut some = vec![0; bytes];
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_failure() {
    let scene = Scene::empty();
    scene.store().await.close().await;
    fill_with_completed(&scene.path(), 5_000);
    for args in [
        &["list", "--limit", "0"][..],
        &["list", "--limit", "0", "--json"],
        &["export"],
        &["watch", "--interval", "50ms"],
        &["watch", "--interval", "50ms", "--json"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["status"],
    ] {
        for bytes in [0, 10] {
            let (code, said) = closed_after(&scene, args, bytes);
            assert_eq!(
                (code, said.as_str()),
                (Some(0), ""),
                "{args:?} after {bytes}"
            );
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_failure_even_for_the_last_bytes() {
    let scene = Scene::with_each_state().await;
    for args in [
        &["export"][..],
        &["list"],
        &["status", "--json"],
        &["completions", "zsh"],
        &["watch", "--count", "1"],
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = Command::new(assert_cmd::cargo::cargo_bin!("outbox"))
            .env("OUTBOX_DB", scene.path())
            .args(args)
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("No space left"), "{args:?}: {said}");
    }
    let answer = scene.expect(2, &["export", "/dev/full"]);
    assert!(
        answer.stderr.contains("/dev/full: No space left"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_never_replaces_a_file() {
    let scene = Scene::with_each_state().await;
    let file = scene.folder().join("kept.jsonl");
    std::fs::write(&file, "kept").unwrap();
    let answer = scene.expect(2, &["export", file.to_str().unwrap()]);
    assert!(answer.stderr.contains("exists"), "{answer:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}
