//! The table, the targets and the JSON.

use std::fmt::{self, Display};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::rounds::{BesideFloor, median};

/// All lines of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    rounds: usize,
    lines: Vec<Line>,
}

/// One measurement.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    unit: Unit,
    /// Name of the baseline.
    against: String,
    /// Median of the baseline.
    baseline: Option<f64>,
    /// Our median.
    ours: f64,
    /// Our figure divided by the baseline's: the median over the rounds.
    ratio: Option<f64>,
    /// The lowest and the highest ratio of a round; without a baseline, figure.
    spread: (f64, f64),
    target: Option<Target>,
    met: Option<bool>,
    /// One per round.
    samples: Vec<f64>,
    baseline_samples: Vec<f64>,
}

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Events a second.
    EventsPerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Mebibytes.
    Mebibytes,
    /// Bytes.
    Bytes,
    /// A number of instructions.
    Instructions,
    /// Statements a second.
    StatementsPerSecond,
    /// A number of statements.
    Statements,
}

/// Required result.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Minimum of the ratio.
    AtLeast(f64),
    /// Maximum of the ratio.
    AtMost(f64),
    /// Maximum of the figure itself.
    Absolute(f64),
}

/// Samples that ours are compared with, round by round.
#[derive(Debug, Clone, Copy)]
pub struct Baseline<'a> {
    /// Its name in the table.
    pub name: &'a str,
    /// One per round.
    pub samples: &'a [f64],
}

impl Report {
    /// An empty report of a run of this many rounds.
    #[must_use]
    pub fn of_rounds(rounds: usize) -> Self {
        Self {
            rounds,
            lines: Vec::new(),
        }
    }

    /// Adds a line, and prints it at once because a run takes long.
    pub fn add(
        &mut self,
        what: impl Into<String>,
        unit: Unit,
        ours: &[f64],
        baseline: Option<Baseline<'_>>,
        target: Option<Target>,
    ) {
        let ratios: Option<Vec<f64>> = baseline.map(|baseline| {
            let rounds = ours.iter().zip(baseline.samples);
            rounds.map(|(ours, other)| ours / other).collect()
        });
        let ratio = ratios.as_deref().map(median);
        let spread = spread(ratios.as_deref().unwrap_or(ours));
        let samples = ours.to_vec();
        let ours = median(ours);
        let met = target.and_then(|target| target.is_met(ours, ratio));
        let line = Line {
            what: what.into(),
            unit,
            against: baseline.map_or_else(String::new, |baseline| baseline.name.to_owned()),
            baseline: baseline.map(|baseline| median(baseline.samples)),
            ours,
            ratio,
            spread,
            target,
            met,
            samples,
            baseline_samples: baseline.map_or_else(Vec::new, |baseline| baseline.samples.to_vec()),
        };
        eprintln!("{line}");
        self.lines.push(line);
    }

    /// Adds a line of events a second, ours against the floor's.
    pub fn add_beside_floor(&mut self, what: &str, samples: &BesideFloor, target: Option<Target>) {
        let baseline = Baseline {
            name: "floor",
            samples: &samples.floor,
        };
        let unit = Unit::EventsPerSecond;
        self.add(what, unit, &samples.ours, Some(baseline), target);
    }

    /// All lines with their samples.
    ///
    /// # Errors
    ///
    /// None of these values makes the serializer fail.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl Target {
    fn is_met(self, figure: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::AtLeast(least) => ratio.map(|ratio| ratio >= least),
            Self::AtMost(most) => ratio.map(|ratio| ratio <= most),
            Self::Absolute(most) => Some(figure <= most),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(ratio) => write!(f, "≥ {ratio:.2}"),
            Self::AtMost(ratio) => write!(f, "≤ {ratio:.2}"),
            Self::Absolute(figure) => write!(f, "≤ {} itself", in_thousands(*figure)),
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::EventsPerSecond => format!("{}/s", in_thousands(value)),
            Self::Milliseconds => format!("{value:.3} ms"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Bytes | Self::Instructions | Self::Statements => in_thousands(value),
            Self::StatementsPerSecond => format!("{value:.1}/s"),
        }
    }
}

/// The lowest and the highest value.
fn spread(values: &[f64]) -> (f64, f64) {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (lowest, highest)
}

/// `72200.3` as `72,200`: three significant digits are enough.
#[must_use]
pub fn in_thousands(value: f64) -> String {
    let digits = value.abs().max(1.0).log10().floor() as i32;
    let step = 10_f64.powi((digits - 2).max(0));
    let mut text = format!("{:.0}", (value / step).round() * step);
    let mut at = text.len();
    while at > 3 {
        at -= 3;
        text.insert(at, ',');
    }
    text
}

impl Line {
    fn cells(&self) -> [String; 8] {
        let or_nothing = |value: Option<String>| value.unwrap_or_default();
        let (lowest, highest) = self.spread;
        let spread = match self.ratio {
            Some(_) => format!("{lowest:.2} to {highest:.2}"),
            None => format!("{} to {}", self.unit.show(lowest), self.unit.show(highest)),
        };
        [
            self.what.clone(),
            self.against.clone(),
            or_nothing(self.baseline.map(|value| self.unit.show(value))),
            self.unit.show(self.ours),
            or_nothing(self.ratio.map(|ratio| format!("{ratio:.2}"))),
            if self.samples.len() > 1 {
                spread
            } else {
                String::new()
            },
            or_nothing(self.target.map(|target| target.to_string())),
            or_nothing(
                self.met
                    .map(|met| if met { "met" } else { "MISSED" }.to_owned()),
            ),
        ]
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [what, against, baseline, ours, ratio, spread, target, met] = self.cells();
        write!(f, "{what}: {ours}")?;
        if self.ratio.is_some() {
            write!(f, "; {against}: {baseline}; ratio {ratio}")?;
        }
        if !spread.is_empty() {
            write!(f, " ({spread})")?;
        }
        if self.target.is_some() {
            write!(f, "; target {target}: {met}")?;
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "What",
            "Against",
            "That",
            "The outbox",
            "Ratio",
            "Rounds",
            "Target",
            "",
        ]);
        for line in &self.lines {
            table.add_row(line.cells());
        }
        for column in 2..=6 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")?;
        let missed = self
            .lines
            .iter()
            .filter(|line| line.met == Some(false))
            .count();
        let targets = self.lines.iter().filter(|line| line.met.is_some()).count();
        write!(
            f,
            "medians of alternating rounds ({}); {} of {targets} targets met",
            self.rounds,
            targets - missed
        )
    }
}
