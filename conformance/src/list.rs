//! The list of promises, and what is made of it. There is one list: a promise that is missing here is dead code, which
//! is a compile error in this crate, and every other place is generated.

/// Enrols a store: expands to one `#[test]` for every promise, in one module for every area.
///
/// ```text
/// conformance!(Memory);
/// conformance!(Memory, without(durable: "lives in memory"));
/// ```
///
/// `Memory` is the store's [`Fixture`](crate::Fixture). What the store cannot do is declared with its reason: the
/// tests of that ability are then listed as ignored, for that reason. The abilities are `durable`, `work` and
/// `snapshots`.
///
/// The modules are named after the areas of [`promises`](crate::promises). Two enrolments in one file, or one beside
/// modules of the same names, go into modules of their own.
#[macro_export]
macro_rules! conformance {
    ($fixture:ty $(, without($($without:tt)*))? $(,)?) => {
        $crate::__abilities! { $fixture; durable [] work [] snapshots []; $($($without)*)? }
    };
}

/// Turns the list of missing abilities into the attribute that each ability's tests get.
#[doc(hidden)]
#[macro_export]
macro_rules! __abilities {
    ($fixture:ty; durable $durable:tt work $work:tt snapshots $snapshots:tt; ) => {
        $crate::__promises! { __enrol $fixture; durable $durable work $work snapshots $snapshots }
    };
    (
        $fixture:ty; durable [] work $work:tt snapshots $snapshots:tt;
        durable: $reason:literal $(, $($rest:tt)*)?
    ) => {
        $crate::__abilities! {
            $fixture; durable [#[ignore = $reason]] work $work snapshots $snapshots; $($($rest)*)?
        }
    };
    (
        $fixture:ty; durable $durable:tt work [] snapshots $snapshots:tt;
        work: $reason:literal $(, $($rest:tt)*)?
    ) => {
        $crate::__abilities! {
            $fixture; durable $durable work [#[ignore = $reason]] snapshots $snapshots; $($($rest)*)?
        }
    };
    (
        $fixture:ty; durable $durable:tt work $work:tt snapshots [];
        snapshots: $reason:literal $(, $($rest:tt)*)?
    ) => {
        $crate::__abilities! {
            $fixture; durable $durable work $work snapshots [#[ignore = $reason]]; $($($rest)*)?
        }
    };
    ($fixture:ty; durable $durable:tt work $work:tt snapshots $snapshots:tt; $($unknown:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `durable: \"the reason\"`, `work: \"the reason\"` or `snapshots: \"the reason\"`, each at most \
             once, found `",
            ::core::stringify!($($unknown)*),
            "`"
        ));
    };
}

/// Gives the list of promises to `callback`, a macro of this crate, after the arguments that are meant for it.
#[doc(hidden)]
#[macro_export]
macro_rules! __promises {
    ($callback:ident $($arguments:tt)*) => {
        $crate::$callback! {
            [$($arguments)*]
            /// Appending: all or nothing, dense versions, and expectations that hold (laws 1 to 3).
            append [] {
                answers_with_what_it_wrote,
                answers_for_every_stream_in_order,
                numbers_versions_from_one_without_holes,
                leaves_no_hole_in_the_versions_when_it_fails,
                keeps_the_order_of_its_events,
                positions_follow_the_order_of_the_append,
                records_when_it_happened,
                writes_nothing_on_conflict,
                writes_nothing_when_the_second_stream_conflicts,
                writes_nothing_when_the_first_stream_conflicts,
                writes_nothing_when_the_last_of_many_streams_conflicts,
                any_takes_every_stream,
                no_stream_takes_only_a_new_stream,
                exists_takes_only_a_stream_with_events,
                exactly_takes_only_that_version,
                exactly_zero_takes_only_a_new_stream,
                refuses_a_stale_version,
                refuses_a_version_from_the_future,
                a_conflict_has_the_facts,
                each_stream_has_its_own_expectation,
                a_stream_is_category_and_id,
                takes_as_many_events_as_the_limit,
                every_clone_is_the_same_store,
                happens_whole_or_not_at_all_when_dropped,
                the_first_position_is_after_the_start,
                records_equal_events_under_different_ids,
            }
            /// Repeating: the same ids are the same append, and no other (law 4).
            idempotence [] {
                a_repeat_answers_as_the_first_did,
                a_repeat_writes_nothing,
                a_repeat_answers_after_the_stream_has_moved_on,
                a_repeat_answers_under_every_expectation,
                a_repeat_answers_under_another_expectation,
                a_repeat_for_several_streams_answers_as_the_first_did,
                a_repeat_is_known_however_late,
                a_repeat_changes_nothing_of_what_is_recorded,
                a_conflict_uses_up_no_ids,
                partly_recorded_ids_are_refused,
                a_longer_append_is_no_repeat,
                ids_of_another_stream_are_refused,
                ids_in_another_order_are_refused,
                ids_spread_over_other_streams_are_refused,
                reuse_in_one_of_several_streams_has_the_facts,
                reuse_is_told_before_a_conflict,
                a_refused_reuse_uses_up_no_ids,
                every_uuid_is_an_id,
            }
            /// Many at once: one winner, no lost answer, no deadlock, and a feed that never skips (laws 3, 4, 6 and 7).
            concurrency [] {
                one_of_those_who_expect_the_same_version_wins,
                one_of_those_who_begin_a_stream_wins,
                one_of_those_who_share_a_stream_wins_all_of_its_streams,
                all_of_those_who_demand_nothing_win,
                all_of_those_with_streams_of_their_own_win,
                all_of_those_who_repeat_the_same_append_are_answered_alike,
                one_of_those_who_share_an_id_wins,
                those_who_cross_do_not_block_each_other,
                a_reader_of_a_stream_sees_whole_appends,
                positions_respect_cause,
                those_who_follow_see_everything_once_in_order,
            }
            /// Reading a stream: in order, in pages, to its end, and at once (law 5).
            read_stream [] {
                gives_what_comes_after_a_version,
                pages_join_to_the_whole,
                says_whether_it_is_the_end,
                goes_on_after_the_end,
                reads_what_was_just_acknowledged,
                an_unknown_stream_is_an_empty_page,
                a_limit_of_zero_gives_one_event,
                nothing_comes_after_the_last_version,
                gives_no_events_of_other_streams,
                gives_what_the_feed_gives,
                reads_long_streams,
            }
            /// The feed: everything once, in the store's one order, and through filters (laws 6 and 9).
            read_all [] {
                gives_every_event_of_every_stream,
                positions_grow,
                positions_respect_cause,
                position_order_is_version_order,
                positions_stay_when_an_append_fails,
                gives_the_same_again,
                gives_what_comes_after_a_position,
                pages_join_to_the_whole,
                says_whether_it_is_the_end,
                goes_on_after_the_end,
                an_empty_store_is_an_empty_page,
                a_limit_of_zero_gives_one_event,
                stays_where_it_is_past_the_head,
                pages_name_the_last_event_up_to_where_they_looked,
                refuses_to_go_on_in_another_log,
                a_filter_equals_filtering_the_whole,
                random_filters_equal_filtering_the_whole,
                the_position_moves_on_where_nothing_passes,
                the_position_moves_on_after_the_last_that_passes,
                filtered_pages_lose_nothing_at_their_ends,
                a_filter_takes_names_literally,
                a_filter_may_name_thousands,
                a_filter_divides_an_append,
            }
            /// Other ways to read: backward, by id, by category, by fields, in pages of so many bytes.
            lookup [] {
                reads_a_stream_backward,
                gives_the_last_event,
                finds_an_event_by_its_id,
                gives_the_streams_of_a_category,
                pages_are_bounded_in_bytes,
                a_filter_for_fields_passes_what_has_them,
            }
            /// Appends in the store's transaction (laws 1, 3, 4, 6 and 11).
            append_in [] {
                events_are_there_after_the_commit,
                events_of_a_dropped_transaction_are_not_there,
                a_transaction_sees_its_own_events,
                a_refusal_leaves_the_transaction,
                a_repetition_is_told_from_an_append,
                events_are_committed_with_the_checkpoint,
                positions_are_in_the_order_of_versions,
            }
            /// Reading what matches a query over all streams, by names and tags.
            matching [] {
                a_query_finds_what_matches_it,
                random_queries_find_what_matches_them,
                finds_what_was_just_acknowledged,
                what_is_settled_stays_as_it_is,
                what_is_settled_names_its_event,
                what_is_deleted_matches_no_more,
                a_query_takes_tags_literally,
                a_copy_finds_the_same,
                what_is_not_committed_is_not_found,
            }
            /// Appends on the condition that nothing that matches a query came in between (law 3, without streams).
            condition [] {
                appends_where_the_condition_holds,
                is_overtaken_by_what_matches,
                is_not_overtaken_by_what_does_not_match,
                nothing_matches_is_a_condition,
                is_overtaken_by_what_is_committed_late,
                a_repeat_answers_as_the_first_did,
                what_is_expected_of_streams_is_demanded_too,
                one_of_those_who_race_for_a_seat_gets_it,
                one_of_those_who_have_seen_the_same_wins,
                all_of_those_who_decide_on_other_things_win,
                there_is_an_order_in_which_all_could_have_been_done_alone,
                a_transaction_appends_on_a_condition,
                those_who_decide_in_transactions_exclude_each_other,
                what_is_deleted_overtakes_nobody,
                refuses_a_condition_of_another_log,
                refuses_a_query_that_is_too_large,
                appends_with_many_tags_exclude_each_other_too,
            }
            /// What holds up the feed: an append in an open transaction, until it ends (law 8).
            stall [] {
                an_open_append_holds_the_feed_at_its_position,
                an_append_that_is_rolled_back_is_passed,
                an_append_that_is_dropped_is_passed,
                each_open_append_holds_for_itself,
            }
            /// What does not: the work of others (law 8). Stores without `work` ignore these.
            foreign [work] {
                a_transaction_that_appends_nothing_stalls_nobody,
                work_before_an_append_holds_nothing,
            }
            /// Streams as a whole: deleted, archived, restored, truncated (law 12).
            retention [] {
                a_deleted_stream_is_gone_and_says_so,
                deleted_events_keep_their_ids_and_numbers,
                an_archived_stream_is_set_apart_and_says_so,
                archived_events_pass_filters,
                a_restored_stream_goes_on,
                a_truncated_stream_begins_later_and_says_so,
                changes_are_repeated_and_refused,
                readers_go_on_after_a_change,
                a_change_and_an_open_append_spare_each_other,
                reserved_names_are_refused,
                nothing_is_lost_in_an_upheaval,
            }
            /// Export and import of a whole store.
            transfer [] {
                a_copy_is_the_same_store,
                a_copy_knows_erased_ids,
                an_import_needs_an_empty_store,
                a_torn_export_is_refused,
                records_out_of_range_are_refused,
                records_that_are_no_log_are_refused,
                an_import_happens_whole_or_not_at_all,
                an_export_of_a_changing_store_is_refused,
            }
            /// What is given back is what was given (law 10).
            payload [] {
                payloads_come_back_byte_for_byte,
                json_is_not_rewritten,
                large_payloads_come_back,
                codec_and_schema_version_come_back,
                metadata_comes_back_equal,
                metadata_text_comes_back,
                large_metadata_comes_back,
                times_come_back_to_the_nanosecond,
                event_names_come_back,
                stream_names_come_back,
                names_as_long_as_allowed_come_back,
                streams_that_look_alike_are_different,
                category_and_id_are_kept_apart,
            }
            /// Input that no store accepts (law 10).
            invalid [] {
                refuses_a_payload_that_is_too_large,
                refuses_metadata_that_is_too_large,
                refuses_too_many_events,
                refuses_an_append_without_events,
                refuses_a_stream_twice,
                refuses_an_id_twice,
                refuses_schema_versions_out_of_range,
                refuses_versions_past_the_last,
                refuses_an_actor_that_is_no_name,
                refuses_a_codec_that_is_no_name,
                invalid_input_is_told_before_a_conflict,
                mended_input_is_taken,
            }
            /// Checkpoints, moved only by those who know where they were.
            checkpoint [] {
                begins_at_the_start,
                moves_from_where_it_was,
                may_stay_and_may_go_back,
                refuses_to_move_from_elsewhere,
                names_are_independent,
                one_of_those_who_move_it_wins,
                moving_it_writes_no_event,
                a_transaction_moves_it,
                a_transaction_is_refused_when_it_is_elsewhere,
                a_dropped_transaction_leaves_it,
                an_open_transaction_stops_no_reader,
                a_transaction_moves_several,
                of_several_all_are_moved_or_none,
                nobody_moves_what_a_transaction_holds,
                knows_its_log_again,
                refuses_another_log,
            }
            /// Work and checkpoint together or not at all (law 11). Stores without `work` ignore these.
            transaction [work] {
                work_is_done_with_the_checkpoint,
                work_of_a_dropped_transaction_is_not_done,
                work_is_not_done_when_the_checkpoint_is_elsewhere,
                work_is_done_once_where_two_do_it,
            }
            /// Inline projections: rows that are there with the append. Stores without `work` ignore these.
            inline [work] {
                rows_are_there_with_the_append,
                rows_of_a_long_append_are_there,
                a_projection_that_fails_prevents_the_append,
                a_spoilt_transaction_is_not_committed,
                a_repeated_append_has_its_rows_once,
                rows_belong_to_the_transaction,
                rows_are_those_of_the_winners,
            }
            /// Rebuilds: a new version of a projection takes the place of the old one. Stores without `work` ignore these.
            rebuild [work] {
                a_new_version_takes_the_place_of_the_old,
                a_rebuild_that_is_given_up_goes_on,
                several_nodes_rebuild_once,
                a_rebuild_goes_on_as_it_has_begun,
                a_swap_that_fails_can_be_done_again,
                the_old_version_comes_back,
                the_number_of_partitions_may_change,
                a_partition_that_was_not_begun_is_begun_later,
                an_empty_log_is_rebuilt_once,
            }
            /// Waiting for what comes next.
            wait [] {
                an_append_wakes_a_reader,
                it_returns_at_once_when_there_is_something,
                all_who_wait_are_woken,
                it_may_be_given_up,
                those_who_wait_hold_up_nobody,
                no_append_is_slept_through,
            }
            /// What outlives the process. Stores that are not `durable` ignore these.
            durable [durable] {
                events_are_there_after_reopening,
                versions_go_on_after_reopening,
                positions_go_on_after_reopening,
                a_repeat_answers_as_the_first_did_after_reopening,
                checkpoints_are_there_after_reopening,
                readers_go_on_after_reopening,
            }
            /// Partitions and leases: who may move which checkpoint.
            lease [] {
                a_lone_node_has_every_partition,
                nodes_come_to_even_shares,
                a_step_needs_the_last_token,
                a_lease_that_nobody_took_goes_on,
                without_a_lease_nobody_else_may_hold_one,
                who_leaves_is_followed_at_once,
                racing_nodes_share_nothing_twice,
                refuses_another_number_of_partitions,
            }
            /// Dead letters: kept with the step that passes over the event (law 11).
            dead_letter [] {
                a_step_keeps_what_it_parks,
                a_step_that_is_refused_keeps_nothing,
                a_stream_is_due_in_its_order,
                one_that_is_parked_alone_waits_behind_nobody,
                one_that_fails_again_is_replaced,
                one_that_is_dropped_lets_the_next_follow,
            }
            /// Timers of processes.
            timer [] {
                is_set_with_its_transaction,
                are_due_in_their_order,
                becomes_due_with_time,
                one_that_is_set_twice_stays_as_it_was,
                is_taken_with_its_transaction,
                one_of_those_who_take_it_has_it,
            }
            /// Snapshots: believed where the log has what they stand on. Stores without `snapshots` ignore these.
            snapshot [snapshots] {
                a_snapshot_comes_back_with_what_followed,
                pages_after_a_snapshot_join_to_the_whole,
                without_one_all_events_come,
                a_state_that_stands_on_nothing_falls,
                what_stands_on_nothing_is_not_kept,
                one_that_is_too_new_is_passed_over,
                one_with_the_event_is_passed_over,
                an_older_one_never_replaces_a_newer,
                racing_writers_leave_the_newest,
                two_shapes_are_kept_beside_each_other,
                a_stream_that_is_set_apart_loses_them,
                a_truncated_stream_has_another_state,
                none_is_left_where_a_stream_is_deleted_meanwhile,
                they_are_forgotten_where_it_is_asked,
                a_transaction_reads_from_one,
                they_are_no_part_of_the_log,
                repositories_answer_as_without_one,
                repositories_go_on_from_one,
                repositories_load_what_is_left,
                random_histories_have_one_state,
            }
            /// Tenants: each has its own alone.
            tenant [] {
                the_feed_of_a_tenant_is_its_part_of_the_whole,
                a_tenant_finds_its_own_alone,
                a_query_of_a_tenant_finds_its_own_alone,
                a_condition_is_about_one_tenant,
                what_is_kept_for_subscriptions_is_one_tenants,
                an_id_of_another_tenant_is_refused,
                a_tenant_moves_to_a_store_of_its_own,
            }
            /// Random histories, beside a store in a `Vec`.
            model [] {
                random_histories_are_answered_as_by_the_model,
            }
        }
    };
}

/// Makes the promises public, in a module for every area.
#[doc(hidden)]
#[macro_export]
macro_rules! __publish {
    ([] $($(#[$doc:meta])* $area:ident $ability:tt { $($promise:ident,)* })*) => {
        $($(#[$doc])* pub mod $area { pub use $crate::$area::{$($promise),*}; })*
    };
}

/// The names of all promises.
#[doc(hidden)]
#[macro_export]
macro_rules! __names {
    ([] $($(#[$doc:meta])* $area:ident $ability:tt { $($promise:ident,)* })*) => {
        &[$($(::core::concat!(::core::stringify!($area), "::", ::core::stringify!($promise)),)*)*]
    };
}

/// Makes a module of tests for every area.
#[doc(hidden)]
#[macro_export]
macro_rules! __enrol {
    (
        [$fixture:ty; durable $durable:tt work $work:tt snapshots $snapshots:tt]
        $($(#[$doc:meta])* $area:ident $ability:tt { $($promise:ident,)* })*
    ) => {
        $(
            mod $area {
                #[allow(unused_imports)]
                use super::*;
                $($crate::__test! {
                    $fixture; durable $durable work $work snapshots $snapshots; $ability $area $promise
                })*
            }
        )*
    };
}

/// Makes the test of one promise.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    (as [$($ignored:tt)*] $fixture:ty; $area:ident $promise:ident) => {
        #[test]
        $($ignored)*
        fn $promise() {
            $crate::__private::run::<$fixture, _>($crate::promises::$area::$promise)
        }
    };
    (
        $fixture:ty; durable [$($durable:tt)*] work $work:tt snapshots $snapshots:tt;
        [durable] $area:ident $promise:ident
    ) => {
        $crate::__test! { as [$($durable)*] $fixture; $area $promise }
    };
    (
        $fixture:ty; durable $durable:tt work [$($work:tt)*] snapshots $snapshots:tt;
        [work] $area:ident $promise:ident
    ) => {
        $crate::__test! { as [$($work)*] $fixture; $area $promise }
    };
    (
        $fixture:ty; durable $durable:tt work $work:tt snapshots [$($snapshots:tt)*];
        [snapshots] $area:ident $promise:ident
    ) => {
        $crate::__test! { as [$($snapshots)*] $fixture; $area $promise }
    };
    (
        $fixture:ty; durable $durable:tt work $work:tt snapshots $snapshots:tt;
        [] $area:ident $promise:ident
    ) => {
        $crate::__test! { as [] $fixture; $area $promise }
    };
}
