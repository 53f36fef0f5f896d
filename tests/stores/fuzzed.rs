//! Replays the fuzzing corpus: `fuzz/corpus` has the inputs, and `outbox_tests::fuzzed` the
//! targets.

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
fn a_text_is_a_valid_duration_or_refused() {
    replay("duration");
}

#[test]
fn a_filter_matches_exactly_the_equal_events() {
    replay("filter");
}

#[test]
fn no_http_answer_causes_a_wait_of_more_than_a_day() {
    replay("http");
}

#[test]
fn an_arbitrary_row_stops_no_other() {
    replay("row");
}

#[test]
fn an_event_that_was_read_survives_a_round_trip() {
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
