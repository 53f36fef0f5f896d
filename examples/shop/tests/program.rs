//! The one command, on a small scale.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

/// Runs the program with this path of nats-server, or what is installed; returns its exit code and
/// what it said. `None` if PostgreSQL is not installed and need not be.
fn run(arguments: &[&str], nats_server: Option<&str>) -> Option<(Option<i32>, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(arguments);
    if let Some(program) = nats_server {
        command.env("NATS_SERVER", program);
        command.env_remove("OUTBOX_NATS_REQUIRED");
    }
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let is_required = std::env::var_os("OUTBOX_POSTGRES_REQUIRED").is_some();
    if said.contains("PostgreSQL is not installed") && !is_required {
        eprintln!("skipped: {said}");
        return None;
    }
    Some((output.status.code(), said))
}

#[test]
fn all_that_was_ordered_arrives_although_a_worker_is_killed() {
    let arguments = ["all", "--orders", "200", "--workers", "2", "--seed", "5"];
    let Some((code, said)) = run(&arguments, None) else {
        return;
    };
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("database and receivers agree"), "{said}");
    assert!(said.contains(": killed after"), "{said}");
}

#[test]
fn without_a_broker_its_events_wait_and_the_rest_is_compared() {
    let arguments = ["all", "--orders", "200", "--workers", "2", "--seed", "6"];
    let Some((code, said)) = run(&arguments, Some("/nowhere")) else {
        return;
    };
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("skipped: nats-server is not installed"),
        "{said}"
    );
    assert!(said.contains("stream:  skipped"), "{said}");
}

#[test]
fn what_cannot_be_run_is_exit_code_2() {
    let arguments = ["serve", "--database", "not an address"];
    let Some((code, said)) = run(&arguments, None) else {
        return;
    };
    assert_eq!(code, Some(2), "{said}");
    assert!(said.starts_with("error: "), "{said}");
}
