//! Standard output: buffered, colored on a terminal only, and flushed before a command succeeds.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::Failure;

/// Standard output. Every failed write is a [`Failure`]; [`finish`](Self::finish) tells about the
/// last ones.
#[derive(Debug)]
pub(crate) struct Out {
    stdout: BufWriter<Stdout>,
    is_colored: bool,
    /// Whether the answer is JSON.
    pub(crate) is_json: bool,
}

/// What a colored text means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Head,
    Good,
    Bad,
    Unsure,
    Faint,
}

impl Out {
    pub(crate) fn new(is_json: bool) -> Self {
        let stdout = io::stdout();
        let is_colored = !is_json && AutoStream::choice(&stdout) != ColorChoice::Never;
        Self {
            stdout: BufWriter::with_capacity(1 << 16, stdout),
            is_colored,
            is_json,
        }
    }

    pub(crate) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.stdout, "{text}").map_err(|error| failed(&error))
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stdout, value).map_err(|error| failed(&error.into()))?;
        self.line("")
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).map_err(|error| failed(&error))
    }

    /// The text in the color of its tone, padded to `width`.
    pub(crate) fn tone(&self, tone: Tone, text: &str, width: usize) -> String {
        let padded = format!("{text:<width$}");
        if !self.is_colored {
            return padded;
        }
        let style = match tone {
            Tone::Head => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Unsure => AnsiColor::Yellow.on_default(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{padded}{style:#}")
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| failed(&error))
    }

    /// Writes the rest. A dropped buffer would swallow the error of a full disk.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::writing("the output", error)
}
