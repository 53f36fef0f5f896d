//! Draining while another session holds an old snapshot, as a long report or a forgotten
//! transaction does: rows and index entries that became obsolete since cannot be removed.

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::Stopwatch;

use crate::drain::drain;
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scenes, count, open};

/// Least ratio to a drain that nobody disturbs.
const TARGET: Target = Target::AtLeast(0.8);

/// Takes a transaction id and a snapshot, and keeps both.
const HOLD: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ;
    SELECT txid_current(); SELECT count(*) FROM outbox.events";

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let backlog = scale.backlog;
    let template = scenes.outbox_with(Content::pending(backlog)).await?;
    let samples = interleaved(scale.rounds, &[false, true], async |is_held| {
        let database = scenes.copy(&template).await?;
        let holder = database.connect().await?;
        if is_held {
            holder.batch_execute(HOLD).await?;
        }
        let store = open(&database).await?;
        let watch = Stopwatch::start();
        drain(&store, backlog).await?;
        let rate = watch.per_second(backlog);
        anyhow::ensure!(count(&database, true).await? == backlog, "events were lost");
        drop((store, holder));
        scenes.drop(database).await?;
        Ok(rate)
    })
    .await?;
    scenes.drop(template).await?;
    let baseline = Baseline {
        name: "undisturbed",
        samples: &samples[0],
    };
    report.add(
        format!("drain {} beside a held snapshot", in_words(backlog)),
        Unit::EventsPerSecond,
        &samples[1],
        Some(baseline),
        Some(TARGET),
    );
    Ok(())
}
