//! Summaries of the samples.

use std::fmt;
use std::time::Duration;

use crate::measure::Sample;
use crate::sources::Variant;

/// Samples of every variant, by round.
pub(crate) struct Report {
    entities: usize,
    samples: Vec<(Variant, Sample)>,
}

/// Summary of one kind of time.
struct Figures {
    /// One per variant, in the order of [`Variant::ALL`].
    spreads: [Spread; 3],
    /// Ratio of the medians.
    ratio: f64,
    /// Ratio of each round.
    ratios: Spread,
}

/// Median and extremes of a series.
#[derive(Clone, Copy)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Report {
    pub(crate) fn new(entities: usize) -> Self {
        Self {
            entities,
            samples: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, variant: Variant, sample: Sample) {
        self.samples.push((variant, sample));
    }

    /// `(OutboxEntity - plain) / (serde - plain)` of the medians, in wall-clock time.
    pub(crate) fn ratio(&self) -> f64 {
        self.by_wall().ratio
    }

    fn by_wall(&self) -> Figures {
        Figures::of(Variant::ALL.map(|variant| self.seconds(variant, |sample| Some(sample.wall))))
    }

    fn by_cpu(&self) -> Option<Figures> {
        let known = self.samples.iter().all(|(_, sample)| sample.cpu.is_some());
        known.then(|| {
            Figures::of(Variant::ALL.map(|variant| self.seconds(variant, |sample| sample.cpu)))
        })
    }

    fn seconds(&self, variant: Variant, of: impl Fn(&Sample) -> Option<Duration>) -> Vec<f64> {
        self.samples
            .iter()
            .filter(|(other, _)| *other == variant)
            .filter_map(|(_, sample)| of(sample))
            .map(|duration| duration.as_secs_f64())
            .collect()
    }

    /// The same figures, machine-readable.
    pub(crate) fn to_json(&self) -> String {
        let rounds = self.samples.len() / Variant::ALL.len();
        let cpu = self
            .by_cpu()
            .map_or_else(|| "null".to_owned(), |figures| figures.to_json());
        format!(
            "{{\"entities\":{},\"rounds\":{rounds},\"wall\":{},\"cpu\":{cpu}}}\n",
            self.entities,
            self.by_wall().to_json()
        )
    }
}

impl Figures {
    fn of(series: [Vec<f64>; 3]) -> Self {
        let [plain, serde, outbox] = &series;
        let ratio = |plain: f64, serde: f64, outbox: f64| (outbox - plain) / (serde - plain);
        let rounds = plain.iter().zip(serde).zip(outbox);
        let ratios = rounds.map(|((plain, serde), outbox)| ratio(*plain, *serde, *outbox));
        let ratios = Spread::of(ratios.collect());
        let spreads = series.map(Spread::of);
        let [plain, serde, outbox] = spreads.map(|spread| spread.median);
        Self {
            spreads,
            ratio: ratio(plain, serde, outbox),
            ratios,
        }
    }

    fn to_json(&self) -> String {
        let variants: Vec<String> = Variant::ALL
            .iter()
            .zip(&self.spreads)
            .map(|(variant, spread)| format!("{:?}:{}", variant.name(), spread.to_json()))
            .collect();
        format!(
            "{{\"seconds\":{{{}}},\"ratio\":{:.4},\"ratio_of_rounds\":{}}}",
            variants.join(","),
            self.ratio,
            self.ratios.to_json()
        )
    }
}

impl Spread {
    fn of(mut series: Vec<f64>) -> Self {
        series.sort_by(f64::total_cmp);
        let at = |index: usize| series.get(index).copied().unwrap_or(f64::NAN);
        let count = series.len();
        Self {
            min: at(0),
            median: f64::midpoint(at(count.saturating_sub(1) / 2), at(count / 2)),
            max: at(count.saturating_sub(1)),
        }
    }

    fn to_json(self) -> String {
        let Self { min, median, max } = self;
        format!("{{\"min\":{min:.4},\"median\":{median:.4},\"max\":{max:.4}}}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cargo check of {} structs of 6 fields", self.entities)?;
        writeln!(f, "\nby wall-clock time:\n{}", self.by_wall())?;
        match self.by_cpu() {
            Some(figures) => write!(f, "\nby CPU time:\n{figures}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:28}{:>8}{:>8}{:>8}", "", "median", "min", "max")?;
        for (variant, spread) in Variant::ALL.iter().zip(&self.spreads) {
            let Spread { min, median, max } = spread;
            let title = variant.title();
            writeln!(f, "  {title:26}{median:>6.3} s{min:>6.3} s{max:>6.3} s")?;
        }
        let Spread { min, max, .. } = self.ratios;
        let ratio = self.ratio;
        write!(
            f,
            "  (OutboxEntity - plain) / (serde - plain) = {ratio:.3}  (single rounds: {min:.3} to {max:.3})"
        )
    }
}
