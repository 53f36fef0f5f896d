//! Cost of an idle processor: statements and CPU.

use std::time::Duration;

use outbox_contest::pause;
use outbox_runtime::Processor;
use outbox_runtime::prelude::*;

use crate::entity::MoodEntry;
use crate::report::{Report, Target, Unit};
use crate::scale::Scale;
use crate::scene::Scenes;

/// Time for a processor to look once and fall idle.
const SETTLING: Duration = Duration::from_millis(300);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    for (shared, name, most) in [
        (false, "file used by one process", 0.0),
        (true, "file shared with other processes", 2.0),
    ] {
        let scene = scenes.empty().await?;
        let builder = SqliteStore::builder(scene.path()).count_statements();
        let builder = if shared {
            builder
        } else {
            builder.single_process()
        };
        let store = builder.open().await?;
        let processor = Processor::builder(store.clone())
            .handle::<MoodEntry>(|_| std::future::ready(Ok(())))
            .build()?;
        let running = processor.start_all_users();
        pause(SETTLING).await;
        let (statements, cpu) = (store.statements().get(), cpu_time()?);
        pause(scale.idle).await;
        let statements = store.statements().get() - statements;
        let cpu = cpu_time()?.saturating_sub(cpu);
        let seconds = scale.idle.as_secs_f64();
        let per_second = [statements as f64 / seconds];
        let what = format!("statements while idle, {name}");
        report.add(
            what,
            Unit::StatementsPerSecond,
            &per_second,
            None,
            Some(Target::Absolute(most)),
        );
        let cpu = [cpu.as_secs_f64() * 1e3 * 10.0 / seconds];
        report.add(
            format!("CPU time in 10 s idle, {name}"),
            Unit::Milliseconds,
            &cpu,
            None,
            None,
        );
        running.stop().await?;
        store.close().await;
    }
    Ok(())
}

/// CPU time of all threads of this process so far, user and system, in nanoseconds.
fn cpu_time() -> anyhow::Result<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let counted = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let first = counted.split_whitespace().next().unwrap_or_default();
        total += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
