//! Each law broken on purpose: the simulation must see it, or it proves nothing.

use super::failing;
use super::life::Habit;
use altergeist::contract::model::{Flaw, Habits};

/// Seeds within which a broken law must show.
const SEEDS: u64 = 400;
/// The same for a law whose breach only few of them show: one in about six hundred.
const MANY_SEEDS: u64 = 2400;

fn assert_seen(flaw: Flaw, seeds: u64, habit: Habit) {
    let failing = failing(0..seeds, habit);
    assert!(!failing.is_empty(), "{flaw:?} went unseen in {seeds} seeds");
    println!("{flaw:?}: {} of {seeds} seeds fail, the first with: {}", failing.len(), failing[0].1);
}

macro_rules! seen {
    ($($name:ident: $flaw:expr;)*) => {
        $(#[test]
        fn $name() {
            assert_seen($flaw, SEEDS, |habits| habits.flaws = vec![$flaw]);
        })*
    };
}

seen! {
    law_1_a_change_delivered_before_it_is_visible_is_seen: Flaw::DeliversBeforeVisible;
    law_2_a_refresh_beyond_the_watermark_is_seen: Flaw::RefreshIgnoresWatermark;
    law_3_a_copy_that_outlives_its_turn_is_seen: Flaw::CopyOutlivesItsTurn;
    law_5_a_second_spelling_of_a_key_is_seen: Flaw::TwoSpellings;
    law_5_a_changed_key_delivered_as_one_is_seen: Flaw::ChangedKeyIsOneKey;
    law_6_a_position_saved_ahead_of_its_keys_is_seen: Flaw::SavesAhead;
    law_7_a_lost_answer_taken_for_no_is_seen: Flaw::LostAnswerMeansNo;
    law_8_an_event_passed_over_is_seen: Flaw::LosesEvents;
    law_9_a_stream_that_is_trusted_blindly_is_seen: Flaw::TrustsTheStream;
}

#[test]
fn statements_of_a_killed_process_that_go_on_are_seen() {
    // The more is written, the likelier a late copy meets what came after it.
    assert_seen(Flaw::ZombiesAreNotFenced, 2 * SEEDS, |habits| {
        habits.flaws = vec![Flaw::ZombiesAreNotFenced];
        habits.write_chance = 0.8;
    });
}

#[test]
fn law_1_a_log_opened_behind_a_running_transaction_is_seen() {
    let failing = failing(0..MANY_SEEDS, |habits| {
        habits.flaws = vec![Flaw::StartsBehindRunning];
        habits.visible_at_once_chance = 0.1;
    });
    assert!(
        failing.iter().any(|(_, seen)| seen.contains("no change in the log explains it")),
        "it went unseen"
    );
}

/// Without the proof a lost row would be swapped in: the verification is what stands between.
#[test]
fn law_8_a_comparison_that_sees_nothing_lets_a_lost_row_through() {
    let blind: Habit = |habits| habits.flaws = vec![Flaw::LosesEvents, Flaw::ComparesNothing];
    let failing = failing(0..SEEDS, blind);
    let is_swapped_unequal = |seen: &str| seen.contains("not equal when it was swapped in");
    assert!(failing.iter().any(|(_, seen)| is_swapped_unequal(seen)), "no lost row got through");
}

/// Where the log was passed over, too.
#[test]
fn law_8_a_comparison_that_sees_nothing_lets_through_what_was_written_while_nobody_listened() {
    let blind: Habit = |habits| {
        habits.flaws = vec![Flaw::ComparesNothing];
        habits.counts_writes = Some(false);
        habits.truncate_chance = 0.0;
    };
    let failing = failing(0..SEEDS, blind);
    let is_swapped_unequal = |seen: &str| seen.contains("not equal when it was swapped in");
    assert!(failing.iter().any(|(_, seen)| is_swapped_unequal(seen)), "no lost row got through");
}

/// The verification is over when rows are kept out of the log while the swap waits: only the look
/// under the lock sees it.
#[test]
fn law_9_rows_kept_out_of_the_log_before_the_swap_are_lost_where_nobody_asks_under_the_lock() {
    let failing = failing(0..MANY_SEEDS, |habits| {
        habits.flaws = vec![Flaw::TrustsTheStream];
        habits.mute_chance = 0.002;
    });
    let is_swapped_unequal = |seen: &str| seen.contains("not equal when it was swapped in");
    assert!(failing.iter().any(|(_, seen)| is_swapped_unequal(seen)), "no lost row got through");
}

/// A gate may close at any moment, and what a run did not ask it does not know.
#[test]
fn a_swap_behind_a_closed_gate_is_seen() {
    let failing = failing(0..SEEDS, |habits| {
        habits.gate_chance = 0.02;
        habits.flaws = vec![Flaw::OpensEveryGate];
    });
    let is_seen = |seen: &str| seen.contains("while a gate was closed");
    assert!(failing.iter().any(|(_, seen)| is_seen(seen)), "no swap was sent behind it");
}

/// The verification is over when somebody else writes the shadow while the swap waits.
#[test]
fn law_10_a_shadow_that_others_wrote_is_swapped_in_where_nobody_asks() {
    let is_swapped_unequal = |seen: &str| seen.contains("not equal when it was swapped in");
    let trusting: Habit = |habits| {
        habits.trespass_chance = 0.002;
        habits.flaws = vec![Flaw::TrustsTheShadow];
    };
    assert!(
        failing(0..SEEDS, trusting).iter().any(|(_, seen)| is_swapped_unequal(seen)),
        "none got through"
    );
    let asking = failing(0..SEEDS, |habits| habits.trespass_chance = 0.002);
    assert!(!asking.iter().any(|(_, seen)| is_swapped_unequal(seen)), "one got through");
}

/// A source whose rows cannot all stand in the shadow's unique index.
fn with_duplicates(habits: &mut Habits) {
    habits.source_is_unique = false;
    habits.rows = 60;
    habits.truncate_chance = 0.0;
    habits.write_chance = 0.1;
    habits.fault_chance = 0.0;
}

#[test]
fn law_4_real_duplicates_stop_the_run_and_are_named() {
    let failing = failing(0..200, with_duplicates);
    assert!(failing.len() > 100, "only {} of 200 runs were stopped", failing.len());
    for (seed, seen) in failing {
        assert!(seen.contains("unique index"), "seed {seed}: {seen}");
    }
}

macro_rules! duplicates_lost {
    ($($name:ident: $flaw:expr;)*) => {
        $(#[test]
        fn $name() {
            let failing = failing(0..SEEDS, |habits| {
                with_duplicates(habits);
                habits.flaws = vec![$flaw];
            });
            let is_proven = |seen: &str| seen.contains("no change in the log explains it");
            assert!(failing.iter().any(|(_, seen)| is_proven(seen)), "{:?} went unseen", $flaw);
        })*
    };
}

duplicates_lost! {
    law_2_a_copy_that_ignores_conflicts_loses_rows_and_is_seen: Flaw::CopyIgnoresConflicts;
    law_4_a_refresh_that_ignores_conflicts_loses_rows_and_is_seen: Flaw::RefreshIgnoresConflicts;
    law_4_a_refresh_that_replaces_the_row_in_its_way_loses_rows_and_is_seen: Flaw::RefreshReplaces;
}

macro_rules! seen_after_the_swap {
    ($($name:ident: $flaw:expr, $seen:literal;)*) => {
        $(#[test]
        fn $name() {
            let failing = failing(0..MANY_SEEDS, |habits| {
                habits.flaws = vec![$flaw];
                habits.misfit_chance = 0.05;
                habits.mute_chance = 0.0;
            });
            let is_seen = failing.iter().any(|(_, seen)| seen.contains($seen));
            assert!(is_seen, "{:?} went unseen", $flaw);
        })*
    };
}

seen_after_the_swap! {
    a_revert_that_forgets_what_only_the_old_table_had_is_seen:
        Flaw::RevertForgetsOldColumns, "a value that only the old table had is lost";
    a_log_that_is_read_from_behind_the_swap_is_seen:
        Flaw::StartsBehindTheSwap, "no change in the log explains it";
}
