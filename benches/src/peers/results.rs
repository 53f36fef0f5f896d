//! Medians, ratios, the table and the JSON.

use std::fmt::{self, Display};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use outbox_bench_kit::contestant::Contestant;
use outbox_contest::Figures;
use serde::Serialize;

use super::workloads::{Kind, Medium, Test, target};
use crate::report::{Unit, in_thousands};
use crate::rounds::median;

/// All lines of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Results {
    rounds: usize,
    contestants: Vec<Described>,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Described {
    name: &'static str,
    note: String,
}

/// One figure of one workload, of all contestants.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    medium: Medium,
    workload: String,
    unit: Unit,
    /// In the order of the contestants.
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figure {
    contestant: &'static str,
    median: Option<f64>,
    /// The store's figure divided by this one: the median over the rounds.
    ratio: Option<f64>,
    /// Minimum of the ratio.
    target: Option<f64>,
    /// Whether the time limit ended a run early.
    is_cut: bool,
    /// One per round; none where the run failed.
    samples: Vec<Option<f64>>,
}

impl Results {
    pub(crate) fn new(rounds: usize, contestants: &[Contestant]) -> Self {
        let described = contestants.iter().map(|contestant| Described {
            name: contestant.name,
            note: contestant.note.clone(),
        });
        Self {
            rounds,
            contestants: described.collect(),
            lines: Vec::new(),
        }
    }

    /// Adds the figures of a workload, in the order of the contestants, and prints them at once
    /// because a run takes long.
    pub(crate) fn add(&mut self, medium: Medium, test: &Test, samples: &[Vec<Option<Figures>>]) {
        if test.kind == Kind::Latency {
            for (name, of) in [
                (
                    "latency p50",
                    (|figures| figures.p50) as fn(Figures) -> Option<f64>,
                ),
                ("latency p99", |figures| figures.p99),
            ] {
                self.add_line(medium, test, name, Unit::Milliseconds, samples, of);
            }
        } else {
            let unit = Unit::EventsPerSecond;
            self.add_line(medium, test, &test.name, unit, samples, |figures| {
                Some(figures.per_second())
            });
        }
    }

    fn add_line(
        &mut self,
        medium: Medium,
        test: &Test,
        workload: &str,
        unit: Unit,
        samples: &[Vec<Option<Figures>>],
        of: fn(Figures) -> Option<f64>,
    ) {
        let values: Vec<Vec<Option<f64>>> = samples
            .iter()
            .map(|rounds| rounds.iter().map(|figures| figures.and_then(of)).collect())
            .collect();
        let ours = self
            .contestants
            .iter()
            .position(|contestant| contestant.name == "ours");
        let figures = self
            .contestants
            .iter()
            .zip(samples)
            .zip(&values)
            .enumerate();
        let figures = figures.map(|(number, ((contestant, figures), own))| {
            let ratios = ours.filter(|ours| *ours != number).map(|ours| {
                let pairs = values[ours].iter().zip(own);
                pairs
                    .filter_map(|(ours, own)| Some((*ours)? / (*own)?))
                    .collect::<Vec<_>>()
            });
            let known: Vec<f64> = own.iter().copied().flatten().collect();
            Figure {
                contestant: contestant.name,
                median: (!known.is_empty()).then(|| median(&known)),
                ratio: ratios
                    .filter(|ratios| !ratios.is_empty())
                    .map(|ratios| median(&ratios)),
                target: (unit == Unit::EventsPerSecond)
                    .then(|| target(medium, test.kind, contestant.name))
                    .flatten(),
                is_cut: figures.iter().flatten().any(Figures::is_cut),
                samples: own.clone(),
            }
        });
        let line = Line {
            medium,
            workload: workload.to_owned(),
            unit,
            figures: figures.collect(),
        };
        eprintln!("{line}");
        self.lines.push(line);
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    fn table(&self, medium: Medium) -> Option<Table> {
        let lines: Vec<&Line> = self
            .lines
            .iter()
            .filter(|line| line.medium == medium)
            .collect();
        let first = lines.first()?;
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let mut header = vec![medium.name().to_owned()];
        for figure in &first.figures {
            header.push(figure.contestant.to_owned());
            if figure.contestant != "ours" {
                header.push("ratio".to_owned());
            }
        }
        let columns = header.len();
        table.set_header(header);
        for line in &lines {
            let mut cells = vec![line.workload.clone()];
            for figure in &line.figures {
                cells.push(figure.show(line.unit));
                if figure.contestant != "ours" {
                    cells.push(show_ratio(figure.ratio));
                }
            }
            table.add_row(cells);
        }
        for column in 1..columns {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Some(table)
    }
}

fn show_ratio(ratio: Option<f64>) -> String {
    match ratio {
        None => String::new(),
        Some(ratio) if ratio >= 10.0 => format!("{ratio:.0}"),
        Some(ratio) => format!("{ratio:.2}"),
    }
}

impl Figure {
    fn show(&self, unit: Unit) -> String {
        let mark = if self.is_cut { "*" } else { "" };
        match self.median {
            None => "failed".to_owned(),
            Some(value) if unit == Unit::EventsPerSecond => {
                format!("{}{mark}", in_thousands(value))
            }
            Some(value) => format!("{value:.2} ms{mark}"),
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}:", self.workload, self.medium.name())?;
        for figure in &self.figures {
            write!(f, " {} {}", figure.contestant, figure.show(self.unit))?;
            if figure.ratio.is_some() {
                write!(f, " ({})", show_ratio(figure.ratio))?;
            }
        }
        Ok(())
    }
}

impl Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Events a second and milliseconds, medians over rounds in turns ({}). A ratio is ours to \
             theirs, the median over the rounds. *: the time limit ended a run early.\n",
            self.rounds
        )?;
        for medium in [Medium::Disk, Medium::Memory] {
            if let Some(table) = self.table(medium) {
                writeln!(f, "{table}\n")?;
            }
        }
        for contestant in &self.contestants {
            writeln!(f, "- {}: {}", contestant.name, contestant.note)?;
        }
        writeln!(f)?;
        for line in &self.lines {
            for figure in &line.figures {
                if let (Some(target), Some(ratio)) = (figure.target, figure.ratio) {
                    let met = if ratio >= target { "met" } else { "MISSED" };
                    let (workload, medium) = (&line.workload, line.medium.name());
                    writeln!(
                        f,
                        "{workload} {medium}, against {}: {ratio:.2}, target ≥ {target:.2}: {met}",
                        figure.contestant
                    )?;
                }
            }
        }
        Ok(())
    }
}
