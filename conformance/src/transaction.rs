//! Law 11: work and checkpoint are committed together or not at all.

use std::task::Poll;

use factum_core::{Checkpoints, Position, Transactional};

use crate::Fixture;
use crate::given::{some, stream};
use crate::seen::{append, checkpoint_moved, soon};

/// Work is done when the checkpoint has moved, and not before.
pub async fn work_is_done_with_the_checkpoint<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let to = append(store, some(&stream("1"), 1)).await.position;
    let mut tx = store.begin().await.expect("a transaction begins");
    fixture.work(&mut tx, "one").await;
    fixture.work(&mut tx, "two").await;
    assert_eq!(done(&fixture).await, Vec::<String>::new());
    store.commit_with_checkpoint(tx, "s", Position::START.into(), to.into()).await.expect("it was there");
    assert_eq!(done(&fixture).await, ["one", "two"]);
    assert_eq!(store.checkpoint("s").await.expect("it is there").position, to);
}

/// Work of a transaction that was dropped is not done.
pub async fn work_of_a_dropped_transaction_is_not_done<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let to = append(store, some(&stream("1"), 1)).await.position;
    for turn in 0..20 {
        let mut tx =
            soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        soon("work", fixture.work(&mut tx, &format!("dropped {turn}"))).await;
        drop(tx);
    }
    assert_eq!(soon("reading what is done", done(&fixture)).await, Vec::<String>::new());
    let mut tx = store.begin().await.expect("a transaction begins");
    fixture.work(&mut tx, "kept").await;
    store.commit_with_checkpoint(tx, "s", Position::START.into(), to.into()).await.expect("it was there");
    assert_eq!(done(&fixture).await, ["kept"]);
}

/// Work of a transaction whose checkpoint was elsewhere is not done.
pub async fn work_is_not_done_when_the_checkpoint_is_elsewhere<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let first = append(store, some(&stream("1"), 1)).await.position;
    let second = append(store, some(&stream("1"), 1)).await.position;
    for from in [first, second] {
        let mut tx = store.begin().await.expect("a transaction begins");
        fixture.work(&mut tx, "refused").await;
        checkpoint_moved(store.commit_with_checkpoint(tx, "s", from.into(), second.into()).await);
    }
    assert_eq!(done(&fixture).await, Vec::<String>::new());
    let mut tx = store.begin().await.expect("a transaction begins");
    fixture.work(&mut tx, "kept").await;
    store.commit_with_checkpoint(tx, "s", Position::START.into(), second.into()).await.expect("it was there");
    let mut tx = store.begin().await.expect("a transaction begins");
    fixture.work(&mut tx, "refused").await;
    checkpoint_moved(store.commit_with_checkpoint(tx, "s", Position::START.into(), second.into()).await);
    assert_eq!(done(&fixture).await, ["kept"]);
}

/// Where two run the same subscription, the work of one is done, once: the other's transaction does not outlive that its
/// checkpoint has moved meanwhile.
pub async fn work_is_done_once_where_two_do_it<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut from = Position::START;
    let mut expected = Vec::new();
    for round in 0..10 {
        let to = append(store, some(&stream("1"), 1)).await.position;
        let workers = (0..4).map(|worker| worker_of(&fixture, format!("{round} by {worker}"), from, to));
        let won = soon("the end of a race", together(workers)).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "exactly one commits");
        let winner = won.iter().position(|won| *won).expect("one of them has won");
        expected.push(format!("{round} by {winner}"));
        from = to;
    }
    assert_eq!(done(&fixture).await, expected);
}

/// Work in a transaction, and whether it was committed.
async fn worker_of<F: Fixture>(fixture: &F, note: String, from: Position, to: Position) -> bool {
    let store = fixture.store();
    let mut tx = store.begin().await.expect("a transaction begins");
    fixture.work(&mut tx, &note).await;
    match store.commit_with_checkpoint(tx, "s", from.into(), to.into()).await {
        Ok(()) => true,
        lost => {
            assert_eq!(checkpoint_moved(lost), (from, to));
            false
        }
    }
}

/// What the futures come to, polled in turns by one task: a fixture is borrowed, and tasks own what they use.
async fn together<R: Future>(futures: impl Iterator<Item = R>) -> Vec<R::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().map(|(_, output)| output.expect("all are ready")).collect()
}

/// The notes of all that was committed, in the order of the alphabet.
async fn done<F: Fixture>(fixture: &F) -> Vec<String> {
    let mut notes = fixture.work_done().await;
    notes.sort();
    notes
}
