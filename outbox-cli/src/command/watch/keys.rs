//! Keys and signals as messages.

use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::{self, Receiver};

/// What happens beside the time that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Quit,
    /// Look now.
    Refresh,
    /// The terminal has another size.
    Resize,
    /// The shell wants the terminal: Ctrl-Z, or a signal.
    Stop,
    /// The shell gave it back.
    Continue,
    /// The process is told to end.
    Terminate,
}

/// How long a look for a key may take, which bounds the time until the thread notices its end.
const PATIENCE: Duration = Duration::from_millis(100);

/// Starts to listen to keys and signals.
pub(super) fn listen() -> std::io::Result<Receiver<Input>> {
    let (sender, inputs) = mpsc::channel(16);
    #[cfg(unix)]
    signals(&sender)?;
    std::thread::Builder::new()
        .name("outbox-keys".to_owned())
        .spawn(move || {
            while !sender.is_closed() {
                let input = match event::poll(PATIENCE) {
                    Ok(false) => continue,
                    Ok(true) => event::read().ok().and_then(|event| meaning(&event)),
                    // The terminal is gone.
                    Err(_) => Some(Input::Terminate),
                };
                if let Some(input) = input
                    && sender.blocking_send(input).is_err()
                {
                    return;
                }
                if input == Some(Input::Terminate) {
                    return;
                }
            }
        })?;
    Ok(inputs)
}

fn meaning(event: &Event) -> Option<Input> {
    let key = match event {
        Event::Resize(..) => return Some(Input::Resize),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if is_control => Some(Input::Quit),
        KeyCode::Char('z') if is_control => Some(Input::Stop),
        KeyCode::Char('l') if is_control => Some(Input::Continue),
        KeyCode::Char('q') | KeyCode::Esc => Some(Input::Quit),
        KeyCode::Char('r' | ' ') => Some(Input::Refresh),
        _ => None,
    }
}

#[cfg(unix)]
fn signals(sender: &mpsc::Sender<Input>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let tstp = SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw());
    let cont = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
    for (kind, input) in [
        (SignalKind::terminate(), Input::Terminate),
        (SignalKind::hangup(), Input::Terminate),
        (SignalKind::interrupt(), Input::Quit),
        (tstp, Input::Stop),
        (cont, Input::Continue),
    ] {
        let mut signal = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if sender.send(input).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// Stops this process, as the shell expects after Ctrl-Z. Returns when it goes on.
#[cfg(unix)]
pub(super) fn stop() {
    use rustix::process::{Signal, getpid, kill_process};
    // Fails for no process of one's own.
    let _ = kill_process(getpid(), Signal::STOP);
}

#[cfg(not(unix))]
pub(super) fn stop() {}
