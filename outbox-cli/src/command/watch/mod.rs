//! `watch`: the counts, live: on the whole terminal, or a line per look where there is none.

use std::time::Duration;

use self::watcher::Watcher;
use crate::args;
use crate::database::Place;
use crate::failure::{Outcome, Verdict};
use crate::out::Out;

mod keys; // keys and signals
mod lines; // where there is no terminal
mod screen; // the picture
mod terminal; // raw mode, and its end
mod watcher; // looks at the outbox

/// The undelivered events that a look may read for the counts by type and user.
const SAMPLE: usize = 2_000;

pub(crate) async fn run(args: &args::Watch, place: &Place, out: &mut Out) -> Outcome {
    let is_plain = args.plain || out.is_json || !Out::is_terminal();
    let mut watcher = Watcher::new(place, if is_plain { 0 } else { SAMPLE });
    let interval = args.interval.max(Duration::from_millis(50));
    let ended = match is_plain {
        true => lines::run(&mut watcher, interval, args.count, out).await,
        false => {
            // A failure at the start is told before the screen is taken.
            watcher.look().await?;
            screen::run(&mut watcher, interval, args.count).await
        }
    };
    watcher.close().await;
    ended?;
    Ok(Verdict::Fine)
}
