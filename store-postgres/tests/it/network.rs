//! A network that breaks, falls silent, is slow or refuses: calls end in time, are repeated where that is safe, and the pool has
//! its places back.

use std::time::{Duration, Instant};

use factum_core::retention::Retention;
use factum_core::store::Uncommitted;
use factum_core::transfer::{Transfer as _, TransferError};
use factum_core::{
    AppendError, Checkpoint, Checkpoints, EventStore, Expected, Position, StoreErrorKind, Transactional,
    Version,
};
use factum_postgres::{Builder, PostgresStore, PostgresTx};
use factum_testkit::{Database, Proxy};

use crate::given::{
    ALL_IS_QUIET, ONE_SLEEPS, PATIENCE, all_events, ask, database, event, events_of, kind_of, one,
    pause_in_the_commit, positions, run, store, stranger, stream, until,
};

/// A store that reaches the database through a proxy. It is used once, so that everything is made ready.
async fn through_a_proxy(database: &Database, builder: Builder) -> (PostgresStore, Proxy) {
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let store = builder.connect(proxy.url()).await.expect("connects");
    store.checkpoint("s").await.expect("reads");
    settle().await;
    (store, proxy)
}

/// Two connections, no second attempt, and little patience.
fn hasty() -> Builder {
    PostgresStore::builder()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(2))
        .answer_timeout(Duration::from_millis(300))
        .retry_for(Duration::ZERO)
}

async fn both_connections_work(store: &PostgresStore) {
    let both = async { tokio::join!(store.checkpoint("s"), store.checkpoint("s")) };
    let (one, other) = tokio::time::timeout(PATIENCE, both).await.expect("in time");
    one.and(other).expect("there is a connection");
    // One after the other, one connection could have done that.
    let both = async { tokio::join!(store.begin(), store.begin()) };
    let (one, other) = tokio::time::timeout(PATIENCE, both).await.expect("in time");
    for tx in [one, other] {
        // One may have waited for the other for longer than a transaction may be silent.
        drop(tx.expect("each has a connection").rollback().await);
    }
}

/// After this the pool has its connections back.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_costs_time_but_no_connection() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, hasty()).await;
    both_connections_work(&store).await;
    settle().await;
    proxy.silence();
    // One waits until its time is up, one is dropped.
    let read = store.checkpoint("s").await.expect_err("nobody answers");
    assert_eq!(*read.kind(), StoreErrorKind::Busy);
    let _ = tokio::time::timeout(Duration::from_millis(50), store.checkpoint("s")).await;
    proxy.heal().expect("heals");
    both_connections_work(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_falls_silent_after_the_answer_costs_no_connection() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, hasty()).await;
    both_connections_work(&store).await;
    settle().await;
    for _ in 0..2 {
        // The next answer is for the caller. With the one after it the pool asks whether the connection is alive.
        proxy.swallow_answer(2);
        store.checkpoint("s").await.expect("has its answer");
        settle().await;
        assert_eq!(proxy.rules_waiting(), 0);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    both_connections_work(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_into_silence_ends_in_time_and_holds_up_no_other() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, hasty()).await;
    proxy.silence();
    let append = one("1", Expected::Any);
    let lost = tokio::time::timeout(PATIENCE, store.append(append.clone())).await.expect("in time");
    assert_eq!(kind_of(lost), StoreErrorKind::OutcomeUnknown);
    proxy.heal().expect("heals");
    store.append(append).await.expect("appends");
    assert_eq!(events_of(&store, "1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meets_silence_is_repeated_when_the_network_is_back() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, hasty().retry_for(PATIENCE)).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    proxy.silence();
    let append = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("1", Expected::Any)).await }
    });
    let read = tokio::spawn({
        let store = store.clone();
        async move { all_events(&store).await }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!append.is_finished() && !read.is_finished());
    proxy.heal().expect("heals");
    let appended = tokio::time::timeout(PATIENCE, append).await.expect("in time").expect("no panic");
    assert_eq!(appended.expect("appends").version(), Version(2));
    tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("no panic");
    assert_eq!(positions(&all_events(&store).await), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_client_has_fallen_silent_is_ended_and_the_feed_goes_on() {
    let database = database().await;
    let (vanishing, proxy) = through_a_proxy(&database, hasty()).await;
    let mut tx = vanishing.begin().await.expect("begins");
    vanishing.append_in(&mut tx, one("vanishing", Expected::Any)).await.expect("appends");
    proxy.silence();
    let other = store(&database).await;
    other.append(one("1", Expected::Any)).await.expect("does not wait");
    // Nobody has told the server that the connection ended.
    let waited = tokio::time::timeout(Duration::from_secs(5), other.wait(Position::START)).await;
    waited.expect("the server gives it up").expect("waits");
    assert_eq!(positions(&all_events(&other).await), [2]);
    vanishing.commit(tx).await.expect_err("was rolled back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_does_not_reach_the_server_is_sent_again() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    proxy.cut_before("factum_append");
    let appended = store.append(one("1", Expected::NoStream)).await.expect("appends");
    assert_eq!((proxy.rules_waiting(), appended.position), (0, Position(1)), "no position was drawn before");
    assert_eq!(events_of(&store, "1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_is_lost_is_recorded_once() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    for (id, expected) in [("any", Expected::Any), ("new", Expected::NoStream)] {
        proxy.cut_after("factum_append");
        let append = one(id, expected);
        let appended = store.append(append.clone()).await.expect("is repeated");
        assert_eq!(proxy.rules_waiting(), 0);
        let events = events_of(&store, id).await;
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].position, events[0].recorded_at), (appended.position, appended.recorded_at));
        assert_eq!(store.append(append).await.expect("is known"), appended);
    }
    // And so is one to several streams.
    proxy.cut_after("factum_append_group");
    let two = one("2", Expected::NoStream).and(stream("3"), Expected::NoStream, vec![event(), event()]);
    let appended = store.append(two).await.expect("is repeated");
    assert_eq!(appended.versions, [Version(1), Version(2)]);
    assert_eq!(positions(&all_events(&store).await), [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_group_whose_answer_is_lost_each_append_is_recorded_once() {
    let database = database().await;
    let builder = PostgresStore::builder().append_lanes(1);
    let (store, proxy) = through_a_proxy(&database, builder).await;
    proxy.cut_after("factum_append_group");
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.append(one(&number.to_string(), Expected::NoStream)).await })
        })
        .collect();
    for task in tasks {
        let appended = tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic");
        assert_eq!(appended.expect("appends").version(), Version(1));
    }
    assert_eq!(proxy.rules_waiting(), 0, "there was a group");
    assert_eq!(all_events(&store).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_connection_is_reset_is_recorded_once() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    for (turn, id) in ["after", "during", "before"].into_iter().enumerate() {
        match id {
            "after" => proxy.reset_after("factum_append"),
            "during" => proxy.reset_during("factum_append"),
            _ => proxy.reset(),
        }
        let append = one(id, Expected::NoStream);
        let appended = store.append(append.clone()).await.expect("is repeated");
        assert_eq!(proxy.rules_waiting(), 0);
        let events = events_of(&store, id).await;
        assert_eq!(events.len(), 1, "{id}");
        assert_eq!((events[0].position, events[0].recorded_at), (appended.position, appended.recorded_at));
        assert_eq!(store.append(append).await.expect("is known"), appended);
        assert_eq!(all_events(&store).await.len(), turn + 1);
    }
    // And so is one to several streams.
    proxy.reset_during("factum_append_group");
    let two = one("2", Expected::NoStream).and(stream("3"), Expected::NoStream, vec![event(), event()]);
    let appended = store.append(two).await.expect("is repeated");
    assert_eq!((proxy.rules_waiting(), appended.versions), (0, vec![Version(1), Version(2)]));
    assert_eq!(all_events(&store).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_commit_goes_on_behind_a_reset_is_recorded_once_and_answered() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    pause_in_the_commit(&mut stranger(&database).await, 1, 0.5).await;
    proxy.reset_during("factum_append");
    let append = one("slow", Expected::NoStream);
    let appending = tokio::spawn({
        let (store, append) = (store.clone(), append.clone());
        async move { store.append(append).await }
    });
    // The first attempt, of which its client hears nothing any more.
    until(&mut stranger(&database).await, ONE_SLEEPS).await;
    assert_eq!(proxy.rules_waiting(), 0);
    let appended = tokio::time::timeout(PATIENCE, appending).await.expect("in time").expect("no panic");
    let appended = appended.expect("is repeated");
    assert_eq!(
        (appended.position, appended.version()),
        (Position(1), Version(1)),
        "it was the first attempt"
    );
    assert_eq!(positions(&events_of(&store, "slow").await), [1]);
    assert_eq!(store.append(append).await.expect("is known"), appended);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_group_that_is_met_by_a_reset_each_append_is_recorded_once() {
    let database = database().await;
    let builder = PostgresStore::builder().append_lanes(1);
    let (store, proxy) = through_a_proxy(&database, builder).await;
    proxy.reset_during("factum_append_group");
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.append(one(&number.to_string(), Expected::NoStream)).await })
        })
        .collect();
    for task in tasks {
        let appended = tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic");
        assert_eq!(appended.expect("appends").version(), Version(1));
    }
    assert_eq!(proxy.rules_waiting(), 0, "there was a group");
    assert_eq!(all_events(&store).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_commit_is_met_by_a_reset_is_of_unknown_outcome_and_whole() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    let mut tx = store.begin().await.expect("begins");
    store.append_in(&mut tx, one("1", Expected::NoStream)).await.expect("appends");
    proxy.reset_during("COMMIT");
    let unknown = store.commit_with_checkpoint(tx, "1", Checkpoint::START, Position(7).into()).await;
    assert_eq!(*unknown.expect_err("no answer").kind(), StoreErrorKind::OutcomeUnknown);
    assert_eq!(proxy.rules_waiting(), 0);
    until(&mut stranger(&database).await, ALL_IS_QUIET).await;
    // Either would be whole. The server was given the commit, and does not look whether somebody waits for its answer.
    assert_eq!(positions(&events_of(&store, "1").await), [1]);
    assert_eq!(store.checkpoint("1").await.expect("reads").position, Position(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_noticed_by_nobody_who_reads_or_waits() {
    let database = database().await;
    let (reader, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    let writer = store(&database).await;
    for number in 1..=5 {
        let waiting = tokio::spawn({
            let reader = reader.clone();
            async move { reader.wait(Position(number - 1)).await }
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        proxy.reset();
        writer.append(one("1", Expected::Any)).await.expect("appends");
        let waited = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
        waited.expect("connects again");
        proxy.reset();
        let expected: Vec<u64> = (1..=number).collect();
        assert_eq!(positions(&all_events(&reader).await), expected);
    }
}

/// The connections are gone, and the store knows it or finds it out before it uses one.
async fn lose_all_connections(proxy: &Proxy) {
    proxy.refuse();
    proxy.reset();
    // What was used just now would be used again without a question.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connections_are_asked_for_again_as_long_as_was_said_and_then_the_store_is_unavailable() {
    const TIME: Duration = Duration::from_secs(2);
    let database = database().await;
    let builder = hasty().acquire_timeout(Duration::from_millis(100));
    let (at_once, proxy) = through_a_proxy(&database, builder.clone()).await;
    let patient = builder.retry_for(TIME).connect(proxy.url()).await.expect("connects");
    patient.checkpoint("s").await.expect("reads");
    lose_all_connections(&proxy).await;
    for (store, least, most) in
        [(&at_once, Duration::ZERO, TIME / 2), (&patient, TIME / 2, TIME + Duration::from_secs(4))]
    {
        let begin = Instant::now();
        let (append, read, begun) = tokio::join!(
            async { (kind_of(store.append(one("1", Expected::Any)).await), begin.elapsed()) },
            async { (store.checkpoint("s").await.expect_err("refused").kind().clone(), begin.elapsed()) },
            async { (store.begin().await.map(drop).expect_err("refused").kind().clone(), begin.elapsed()) },
        );
        for (what, (kind, taken)) in [("append", append), ("read", read), ("begin", begun)] {
            assert_eq!(kind, StoreErrorKind::Unavailable, "{what}");
            assert!(taken >= least && taken < most, "{what}: {taken:?}");
        }
    }
    proxy.heal().expect("heals");
    // As it says: nothing was written.
    assert!(all_events(&at_once).await.is_empty());
    patient.append(one("1", Expected::NoStream)).await.expect("appends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_done_when_connections_are_accepted_again() {
    let database = database().await;
    let builder = hasty().acquire_timeout(Duration::from_millis(100)).retry_for(PATIENCE);
    let (store, proxy) = through_a_proxy(&database, builder).await;
    lose_all_connections(&proxy).await;
    let append = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("1", Expected::NoStream)).await }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!append.is_finished());
    proxy.heal().expect("heals");
    let appended = tokio::time::timeout(PATIENCE, append).await.expect("in time").expect("no panic");
    assert_eq!(appended.expect("appends").version(), Version(1));
    assert_eq!(events_of(&store, "1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_refused_after_its_answer_was_lost_stays_unknown() {
    let database = database().await;
    let builder = hasty().acquire_timeout(Duration::from_millis(100)).retry_for(Duration::from_millis(500));
    // So that the second attempt has none that is open.
    let (store, proxy) = through_a_proxy(&database, builder.max_connections(1)).await;
    proxy.refuse();
    proxy.reset_after("factum_append");
    let append = one("1", Expected::Any);
    // Unavailable would mean that nothing was written.
    assert_eq!(kind_of(store.append(append.clone()).await), StoreErrorKind::OutcomeUnknown);
    assert_eq!(proxy.rules_waiting(), 0);
    proxy.heal().expect("heals");
    assert_eq!(store.append(append).await.expect("is known").position, Position(1));
    assert_eq!(events_of(&store, "1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_cut_in_the_commit_is_of_unknown_outcome_and_whole() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    run(&mut stranger(&database).await, "CREATE TABLE notes (note text)").await;
    for (id, is_done) in [("before", false), ("after", true)] {
        let mut tx = store.begin().await.expect("begins");
        sqlx::query("INSERT INTO notes VALUES ($1)").bind(id).execute(&mut *tx).await.expect("writes");
        store.append_in(&mut tx, one(id, Expected::NoStream)).await.expect("appends");
        if is_done {
            proxy.cut_after("COMMIT");
        } else {
            proxy.cut_before("COMMIT");
        }
        let unknown = store.commit_with_checkpoint(tx, id, Checkpoint::START, Position(7).into()).await;
        assert_eq!(*unknown.expect_err("no answer").kind(), StoreErrorKind::OutcomeUnknown);
        assert_eq!(proxy.rules_waiting(), 0);
        until(&mut stranger(&database).await, ALL_IS_QUIET).await;
        assert_eq!(events_of(&store, id).await.len(), usize::from(is_done));
        let at = store.checkpoint(id).await.expect("reads").position;
        assert_eq!(at, Position(if is_done { 7 } else { 0 }));
    }
    let notes = "SELECT string_agg(note, ' ') FROM notes";
    assert_eq!(ask::<String>(&mut stranger(&database).await, notes).await, "after");
    assert_eq!(positions(&all_events(&store).await), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_noticed_by_nobody_who_reads_or_waits() {
    let database = database().await;
    let (reader, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    let writer = store(&database).await;
    for number in 1..=5 {
        let waiting = tokio::spawn({
            let reader = reader.clone();
            async move { reader.wait(Position(number - 1)).await }
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        proxy.cut();
        writer.append(one("1", Expected::Any)).await.expect("appends");
        let waited = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
        waited.expect("connects again");
        proxy.cut();
        let expected: Vec<u64> = (1..=number).collect();
        assert_eq!(positions(&all_events(&reader).await), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_slow_network_a_lone_append_costs_one_round_trip() {
    const ONE_WAY: Duration = Duration::from_millis(150);
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    // Statements are prepared once on each connection: on that of the first append, and on that by which others hear of it, which
    // may come back after it and then is the next to be used.
    for _ in 0..5 {
        store.append(one("1", Expected::Any)).await.expect("appends");
        settle().await;
    }
    proxy.delay(ONE_WAY);
    let begin = Instant::now();
    store.append(one("1", Expected::Any)).await.expect("appends");
    let taken = begin.elapsed();
    assert!(taken > 2 * ONE_WAY && taken < 4 * ONE_WAY, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_after_a_group_was_committed_is_no_refusal() {
    let database = database().await;
    // With no second attempt, so that nothing hides what was answered.
    let (store, proxy) = through_a_proxy(&database, hasty().append_lanes(1)).await;
    let known = one("known", Expected::Any);
    store.append(known.clone()).await.expect("appends");
    let mut holder = stranger(&database).await;
    for turn in 1..=5 {
        // The first append waits, so that the others share a group: new ones, and one whose ids have to be looked up.
        run(
            &mut holder,
            "BEGIN; SELECT pg_advisory_xact_lock(1717658484, 'factum_events'::regclass::oid::integer)",
        )
        .await;
        let ahead = tokio::spawn({
            let store = store.clone();
            async move { store.append(one("ahead", Expected::Any)).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        proxy.cut_before("-- Where events are or were.");
        let group = [one("new", Expected::Any), known.clone(), one("other", Expected::Any)].map(|append| {
            let store = store.clone();
            tokio::spawn(async move { store.append(append).await })
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        run(&mut holder, "ROLLBACK").await;
        ahead.await.expect("no panic").expect("appends");
        for (append, id) in group.into_iter().zip(["new", "known", "other"]) {
            let outcome = append.await.expect("no panic");
            // Whether the repetition is answered or not, the new ones were recorded and their callers hear of it.
            assert!(outcome.is_ok() || id == "known", "{id}: {outcome:?}");
        }
        proxy.heal().expect("heals");
        for id in ["new", "other"] {
            assert_eq!(events_of(&store, id).await.len(), turn, "in stream {id}");
        }
        assert_eq!(events_of(&store, "known").await.len(), 1);
    }
}

/// A store of two connections whose network has fallen silent; what happens then costs it none of them.
async fn keeps_its_connections(in_silence: impl AsyncFnOnce(&PostgresStore)) {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, hasty()).await;
    both_connections_work(&store).await;
    settle().await;
    proxy.silence();
    in_silence(&store).await;
    // Whatever was begun has its own time limit.
    tokio::time::sleep(Duration::from_millis(700)).await;
    proxy.heal().expect("heals");
    let begin = Instant::now();
    both_connections_work(&store).await;
    // It may have to find out that a connection is dead.
    assert!(begin.elapsed() < Duration::from_secs(2), "took {:?}", begin.elapsed());
    tokio::time::timeout(Duration::from_secs(5), store.close()).await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_is_abandoned_in_silence_costs_no_connection() {
    keeps_its_connections(async |store| {
        for _ in 0..2 {
            let abandoned = tokio::time::timeout(Duration::from_millis(50), store.begin()).await;
            abandoned.expect_err("nobody answers");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_nobody_answers_ends_in_time_and_costs_no_connection() {
    keeps_its_connections(async |store| {
        for _ in 0..2 {
            let error = store.begin().await.expect_err("nobody answers");
            assert_eq!(*error.kind(), StoreErrorKind::Busy);
        }
    })
    .await;
}

/// The same, for a way to end two transactions that were begun before.
async fn keeps_the_connections_of_transactions(end: impl AsyncFn(PostgresStore, PostgresTx)) {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, hasty()).await;
    let transactions = [store.begin().await.expect("begins"), store.begin().await.expect("begins")];
    proxy.silence();
    for tx in transactions {
        let ended = tokio::time::timeout(Duration::from_secs(2), end(store.clone(), tx)).await;
        ended.expect("has a time limit");
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    proxy.heal().expect("heals");
    let begin = Instant::now();
    both_connections_work(&store).await;
    // It may have to find out that a connection is dead.
    assert!(begin.elapsed() < Duration::from_secs(2), "took {:?}", begin.elapsed());
    tokio::time::timeout(Duration::from_secs(5), store.close()).await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_dropped_in_silence_costs_no_connection() {
    keeps_the_connections_of_transactions(async |_, tx| drop(tx)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_end_nobody_answers_costs_no_connection() {
    keeps_the_connections_of_transactions(async |_, tx| {
        tx.rollback().await.expect_err("nobody answers");
    })
    .await;
    keeps_the_connections_of_transactions(async |store, tx| {
        let error = store.commit(tx).await.expect_err("nobody answers");
        assert_eq!(*error.kind(), StoreErrorKind::Busy, "it did not come to the COMMIT");
    })
    .await;
    keeps_the_connections_of_transactions(async |store, tx| {
        let moving = store.commit_with_checkpoint(tx, "s", Checkpoint::START, Position(1).into());
        moving.await.expect_err("nobody answers");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_statement_is_abandoned_in_silence_costs_no_connection() {
    keeps_the_connections_of_transactions(async |store, mut tx| {
        let appending = store.append_in(&mut tx, one("1", Expected::Any));
        tokio::time::timeout(Duration::from_millis(50), appending).await.expect_err("nobody answers");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_into_silence_costs_no_connection() {
    keeps_its_connections(async |store| {
        for _ in 0..3 {
            store.wake();
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_before_a_rollback_costs_no_connection_behind_a_pooler() {
    let database = database().await;
    let builder = hasty().transaction_pooler(true);
    let (store, proxy) = through_a_proxy(&database, builder).await;
    both_connections_work(&store).await;
    settle().await;
    for _ in 0..2 {
        // Of a read: the beginning, the statement twice (prepared, and run), and then the rollback.
        proxy.swallow_answer(4);
        store.checkpoint("s").await.expect("has its answer");
        settle().await;
        assert_eq!(proxy.rules_waiting(), 0);
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    both_connections_work(&store).await;
    tokio::time::timeout(Duration::from_secs(5), store.close()).await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_in_a_transaction_says_what_was_wrong_also_if_the_connection_breaks_then() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database, PostgresStore::builder()).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    run(&mut stranger(&database).await, "SELECT setval('factum_position', 1, false)").await;
    let mut tx = store.begin().await.expect("begins");
    proxy.cut_before("ROLLBACK TO SAVEPOINT");
    let refused = store.append_in(&mut tx, one("1", Expected::Any)).await;
    assert_eq!(proxy.rules_waiting(), 0);
    assert_eq!(kind_of(refused.map(Uncommitted::committed)), StoreErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_about_an_earlier_attempt_is_not_forgotten() {
    let database = database().await;
    let ways = ["factum_close", "factum_truncate", "factum_restore"];
    for (way, statement) in ways.into_iter().enumerate() {
        let builder = hasty().max_connections(1).retry_for(Duration::from_secs(1)).notifications(false);
        let (store, proxy) = through_a_proxy(&database, builder).await;
        store.append(one(statement, Expected::Any)).await.expect("appends");
        settle().await;
        // The only connection goes on, until its answer is lost; then there is no other.
        proxy.refuse();
        proxy.cut_after(statement);
        let stream = stream(statement);
        let outcome = match way {
            0 => store.delete_stream(&stream, Expected::Any).await.map(drop),
            1 => store.truncate_stream(&stream, Version(1)).await,
            _ => store.restore_stream(&stream).await.map(drop),
        };
        assert_eq!(proxy.rules_waiting(), 0);
        let error = match outcome {
            Err(AppendError::Store(error)) => error,
            other => panic!("{statement}: nobody can know, got {other:?}"),
        };
        assert_eq!(*error.kind(), StoreErrorKind::OutcomeUnknown, "{statement}");
    }
    // And the deletion was done.
    assert_eq!(events_of(&store(&database).await, "factum_close").await[0].name.as_str(), "factum.deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_for_further_attempts_counts_the_attempts() {
    let database = database().await;
    let patience = Duration::from_secs(1);
    let acquire = Duration::from_millis(500);
    let builder = hasty().acquire_timeout(acquire).retry_for(patience);
    let (store, proxy) = through_a_proxy(&database, builder).await;
    proxy.cut();
    settle().await;
    proxy.silence();
    let begin = Instant::now();
    let error = store.checkpoint("s").await.expect_err("nobody is there");
    assert_eq!(*error.kind(), StoreErrorKind::Unavailable);
    let taken = begin.elapsed();
    assert!(taken > acquire * 2, "tried it once: {taken:?}");
    assert!(taken < patience + acquire + Duration::from_millis(700), "took {taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fell_silent_while_it_rested_is_replaced_soon() {
    let database = database().await;
    let builder = hasty().max_connections(1).acquire_timeout(PATIENCE).answer_timeout(PATIENCE);
    let (store, proxy) = through_a_proxy(&database, builder.notifications(false)).await;
    // It is not taken for alive any more.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    proxy.swallow_answer(1);
    let begin = Instant::now();
    store.checkpoint("s").await.expect("has another connection");
    assert_eq!(proxy.rules_waiting(), 0);
    assert!(begin.elapsed() < Duration::from_secs(3), "took {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_went_deaf_hears_again() {
    let database = database().await;
    // Should it look just then, it may try again.
    let builder = hasty().poll_interval(PATIENCE).retry_for(PATIENCE);
    let (reader, proxy) = through_a_proxy(&database, builder).await;
    let writer = store(&database).await;
    let listens = "SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND query LIKE 'LISTEN%')";
    for number in 0..2 {
        let waiting = tokio::spawn({
            let reader = reader.clone();
            async move { reader.wait(Position(2 * number)).await }
        });
        until(&mut stranger(&database).await, listens).await;
        assert!(!waiting.is_finished());
        // The notice is lost, and nobody is told that the connection has lost something.
        proxy.silence();
        writer.append(one("1", Expected::Any)).await.expect("appends");
        settle().await;
        proxy.heal().expect("heals");
        let heard = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        heard.expect("long before it looks by itself").expect("no panic").expect("waits");
        // And from then on it hears at once.
        let waiting = reader.wait(Position(2 * number + 1));
        let appending = async {
            settle().await;
            writer.append(one("1", Expected::Any)).await.expect("appends");
        };
        let both = async { tokio::join!(waiting, appending) };
        let (waited, ()) = tokio::time::timeout(Duration::from_secs(5), both).await.expect("hears of it");
        waited.expect("waits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_into_silence_ends_in_time_and_leaves_nothing() {
    let (source, database) = (database().await, database().await);
    let source = store(&source).await;
    source.append(one("1", Expected::Any)).await.expect("appends");
    let records = source.read_records(Position::START, 1, 1).await.expect("reads");
    let (copy, proxy) = through_a_proxy(&database, hasty()).await;
    for is_written in [false, true] {
        let mut import = copy.begin_import().await.expect("it is empty");
        if is_written {
            import.write(records.clone()).await.expect("writes");
        }
        proxy.silence();
        let lost =
            async { if is_written { import.finish().await } else { import.write(records.clone()).await } };
        let lost = tokio::time::timeout(PATIENCE, lost).await.expect("in time").expect_err("nobody answers");
        let TransferError::Store(error) = lost else { panic!("the store is ill, and not {lost:?}") };
        assert_eq!(*error.kind(), StoreErrorKind::Busy);
        proxy.heal().expect("heals");
        until(&mut stranger(&database).await, ALL_IS_QUIET).await;
    }
    assert_eq!(copy.read_records(Position::START, 1, 1).await.expect("reads"), []);
    let mut import = copy.begin_import().await.expect("it is empty");
    import.write(records).await.expect("writes");
    import.finish().await.expect("commits");
    assert_eq!(positions(&all_events(&copy).await), [1]);
}
