//! Each of our stores keeps the storage contract.

mod memory {
    use outbox_runtime::MemoryStore;
    use outbox_testing::{ManualClock, conformance};

    async fn make_store(clock: ManualClock) -> (MemoryStore, ()) {
        (MemoryStore::with_clock(clock), ())
    }

    conformance!(make_store);
}

mod sqlite {
    use outbox_runtime::SqliteStore;
    use outbox_testing::{ManualClock, conformance};
    use tempfile::TempDir;

    async fn make_store(clock: ManualClock) -> (SqliteStore, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::builder(folder.path().join("outbox.db"))
            .clock(clock)
            .open()
            .await
            .unwrap();
        (store, folder)
    }

    conformance!(make_store);
}

mod of_the_suite_itself {
    use std::collections::{BTreeMap, BTreeSet};

    use outbox_testing::{ManualClock, conformance};
    use outbox_tests::{Broken, Flaw};

    /// The cases that a store with this flaw fails.
    fn failed_by(flaw: Flaw) -> Vec<&'static str> {
        let make_store = |clock: ManualClock| async move { (Broken::new(flaw, clock), ()) };
        conformance!(failed_by make_store)
    }

    #[test]
    fn a_store_with_a_flaw_fails_the_case_for_it() {
        let found_by = [
            (Flaw::IgnoresLimits, "listings_stop_at_their_limit"),
            (
                Flaw::IgnoresLimits,
                "pages_list_each_event_once_and_in_order",
            ),
            (Flaw::IgnoresFilters, "a_page_has_only_selected_events"),
            (
                Flaw::DropsTexts,
                "a_manually_marked_failure_is_recorded_and_due_by_the_schedule",
            ),
            (
                Flaw::ForgetsCompletions,
                "the_oldest_completion_is_reported_while_it_is_kept",
            ),
            (
                Flaw::AnswersInReverse,
                "settle_returns_results_in_the_order_of_its_outcomes",
            ),
            (
                Flaw::AnswersInReverse,
                "an_exchange_returns_results_in_the_order_of_its_outcomes",
            ),
            (Flaw::ClaimsFirst, "an_exchange_settles_before_it_claims"),
            (Flaw::NeverClaims, "an_exchange_without_outcomes_claims"),
            (Flaw::NeverClaims, "an_exchange_settles_before_it_claims"),
            (
                Flaw::NeverSuspends,
                "a_suspended_store_refuses_every_call_until_resumed",
            ),
            (
                Flaw::TellsAnotherClock,
                "a_store_exposes_the_clock_of_its_due_times_and_leases",
            ),
            (
                Flaw::DropsDestinations,
                "a_claim_returns_the_event_as_stored",
            ),
            (
                Flaw::DropsTraceContexts,
                "a_trace_context_stays_with_its_event",
            ),
            (Flaw::DropsHeaders, "headers_stay_with_their_event"),
            (
                Flaw::MarksForAnybody,
                "manual_marks_go_through_the_same_states",
            ),
            (Flaw::ListsWhatIsDue, "listings_show_events_in_every_state"),
            (Flaw::HidesWhatIsDone, "listings_show_events_in_every_state"),
            (Flaw::DiscardsOne, "only_dead_events_are_discarded"),
            (
                Flaw::KeepsTheVersion,
                "an_edit_changes_only_editable_fields",
            ),
            (
                Flaw::ListsTheNewestFirst,
                "stale_events_are_the_long_pending_ones",
            ),
            (
                Flaw::IgnoresTheToken,
                "an_outcome_under_an_older_claim_is_not_recorded",
            ),
            (Flaw::ForgetsToCount, "a_claim_counts_the_attempt"),
            (Flaw::HandsOutTwice, "a_claim_is_exclusive"),
            (
                Flaw::CompletesFailures,
                "a_failure_is_due_again_at_its_time",
            ),
            (
                Flaw::IgnoresOrder,
                "a_claim_takes_only_the_first_event_of_each_entity",
            ),
            (
                Flaw::NeverRescues,
                "a_rescue_makes_events_of_dead_workers_claimable_again",
            ),
            (
                Flaw::ForgetsDueTimes,
                "next_due_returns_the_earliest_due_time_or_lease_end",
            ),
            (
                Flaw::IgnoresUsers,
                "a_claim_for_one_user_takes_nothing_of_another",
            ),
            (
                Flaw::HidesProcesses,
                "an_announced_run_is_listed_until_it_is_withdrawn",
            ),
            (
                Flaw::ForgetsAttempts,
                "attempts_that_were_not_delivered_are_kept_in_order",
            ),
            (
                Flaw::ForgetsHandlers,
                "an_event_completed_by_its_handler_stays_completed",
            ),
            (Flaw::ForgetsPauses, "a_paused_event_is_not_claimed"),
            (
                Flaw::IgnoresKeys,
                "an_event_replaces_the_unclaimed_one_with_its_key",
            ),
            (
                Flaw::ForgetsExpiry,
                "an_event_is_due_when_it_expires_at_the_latest",
            ),
            (
                Flaw::ForgetsParents,
                "an_event_waits_until_its_parent_was_delivered",
            ),
            (
                Flaw::CancelsNothing,
                "a_cancellation_deletes_what_was_never_claimed_and_tells_the_rest",
            ),
            (Flaw::IgnoresTurns, "users_take_turns_regardless_of_backlog"),
            (
                Flaw::FollowsWithGaps,
                "followers_come_in_order_and_without_gaps",
            ),
            (
                Flaw::FollowsApart,
                "followers_share_the_lease_that_they_follow",
            ),
            (
                Flaw::NeverFollows,
                "a_store_that_cannot_follow_leases_no_followers",
            ),
        ];
        for (flaw, case) in found_by {
            let failed = failed_by(flaw);
            println!("{flaw:?} fails {failed:?}");
            assert!(
                failed.contains(&case),
                "{flaw:?} must fail {case}, but fails {failed:?}"
            );
        }
        assert_eq!(failed_by(Flaw::None), [""; 0]);
    }

    /// The sentences of the contract in one file: those of the numbered list on the trait, if it
    /// has one, and those of each method.
    fn sentences(source: &str) -> Vec<(String, String)> {
        let trait_begins = source.find("pub trait Outbox").expect("the trait");
        let begin = source.find("/// # Contract").unwrap_or(trait_begins);
        let end = source[trait_begins..]
            .find("\n}\n")
            .map(|end| trait_begins + end);
        let mut sentences = Vec::new();
        let mut paragraphs = vec![String::new()];
        for line in source[begin..end.expect("the end of the trait")].lines() {
            let line = line.trim();
            if let Some(text) = line.strip_prefix("///") {
                let text = text.trim();
                let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
                let numbered = number.len() < text.len() && number.starts_with(". ");
                if text.is_empty() || text.starts_with('#') || numbered {
                    paragraphs.push(String::new());
                }
                if !text.starts_with('#') {
                    let text = if numbered { &number[2..] } else { text };
                    let paragraph = paragraphs.last_mut().unwrap();
                    paragraph.push_str(text);
                    paragraph.push(' ');
                }
                continue;
            }
            let of = match line.split_once("fn ") {
                Some((_, method)) => method.split('(').next().unwrap(),
                None if line.contains("pub trait Outbox") => "the contract",
                None => continue,
            };
            for paragraph in std::mem::replace(&mut paragraphs, vec![String::new()]) {
                let ends = paragraph.match_indices(". ").map(|(at, _)| at + 1);
                let mut from = 0;
                for end in ends {
                    let rest = paragraph[end..].trim_start();
                    let begins = |c: char| c.is_uppercase() || c == '`' || c == '[';
                    if rest.is_empty() || rest.starts_with(begins) {
                        sentences.push((of.to_owned(), paragraph[from..end].trim().to_owned()));
                        from = end;
                    }
                }
            }
        }
        sentences
    }

    /// By method and sentence: the cases that check it, or the reason why none does.
    fn held(list: &str) -> BTreeMap<(String, String), Vec<String>> {
        let mut held = BTreeMap::new();
        let (mut method, mut sentence) = (String::new(), String::new());
        for line in list.lines().filter(|line| !line.is_empty()) {
            if let Some(heading) = line.strip_prefix("# ") {
                method = heading.to_owned();
            } else if let Some(case) = line.strip_prefix("    ") {
                let of = (method.clone(), sentence.clone());
                held.entry(of)
                    .or_insert_with(Vec::new)
                    .push(case.to_owned());
            } else {
                sentence = line.to_owned();
                held.insert((method.clone(), sentence.clone()), Vec::new());
            }
        }
        held
    }

    #[test]
    fn every_sentence_of_the_contract_has_a_case_or_a_reason_for_none() {
        let mut sentences = sentences(include_str!("../../outbox-runtime/src/repository/mod.rs"));
        sentences.extend(self::sentences(include_str!(
            "../../outbox-runtime/src/repository/queue.rs"
        )));
        assert!(sentences.len() > 80, "{} sentences", sentences.len());
        let mut held = held(include_str!("conformance_contract.txt"));
        let names = BTreeSet::from(conformance!(names));
        let mut named = BTreeSet::new();
        let mut missing = Vec::new();
        // A pointer to an example, or to who calls it, promises nothing.
        let is_pointer =
            |sentence: &str| sentence.ends_with(" for an example.") || sentence == "For stores.";
        for (method, sentence) in sentences {
            if is_pointer(&sentence) {
                continue;
            }
            let Some(cases) = held.remove(&(method.clone(), sentence.clone())) else {
                missing.push(format!("# {method}\n{sentence}"));
                continue;
            };
            assert!(!cases.is_empty(), "{method}: no case for: {sentence}");
            for case in cases.iter().filter(|case| !case.starts_with("none: ")) {
                let known = names.get(case.as_str());
                named.insert(*known.unwrap_or_else(|| panic!("{case} is not a case of the suite")));
            }
        }
        let missing = missing.join("\n");
        assert_eq!(missing, "", "conformance_contract.txt does not have these");
        assert!(held.is_empty(), "no longer in the contract: {held:#?}");
        let spare: Vec<_> = names.difference(&named).collect();
        assert!(spare.is_empty(), "cases without a sentence: {spare:#?}");
    }

    #[test]
    fn a_new_sentence_of_the_contract_is_noticed() {
        let source = "/// # Contract\n///\n/// 1. **One.** First.\n/// Second [of](them). `Third`.\n\
            pub trait OutboxRepository {\n/// Asks. Returns\n/// `None`.\n///\n/// # Errors\n///\n/// `Gone`.\n\
            fn ask();\n}\n/// Something else. Entirely.\nfn other();";
        let found = sentences(source);
        let texts: Vec<_> = found
            .iter()
            .map(|(of, text)| (of.as_str(), text.as_str()))
            .collect();
        let expected = [
            ("the contract", "**One.** First."),
            ("the contract", "Second [of](them)."),
            ("the contract", "`Third`."),
            ("ask", "Asks."),
            ("ask", "Returns `None`."),
            ("ask", "`Gone`."),
        ];
        assert_eq!(texts, expected);
    }
}
