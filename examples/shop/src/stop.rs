//! When a process has to end.

use std::io::Read;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Resolves when the user presses Ctrl-C, when the system asks the process to end (SIGTERM), or, if
/// `with_parent`, when standard input ends.
///
/// A parent holds the other end of that pipe, so a child ends with it, even after a SIGKILL.
///
/// # Errors
///
/// If the process cannot receive signals.
pub async fn requested(with_parent: bool) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let parent = async {
        match with_parent {
            true => input_ends().await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
        () = parent => Ok(()),
    }
}

/// Resolves when standard input ends.
async fn input_ends() {
    let (ended, input_ends) = oneshot::channel();
    // A thread, because reading standard input cannot be canceled. It dies with the process.
    thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(std::io::stdin().read(&mut ignored), Ok(count) if count > 0) {}
        // Nobody listens if the process ends already.
        let _ = ended.send(());
    });
    // A thread that could not be started counts as the end.
    let _ = input_ends.await;
}
