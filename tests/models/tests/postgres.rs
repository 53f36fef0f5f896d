use std::time::Instant;
use outbox_models::postgres::model::Postgres;
use stateright::{Checker, Model};
#[test]
fn try_it() {
    let var = |name: &str, or: usize| std::env::var(name).map_or(or, |v| v.parse().unwrap());
    let mut model = Postgres::of(var("S", 2), var("L", 1) as u8, var("E", 2) as u8);
    model.folds = var("F", 1) == 1;
    model.deletes = var("D", 1) == 1;
    model.crashes = var("C", 1) == 1;
    let start = Instant::now();
    let checker = model.checker().threads(2).timeout(std::time::Duration::from_secs(var("T", 100) as u64)).spawn_bfs().join();
    println!("{} unique of {} in {:?}, done {}, depth {}", checker.unique_state_count(), checker.state_count(), start.elapsed(), checker.is_done(), checker.max_depth());
    for (name, path) in checker.discoveries() {
        println!("{name}: {} steps", path.clone().into_actions().len());
        if checker.model().property(name).expectation == stateright::Expectation::Always {
            println!("{:#?}", path.last_state());
            for a in path.into_actions() { println!("  {a:?}"); }
        }
    }
}
