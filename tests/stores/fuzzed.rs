//! What fuzzing found, and what it covered on its way, once more: `fuzz/corpus` has the inputs, `outbox_tests::fuzzed` what is
//! done with each.

use std::path::{Path, PathBuf};

use outbox_tests::fuzzed::TARGETS;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let inputs = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut inputs: Vec<PathBuf> = inputs.map(|input| input.unwrap().path()).collect();
    inputs.sort();
    inputs
}

fn replay(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let inputs = corpus(target);
    assert!(inputs.len() >= 10, "{target}: {} inputs", inputs.len());
    for input in inputs {
        let bytes = std::fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| run(&bytes));
        assert!(outcome.is_ok(), "{} breaks {target}", input.display());
    }
}

#[test]
fn a_text_is_a_duration_or_refused() {
    replay("duration");
}

#[test]
fn a_filter_lets_through_what_is_equal() {
    replay("filter");
}

#[test]
fn an_answer_of_any_kind_makes_nobody_wait_for_more_than_a_day() {
    replay("http");
}

#[test]
fn a_row_with_anything_in_it_stops_nothing_else() {
    replay("row");
}

#[test]
fn an_event_that_was_read_is_written_and_read_as_the_same() {
    replay("wire");
}

#[test]
fn every_target_has_its_corpus_and_is_built() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(!corpus(name).is_empty(), "{name}");
    }
}
