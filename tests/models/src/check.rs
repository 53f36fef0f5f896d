//! Runs a checker.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// What a complete run found.
#[derive(Clone, Copy, Debug)]
pub struct Visited {
    /// The states that can be reached.
    pub states: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
}

/// Visits every state and returns how many there are, for a model in which all promises hold, and
/// which reaches every situation that it names, except these.
///
/// # Panics
///
/// With the shortest way there, if a promise is broken; and if a situation is not reached.
pub fn holds<M>(model: M, except: &[&str]) -> Visited
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let any = HasDiscoveries::AnyFailures;
    let checker = model.clone().checker().finish_when(any).spawn_bfs().join();
    let found = checker.discoveries();
    for property in model.properties() {
        match (&property.expectation, found.get(property.name)) {
            (Expectation::Sometimes, None) => {
                assert!(except.contains(&property.name), "never: {}", property.name);
            }
            (Expectation::Sometimes, Some(_)) => {
                let name = property.name;
                assert!(!except.contains(&name), "happens after all: {name}");
            }
            (_, Some(path)) => {
                let steps = path.clone().into_vec();
                panic!("broken: {}\n{}", property.name, told(&steps));
            }
            (_, None) => {}
        }
    }
    let visited = Visited {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
    };
    println!("{visited:?}");
    visited
}

/// Visits states for so long, for a model with more of them than that, and returns how many it got
/// to.
///
/// # Panics
///
/// With a way there, if a promise is broken.
pub fn holds_for<M>(model: M, limit: Duration) -> Visited
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let any = HasDiscoveries::AnyFailures;
    let checker = model.checker().threads(2).timeout(limit);
    let checker = checker.finish_when(any).spawn_bfs().join();
    for (name, path) in checker.discoveries() {
        let is_promise = checker.model().property(name).expectation != Expectation::Sometimes;
        let told = || told(&path.clone().into_vec());
        assert!(!is_promise, "broken: {name}\n{}", told());
    }
    let visited = Visited {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
    };
    println!("{visited:?}");
    visited
}

/// The shortest way to a state that breaks this promise, in a model with a fault.
///
/// # Panics
///
/// If the promise holds in all states.
pub fn breaks<M>(model: M, promise: &'static str) -> Vec<M::Action>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let this = HasDiscoveries::AnyOf([promise].into());
    let checker = model.checker().finish_when(this).spawn_bfs().join();
    let Some(path) = checker.discovery(promise) else {
        let states = checker.unique_state_count();
        panic!("holds in all {states} states: {promise}");
    };
    println!("{promise}: broken\n{}", told(&path.clone().into_vec()));
    path.into_actions()
}

fn told<S: Debug, A: Debug>(steps: &[(S, Option<A>)]) -> String {
    let lines = steps.iter().map(|(state, action)| match action {
        Some(action) => format!("{state:?}\n-> {action:?}\n"),
        None => format!("{state:?}\n"),
    });
    lines.collect()
}
