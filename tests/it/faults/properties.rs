//! What a log must keep, property by property, and the tests that prove each.
//!
//! A property that another part of the project proves, or that does not concern this log, says so. Names are
//! checked against the sources, so that no row outlives its test.

use std::fs;
use std::path::{Path, PathBuf};

/// Where it is proven.
enum Proven {
    /// By these: `<file below tests/it or src>: <test>`.
    By(&'static [&'static str]),
    /// Not at all: why.
    Not(&'static str),
}

use Proven::{By, Not};

#[rustfmt::skip]
static PROPERTIES: [(&str, Proven); 25] = [
    ("every SCT is a signature over its leaf, by this log", By(&[
        "tests/it/log.rs: an_sct_names_the_place_of_its_entry",
        "tests/it/clients.rs: sigstore_python_gets_certificates_and_verifies_them",
    ])),
    ("the index in an SCT is where the entry stands, whole", By(&[
        "tests/it/log.rs: an_sct_names_the_place_of_its_entry",
        "tests/it/verify.rs: every_octet_of_an_entry_and_of_a_checkpoint_counts",
    ])),
    ("any two heads ever seen are of one tree that grows", By(&[
        "tests/it/faults/table.rs: every_fault_in_every_scenario_has_its_recovery",
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
        "tests/it/faults/power.rs: what_was_said_survives_every_power_cut",
        "tests/it/kill.rs: what_a_client_holds_survives_fifty_kills",
        "tests/it/log.rs: another_history_is_never_gone_on_from",
    ])),
    ("size and time never go back, also not through an old copy", By(&[
        "tests/it/log.rs: an_old_copy_is_never_gone_on_from",
        "tests/it/faults/others.rs: a_copy_of_yesterday_is_refused_and_todays_goes_on",
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
    ])),
    ("every SCT is provable after every fault", By(&[
        "tests/it/faults/table.rs: every_fault_in_every_scenario_has_its_recovery",
        "tests/it/faults/power.rs: what_was_said_survives_every_power_cut",
        "tests/it/faults/calls.rs: kill_9_at_any_call_loses_nothing",
        "tests/it/kill.rs: what_a_client_holds_survives_fifty_kills",
    ])),
    ("whoever has an SCT finds its entry in the checkpoint", By(&[
        "tests/it/log.rs: many_tasks_share_one_tree",
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
    ])),
    ("root and tiles are those of the entries", By(&[
        "tests/it/log.rs: a_large_log_goes_on_where_it_stopped",
        "tests/it/verify.rs: a_served_log_that_lies_is_found",
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
    ])),
    ("what a flipped bit has changed is never signed", By(&[
        "tests/it/faults/others.rs: no_flipped_bit_on_the_disk_is_ever_signed",
        "tests/it/faults/table.rs: every_fault_in_every_scenario_has_its_recovery",
        "tests/it/log.rs: damage_is_found_at_the_start",
        "src/log/sequencer.rs: a_flipped_bit_is_never_committed",
    ])),
    ("an issued certificate verifies, by other programs too", By(&[
        "tests/it/clients.rs: sigstore_python_gets_certificates_and_verifies_them",
        "tests/it/clients.rs: cosign_2_signs_and_verifies_the_old_way_over_the_v1_api",
        "tests/it/clients.rs: cosign_2_refuses_an_sct_of_another_log",
    ])),
    ("no entry is later than the head that covers it", By(&[
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
        "tests/it/log.rs: a_clock_that_stands_still_gives_every_batch_a_time_of_its_own",
    ])),
    ("an entry's time is that of its commit; a clock that is behind refuses", By(&[
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
        "tests/it/log.rs: a_clock_behind_the_log_stops_it_until_it_is_right",
        "tests/it/faults/table.rs: every_fault_in_every_scenario_has_its_recovery",
    ])),
    ("a resubmission gets the SCT that it had", Not("nobody submits from outside: every entry is a certificate just made")),
    ("every request is answered, whatever ends", By(&[
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
        "tests/it/faults/others.rs: an_end_under_load_answers_everybody",
        "tests/it/log.rs: a_failed_commit_answers_everybody_and_ends_the_log",
        "tests/it/log.rs: close_answers_everybody",
        "tests/it/http/server.rs: requests_under_way_finish_after_the_end",
    ])),
    ("kill -9 at any system call loses nothing, and needs no help", By(&[
        "tests/it/faults/calls.rs: kill_9_at_any_call_loses_nothing",
        "tests/it/kill.rs: what_a_client_holds_survives_fifty_kills",
    ])),
    ("a power cut loses nothing; no answer precedes its sync; a failed sync ends the process", By(&[
        "tests/it/faults/power.rs: what_was_said_survives_every_power_cut",
        "tests/it/faults/power.rs: what_a_failed_sync_left_is_never_built_upon",
        "tests/it/faults/calls.rs: an_error_of_any_call_ends_the_process_and_loses_nothing",
        "tests/it/log.rs: a_log_cut_short_anywhere_is_an_older_log",
    ])),
    ("two processes on one store never fork it", By(&[
        "tests/it/faults/others.rs: a_second_process_is_turned_away_and_the_first_goes_on",
        "tests/it/log.rs: whoever_began_last_is_the_only_one_who_appends",
        "tests/it/faults/simulation.rs: ten_thousand_lives_of_a_log",
    ])),
    ("a full or read-only disk refuses cleanly, and goes on when mended", By(&[
        "tests/it/faults/others.rs: a_disk_that_is_full_ends_it_and_one_with_room_goes_on",
        "tests/it/faults/others.rs: a_disk_that_is_read_only_ends_it_and_is_said",
        "tests/it/faults/calls.rs: an_error_of_any_call_ends_the_process_and_loses_nothing",
        "tests/it/kill.rs: a_full_disk_ends_the_process_and_loses_nothing",
    ])),
    ("an overload turns callers away, and keeps what it promised", By(&[
        "tests/it/shards.rs: every_shard_turns_the_same_overload_away_and_keeps_what_it_promised",
        "tests/it/log.rs: a_full_queue_turns_callers_away_and_loses_nobody",
        "tests/it/http/server.rs: connections_over_the_cap_wait_for_a_place",
    ])),
    ("readers do not hold up writers", By(&[
        "tests/it/faults/others.rs: a_flood_of_readers_does_not_hold_up_writers",
        "tests/it/faults/others.rs: who_reads_everything_meanwhile_finds_it_true",
    ])),
    ("a cache in between changes nothing", By(&[
        "src/http/log.rs: what_is_published_may_be_kept_and_the_head_may_not",
        "tests/it/readers.rs: p20_what_may_be_kept_never_changes_and_what_may_change_is_not_kept",
        "tests/it/readers.rs: p20_a_cache_in_between_changes_nothing",
        "tests/it/readers.rs: p20_a_compressed_tile_holds_the_same_octets",
    ])),
    ("tiles can be made anew, a copy from outside suffices", By(&[
        "tests/it/upkeep.rs: fsck_says_what_does_not_hold_and_repairs_what_can_be",
        "tests/it/records.rs: an_index_that_does_not_fit_is_made_anew",
        "tests/it/records.rs: an_index_damaged_while_it_is_used_is_made_anew",
        "tests/it/verify.rs: a_folder_is_verified_and_remembered",
    ])),
    ("hostile input is refused, and leaves no entry", By(&[
        "tests/it/hostile/tokens.rs: what_is_no_token_is_withstood",
        "tests/it/hostile/keys.rs: who_proves_nothing_is_withstood",
        "src/http/log.rs: a_tile_has_one_path",
        "tests/it/readers.rs: p22_hostile_paths_and_parameters_are_refused",
    ])),
    ("every view shows the same log", By(&[
        "tests/it/readers.rs: p23_both_views_are_of_one_head_and_one_tree",
        "tests/it/records.rs: what_the_index_finds_is_what_reading_finds",
        "tests/it/clients/judges.rs: sunlight_and_ct_go_find_one_true_log_and_every_changed_bit",
        "tests/it/verify.rs: a_served_log_is_verified_by_its_own_address_and_by_that_of_its_instance",
    ])),
    ("each log has its own key, and a note of one is none of another", By(&[
        "tests/it/shards.rs: a_note_of_one_shard_never_verifies_for_another",
        "tests/it/log.rs: a_store_of_another_log_is_refused",
        "tests/it/verify.rs: a_log_under_another_key_is_another_log",
    ])),
    ("witnesses, signature log and timestamps tell the truth", By(&[
        "tests/it/witness/real.rs: litewitness_cosigns_through_restarts_of_either_side",
        "tests/it/witness/real.rs: an_old_copy_of_all_data_is_served_for_reading_only",
        "tests/it/witness.rs: what_does_not_verify_is_not_served",
        "tests/it/witness.rs: what_a_witness_has_seen_is_learnt_and_gone_on_from",
        "tests/it/witness.rs: a_log_that_a_witness_has_seen_more_of_is_not_gone_on_from",
        "tests/it/witness.rs: a_witness_that_shows_another_history_ends_the_taking_of_entries",
        "tests/it/http/signatures.rs: a_signature_is_logged_and_proven",
        "tests/it/http/signatures.rs: what_came_before_is_answered_with_the_entry_that_there_is",
        "tests/it/clients/judges.rs: rekors_code_makes_the_same_entries_and_torchwood_reads_them_all",
        "tests/it/clients/circle.rs: every_client_verifies_what_every_client_signed",
        "tests/it/kill.rs: what_the_signature_log_acknowledged_survives_ten_kills",
        "tests/it/http/timestamps.rs: openssl_verifies_them",
        "tests/it/http/timestamps.rs: a_clock_behind_the_log_attests_nothing",
    ])),
];

#[test]
fn every_property_names_the_tests_that_prove_it() {
    for (number, (property, proven)) in (1..).zip(&PROPERTIES) {
        let (tests, why) = match proven {
            By(tests) => (*tests, ""),
            Not(why) => (&[][..], *why),
        };
        assert!(!tests.is_empty() || !why.is_empty(), "P{number} is proven nowhere");
        println!("P{number:<3} {property}{}{why}", if why.is_empty() { "" } else { " — " });
        for test in tests {
            println!("       {test}");
            check(number, test);
        }
    }
}

/// The test is there, and is one.
#[track_caller]
fn check(number: usize, test: &str) {
    let (file, name) = test.split_once(": ").expect("a file and a name");
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).unwrap_or_default();
    let found = text.lines().position(|line| line.contains(&format!("fn {name}(")));
    let Some(line) = found else { panic!("P{number} names {test}, which is not there") };
    let above = text.lines().take(line).collect::<Vec<_>>();
    let marked = above.iter().rev().take_while(|line| line.trim_start().starts_with(['#', '/']));
    assert!(marked.into_iter().any(|line| line.contains("test")), "P{number}: {test} is no test");
}
