//! The service as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A service that ends with the test.
struct Program {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_backend"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, out }
    }

    fn line(&mut self) -> String {
        self.out.next().unwrap().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ignore a service that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn flags_are_settings_and_the_first_line_is_the_address() {
    let mut program = Program::start(&[
        "--honor-keys",
        "--api-key=ours",
        "--account=ada@example.org=secret",
        "--error-codes=present",
        "--fault",
        "503@1 POST /api/v1/progress",
    ]);
    let url = program.line();
    let admin = program.line().strip_prefix("admin ").unwrap().to_owned();
    let client = reqwest::Client::new();
    let post = |path: &str, body: Value| {
        let request = client.post(format!("{url}{path}")).json(&body);
        request.header("X-API-Key", "ours")
    };

    let login = json!({ "email": "ada@example.org", "password": "secret" });
    let tokens: Value = post("/api/v1/auth/login", login)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = tokens["data"]["access_token"].as_str().unwrap();
    let mut bodies = Vec::new();
    for expected in [503, 201, 201] {
        let steps = post(
            "/api/v1/progress",
            json!({ "type": "steps", "quantity": 3422 }),
        );
        let answer = steps
            .bearer_auth(token)
            .header("Idempotency-Key", "e-1")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), expected);
        bodies.push(answer.json::<Value>().await.unwrap());
    }
    assert_eq!(bodies[0]["error"]["code"], "SERVICE_UNAVAILABLE");
    assert_eq!(bodies[1], bodies[2]);

    let audit = client
        .get(format!("{admin}/admin/audit"))
        .send()
        .await
        .unwrap();
    let audit: backend::Audit = audit.json().await.unwrap();
    assert_eq!(audit.held("progress").count(), 1);
    assert_eq!(audit.replays, 1);
}

#[cfg(unix)]
#[test]
fn a_termination_signal_ends_the_program() {
    for signal in ["TERM", "INT"] {
        let mut program = Program::start(&[]);
        program.line();
        let id = program.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(program.child.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn impossible_settings_are_refused_before_the_start() {
    for (arguments, said) in [
        (["--fault", "drop"], "it does not say when"),
        (["--fault", "burn@1"], "it is not one of 500"),
        (["--fault", "500@0"], "no number from 1"),
        (["--fault", "drop@1 goals"], "not a method and a path"),
        (["--rate", "0"], "at least 0.001"),
        (["--latency", "2s..1s"], "must not be shorter"),
        (["--account", "ada"], "ada@example.org=secret"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_backend"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_backend"))
        .args(["--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose another port"));
}
