//! Timers: set and taken in transactions, due by the store's clock, each once.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use factum_core::{EventId, Timer, Timers, Transactional};

use crate::Fixture;
use crate::race::race;
use crate::seen::soon;

/// A timer is set when its transaction commits, and not before or without that.
pub async fn is_set_with_its_transaction<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let timer = timer(-10);
    let mut tx = store.begin().await.expect("a transaction begins");
    store.set_timer(&mut tx, timer.clone()).await.expect("it can be set");
    drop(tx);
    let mut tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
    store.set_timer(&mut tx, timer.clone()).await.expect("it can be set");
    assert_eq!(due(store).await, []);
    store.commit(tx).await.expect("it commits");
    assert_eq!(due(store).await, [timer]);
}

/// The longest due comes first, what is not due is only announced, and each process has its own.
pub async fn are_due_in_their_order<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (oldest, old, soon, later) = (timer(-20), timer(-10), timer(3000), timer(6000));
    let foreign = Timer { process: "other".into(), ..timer(-30) };
    let all = [&later, &old, &soon, &oldest, &foreign];
    set(store, all.map(Clone::clone)).await;
    assert_eq!(due(store).await, [oldest.clone(), old]);
    let due = store.due_timers("p", 1).await.expect("they can be read");
    assert_eq!(due.timers, [oldest]);
    let next = due.next.expect("there is one");
    assert!(next > Duration::from_secs(2900) && next <= Duration::from_mins(50), "{next:?}");
    assert_eq!(store.due_timers("other", 9).await.expect("they can be read").timers, [foreign]);
    assert_eq!(
        store.due_timers("none", 9).await.expect("they can be read"),
        factum_core::DueTimers::default()
    );
}

/// One becomes due by itself.
pub async fn becomes_due_with_time<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let timer = Timer { due_at: now() + TimeDelta::milliseconds(300), ..timer(0) };
    set(store, [timer.clone()]).await;
    assert_eq!(due(store).await, []);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(due(store).await, [timer]);
}

/// One that is set again stays as it was.
pub async fn one_that_is_set_twice_stays_as_it_was<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let timer = timer(-10);
    set(store, [timer.clone()]).await;
    set(store, [Timer { due_at: now() + TimeDelta::hours(1), ..timer.clone() }]).await;
    assert_eq!(due(store).await, [timer]);
}

/// One is taken with its transaction: dropped, it stays.
pub async fn is_taken_with_its_transaction<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let timer = timer(-10);
    set(store, [timer.clone()]).await;
    let mut tx = store.begin().await.expect("a transaction begins");
    assert!(store.take_timer(&mut tx, &timer).await.expect("it can be taken"));
    assert!(!store.take_timer(&mut tx, &timer).await.expect("it can be asked for"), "it was taken here");
    drop(tx);
    let mut tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
    assert!(soon("taking it", store.take_timer(&mut tx, &timer)).await.expect("it can be taken"));
    store.commit(tx).await.expect("it commits");
    assert_eq!(due(store).await, []);
    let mut tx = store.begin().await.expect("a transaction begins");
    assert!(!store.take_timer(&mut tx, &timer).await.expect("it can be asked for"));
}

/// Of those who take it at the same time one has it.
pub async fn one_of_those_who_take_it_has_it<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for _ in 0..10 {
        let timer = timer(-10);
        set(store, [timer.clone()]).await;
        let taken = race((0..6).map(|_| {
            let (store, timer) = (store.clone(), timer.clone());
            async move {
                let mut tx = store.begin().await.expect("a transaction begins");
                let is_taken = store.take_timer(&mut tx, &timer).await.expect("it can be taken");
                tokio::task::yield_now().await;
                store.commit(tx).await.expect("it commits");
                is_taken
            }
        }))
        .await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    }
}

fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// One that is due in so many seconds.
fn timer(seconds: i64) -> Timer {
    Timer { process: "p".into(), event_id: EventId::new(), due_at: now() + TimeDelta::seconds(seconds) }
}

async fn set<S: Timers>(store: &S, timers: impl IntoIterator<Item = Timer>) {
    let mut tx = store.begin().await.expect("a transaction begins");
    for timer in timers {
        store.set_timer(&mut tx, timer).await.expect("it can be set");
    }
    store.commit(tx).await.expect("it commits");
}

async fn due<S: Timers>(store: &S) -> Vec<Timer> {
    store.due_timers("p", 10).await.expect("they can be read").timers
}
