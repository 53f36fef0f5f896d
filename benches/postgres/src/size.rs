//! Steps and statistics among few and among many rows, in turns call by call.

use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::{median, turns};
use outbox_contest::{Stopwatch, pause};
use outbox_postgres::PostgresStore;
use outbox_runtime::OutboxRepository;
use uuid::Uuid;

use crate::database::Database;
use crate::floor::{CLAIM_SIZE, Floor, Steps};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scenes, open};
use crate::step::Stepper;

/// Calls before those that are measured: they fill the server's memory and its plans.
const WARM_UP: usize = 5;

/// How often to look whether the store has counted its events, and the pause between.
const MOST_LOOKS: usize = 600;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Most of a step among many rows, to the same among few.
const STEP: Target = Target::AtMost(1.3);

/// The same of statistics.
const STATISTICS: Target = Target::AtMost(3.0);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let contents = [
        Content::pending(scale.few),
        Content::pending(scale.rows),
        Content {
            completed: scale.rows,
            ..Content::pending(scale.few)
        },
    ];
    let mut templates = Vec::with_capacity(contents.len());
    for content in contents {
        let template = scenes.outbox_with(content).await?;
        ask(&template, content.pending + content.completed).await?;
        templates.push(template);
    }
    let mut floors = Vec::with_capacity(2);
    for content in &contents[..2] {
        floors.push(scenes.floor_with(*content).await?);
    }
    let mut steps = vec![Vec::new(); contents.len()];
    let mut statistics = vec![Vec::new(); contents.len()];
    let mut of_floor = vec![Vec::new(); floors.len()];
    for round in 0..scale.rounds {
        for (samples, time) in steps
            .iter_mut()
            .zip(step_times(scale, scenes, &templates, round).await?)
        {
            samples.push(time);
        }
        for (samples, time) in statistics
            .iter_mut()
            .zip(statistics_times(scale, scenes, &templates, round).await?)
        {
            samples.push(time);
        }
        for (samples, time) in of_floor
            .iter_mut()
            .zip(floor_times(scale, scenes, &floors, round).await?)
        {
            samples.push(time);
        }
    }
    for template in templates.into_iter().chain(floors) {
        scenes.drop(template).await?;
    }
    let (few, many) = (in_words(scale.few), in_words(scale.rows));
    let at_few = format!("at {few}");
    let unit = Unit::Milliseconds;
    let step = format!("step of {CLAIM_SIZE}");
    let mut add = |what: String, samples: &[f64], of_few: &[f64], target| {
        let baseline = Baseline {
            name: &at_few,
            samples: of_few,
        };
        report.add(what, unit, samples, Some(baseline), target);
    };
    let [of_few, of_many, beside] = &steps[..] else {
        anyhow::bail!("there are three outboxes");
    };
    add(
        format!("{step} at {many} pending"),
        of_many,
        of_few,
        Some(STEP),
    );
    let what = format!("{step} at {few} beside {many} completed");
    add(what, beside, of_few, Some(STEP));
    let what = format!("the floor's {step} at {many} pending");
    add(what, &of_floor[1], &of_floor[0], None);
    let [of_few, of_many, beside] = &statistics[..] else {
        anyhow::bail!("there are three outboxes");
    };
    let what = format!("statistics at {many} pending");
    add(what, of_many, of_few, Some(STATISTICS));
    let what = format!("statistics at {few} beside {many} completed");
    add(what, beside, of_few, Some(STATISTICS));
    Ok(())
}

/// Asks for statistics, as somebody has before in an outbox of this size: the store then counts
/// events for good in the background.
async fn ask(database: &Database, events: usize) -> anyhow::Result<()> {
    let store = open(database).await?;
    let client = database.connect().await?;
    for _ in 0..MOST_LOOKS {
        store.statistics(None).await?;
        let sql = "SELECT coalesce(max(block), 0) FROM outbox.tally";
        let last: i64 = client.query_one(sql, &[]).await?.try_get(0)?;
        if (last + 2) << 10 >= i64::try_from(events)? {
            return Ok(());
        }
        pause(BETWEEN_LOOKS).await;
    }
    anyhow::bail!("the store does not count its events")
}

/// The median time of a step in each database, in milliseconds.
async fn step_times(
    scale: &Scale,
    scenes: &Scenes,
    templates: &[Database],
    round: usize,
) -> anyhow::Result<Vec<f64>> {
    let open = async |database: &Database| Ok(Stepper::new(open(database).await?));
    let call = async |stepper: &mut Stepper| {
        let watch = Stopwatch::start();
        let claimed = stepper.step(CLAIM_SIZE).await?;
        let took = watch.elapsed();
        anyhow::ensure!(claimed == CLAIM_SIZE, "a claim took {claimed}");
        Ok(took)
    };
    times(scenes, templates, (round, scale.calls), open, call).await
}

/// The same for the floor.
async fn floor_times(
    scale: &Scale,
    scenes: &Scenes,
    templates: &[Database],
    round: usize,
) -> anyhow::Result<Vec<f64>> {
    let open = async |database: &Database| Ok((Floor::open(database).await?, Vec::<Uuid>::new()));
    let call = async |(floor, done): &mut (Floor, Vec<Uuid>)| {
        let watch = Stopwatch::start();
        let claims = floor.step(done, Steps::Pipelined, CLAIM_SIZE).await?;
        let took = watch.elapsed();
        *done = claims.iter().map(|claim| claim.id).collect();
        Ok(took)
    };
    times(scenes, templates, (round, scale.calls), open, call).await
}

/// The median time of `statistics()` in each database, in milliseconds.
async fn statistics_times(
    scale: &Scale,
    scenes: &Scenes,
    templates: &[Database],
    round: usize,
) -> anyhow::Result<Vec<f64>> {
    let call = async |store: &mut PostgresStore| {
        let watch = Stopwatch::start();
        let statistics = store.statistics(None).await?;
        let took = watch.elapsed();
        anyhow::ensure!(statistics.pending_count > 0, "the backlog is gone");
        Ok(took)
    };
    times(scenes, templates, (round, scale.calls / 2), open, call).await
}

/// The median time of a call in a copy of each database, in milliseconds. The databases take turns
/// call by call.
async fn times<S>(
    scenes: &Scenes,
    templates: &[Database],
    (round, calls): (usize, usize),
    open: impl AsyncFn(&Database) -> anyhow::Result<S>,
    call: impl AsyncFn(&mut S) -> anyhow::Result<Duration>,
) -> anyhow::Result<Vec<f64>> {
    let mut databases = Vec::with_capacity(templates.len());
    let mut sides = Vec::with_capacity(templates.len());
    for template in templates {
        let database = scenes.copy(template).await?;
        sides.push(open(&database).await?);
        databases.push(database);
    }
    let mut times = vec![Vec::with_capacity(calls); templates.len()];
    for nth in 0..WARM_UP + calls {
        for side in turns(round + nth, sides.len()) {
            let took = call(&mut sides[side]).await?;
            if nth >= WARM_UP {
                times[side].push(took.as_secs_f64() * 1e3);
            }
        }
    }
    drop(sides);
    for database in databases {
        scenes.drop(database).await?;
    }
    Ok(times.iter().map(|times| median(times)).collect())
}
