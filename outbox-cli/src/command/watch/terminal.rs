//! The terminal in raw mode, and as it was before: also after a panic, a signal or a stop.

use std::io::{self, Stdout, Write as _};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// The terminal while the screen is shown. Dropping it restores the terminal.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Raw {
    pub(super) fn enter() -> io::Result<Self> {
        let entered = take();
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        terminal
            .map(|terminal| Self { terminal })
            .inspect_err(|_| restore())
    }

    /// Takes the terminal again after a stop: the shell has used it meanwhile.
    pub(super) fn enter_again(&mut self) -> io::Result<()> {
        take()?;
        execute!(io::stdout(), Clear(ClearType::All))?;
        // A new one draws everything. `Terminal::clear` would ask the terminal where its cursor is,
        // and wait for an answer that the thread of the keys may read.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)
}

/// Restores the terminal, as far as it is still there.
pub(super) fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = io::stdout().flush();
}
