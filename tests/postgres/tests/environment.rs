//! The server of the tests starts whatever the environment says about other servers.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::process::Command;

use outbox_postgres_tests::connect;

const CHILD: &str = "a_server_of_this_binary_answers";

#[tokio::test]
async fn a_server_of_this_binary_answers() {
    let client = connect().await;
    let row = client.query_one("SELECT 1::bigint", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[test]
fn settings_of_other_servers_in_the_environment_do_not_matter() {
    for port in ["", "1"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD])
            .env("PGPORT", port)
            .env("PGHOST", "elsewhere.invalid")
            .env("PGUSER", "nobody")
            .env("PGDATA", "/nowhere")
            .env("PGOPTIONS", "-c no_such_setting=on")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        let errors = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "PGPORT={port:?}: {told}{errors}");
    }
}
