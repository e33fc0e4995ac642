//! The tests of the tests: stores that are broken in one way each, every one of which must be caught by the promises that
//! are named for it, and a store that is not broken, which keeps them all.
#![expect(
    clippy::unwrap_used,
    reason = "a store that cannot even be broken as it should is a mistake of these tests"
)]

mod faults;
mod store;

use std::any::type_name;
use std::collections::BTreeSet;
use std::time::Duration;

use factum_conformance::{__private, NAMES, promises};

use crate::faults::{
    append, concurrency, condition, idempotence, payload, progress, read, sharing, snapshot, stall, tenant,
    whole,
};
use crate::store::{Broken, Fault};

/// Makes a test for every fault, and the list of the promises that catch one.
macro_rules! caught {
    ($($test:ident: $fault:ty => $($area:ident::$promise:ident)+;)+) => {
        $(#[test]
        fn $test() {
            $(catches::<$fault, _>(
                promises::$area::$promise,
                concat!(stringify!($area), "::", stringify!($promise)),
            );)+
        })+

        const CAUGHT: &[&str] = &[$($(concat!(stringify!($area), "::", stringify!($promise))),+),+];
    };
}

/// Runs a promise on a broken store: it must panic.
fn catches<B: Fault, P: Future<Output = ()>>(
    promise: impl FnOnce(Broken<B>) -> P + Send + 'static,
    name: &'static str,
) {
    __private::be_impatient(Duration::from_secs(2));
    let outcome = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || __private::run::<Broken<B>, P>(promise))
        .expect("a thread starts")
        .join();
    assert!(outcome.is_err(), "{name} does not notice that a store is {}", type_name::<B>());
}

/// The memory store behind no fault keeps every promise: what is caught below is the fault, and not its wrapping.
mod sound {
    use crate::faults::append::Nothing;
    use crate::store::Broken;

    factum_conformance::conformance!(Broken<Nothing>);
}

#[test]
fn every_promise_catches_a_broken_store() {
    let caught: BTreeSet<_> = CAUGHT.iter().collect();
    let idle: Vec<_> = NAMES.iter().filter(|name| !caught.contains(name)).collect();
    assert!(idle.is_empty(), "no fault is known that these promises catch: {idle:#?}");
}

caught! {
    ignores_the_tenant: tenant::IgnoresTheTenant => tenant::the_feed_of_a_tenant_is_its_part_of_the_whole;
    forgets_what_says_that_a_stream_is_gone: tenant::ForgetsWhatSaysThatAStreamIsGone =>
        tenant::the_feed_of_a_tenant_is_its_part_of_the_whole;
    ignores_the_case_of_tenants: tenant::IgnoresTheCaseOfTenants => tenant::a_tenant_finds_its_own_alone;
    keeps_one_subscription: tenant::KeepsOneSubscription =>
        tenant::what_is_kept_for_subscriptions_is_one_tenants;
    forgets_the_tenant: condition::ForgetsTheTenant =>
        tenant::a_query_of_a_tenant_finds_its_own_alone
        tenant::a_condition_is_about_one_tenant;

    repeats_the_last_of_the_state: snapshot::RepeatsTheLastOfTheState =>
        snapshot::a_snapshot_comes_back_with_what_followed
        snapshot::a_state_that_stands_on_nothing_falls
        snapshot::repositories_answer_as_without_one
        snapshot::random_histories_have_one_state;
    skips_the_first_after_the_state: snapshot::SkipsTheFirstAfterTheState =>
        snapshot::a_snapshot_comes_back_with_what_followed
        snapshot::pages_after_a_snapshot_join_to_the_whole
        snapshot::random_histories_have_one_state;
    ends_after_one_page: snapshot::EndsAfterOnePage =>
        snapshot::pages_after_a_snapshot_join_to_the_whole;
    mixes_shapes: snapshot::MixesShapes =>
        snapshot::without_one_all_events_come
        snapshot::two_shapes_are_kept_beside_each_other;
    believes_the_caller: snapshot::BelievesTheCaller =>
        snapshot::a_state_that_stands_on_nothing_falls
        snapshot::a_truncated_stream_has_another_state;
    gives_later_states: snapshot::GivesLaterStates =>
        snapshot::one_that_is_too_new_is_passed_over
        snapshot::repositories_answer_as_without_one
        snapshot::random_histories_have_one_state;
    hides_events_in_states: snapshot::HidesEventsInStates =>
        snapshot::one_with_the_event_is_passed_over
        snapshot::repositories_answer_as_without_one;
    never_looks_at_the_log: snapshot::NeverLooksAtTheLog =>
        snapshot::what_stands_on_nothing_is_not_kept
        snapshot::an_older_one_never_replaces_a_newer
        snapshot::a_stream_that_is_set_apart_loses_them
        snapshot::a_truncated_stream_has_another_state
        snapshot::none_is_left_where_a_stream_is_deleted_meanwhile
        snapshot::they_are_forgotten_where_it_is_asked
        snapshot::repositories_load_what_is_left
        snapshot::random_histories_have_one_state;
    keeps_the_latecomer: snapshot::KeepsTheLatecomer =>
        snapshot::an_older_one_never_replaces_a_newer
        snapshot::two_shapes_are_kept_beside_each_other;
    looks_then_keeps: snapshot::LooksThenKeeps => snapshot::racing_writers_leave_the_newest;
    keeps_every_shape: snapshot::KeepsEveryShape => snapshot::two_shapes_are_kept_beside_each_other;
    forgets_no_snapshot: snapshot::ForgetsNoSnapshot => snapshot::they_are_forgotten_where_it_is_asked;
    reads_beside_the_transaction: snapshot::ReadsBesideTheTransaction =>
        snapshot::a_transaction_reads_from_one
        snapshot::repositories_go_on_from_one;
    records_snapshots: snapshot::RecordsSnapshots => snapshot::they_are_no_part_of_the_log;

    has_one_checkpoint: sharing::HasOneCheckpoint =>
        lease::a_lone_node_has_every_partition
        rebuild::a_partition_that_was_not_begun_is_begun_later;
    robs_nodes: sharing::RobsNodes => lease::nodes_come_to_even_shares;
    checks_no_token: sharing::ChecksNoToken =>
        lease::a_step_needs_the_last_token
        lease::without_a_lease_nobody_else_may_hold_one
        lease::refuses_another_number_of_partitions;
    changes_tokens: sharing::ChangesTokens => lease::a_lease_that_nobody_took_goes_on;
    ignores_who_leaves: sharing::IgnoresWhoLeaves => lease::who_leaves_is_followed_at_once;
    gives_all_to_all: sharing::GivesAllToAll =>
        lease::racing_nodes_share_nothing_twice
        lease::nodes_come_to_even_shares;
    splits_anew: sharing::SplitsAnew => lease::refuses_another_number_of_partitions;
    forgets_what_is_parked: sharing::ForgetsWhatIsParked =>
        dead_letter::a_step_keeps_what_it_parks
        dead_letter::a_stream_is_due_in_its_order;
    parks_what_is_refused: sharing::ParksWhatIsRefused => dead_letter::a_step_that_is_refused_keeps_nothing;
    has_what_waits_due: sharing::HasWhatWaitsDue => dead_letter::a_stream_is_due_in_its_order;
    holds_every_stream: sharing::HoldsEveryStream => dead_letter::one_that_is_parked_alone_waits_behind_nobody;
    parks_once: sharing::ParksOnce => dead_letter::one_that_fails_again_is_replaced;
    drops_nothing: sharing::DropsNothing => dead_letter::one_that_is_dropped_lets_the_next_follow;
    sets_timers_at_once: sharing::SetsTimersAtOnce => timer::is_set_with_its_transaction;
    reverses_timers: sharing::ReversesTimers => timer::are_due_in_their_order;
    stops_the_clock: sharing::StopsTheClock => timer::becomes_due_with_time;
    sets_timers_anew: sharing::SetsTimersAnew => timer::one_that_is_set_twice_stays_as_it_was;
    takes_timers_at_once: sharing::TakesTimersAtOnce => timer::is_taken_with_its_transaction;
    takes_timers_twice: sharing::TakesTimersTwice =>
        timer::one_of_those_who_take_it_has_it
        timer::is_taken_with_its_transaction;

    forgets_the_version_check: append::ForgetsTheVersionCheck =>
        append::refuses_a_stale_version
        append::refuses_a_version_from_the_future
        append::exactly_takes_only_that_version
        append::writes_nothing_on_conflict
        append::a_conflict_has_the_facts
        concurrency::one_of_those_who_expect_the_same_version_wins
        idempotence::a_conflict_uses_up_no_ids
        durable::versions_go_on_after_reopening
        model::random_histories_are_answered_as_by_the_model;
    needs_a_stream_for_any: append::NeedsAStreamForAny =>
        append::any_takes_every_stream;
    takes_no_stream_for_any: append::TakesNoStreamForAny =>
        append::no_stream_takes_only_a_new_stream
        concurrency::one_of_those_who_begin_a_stream_wins
        model::random_histories_are_answered_as_by_the_model;
    takes_exists_for_any: append::TakesExistsForAny =>
        append::exists_takes_only_a_stream_with_events
        model::random_histories_are_answered_as_by_the_model;
    takes_zero_for_any: append::TakesZeroForAny =>
        append::exactly_zero_takes_only_a_new_stream
        append::a_conflict_has_the_facts;
    takes_later_versions: append::TakesLaterVersions =>
        append::refuses_a_stale_version
        append::exactly_takes_only_that_version;
    takes_earlier_versions: append::TakesEarlierVersions =>
        append::refuses_a_version_from_the_future
        append::exactly_takes_only_that_version;
    uses_the_first_expectation: append::UsesTheFirstExpectation =>
        append::each_stream_has_its_own_expectation
        append::writes_nothing_when_the_second_stream_conflicts;
    is_off_by_one_in_conflicts: append::IsOffByOneInConflicts =>
        append::a_conflict_has_the_facts
        concurrency::one_of_those_who_expect_the_same_version_wins
        model::random_histories_are_answered_as_by_the_model;
    finds_version_zero: append::FindsVersionZero =>
        append::a_conflict_has_the_facts
        append::exists_takes_only_a_stream_with_events;
    blames_the_first_stream: append::BlamesTheFirstStream =>
        append::a_conflict_has_the_facts
        append::writes_nothing_when_the_second_stream_conflicts;
    half_writes_before_a_conflict: append::HalfWritesBeforeAConflict =>
        append::writes_nothing_when_the_second_stream_conflicts
        append::writes_nothing_when_the_last_of_many_streams_conflicts
        concurrency::one_of_those_who_share_a_stream_wins_all_of_its_streams
        concurrency::those_who_follow_see_everything_once_in_order
        model::random_histories_are_answered_as_by_the_model;
    half_writes_after_a_conflict: append::HalfWritesAfterAConflict =>
        append::writes_nothing_when_the_first_stream_conflicts;
    writes_one_on_conflict: append::WritesOneOnConflict =>
        append::writes_nothing_on_conflict
        append::leaves_no_hole_in_the_versions_when_it_fails
        model::random_histories_are_answered_as_by_the_model;
    burns_versions_on_conflict: append::BurnsVersionsOnConflict =>
        append::leaves_no_hole_in_the_versions_when_it_fails
        idempotence::a_conflict_uses_up_no_ids;
    drops_the_last_event: append::DropsTheLastEvent =>
        append::answers_with_what_it_wrote
        append::keeps_the_order_of_its_events
        read_stream::gives_what_the_feed_gives
        payload::payloads_come_back_byte_for_byte
        model::random_histories_are_answered_as_by_the_model;
    drops_twins: append::DropsTwins =>
        append::records_equal_events_under_different_ids;
    sorts_events_by_id: append::SortsEventsById =>
        append::keeps_the_order_of_its_events;
    sorts_streams_by_name: append::SortsStreamsByName =>
        append::positions_follow_the_order_of_the_append
        append::answers_for_every_stream_in_order
        model::random_histories_are_answered_as_by_the_model;
    answers_with_the_first_position: append::AnswersWithTheFirstPosition =>
        append::answers_with_what_it_wrote
        append::answers_for_every_stream_in_order;
    answers_in_reverse: append::AnswersInReverse =>
        append::answers_for_every_stream_in_order
        append::each_stream_has_its_own_expectation;
    records_nanoseconds: append::RecordsNanoseconds =>
        append::records_when_it_happened;
    stamps_events_singly: append::StampsEventsSingly =>
        append::records_when_it_happened;
    numbers_versions_from_zero: append::NumbersVersionsFromZero =>
        append::numbers_versions_from_one_without_holes
        append::answers_with_what_it_wrote;
    numbers_versions_by_position: append::NumbersVersionsByPosition =>
        append::numbers_versions_from_one_without_holes
        read_stream::gives_no_events_of_other_streams;
    numbers_positions_from_zero: append::NumbersPositionsFromZero =>
        append::the_first_position_is_after_the_start;
    reuses_positions: append::ReusesPositions =>
        read_all::positions_grow
        concurrency::all_of_those_with_streams_of_their_own_win
        model::random_histories_are_answered_as_by_the_model;
    refuses_thousands: append::RefusesThousands =>
        append::takes_as_many_events_as_the_limit;
    writes_only_thousands: append::WritesOnlyThousands =>
        append::takes_as_many_events_as_the_limit;
    clones_are_other_stores: append::ClonesAreOtherStores =>
        append::every_clone_is_the_same_store
        read_stream::reads_what_was_just_acknowledged
        checkpoint::moves_from_where_it_was;
    writes_event_by_event: append::WritesEventByEvent =>
        append::happens_whole_or_not_at_all_when_dropped
        append::writes_nothing_when_the_second_stream_conflicts
        concurrency::a_reader_of_a_stream_sees_whole_appends;

    writes_a_repeat_again: idempotence::WritesARepeatAgain =>
        retention::nothing_is_lost_in_an_upheaval
        idempotence::a_repeat_answers_as_the_first_did
        idempotence::a_repeat_writes_nothing
        idempotence::a_repeat_for_several_streams_answers_as_the_first_did
        idempotence::a_repeat_changes_nothing_of_what_is_recorded
        idempotence::partly_recorded_ids_are_refused
        idempotence::a_longer_append_is_no_repeat
        concurrency::all_of_those_who_repeat_the_same_append_are_answered_alike
        concurrency::one_of_those_who_share_an_id_wins
        append::happens_whole_or_not_at_all_when_dropped
        model::random_histories_are_answered_as_by_the_model;
    writes_a_repeat_behind_its_answer: idempotence::WritesARepeatBehindItsAnswer =>
        idempotence::a_repeat_answers_as_the_first_did
        idempotence::a_repeat_writes_nothing
        model::random_histories_are_answered_as_by_the_model;
    conflicts_on_a_repeat: idempotence::ConflictsOnARepeat =>
        idempotence::a_repeat_answers_after_the_stream_has_moved_on
        idempotence::a_repeat_answers_under_every_expectation
        idempotence::a_repeat_answers_under_another_expectation
        idempotence::reuse_is_told_before_a_conflict
        append::happens_whole_or_not_at_all_when_dropped
        durable::a_repeat_answers_as_the_first_did_after_reopening
        model::random_histories_are_answered_as_by_the_model;
    compares_expectations: idempotence::ComparesExpectations =>
        idempotence::a_repeat_answers_under_another_expectation;
    answers_a_repeat_with_now: idempotence::AnswersARepeatWithNow =>
        idempotence::a_repeat_answers_as_the_first_did
        concurrency::all_of_those_who_repeat_the_same_append_are_answered_alike
        model::random_histories_are_answered_as_by_the_model;
    answers_a_repeat_with_the_head: idempotence::AnswersARepeatWithTheHead =>
        idempotence::a_repeat_answers_after_the_stream_has_moved_on
        idempotence::a_repeat_is_known_however_late;
    answers_a_repeat_with_the_last_versions: idempotence::AnswersARepeatWithTheLastVersions =>
        idempotence::a_repeat_answers_after_the_stream_has_moved_on
        idempotence::a_repeat_for_several_streams_answers_as_the_first_did;
    answers_a_repeat_for_one_stream: idempotence::AnswersARepeatForOneStream =>
        idempotence::a_repeat_for_several_streams_answers_as_the_first_did
        model::random_histories_are_answered_as_by_the_model;
    forgets_old_ids: idempotence::ForgetsOldIds =>
        idempotence::a_repeat_is_known_however_late;
    overwrites_on_a_repeat: idempotence::OverwritesOnARepeat =>
        idempotence::a_repeat_changes_nothing_of_what_is_recorded;
    burns_ids_on_failure: idempotence::BurnsIdsOnFailure =>
        idempotence::a_conflict_uses_up_no_ids
        idempotence::a_refused_reuse_uses_up_no_ids
        invalid::mended_input_is_taken;
    skips_known_ids: idempotence::SkipsKnownIds =>
        idempotence::partly_recorded_ids_are_refused
        idempotence::a_longer_append_is_no_repeat
        idempotence::reuse_in_one_of_several_streams_has_the_facts
        concurrency::one_of_those_who_share_an_id_wins
        model::random_histories_are_answered_as_by_the_model;
    takes_one_known_id_for_a_repeat: idempotence::TakesOneKnownIdForARepeat =>
        idempotence::partly_recorded_ids_are_refused
        idempotence::reuse_in_one_of_several_streams_has_the_facts
        model::random_histories_are_answered_as_by_the_model;
    takes_all_known_ids_for_a_repeat: idempotence::TakesAllKnownIdsForARepeat =>
        idempotence::ids_of_another_stream_are_refused
        idempotence::ids_in_another_order_are_refused
        idempotence::ids_spread_over_other_streams_are_refused
        model::random_histories_are_answered_as_by_the_model;
    keeps_ids_by_stream: idempotence::KeepsIdsByStream =>
        tenant::an_id_of_another_tenant_is_refused
        idempotence::ids_of_another_stream_are_refused
        idempotence::ids_spread_over_other_streams_are_refused
        model::random_histories_are_answered_as_by_the_model;
    takes_nil_for_no_id: idempotence::TakesNilForNoId =>
        idempotence::every_uuid_is_an_id;
    conflicts_on_reuse: idempotence::ConflictsOnReuse =>
        idempotence::partly_recorded_ids_are_refused
        idempotence::reuse_is_told_before_a_conflict
        concurrency::one_of_those_who_share_an_id_wins
        model::random_histories_are_answered_as_by_the_model;
    misplaces_reused_ids: idempotence::MisplacesReusedIds =>
        idempotence::ids_of_another_stream_are_refused
        idempotence::ids_spread_over_other_streams_are_refused
        model::random_histories_are_answered_as_by_the_model;
    blames_the_first_stream_for_reuse: idempotence::BlamesTheFirstStreamForReuse =>
        idempotence::reuse_in_one_of_several_streams_has_the_facts
        idempotence::ids_spread_over_other_streams_are_refused;

    checks_then_acts: concurrency::ChecksThenActs =>
        concurrency::one_of_those_who_expect_the_same_version_wins
        concurrency::one_of_those_who_begin_a_stream_wins
        concurrency::one_of_those_who_share_a_stream_wins_all_of_its_streams;
    takes_any_for_a_version: concurrency::TakesAnyForAVersion =>
        concurrency::all_of_those_who_demand_nothing_win
        concurrency::those_who_cross_do_not_block_each_other;
    conflicts_with_everybody: concurrency::ConflictsWithEverybody =>
        concurrency::all_of_those_with_streams_of_their_own_win
        concurrency::all_of_those_who_demand_nothing_win;
    conflicts_with_its_own_repeat: concurrency::ConflictsWithItsOwnRepeat =>
        concurrency::all_of_those_who_repeat_the_same_append_are_answered_alike
        concurrency::one_of_those_who_share_an_id_wins;
    locks_in_the_order_of_the_append: concurrency::LocksInTheOrderOfTheAppend =>
        concurrency::those_who_cross_do_not_block_each_other;
    numbers_streams_in_blocks: concurrency::NumbersStreamsInBlocks =>
        concurrency::positions_respect_cause
        read_all::positions_respect_cause
        read_all::positions_grow;
    hides_what_is_written_meanwhile: concurrency::HidesWhatIsWrittenMeanwhile =>
        concurrency::those_who_follow_see_everything_once_in_order;
    loses_what_is_written_meanwhile: concurrency::LosesWhatIsWrittenMeanwhile =>
        retention::nothing_is_lost_in_an_upheaval
        concurrency::those_who_follow_see_everything_once_in_order
        concurrency::all_of_those_with_streams_of_their_own_win;

    asks_for_one_tag: condition::AsksForOneTag =>
        matching::a_query_finds_what_matches_it
        matching::random_queries_find_what_matches_them
        condition::is_not_overtaken_by_what_does_not_match;
    forgets_names: condition::ForgetsNames =>
        matching::a_query_finds_what_matches_it
        matching::random_queries_find_what_matches_them;
    asks_for_one_item: condition::AsksForOneItem =>
        matching::a_query_finds_what_matches_it
        matching::random_queries_find_what_matches_them;
    takes_tags_for_no_condition: condition::TakesTagsForNoCondition =>
        matching::a_query_takes_tags_literally
        condition::nothing_matches_is_a_condition
        condition::all_of_those_who_decide_on_other_things_win;
    unescapes_tags: condition::UnescapesTags => matching::a_query_takes_tags_literally;
    ends_after_a_page: condition::EndsAfterAPage =>
        matching::a_query_finds_what_matches_it;
    finds_late: condition::FindsLate =>
        matching::finds_what_was_just_acknowledged
        condition::one_of_those_who_race_for_a_seat_gets_it;
    settles_what_is_open: condition::SettlesWhatIsOpen =>
        matching::what_is_settled_stays_as_it_is
        condition::is_overtaken_by_what_is_committed_late
        condition::one_of_those_who_have_seen_the_same_wins
        condition::there_is_an_order_in_which_all_could_have_been_done_alone;
    names_nothing: condition::NamesNothing => matching::what_is_settled_names_its_event;
    finds_what_is_deleted: condition::FindsWhatIsDeleted =>
        matching::what_is_deleted_matches_no_more
        matching::a_query_takes_tags_literally
        condition::what_is_deleted_overtakes_nobody;
    finds_what_is_truncated: condition::FindsWhatIsTruncated => matching::what_is_deleted_matches_no_more;
    forgets_what_is_archived: condition::ForgetsWhatIsArchived => condition::what_is_deleted_overtakes_nobody;
    imports_without_tags: condition::ImportsWithoutTags => matching::a_copy_finds_the_same;
    appends_in_no_transaction: condition::AppendsInNoTransaction => matching::what_is_not_committed_is_not_found;
    forgets_conditions: condition::ForgetsConditions =>
        condition::is_overtaken_by_what_matches
        condition::nothing_matches_is_a_condition
        condition::is_overtaken_by_what_is_committed_late
        condition::one_of_those_who_race_for_a_seat_gets_it
        condition::one_of_those_who_have_seen_the_same_wins
        condition::there_is_an_order_in_which_all_could_have_been_done_alone
        condition::a_transaction_appends_on_a_condition
        condition::those_who_decide_in_transactions_exclude_each_other
        condition::what_is_deleted_overtakes_nobody
        condition::refuses_a_condition_of_another_log;
    looks_then_writes: condition::LooksThenWrites =>
        condition::one_of_those_who_race_for_a_seat_gets_it
        condition::one_of_those_who_have_seen_the_same_wins
        condition::there_is_an_order_in_which_all_could_have_been_done_alone;
    indexes_few_tags: condition::IndexesFewTags => condition::appends_with_many_tags_exclude_each_other_too;
    looks_before_it_remembers: condition::LooksBeforeItRemembers => condition::a_repeat_answers_as_the_first_did;
    expects_nothing_on_a_condition: condition::ExpectsNothingOnACondition =>
        condition::what_is_expected_of_streams_is_demanded_too;
    is_overtaken_by_anything: condition::IsOvertakenByAnything =>
        condition::is_not_overtaken_by_what_does_not_match
        condition::all_of_those_who_decide_on_other_things_win;
    writes_what_is_overtaken: condition::WritesWhatIsOvertaken =>
        condition::is_overtaken_by_what_matches
        condition::nothing_matches_is_a_condition;
    looks_above_the_last: condition::LooksAboveTheLast => condition::is_overtaken_by_what_matches;
    takes_any_log: condition::TakesAnyLog => condition::refuses_a_condition_of_another_log;
    cuts_queries_off: condition::CutsQueriesOff => condition::refuses_a_query_that_is_too_large;
    half_writes_on_a_condition: condition::HalfWritesOnACondition => condition::appends_where_the_condition_holds;

    includes_the_version: read::IncludesTheVersion =>
        read_stream::gives_what_comes_after_a_version
        read_stream::pages_join_to_the_whole
        model::random_histories_are_answered_as_by_the_model;
    skips_between_pages: read::SkipsBetweenPages =>
        read_stream::pages_join_to_the_whole
        read_stream::reads_long_streams
        model::random_histories_are_answered_as_by_the_model;
    ignores_the_limit: read::IgnoresTheLimit =>
        read_stream::pages_join_to_the_whole
        read_stream::a_limit_of_zero_gives_one_event;
    ends_a_stream_with_a_short_page: read::EndsAStreamWithAShortPage =>
        read_stream::says_whether_it_is_the_end
        model::random_histories_are_answered_as_by_the_model;
    ends_a_stream_too_early: read::EndsAStreamTooEarly =>
        read_stream::says_whether_it_is_the_end
        read_stream::pages_join_to_the_whole
        read_stream::goes_on_after_the_end
        model::random_histories_are_answered_as_by_the_model;
    remembers_ends: read::RemembersEnds =>
        read_stream::goes_on_after_the_end;
    reads_a_replica: read::ReadsAReplica =>
        read_stream::reads_what_was_just_acknowledged;
    fails_on_unknown_streams: read::FailsOnUnknownStreams =>
        read_stream::an_unknown_stream_is_an_empty_page;
    gives_nothing_for_zero: read::GivesNothingForZero =>
        read_stream::a_limit_of_zero_gives_one_event
        read_all::a_limit_of_zero_gives_one_event
        model::random_histories_are_answered_as_by_the_model;
    casts_versions: read::CastsVersions =>
        read_stream::nothing_comes_after_the_last_version;
    matches_prefixes: read::MatchesPrefixes =>
        payload::stream_names_come_back
        payload::category_and_id_are_kept_apart;
    reads_the_category: read::ReadsTheCategory =>
        read_stream::gives_no_events_of_other_streams
        read_stream::an_unknown_stream_is_an_empty_page
        append::a_stream_is_category_and_id;
    stops_at_a_thousand: read::StopsAtAThousand =>
        read_stream::reads_long_streams;
    stamps_the_feed: read::StampsTheFeed =>
        read_stream::gives_what_the_feed_gives
        read_all::gives_every_event_of_every_stream;

    reorders_the_feed: read::ReordersTheFeed =>
        read_all::positions_grow
        read_all::gives_the_same_again
        append::positions_follow_the_order_of_the_append
        model::random_histories_are_answered_as_by_the_model;
    swaps_versions_in_the_feed: read::SwapsVersionsInTheFeed =>
        read_all::position_order_is_version_order;
    forgets_the_old_feed: read::ForgetsTheOldFeed =>
        read_all::gives_every_event_of_every_stream
        read_all::position_order_is_version_order
        read_all::a_filter_takes_names_literally;
    moves_events_on_failure: read::MovesEventsOnFailure =>
        read_all::positions_stay_when_an_append_fails;
    includes_the_position: read::IncludesThePosition =>
        read_all::gives_what_comes_after_a_position
        read_all::stays_where_it_is_past_the_head
        model::random_histories_are_answered_as_by_the_model;
    skips_at_page_ends: read::SkipsAtPageEnds =>
        read_all::pages_join_to_the_whole
        concurrency::those_who_follow_see_everything_once_in_order
        model::random_histories_are_answered_as_by_the_model;
    skips_a_match_at_page_ends: read::SkipsAMatchAtPageEnds =>
        read_all::filtered_pages_lose_nothing_at_their_ends
        read_all::a_filter_equals_filtering_the_whole
        read_all::random_filters_equal_filtering_the_whole
        model::random_histories_are_answered_as_by_the_model;
    ends_the_feed_with_a_short_page: read::EndsTheFeedWithAShortPage =>
        read_all::says_whether_it_is_the_end;
    ends_the_feed_too_early: read::EndsTheFeedTooEarly =>
        read_all::says_whether_it_is_the_end
        read_all::pages_join_to_the_whole
        model::random_histories_are_answered_as_by_the_model;
    looks_beyond_the_head: read::LooksBeyondTheHead =>
        read_all::goes_on_after_the_end
        read_all::an_empty_store_is_an_empty_page
        concurrency::those_who_follow_see_everything_once_in_order;
    goes_on_in_any_log: read::GoesOnInAnyLog =>
        read_all::refuses_to_go_on_in_another_log;
    names_no_event_where_nothing_came: read::NamesNoEventWhereNothingCame =>
        read_all::pages_name_the_last_event_up_to_where_they_looked;
    never_ends_empty: read::NeverEndsEmpty =>
        read_all::an_empty_store_is_an_empty_page;
    goes_back_to_the_head: read::GoesBackToTheHead =>
        read_all::stays_where_it_is_past_the_head;
    ignores_names: read::IgnoresNames =>
        read_all::a_filter_equals_filtering_the_whole
        read_all::a_filter_divides_an_append
        payload::event_names_come_back
        model::random_histories_are_answered_as_by_the_model;
    passes_either_part: read::PassesEitherPart =>
        read_all::a_filter_equals_filtering_the_whole
        read_all::the_position_moves_on_where_nothing_passes
        model::random_histories_are_answered_as_by_the_model;
    drops_unknown_names: read::DropsUnknownNames =>
        read_all::a_filter_equals_filtering_the_whole
        read_all::goes_on_after_the_end;
    takes_names_for_patterns: read::TakesNamesForPatterns =>
        read_all::a_filter_takes_names_literally;
    cuts_filters: read::CutsFilters =>
        read_all::a_filter_may_name_thousands;
    filters_appends: read::FiltersAppends =>
        read_all::a_filter_divides_an_append
        model::random_histories_are_answered_as_by_the_model;
    stands_still: read::StandsStill =>
        read_all::the_position_moves_on_where_nothing_passes
        read_all::the_position_moves_on_after_the_last_that_passes
        model::random_histories_are_answered_as_by_the_model;

    rewrites_json: payload::RewritesJson =>
        payload::json_is_not_rewritten;
    keeps_text: payload::KeepsText =>
        payload::payloads_come_back_byte_for_byte
        payload::large_payloads_come_back;
    takes_empty_for_null: payload::TakesEmptyForNull =>
        payload::payloads_come_back_byte_for_byte;
    cuts_payloads: payload::CutsPayloads =>
        payload::large_payloads_come_back;
    cuts_times: payload::CutsTimes =>
        payload::times_come_back_to_the_nanosecond
        payload::metadata_comes_back_equal;
    loses_the_actor: payload::LosesTheActor =>
        payload::metadata_comes_back_equal
        payload::metadata_text_comes_back;
    loses_the_cause: payload::LosesTheCause =>
        payload::metadata_comes_back_equal;
    fills_in_the_conversation: payload::FillsInTheConversation =>
        payload::metadata_comes_back_equal
        model::random_histories_are_answered_as_by_the_model;
    loses_odd_fields: payload::LosesOddFields =>
        payload::metadata_text_comes_back;
    ends_text_at_nul: payload::EndsTextAtNul =>
        payload::metadata_text_comes_back;
    cuts_metadata: payload::CutsMetadata =>
        payload::large_metadata_comes_back;
    loses_the_codec: payload::LosesTheCodec =>
        payload::codec_and_schema_version_come_back;
    cuts_schema_versions: payload::CutsSchemaVersions =>
        payload::codec_and_schema_version_come_back;
    lowers_event_names: payload::LowersEventNames =>
        payload::event_names_come_back
        read_all::a_filter_takes_names_literally;
    cuts_event_names: payload::CutsEventNames =>
        payload::event_names_come_back;
    doubles_quotes: payload::DoublesQuotes =>
        payload::stream_names_come_back;
    confuses_categories: payload::Confuses<payload::Categories> =>
        append::a_stream_is_category_and_id
        read_stream::an_unknown_stream_is_an_empty_page;
    confuses_case: payload::Confuses<payload::Case> =>
        payload::streams_that_look_alike_are_different;
    confuses_blanks: payload::Confuses<payload::Blanks> =>
        payload::streams_that_look_alike_are_different;
    confuses_forms: payload::Confuses<payload::Forms> =>
        payload::streams_that_look_alike_are_different
        payload::stream_names_come_back;
    confuses_joints: payload::Confuses<payload::Joints> =>
        payload::category_and_id_are_kept_apart;
    confuses_ends: payload::Confuses<payload::Ends> =>
        payload::names_as_long_as_allowed_come_back;

    writes_what_is_valid: payload::WritesWhatIsValid =>
        invalid::refuses_a_payload_that_is_too_large
        invalid::refuses_metadata_that_is_too_large
        invalid::refuses_too_many_events
        invalid::refuses_an_append_without_events
        invalid::refuses_a_stream_twice
        invalid::refuses_an_id_twice
        invalid::refuses_schema_versions_out_of_range
        invalid::refuses_versions_past_the_last
        invalid::refuses_an_actor_that_is_no_name
        invalid::refuses_a_codec_that_is_no_name;
    says_ill_for_invalid: payload::SaysIllForInvalid =>
        invalid::refuses_a_payload_that_is_too_large
        invalid::refuses_versions_past_the_last
        invalid::invalid_input_is_told_before_a_conflict;
    mends_input: payload::MendsInput =>
        invalid::refuses_a_payload_that_is_too_large
        invalid::refuses_metadata_that_is_too_large
        invalid::refuses_too_many_events
        invalid::refuses_an_append_without_events
        invalid::refuses_a_stream_twice
        invalid::refuses_an_id_twice
        invalid::refuses_schema_versions_out_of_range
        invalid::refuses_versions_past_the_last
        invalid::refuses_an_actor_that_is_no_name
        invalid::refuses_a_codec_that_is_no_name;
    looks_at_the_version_first: payload::LooksAtTheVersionFirst =>
        invalid::invalid_input_is_told_before_a_conflict
        invalid::refuses_versions_past_the_last;
    ends_versions_too_early: payload::EndsVersionsTooEarly =>
        invalid::refuses_versions_past_the_last
        append::a_conflict_has_the_facts;

    reads_forward_only: whole::ReadsForwardOnly =>
        lookup::reads_a_stream_backward
        lookup::gives_the_last_event;
    includes_the_version_backward: whole::IncludesTheVersionBackward =>
        lookup::reads_a_stream_backward;
    finds_the_next: whole::FindsTheNext =>
        lookup::finds_an_event_by_its_id;
    matches_categories_by_prefix: whole::MatchesCategoriesByPrefix =>
        lookup::gives_the_streams_of_a_category;
    counts_no_bytes: whole::CountsNoBytes =>
        lookup::pages_are_bounded_in_bytes;
    filters_no_fields: whole::FiltersNoFields =>
        lookup::a_filter_for_fields_passes_what_has_them;
    appends_at_once: whole::AppendsAtOnce =>
        retention::nothing_is_lost_in_an_upheaval
        append_in::events_are_there_after_the_commit
        append_in::events_of_a_dropped_transaction_are_not_there
        append_in::events_are_committed_with_the_checkpoint
        stall::an_open_append_holds_the_feed_at_its_position
        stall::an_append_that_is_rolled_back_is_passed;
    forgets_appends: whole::ForgetsAppends =>
        retention::nothing_is_lost_in_an_upheaval
        append_in::events_are_there_after_the_commit
        append_in::a_transaction_sees_its_own_events;
    rolls_back_on_refusal: whole::RollsBackOnRefusal =>
        append_in::a_refusal_leaves_the_transaction;
    shows_transactions_backward: whole::ShowsTransactionsBackward =>
        append_in::positions_are_in_the_order_of_versions;

    waits_for_the_dead: stall::WaitsForTheDead =>
        stall::an_append_that_is_rolled_back_is_passed
        stall::an_append_that_is_dropped_is_passed;
    forgets_who_gave_up: stall::ForgetsWhoGaveUp =>
        stall::an_append_that_is_dropped_is_passed;
    waits_for_everybody: stall::WaitsForEverybody =>
        foreign::a_transaction_that_appends_nothing_stalls_nobody
        foreign::work_before_an_append_holds_nothing;
    holds_from_the_beginning: stall::HoldsFromTheBeginning =>
        foreign::work_before_an_append_holds_nothing;
    waits_for_a_pause: stall::WaitsForAPause =>
        stall::each_open_append_holds_for_itself;
    passes_open_appends: stall::PassesOpenAppends =>
        stall::an_open_append_holds_the_feed_at_its_position;
    draws_at_the_commit: stall::DrawsAtTheCommit =>
        stall::an_open_append_holds_the_feed_at_its_position;

    deletes_by_archiving: whole::DeletesByArchiving =>
        retention::nothing_is_lost_in_an_upheaval
        retention::a_deleted_stream_is_gone_and_says_so
        retention::changes_are_repeated_and_refused;
    archives_by_deleting: whole::ArchivesByDeleting =>
        retention::nothing_is_lost_in_an_upheaval
        retention::an_archived_stream_is_set_apart_and_says_so
        retention::a_restored_stream_goes_on;
    looks_at_the_closing_first: whole::LooksAtTheClosingFirst =>
        retention::deleted_events_keep_their_ids_and_numbers;
    filters_the_archive_out: whole::FiltersTheArchiveOut =>
        retention::archived_events_pass_filters;
    opens_on_append: whole::OpensOnAppend =>
        retention::an_archived_stream_is_set_apart_and_says_so;
    closes_whatever_is_expected: whole::ClosesWhateverIsExpected =>
        retention::changes_are_repeated_and_refused;
    restores_nothing: whole::RestoresNothing =>
        retention::nothing_is_lost_in_an_upheaval
        retention::a_restored_stream_goes_on;
    truncates_one_more: whole::TruncatesOneMore =>
        retention::nothing_is_lost_in_an_upheaval
        retention::a_truncated_stream_begins_later_and_says_so;
    truncates_in_silence: whole::TruncatesInSilence =>
        retention::a_truncated_stream_begins_later_and_says_so;
    hides_the_archive: whole::HidesTheArchive =>
        retention::nothing_is_lost_in_an_upheaval
        retention::an_archived_stream_is_set_apart_and_says_so;
    hides_the_archive_later: whole::HidesTheArchiveLater =>
        retention::readers_go_on_after_a_change;
    loses_an_open_append_to_a_change: whole::LosesAnOpenAppendToAChange =>
        retention::a_change_and_an_open_append_spare_each_other;
    takes_reserved_names: whole::TakesReservedNames =>
        retention::reserved_names_are_refused;
    truncates_what_it_finds: whole::TruncatesWhatItFinds =>
        retention::nothing_is_lost_in_an_upheaval;
    reads_in_two_steps: whole::ReadsInTwoSteps =>
        retention::nothing_is_lost_in_an_upheaval;
    refuses_what_it_has_written: whole::RefusesWhatItHasWritten =>
        retention::nothing_is_lost_in_an_upheaval;

    exports_the_living: whole::ExportsTheLiving =>
        transfer::a_copy_is_the_same_store
        transfer::a_copy_knows_erased_ids;
    imports_by_appending: whole::ImportsByAppending =>
        transfer::a_copy_is_the_same_store
        transfer::a_copy_knows_erased_ids
        transfer::an_import_needs_an_empty_store
        tenant::a_tenant_moves_to_a_store_of_its_own
        transfer::records_that_are_no_log_are_refused
        transfer::an_import_happens_whole_or_not_at_all;
    imports_over_what_is_there: whole::ImportsOverWhatIsThere =>
        transfer::an_import_needs_an_empty_store;
    notes_its_imports: whole::NotesItsImports =>
        transfer::a_torn_export_is_refused
        transfer::a_copy_is_the_same_store;
    cuts_to_what_fits: whole::CutsToWhatFits =>
        transfer::records_out_of_range_are_refused;
    imports_what_is_no_log: whole::ImportsWhatIsNoLog =>
        transfer::records_that_are_no_log_are_refused;
    keeps_half_an_import: whole::KeepsHalfAnImport =>
        transfer::an_import_happens_whole_or_not_at_all;

    counts_no_changes: whole::CountsNoChanges =>
        transfer::an_export_of_a_changing_store_is_refused;
    counts_what_closes_streams: whole::CountsWhatClosesStreams =>
        transfer::an_export_of_a_changing_store_is_refused;

    keeps_positions_only: progress::KeepsPositionsOnly =>
        checkpoint::knows_its_log_again
        checkpoint::refuses_another_log;
    forgets_where_it_came_from: progress::ForgetsWhereItCameFrom =>
        checkpoint::refuses_another_log;
    moves_from_anywhere: progress::MovesFromAnywhere =>
        checkpoint::refuses_to_move_from_elsewhere
        checkpoint::one_of_those_who_move_it_wins
        model::random_histories_are_answered_as_by_the_model;
    holds_nothing: progress::HoldsNothing =>
        checkpoint::nobody_moves_what_a_transaction_holds;
    moves_at_once: progress::MovesAtOnce =>
        checkpoint::a_transaction_moves_several
        checkpoint::of_several_all_are_moved_or_none;
    takes_a_repetition_for_an_append: progress::TakesARepetitionForAnAppend =>
        append_in::a_repetition_is_told_from_an_append
        inline::a_repeated_append_has_its_rows_once;
    commits_without_the_step: progress::CommitsWithoutTheStep =>
        rebuild::a_new_version_takes_the_place_of_the_old
        rebuild::a_rebuild_that_is_given_up_goes_on
        rebuild::several_nodes_rebuild_once
        rebuild::a_rebuild_goes_on_as_it_has_begun
        rebuild::a_swap_that_fails_can_be_done_again
        rebuild::the_old_version_comes_back;
    forgets_steps_in_transactions: progress::ForgetsStepsInTransactions =>
        checkpoint::a_transaction_moves_several
        rebuild::an_empty_log_is_rebuilt_once
        rebuild::the_number_of_partitions_may_change;
    appends_at_once_and_forgets_work: progress::AppendsAtOnceAndForgetsWork =>
        inline::rows_are_there_with_the_append
        inline::rows_of_a_long_append_are_there
        inline::a_projection_that_fails_prevents_the_append
        inline::a_spoilt_transaction_is_not_committed
        inline::rows_belong_to_the_transaction
        inline::rows_are_those_of_the_winners;
    looks_then_moves: progress::LooksThenMoves =>
        checkpoint::one_of_those_who_move_it_wins;
    moves_forward_only: progress::MovesForwardOnly =>
        checkpoint::may_stay_and_may_go_back;
    moves_once: progress::MovesOnce =>
        checkpoint::moves_from_where_it_was
        durable::checkpoints_are_there_after_reopening;
    says_where_it_is_not: progress::SaysWhereItIsNot =>
        checkpoint::refuses_to_move_from_elsewhere
        model::random_histories_are_answered_as_by_the_model;
    begins_at_the_head: progress::BeginsAtTheHead =>
        checkpoint::begins_at_the_start;
    ignores_the_case_of_subscriptions: progress::IgnoresTheCaseOfSubscriptions =>
        checkpoint::names_are_independent;
    keeps_checkpoints_as_events: progress::KeepsCheckpointsAsEvents =>
        checkpoint::moving_it_writes_no_event;
    commits_without_the_checkpoint: progress::CommitsWithoutTheCheckpoint =>
        checkpoint::a_transaction_moves_it
        transaction::work_is_done_with_the_checkpoint;
    commits_from_anywhere: progress::CommitsFromAnywhere =>
        checkpoint::a_transaction_is_refused_when_it_is_elsewhere
        transaction::work_is_done_once_where_two_do_it;
    commits_work_first: progress::CommitsWorkFirst =>
        transaction::work_is_not_done_when_the_checkpoint_is_elsewhere
        transaction::work_is_done_once_where_two_do_it;
    forgets_work: progress::ForgetsWork =>
        transaction::work_is_done_with_the_checkpoint;
    works_at_once: progress::WorksAtOnce =>
        transaction::work_is_done_with_the_checkpoint
        transaction::work_of_a_dropped_transaction_is_not_done;
    leaks_transactions: progress::LeaksTransactions =>
        checkpoint::a_dropped_transaction_leaves_it
        transaction::work_of_a_dropped_transaction_is_not_done;
    locks_readers_out: progress::LocksReadersOut =>
        checkpoint::an_open_transaction_stops_no_reader
        checkpoint::a_dropped_transaction_leaves_it;

    wakes_nobody: progress::WakesNobody =>
        wait::an_append_wakes_a_reader
        wait::it_returns_at_once_when_there_is_something;
    wakes_one: progress::WakesOne =>
        wait::all_who_wait_are_woken;
    wakes_only_who_waits: progress::WakesOnlyWhoWaits =>
        wait::no_append_is_slept_through;
    looks_now_and_then: progress::LooksNowAndThen =>
        wait::it_returns_at_once_when_there_is_something;
    waits_on_a_connection: progress::WaitsOnAConnection =>
        wait::those_who_wait_hold_up_nobody;
    leaks_connections: progress::LeaksConnections =>
        wait::it_may_be_given_up;

    forgets_everything: progress::ForgetsEverything =>
        durable::events_are_there_after_reopening
        durable::versions_go_on_after_reopening
        durable::positions_go_on_after_reopening
        durable::a_repeat_answers_as_the_first_did_after_reopening
        durable::checkpoints_are_there_after_reopening
        durable::readers_go_on_after_reopening;
    forgets_checkpoints: progress::ForgetsCheckpoints =>
        durable::checkpoints_are_there_after_reopening;
    forgets_ids: progress::ForgetsIds =>
        durable::a_repeat_answers_as_the_first_did_after_reopening;
    forgets_positions: progress::ForgetsPositions =>
        durable::positions_go_on_after_reopening;
}
