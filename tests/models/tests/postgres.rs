use std::time::Instant;
use outbox_models::postgres::model::Postgres;
use stateright::{Checker, Model};
#[test]
fn try_it() {
    let var = |name: &str, or: usize| std::env::var(name).map_or(or, |v| v.parse().unwrap());
    let mut model = Postgres::of(var("S", 2), var("L", 1) as u8, var("E", 2) as u8);
    let also = std::env::var("A").unwrap_or("becdrlxk".into());
    model.also = outbox_models::postgres::model::Also { batches: also.contains('b'), edits: also.contains('e'), cancels: also.contains('c'), deletes: also.contains('d'), returns: also.contains('r'), late_outcomes: also.contains('l'), exchanges: also.contains('x'), crashes: also.contains('k') };
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
            for (state, action) in path.into_vec() {
                print!("[");
                for row in state.numbers() { let r = state.rows[row]; print!("{:?}{}/{} ", r.slot, r.lane, r.before.0); }
                print!("] ");
                for it in state.sessions { if it.step != outbox_models::postgres::state::Step::None { print!("{:?}(", it.step); if !it.ids.is_empty() {print!("ids{} ", it.ids.0);} if !it.next.is_empty() {print!("next{} ", it.next.0);} if !it.todo.is_empty() {print!("todo{} ", it.todo.0);}
                  if !it.locked.is_empty() {print!("lock{} ", it.locked.0);}
                  for row in it.written.rows() { print!("{row}:{:?} ", it.writes[row]); }
                  if !it.held.is_empty() {print!("held{} ", it.held.0);} if !it.stale.is_empty() {print!("stale{} ", it.stale.0);} print!(") "); } }
                println!("\n   -> {action:?}");
            }
        }
    }
    std::process::exit(0);
}
