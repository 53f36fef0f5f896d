//! A progress bar for long work.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use outbox_import::ImportProgress;

/// The number of steps from which on there is a bar.
pub const BAR_FROM: u64 = 1_000;

/// A progress bar on standard error, hidden for fewer than [`BAR_FROM`] steps and without a
/// terminal.
#[must_use]
pub fn bar(steps: u64) -> ProgressBar {
    const TEMPLATE: &str = "{elapsed_precise} {bar:40} {pos} of {len} {msg}";
    let target = if steps > BAR_FROM {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style =
        ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(steps), target).with_style(style)
}

/// Shows the progress of an import in a [`bar`] that disappears with the last row.
pub fn import_bar() -> impl FnMut(&ImportProgress) + Send + 'static {
    let mut shown = None;
    move |progress| {
        let bar = shown.get_or_insert_with(|| bar(progress.total));
        bar.set_position(progress.read);
        if progress.read == progress.total {
            bar.finish_and_clear();
        }
    }
}
