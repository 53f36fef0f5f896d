//! All rows, run in parallel and printed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::case::Case;
use crate::course::Course;
use crate::scenario::{ALL, Scenario};

/// The result of one scenario in one case.
#[derive(Debug, Clone)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// The measured figures, by name.
    pub figures: Vec<(&'static str, String)>,
    /// The violated bounds.
    pub broken: Vec<String>,
}

impl Row {
    pub(crate) fn new(case: &Case, course: &Course) -> Self {
        Self {
            case: *case,
            figures: vec![("calls", course.calls.len().to_string())],
            broken: Vec::new(),
        }
    }

    pub(crate) fn figure(&mut self, name: &'static str, value: String) {
        self.figures.push((name, value));
    }

    pub(crate) fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.broken.is_empty() {
            "ok  "
        } else {
            "FAIL"
        };
        write!(f, "{verdict} {} ", self.case)?;
        let figures = self
            .figures
            .iter()
            .map(|(name, value)| format!("{name} {value}"));
        f.write_str(&figures.collect::<Vec<_>>().join(", "))?;
        for broken in &self.broken {
            write!(f, "; {broken}")?;
        }
        Ok(())
    }
}

/// Runs every scenario in every case that the filter accepts, on `threads` threads, and passes on
/// each row, in order, as soon as it and all earlier rows are complete. Returns the number of rows,
/// and the number of failed rows.
pub fn run(
    seed: u64,
    threads: usize,
    wanted: impl Fn(&Scenario, &Case) -> bool,
    mut tell: impl FnMut(&Scenario, &Row) + Send,
) -> (usize, usize) {
    let mut jobs = Vec::new();
    for scenario in ALL {
        let cases = Case::all(seed).into_iter();
        let cases = cases.filter(|case| (scenario.applies)(case) && wanted(scenario, case));
        jobs.extend(cases.map(|case| (scenario, case)));
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new((vec![None; jobs.len()], 0, 0, &mut tell));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((number, (scenario, case))) = take(&next, &jobs) {
                    let row = run_one(scenario, case);
                    let mut results = results.lock().unwrap();
                    let (rows, told, failed, tell) = &mut *results;
                    rows[number] = Some(row);
                    while let Some(Some(row)) = rows.get(*told) {
                        tell(jobs[*told].0, row);
                        *failed += usize::from(!row.broken.is_empty());
                        *told += 1;
                    }
                }
            });
        }
    });
    let failed = results.lock().unwrap().2;
    (jobs.len(), failed)
}

fn take<'a, T>(next: &AtomicUsize, jobs: &'a [T]) -> Option<(usize, &'a T)> {
    let number = next.fetch_add(1, Ordering::SeqCst);
    Some((number, jobs.get(number)?))
}

/// A processor that never becomes idle fails only its own row.
fn run_one(scenario: &Scenario, case: &Case) -> Row {
    catch_unwind(AssertUnwindSafe(|| (scenario.run)(case))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Row {
            case: *case,
            figures: Vec::new(),
            broken: vec![format!("panicked: {}", text.unwrap_or("?"))],
        }
    })
}
