//! What a contestant reports.

use serde::{Deserialize, Serialize};

/// The line that a contestant prints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Events enqueued or completed.
    pub done: usize,
    /// Events ordered.
    pub ordered: usize,
    /// Seconds that the done events took.
    pub seconds: f64,
    /// Median latency, in milliseconds; of a latency workload only.
    pub p50: Option<f64>,
    /// 99th percentile of the latency, in milliseconds; of a latency workload only.
    pub p99: Option<f64>,
}

impl Figures {
    /// The figures of a workload without latencies.
    #[must_use]
    pub fn of_work(done: usize, ordered: usize, seconds: f64) -> Self {
        Self {
            done,
            ordered,
            seconds,
            p50: None,
            p99: None,
        }
    }

    /// Events a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// Whether the time limit ended the workload early.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.done < self.ordered
    }

    /// The printed line.
    ///
    /// # Errors
    ///
    /// None of these values makes the serializer fail.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// The value that this share of all values does not exceed.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
