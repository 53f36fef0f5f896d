use std::time::Instant;
use outbox_models::sqlite::model::Sqlite;
use stateright::{Checker, Model};
#[test]
fn try_it() {
    let var = |name: &str, or: usize| std::env::var(name).map_or(or, |v| v.parse().unwrap());
    let mut model = Sqlite::of(var("S", 2), var("L", 1) as u8, var("E", 2) as u8);
    model.replaces = var("R", 0) == 1;
    let start = Instant::now();
    let checker = model.checker().threads(var("N", 1)).finish_when(stateright::HasDiscoveries::AnyFailures).spawn_bfs();
    let limit = std::time::Duration::from_secs(var("T", 100) as u64);
    let mut told = 0;
    while !checker.is_done() && start.elapsed() < limit {
        std::thread::sleep(std::time::Duration::from_millis(20));
        if start.elapsed().as_secs() / 30 > told { told += 1; println!("{:?}: {} unique of {}, depth {}", start.elapsed(), checker.unique_state_count(), checker.state_count(), checker.max_depth()); }
    }
    println!("{} unique of {} in {:?}, done {}, depth {}", checker.unique_state_count(), checker.state_count(), start.elapsed(), checker.is_done(), checker.max_depth());
    for (name, path) in checker.discoveries() {
        println!("{name}: {} steps", path.clone().into_actions().len());
        if checker.model().property(name).expectation == stateright::Expectation::Always {
            for (state, action) in path.into_vec() { println!("{state:?}\n   -> {action:?}"); }
        }
    }
    std::process::exit(0);
}
