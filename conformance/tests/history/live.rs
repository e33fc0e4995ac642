//! Histories that are recorded: sixteen clients at once, on a store that is sound and on stores that are broken.

use std::time::Duration;

use bytes::Bytes;
use factum_conformance::history::{
    History, Law, Logged, Recorder, Tally, Violation, Witness, check, check_in_order_of_positions, log_of,
};
use factum_core::store::Append;
use factum_core::{EventId, EventName, Metadata, NewEvent};
use factum_memory::MemoryStore;
use tokio::runtime::Builder;

use crate::made::{Dice, expected, stream};
use crate::stores::{Fault, SlowStore};

const CLIENTS: u64 = 16;
const TURNS: u64 = 60;
const STREAMS: u64 = 6;

/// What sixteen clients saw of a store, and what it holds in the end.
fn record(store: &SlowStore, seed: u64) -> (History, Vec<Logged>) {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let recorder = Recorder::new("client");
        let clients = (0..CLIENTS).map(|client| {
            let (store, recorder) = (store.clone(), recorder.clone());
            tokio::spawn(use_store(store, recorder, Dice::new(100 * seed + client)))
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        store.settle().await;
        for number in 0..STREAMS {
            recorder.read(&store.mended(), &stream(number)).await.unwrap();
        }
        (recorder.history(), log_of(&store.mended()).await)
    })
}

/// Appends, repeats, reads, and gives up now and then.
async fn use_store(store: SlowStore, recorder: Recorder, mut dice: Dice) {
    let mut sent: Vec<Append> = Vec::new();
    for _ in 0..TURNS {
        let append = match dice.roll(8) {
            0..2 => {
                let _ = recorder.read(&store, &stream(dice.roll(STREAMS))).await;
                continue;
            }
            2 if !sent.is_empty() => sent[dice.index(sent.len())].clone(),
            // The ids of another append, and one more.
            3 if !sent.is_empty() && dice.once_in(2) => {
                let mut part = sent[dice.index(sent.len())].streams()[0].clone();
                part.events.push(event());
                Append::to(part.stream, expected(&mut dice), part.events)
            }
            _ => {
                let first = dice.roll(STREAMS);
                let append = Append::to(stream(first), expected(&mut dice), vec![event()]);
                match dice.roll(STREAMS) {
                    other if other != first && dice.once_in(3) => {
                        append.and(stream(other), expected(&mut dice), vec![event(), event()])
                    }
                    _ => append,
                }
            }
        };
        sent.push(append.clone());
        let doing = recorder.append(&store, append);
        if dice.once_in(6) {
            let _ = tokio::time::timeout(Duration::from_millis(dice.roll(6)), doing).await;
        } else {
            let _ = doing.await;
        }
    }
}

fn event() -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new("tested").unwrap(),
        schema_version: 1,
        codec: "json".into(),
        payload: Bytes::from_static(b"{}"),
        metadata: Metadata::default(),
    }
}

/// The law that a broken store is found to break, in several histories. In a history that is short the fault may not have shown.
fn laws_broken_by(fault: Fault) -> Vec<Law> {
    let judged = |seed| {
        let (history, log) = record(&SlowStore::new(fault), seed);
        let verdict: Result<Witness, Violation> = check(&history, &log);
        let violation = verdict.err()?;
        println!("{fault:?}: {violation}");
        Some(violation.law)
    };
    let laws: Vec<_> = (0..12).filter_map(judged).take(3).collect();
    assert_eq!(laws.len(), 3, "the fault is found");
    laws
}

#[test]
fn a_sound_store_is_accepted() {
    let (mut all, mut operations, mut overlaps) = (Tally::default(), 0, 0);
    for seed in 0..5 {
        let (history, log) = record(&SlowStore::new(Fault::None), seed);
        let witness = check_in_order_of_positions(&history, &log)
            .unwrap_or_else(|broken| panic!("the store is sound: {broken}"));
        assert_eq!(history.to_string().parse(), Ok(history.clone()));
        all += witness.tally;
        let overlap = |one: usize| {
            let over = history.operations[one].answered.as_ref().map_or(u64::MAX, |answered| answered.at);
            history.operations.get(one + 1).is_some_and(|next| next.invoked < over)
        };
        operations += history.operations.len();
        overlaps += (0..history.operations.len()).filter(|&one| overlap(one)).count();
    }
    println!("{all:?}");
    assert!(all.appended > 300 && all.conflicted > 300 && all.read > 300, "{all:?}");
    assert!(all.repeated > 30 && all.reused > 30, "{all:?}");
    assert!(all.unknown_written > 20 && all.unknown_idle > 20, "{all:?}");
    assert!(overlaps > operations / 2, "{overlaps} of {operations} go on at the same time as the next");
}

#[test]
fn a_store_that_loses_an_acknowledged_append_is_caught() {
    for law in laws_broken_by(Fault::LosesAnAppend) {
        assert!(matches!(law, Law::Kept | Law::Answer), "{law:?}");
    }
}

#[test]
fn a_store_that_takes_a_conflict_is_caught() {
    for law in laws_broken_by(Fault::WritesOnConflict) {
        assert!(matches!(law, Law::Expectation | Law::Asked), "{law:?}");
    }
}

#[test]
fn a_store_that_serves_a_stale_read_is_caught() {
    assert_eq!(laws_broken_by(Fault::ReadsTheStale), [Law::Moment; 3]);
}

#[test]
fn a_store_that_writes_a_repeat_twice_is_caught() {
    assert_eq!(laws_broken_by(Fault::WritesARepeatTwice), [Law::Once; 3]);
}

#[test]
fn a_store_that_writes_half_an_append_is_caught() {
    for law in laws_broken_by(Fault::WritesAHalf) {
        assert!(matches!(law, Law::Kept | Law::Whole | Law::Answer), "{law:?}");
    }
}

#[test]
fn a_store_that_conflicts_with_the_past_is_caught() {
    for law in laws_broken_by(Fault::ConflictsWithThePast) {
        assert!(matches!(law, Law::Moment | Law::Whole | Law::Conflict), "{law:?}");
    }
}

#[test]
fn the_memory_store_is_accepted_as_it_is() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let (store, recorder) = (MemoryStore::new(), Recorder::new("client"));
        let clients = (0..CLIENTS).map(|client| {
            let (store, recorder, mut dice) = (store.clone(), recorder.clone(), Dice::new(client));
            tokio::spawn(async move {
                for _ in 0..TURNS {
                    let stream = stream(dice.roll(2));
                    let append = Append::to(stream.clone(), expected(&mut dice), vec![event(), event()]);
                    let _ = recorder.append(&store, append.clone()).await;
                    recorder.read(&store, &stream).await.unwrap();
                    let _ = recorder.append(&store, append).await;
                    tokio::task::yield_now().await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let (history, log) = (recorder.history(), log_of(&store).await);
        let witness = check_in_order_of_positions(&history, &log).unwrap_or_else(|broken| panic!("{broken}"));
        let tally = witness.tally;
        assert!(tally.appended > 100 && tally.repeated > 100 && tally.conflicted > 100, "{tally:?}");
    });
}
