//! The command on a terminal of its own. `script`, which Debian always has, provides the terminal.
//!
//! The benchmark `watch` includes this file.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A running command, with the keys and the output of its terminal.
pub(crate) struct Script {
    pub(crate) child: Child,
    pub(crate) keys: ChildStdin,
    pub(crate) output: Receiver<Vec<u8>>,
}

impl Script {
    /// Starts the command with these arguments on a terminal of 30 rows and 100 columns.
    pub(crate) fn open(db: &Path, arguments: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_outbox");
        // The size of a terminal that `script` makes is nothing, unless somebody sets it.
        let line = format!("stty rows 30 cols 100; exec '{program}' {arguments}");
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--flush",
                "--return",
                "--command",
                &line,
                "/dev/null",
            ])
            .env("OUTBOX_DB", db)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keys = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            output,
        }
    }
}
